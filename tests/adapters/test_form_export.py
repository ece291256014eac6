"""CSV exports: what is read, what is refused and with which words."""

from __future__ import annotations

import codecs
import csv
import hashlib
import os
from pathlib import Path

import pytest

from madoguchi.adapters.form_export import (
    REMEDIES,
    ExportError,
    Limits,
    guess_mapping,
    is_settled,
    open_export,
    safe_cell,
)
from madoguchi.domain.application import Outcome, Reason
from tests.intake_help import FIXTURES, judge, mapping, take_in

HEADER = "回答ID,回答日時,氏名,求職番号,メールアドレス,希望日（第１希望）,希望時間（第１希望）,備考"
ROW = "1,2026/09/10 09:01,見本 花子,99999-90000001,rei@example.jp,2026/9/24,11:00,"


def written(tmp_path: Path, text: str, encoding: str = "utf-8", name: str = "export.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def rows_of(path: Path, source: str = "logo", **limits):
    with open_export(path, mapping(source), Limits(**limits)) as export:
        return list(export)


def error_of(path: Path, source: str = "logo", **limits) -> ExportError:
    with pytest.raises(ExportError) as caught:
        rows_of(path, source, **limits)
    return caught.value


@pytest.mark.parametrize(
    ("encoding", "seen_as"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("cp932", "cp932"), ("utf-16", "utf-16")],
)
def test_an_encoding_is_recognised_and_every_column_found(tmp_path, encoding, seen_as):
    path = written(tmp_path, f"{HEADER}\r\n{ROW}髙﨑①\r\n", encoding)
    with open_export(path, mapping("logo")) as export:
        (row,) = export
        fields = export.fields(row)
    assert export.encoding == seen_as
    assert export.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (fields["row_id"], fields["note"], row.number, row.extra_columns) == ("1", "髙﨑①", 1, False)
    assert judge(fields, "logo").outcome is Outcome.ACCEPT


def test_utf16_from_the_other_end_is_read_too(tmp_path):
    path = tmp_path / "export.csv"
    path.write_bytes(codecs.BOM_UTF16_BE + f"{HEADER}\n{ROW}\n".encode("utf-16-be"))
    assert len(rows_of(path)) == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found_by_the_headers(tmp_path, delimiter):
    path = written(tmp_path, f"{HEADER}\n{ROW}\n".replace(",", delimiter))
    assert rows_of(path)[0].cells[2] == "見本 花子"


def test_headers_count_by_name_in_any_order_with_strangers_among_them(tmp_path):
    turned = [",".join(reversed(line.split(","))) for line in (f"{HEADER},社内メモ", f"{ROW},x")]
    with open_export(written(tmp_path, "\n".join(turned)), mapping("logo")) as export:
        (row,) = export
        assert export.fields(row)["name"] == "見本 花子"
        assert export.unknown_columns == ("社内メモ",)


def test_titles_above_the_header_are_passed_over(tmp_path):
    (row,) = rows_of(written(tmp_path, f"オンライン職業相談 申込み一覧,,\n,,\n{HEADER}\n{ROW}\n"))
    assert (row.number, row.cells[0]) == (1, "1")


def test_line_ends_inside_and_between_records_are_kept_apart(tmp_path):
    text = f'{HEADER}\r\n{ROW}"一\r\n二, ""三"""\r\n{ROW}\r{ROW}\n'
    rows = rows_of(written(tmp_path, text))
    assert [row.number for row in rows] == [1, 2, 3]
    assert rows[0].cells[-1] == '一\r\n二, "三"'


def test_blank_lines_and_sums_are_rows_that_say_nothing(tmp_path):
    path = written(tmp_path, f"{HEADER}\n{ROW}\n\n,,,,,,,,,,,\n合計,1件,,,,,,\n")
    found = take_in(path, "logo")
    assert [last.outcome for _, _, last in found] == ["accept", "skip", "skip", "skip"]


@pytest.mark.parametrize("row", [f"{ROW},はみ出し", "2,2026/09/10 09:01,見本 花子"])
def test_a_row_with_too_many_or_too_few_columns_goes_to_a_person(tmp_path, row):
    ((_, result, _),) = take_in(written(tmp_path, f"{HEADER}\n{row}\n"), "logo")
    assert (result.outcome, result.reason) == (Outcome.NEEDS_REVIEW, Reason.COLUMN_COUNT)


def test_equal_rows_have_equal_digests_and_others_have_not(tmp_path):
    first, second, third = rows_of(written(tmp_path, f"{HEADER}\n{ROW}\n{ROW}\n{ROW}x\n"))
    assert first.digest == second.digest != third.digest
    assert len(first.digest) == 16


def test_a_longer_export_of_the_same_form_repeats_the_known_digests(tmp_path):
    short = rows_of(written(tmp_path, f"{HEADER}\n{ROW}\n", name="a.csv"))
    longer = rows_of(written(tmp_path, f"{HEADER}\n{ROW}\n{ROW}x\n", name="b.csv"))
    assert longer[0].digest == short[0].digest


BROKEN = {
    "nothing": (b"", "FILE_EMPTY"),
    "blank": (b"\r\n \n", "FILE_EMPTY"),
    "zeros": (f"{HEADER}\n{ROW}".encode() + b"\x00\n", "NUL_BYTES"),
    "utf-16 without its mark": (f"{HEADER}\n{ROW}".encode("utf-16-le"), "NUL_BYTES"),
    "no known encoding": (f"{HEADER}\n{ROW}".encode() + b"\xff\xff\x81\n", "ENCODING_UNREADABLE"),
    "one bad byte, passing for cp932": (f"{HEADER}\n{ROW}\n".encode() + b"\xff,x\n" * 9, "ENCODING_UNREADABLE"),
    "cut inside a character": (f"{HEADER}\n{ROW}見".encode()[:-1], "FILE_TRUNCATED"),
    "cut inside a character after a mark": (codecs.BOM_UTF8 + f"{HEADER}\n{ROW}見".encode()[:-1], "FILE_TRUNCATED"),
    "iso-2022-jp": (f"{HEADER}\n{ROW}".replace("髙", "").encode("iso-2022-jp"), "ENCODING_UNREADABLE"),
    "cut inside quotes": (f'{HEADER}\n{ROW}"途中'.encode(), "FILE_TRUNCATED"),
    "a stray quote": (f'{HEADER}\n{ROW}"一"二\n{ROW}\n'.encode(), "QUOTING_BROKEN"),
    "an endless cell": (f"{HEADER}\n{ROW}".encode() + b"x" * (1 << 20) + b"x\n", "CELL_TOO_LARGE"),
    "prose": ("お世話になっております。\n申込みを送ります。\n".encode(), "NOT_A_TABLE"),
    "pdf": (b"%PDF-1.7\n", "NOT_A_TABLE"),
    "web page": (b"<!DOCTYPE html><table>", "NOT_A_TABLE"),
    "old or locked workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "NOT_A_TABLE"),
    "two columns of one field": (
        f"{HEADER},E\n{ROW},x\n".replace(",E", ",メールアドレス(確認)").encode(),
        "DUPLICATE_HEADER",
    ),
    "another table": ("品名,数量,単価\n筆,1,2\n".encode(), "WRONG_MAPPING"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_whole_with_its_code_and_a_remedy(tmp_path, case):
    content, code = BROKEN[case]
    path = tmp_path / "export.csv"
    path.write_bytes(content)
    error = error_of(path)
    assert (error.code, error.remedy) == (code, REMEDIES[code])
    assert code in str(error)
    assert REMEDIES[code] in str(error)
    assert "見本" not in str(error)


def test_a_missing_file_is_said_so(tmp_path):
    assert error_of(tmp_path / "absent.csv").code == "FILE_MISSING"


def test_too_many_bytes_or_rows_are_refused(tmp_path):
    path = written(tmp_path, f"{HEADER}\n{ROW}\n{ROW}\n")
    assert error_of(path, bytes=10).code == "TOO_LARGE"
    assert error_of(path, rows=1).code == "TOO_LARGE"
    assert len(rows_of(path, rows=2)) == 2


def test_a_file_that_grows_while_it_is_read_is_not_trusted(tmp_path):
    path = written(tmp_path, f"{HEADER}\n{ROW}\n")
    with open_export(path, mapping("logo")) as export:
        rows = iter(export)
        next(rows)
        with path.open("a", encoding="utf-8") as more:
            more.write(f"{ROW}\n")
        with pytest.raises(ExportError, match="FILE_CHANGED"):
            list(rows)


def test_missing_headers_are_named_and_so_are_strangers_once_the_row_is_a_header(tmp_path):
    error = error_of(written(tmp_path, f"{HEADER}\n".replace("求職番号", "番号") + ROW))
    assert error.code == "WRONG_MAPPING"
    assert "job_seeker_number" in error.place
    assert "番号" in error.place


def test_a_file_without_a_header_does_not_put_somebodys_row_into_the_error(tmp_path):
    error = error_of(written(tmp_path, f"{ROW.replace('99999-', '求職番号：99999-')}\n{ROW}\n"))
    assert error.code == "WRONG_MAPPING"
    assert "見本" not in str(error)
    assert "99999" not in str(error)


def test_an_export_may_be_left_half_read(tmp_path):
    path = written(tmp_path, f"{HEADER}\n{ROW}\n{ROW}\n")
    with open_export(path, mapping("logo")) as export:
        next(iter(export))


@pytest.mark.parametrize(("name", "source"), [("google_forms.csv", "google"), ("logo_form.csv", "logo")])
def test_the_mapping_is_guessed_from_the_headers(name, source):
    mappings = [mapping(each) for each in ("google", "logo", "microsoft")]
    assert guess_mapping(FIXTURES / name, mappings).source == source


def test_a_guess_that_is_not_the_only_one_is_refused(tmp_path):
    with pytest.raises(ExportError, match="SEVERAL_MAPPINGS"):
        guess_mapping(FIXTURES / "google_forms.csv", [mapping("google"), mapping("google")])
    with pytest.raises(ExportError, match="WRONG_MAPPING"):
        guess_mapping(FIXTURES / "google_forms.csv", [mapping("logo")])
    with pytest.raises(ExportError, match="WRONG_MAPPING"):
        guess_mapping(FIXTURES / "google_forms.csv", [])
    unreadable = tmp_path / "bytes.csv"
    unreadable.write_bytes(b"\xff\x81\n,a\n")
    with pytest.raises(ExportError, match="ENCODING_UNREADABLE"):
        guess_mapping(unreadable, [mapping("logo")])


@pytest.mark.parametrize(
    ("name", "age", "settled"),
    [
        ("export.csv", 31, True),
        ("export.csv", 29, False),
        ("~$export.xlsx", 99, False),
        ("export.csv.part", 99, False),
        ("export.tmp", 99, False),
        ("Unconfirmed 1.crdownload", 99, False),
        (".export.csv", 99, False),
    ],
)
def test_a_file_waits_until_nobody_writes_to_it(tmp_path, name, age, settled):
    path = tmp_path / name
    path.write_text("x", encoding="utf-8")
    os.utime(path, (1_000_000, 1_000_000))
    assert is_settled(path, 1_000_000 + age, 30) is settled


def test_a_file_that_is_gone_is_not_settled(tmp_path):
    assert not is_settled(tmp_path / "gone.csv", 1e9, 30)


@pytest.mark.parametrize(
    "text", ["=1", "+1", "-1", "@a", "\ta", "\ra", "\na", "\0", "＝1", "＋1", "－1", "＠a", " =1", "　＝1"]
)
def test_text_that_a_spreadsheet_would_run_is_neutralised(text):
    assert safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["", "見本", "1-1", "a=b", " 見本"])
def test_other_text_is_written_as_it_is(text):
    assert safe_cell(text) == text


def test_reading_does_not_shrink_the_limit_of_other_readers_of_csv():
    assert csv.field_size_limit() >= 131_072
