from datetime import date, datetime

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
        ({"text": '"nowhere.txt"'}, "nowhere.txt"), ({"code": ""}, "not readable as TOML"),
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
