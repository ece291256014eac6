import hashlib
import os
from datetime import date, datetime
from pathlib import Path

import pytest

from config.settings import ROOT
from madoguchi.adapters.terms_files import TermsFileError, canonical_text, read_terms

GOOD = {
    "document": '"service"', "code": '"1"', "enacted_on": "2025-03-01", "effective_at": "2025-04-01T00:00:00+09:00",
    "url": '"https://example.jp/terms"', "text": '"service.txt"',
}  # fmt: skip


def write(folder, **changes):
    for name in ("service", "zoom"):
        values = GOOD | {"document": f'"{name}"'} | (changes if name == "service" else {})
        lines = [f"{key} = {value}" for key, value in values.items() if value is not None]
        (folder / f"{name}.toml").write_text("\n".join(lines), encoding="utf-8")
    (folder / "service.txt").write_text("第1条\n", encoding="utf-8")
    return folder


def test_the_shipped_terms_are_read():
    assert {version.document for version in read_terms(ROOT / "config" / "terms")} == {"service", "zoom"}


def test_a_version_is_read_as_written(tmp_path):
    service = read_terms(write(tmp_path))[0]
    assert (service.document, service.code, service.enacted_on) == ("service", "1", date(2025, 3, 1))
    assert service.effective_at == datetime.fromisoformat("2025-04-01T00:00:00+09:00")
    assert len(service.sha256) == 64


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"document": None}, "document is missing"), ({"document": '"other"'}, 'must be "service" or "zoom"'),
        ({"code": "1"}, "code is missing or not a str"), ({"enacted_on": '"March"'}, "enacted_on"),
        ({"enacted_on": "2025-03-01T00:00:00+09:00"}, "enacted_on"), ({"effective_at": "2025-04-01"}, "effective_at"),
        ({"effective_at": "2025-04-01T00:00:00"}, "offset"), ({"url": None}, "url"),
        ({"text": '"nowhere.txt"'}, "nowhere.txt"),
        ({"signatory": "7"}, "signatory is not a str"), ({"code": ""}, "not readable as TOML"),
    ],
)  # fmt: skip
def test_every_mistake_names_the_file_and_what_to_write(tmp_path, changes, says):
    with pytest.raises(TermsFileError, match=r"service\.toml") as caught:
        read_terms(write(tmp_path, **changes))
    assert says in str(caught.value)


def test_both_documents_are_needed(tmp_path):
    (write(tmp_path) / "zoom.toml").unlink()
    with pytest.raises(TermsFileError, match="no version of the zoom terms"):
        read_terms(tmp_path)


def test_line_ends_blanks_and_forms_of_letters_do_not_change_the_text():
    assert canonical_text("\n第1条 \r\nか\u3099\r\n\n") == "第1条\nが\n"
    assert canonical_text("第1条\nが\n") == "第1条\nが\n"
    assert canonical_text("第1条\n\nが") != canonical_text("第1条\nが")


def test_the_words_come_with_the_version_and_hash_to_what_it_names(tmp_path):
    service, zoom = read_terms(write(tmp_path, signatory='" 所長 "'))
    assert (service.text, service.signatory) == ("第1条\n", "所長")
    assert service.sha256 == hashlib.sha256(service.text.encode()).hexdigest()
    assert zoom.text == "第1条\n"


def test_the_shipped_terms_keep_the_hash_that_consents_name():
    service = next(each for each in read_terms(ROOT / "config" / "terms") if each.document == "service")
    assert service.sha256 == "c44fcdd94c899a8efb579f57bdf381f7002047bddbed874394ebf78a3acc2cdf"
    zoom = next(each for each in read_terms(ROOT / "config" / "terms") if each.document == "zoom")
    assert (zoom.text, zoom.sha256[:8]) == (None, "fa445fc0")


def test_a_mark_before_the_text_is_no_part_of_it_but_was_once(tmp_path):
    folder = write(tmp_path)
    plain = read_terms(folder)[0]
    (folder / "service.txt").write_bytes("\ufeff第1条\r\n".encode())
    marked = read_terms(folder)[0]
    assert (marked.text, marked.sha256) == (plain.text, plain.sha256)
    assert marked.former_sha256 == hashlib.sha256("\ufeff第1条\n".encode()).hexdigest()
    assert plain.former_sha256 is None


@pytest.mark.parametrize("content", [b"\x00\x01", b"", b"PK\x03\x04zip"])
def test_a_text_that_is_none_is_refused_with_both_names(tmp_path, content):
    folder = write(tmp_path)
    (folder / "service.txt").write_bytes(content)
    with pytest.raises(TermsFileError, match=r"service\.toml.*service\.txt"):
        read_terms(folder)


def test_a_text_in_the_code_page_of_old_windows_is_read(tmp_path):
    folder = write(tmp_path)
    (folder / "service.txt").write_bytes("第１条 髙\n".encode("cp932"))
    assert read_terms(folder)[0].text == "第１条 髙\n"


def real_terms():
    """The office's own terms, where somebody has put them beside the project; never copied."""
    shared = os.environ.get("MADOGUCHI_SHARED_DIR")
    folder = Path(shared) if shared else ROOT.parent / "shared"
    path = folder / "terms" / "terms-2025-06-16.txt"
    if not path.is_file():
        pytest.skip("the office's real terms are not here: name their folder by MADOGUCHI_SHARED_DIR")
    return path


def test_an_offices_folder_may_point_to_its_text_where_it_lies(tmp_path):
    path = real_terms()
    service = read_terms(write(tmp_path, code='"2025-06-16"', text=f'"{path}"'))[0]
    assert service.text.startswith("ハローワーク松戸")
    assert service.sha256[:12] == "2a24abd06a64"
