"""XLSX exports: typed cells, what people do to sheets, and archives that mean harm."""
# ruff: noqa: DTZ001 — cells of a spreadsheet have no zone

from __future__ import annotations

import zipfile
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
from openpyxl import Workbook

from madoguchi.adapters.form_export import ExportError, Limits, guess_mapping, open_export
from madoguchi.domain.application import Outcome
from tests.intake_help import candidate, judge, mapping, take_in

HEADER = [
    "ID",
    "開始時刻",
    "完了時刻",
    "メール",
    "名前",
    "氏名",
    "求職番号\u00a0",
    "メールアドレス",
    "第1希望の日付",
    "第1希望の開始時間",
    "第2希望の日時（任意）",
    "ご相談内容\u00a0（複数選択可）",
    "電話番号",
]
STARTED = datetime(2026, 9, 10, 9, 0)


def answer(number, **changes):
    row = {
        "ID": number,
        "開始時刻": STARTED,
        "完了時刻": STARTED + timedelta(minutes=number),
        "メール": "anonymous",
        "氏名": "見本 花子",
        "求職番号\u00a0": f"99999-9000{number:04d}",
        "メールアドレス": f"rei{number}@example.jp",
        "第1希望の日付": datetime(2026, 9, 24),
        "第1希望の開始時間": time(11, 0),
        "ご相談内容\u00a0（複数選択可）": "求人の相談;添削;",
    } | changes
    return [row.get(name) for name in HEADER]


def saved(tmp_path: Path, *rows, titles=(), name="answers.xlsx") -> Path:
    book = Workbook()
    sheet = book.active
    for row in [*titles, HEADER, *rows]:
        sheet.append(row)
    path = tmp_path / name
    book.save(path)
    return path


def error_of(path: Path, **limits) -> ExportError:
    with pytest.raises(ExportError) as caught, open_export(path, mapping("microsoft"), Limits(**limits)) as export:
        list(export)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "number", "start"),
    [
        ({}, "99999-90000001", "09-24 11:00"),
        ({"求職番号\u00a0": 9999990000001}, "99999-90000001", "09-24 11:00"),
        ({"求職番号\u00a0": 9999990000001.0}, "99999-90000001", "09-24 11:00"),
        ({"第1希望の日付": 46289, "第1希望の開始時間": 0.4583333333}, "99999-90000001", "09-24 11:00"),
        ({"第1希望の日付": 46290.5625, "第1希望の開始時間": None}, "99999-90000001", "09-25 13:30"),
        ({"第1希望の日付": datetime(2026, 9, 25, 13, 30), "第1希望の開始時間": None}, "99999-90000001", "09-25 13:30"),
        ({"第1希望の開始時間": timedelta(hours=11, minutes=30)}, "99999-90000001", "09-24 11:30"),
        ({"第1希望の開始時間": 1100}, "99999-90000001", "09-24 11:00"),
        ({"第1希望の日付": "令和8年9月24日", "第1希望の開始時間": "午後1時"}, "99999-90000001", "09-24 13:00"),
        (
            {"第1希望の日付": datetime(2026, 9, 26), "第2希望の日時（任意）": datetime(2026, 9, 28, 14)},
            "99999-90000001",
            "09-28 14:00",
        ),
    ],
)
def test_typed_cells_are_read_as_what_they_mean(tmp_path, changes, number, start):
    ((_, result, last),) = take_in(saved(tmp_path, answer(1, **changes)), "microsoft")
    made = result.application
    assert (last.outcome, made.job_seeker_number, f"{made.wishes[0]:%m-%d %H:%M}") == (Outcome.ACCEPT, number, start)
    assert (result.row_key, made.email, made.topics) == ("1", "rei1@example.jp", ("求人の相談", "添削"))
    assert made.submitted_at.isoformat() == "2026-09-10T09:01:00+09:00"


def test_a_lost_zero_of_a_telephone_number_comes_back(tmp_path):
    ((_, result, _),) = take_in(saved(tmp_path, answer(1, 電話番号=9000000006)), "microsoft")
    assert result.application.phone == "09000000006"


def test_an_anonymous_account_is_nobodys_address(tmp_path):
    ((_, result, _),) = take_in(saved(tmp_path, answer(1, メールアドレス=None)), "microsoft")
    assert result.reason == "NO_CONTACT"


def test_titles_hidden_rows_gaps_and_sums_keep_the_count_of_rows(tmp_path):
    book = Workbook()
    sheet = book.active
    sheet["A1"] = "オンライン職業相談 申込み一覧"
    sheet.merge_cells("A1:F1")
    sheet.append([])
    sheet.append(HEADER)
    sheet.append(answer(1))
    sheet.append(answer(2))
    sheet.row_dimensions[5].hidden = True
    for column, value in enumerate(answer(3), 1):
        sheet.cell(8, column, value)
    sheet.cell(9, 1, "合計")
    sheet.cell(9, 2, 3)
    sheet.cell(11, 1, "").number_format = "yyyy"
    path = tmp_path / "answers.xlsx"
    book.save(path)
    found = take_in(path, "microsoft")
    assert [(row.number, last.outcome) for row, _, last in found][:6] == [
        (1, "accept"),
        (2, "accept"),
        (3, "skip"),
        (4, "skip"),
        (5, "accept"),
        (6, "skip"),
    ]
    assert {last.outcome for _, _, last in found[6:]} <= {"skip"}


def test_a_million_blank_rows_at_the_end_do_not_count_against_the_limit(tmp_path):
    book = Workbook()
    sheet = book.active
    sheet.append(HEADER)
    sheet.append(answer(1))
    sheet.cell(30_000, 1).number_format = "yyyy"
    path = tmp_path / "answers.xlsx"
    book.save(path)
    with open_export(path, mapping("microsoft"), Limits(rows=2_000)) as export:
        assert len(list(export)) <= 1_001


def test_cells_beyond_the_header_go_to_a_person(tmp_path):
    ((_, result, _),) = take_in(saved(tmp_path, [*answer(1), "はみ出し"]), "microsoft")
    assert result.reason == "COLUMN_COUNT"


def test_the_sheet_with_the_answers_is_found_and_two_of_them_are_refused(tmp_path):
    book = Workbook()
    book.active.append(["説明"])
    second = book.create_sheet()
    second.append(HEADER)
    second.append(answer(1))
    path = tmp_path / "answers.xlsx"
    book.save(path)
    assert [last.outcome for _, _, last in take_in(path, "microsoft")] == ["accept"]
    third = book.create_sheet()
    third.append(HEADER)
    book.save(path)
    assert error_of(path).code == "SEVERAL_TABLES"


def test_equal_rows_have_equal_digests_whatever_stands_around_them(tmp_path):
    with open_export(saved(tmp_path, answer(1), answer(1), answer(2)), mapping("microsoft")) as export:
        first, second, third = export
    assert first.digest == second.digest != third.digest
    assert export.encoding == "xlsx"


def test_the_mapping_of_a_workbook_is_guessed(tmp_path):
    mappings = [mapping(each) for each in ("google", "logo", "microsoft")]
    assert guess_mapping(saved(tmp_path, answer(1)), mappings).source == "microsoft"


def test_an_edited_answer_wins_over_its_older_version(tmp_path):
    rows = [answer(1), answer(1, 完了時刻=STARTED + timedelta(days=1), 第1希望の開始時間=time(13))]
    assert [last.reason for _, _, last in take_in(saved(tmp_path, *rows), "microsoft")] == ["SUPERSEDED_BY_EDIT", None]


def test_a_date_that_no_calendar_holds_does_not_warn_or_fail(tmp_path):
    book = Workbook()
    sheet = book.active
    sheet.append(HEADER)
    sheet.append(answer(1, 第1希望の日付=99_999_999))
    sheet.cell(2, HEADER.index("第1希望の日付") + 1).number_format = "yyyy/mm/dd"
    path = tmp_path / "answers.xlsx"
    book.save(path)
    ((row, result, _),) = take_in(path, "microsoft")
    assert result.outcome is not Outcome.ACCEPT
    assert candidate(row, result).row_key == "1"


def test_a_workbook_of_another_table_is_a_wrong_mapping_and_an_empty_one_is_empty(tmp_path):
    book = Workbook()
    book.active.append(["品名", "数量"])
    book.save(tmp_path / "other.xlsx")
    assert error_of(tmp_path / "other.xlsx").code == "WRONG_MAPPING"
    Workbook().save(tmp_path / "empty.xlsx")
    assert error_of(tmp_path / "empty.xlsx").code == "FILE_EMPTY"


def test_a_cut_workbook_is_truncated(tmp_path):
    path = saved(tmp_path, *[answer(i) for i in range(1, 50)])
    whole = path.read_bytes()
    for size in (len(whole) // 2, len(whole) - 30, 60):
        path.write_bytes(whole[:size])
        assert error_of(path).code == "FILE_TRUNCATED"


def test_damage_inside_the_archive_is_noticed(tmp_path):
    path = saved(tmp_path, *[answer(i) for i in range(1, 50)])
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(bytes(content))
    assert error_of(path).code in {"FILE_TRUNCATED", "NOT_A_TABLE"}


def test_an_archive_that_is_no_workbook_is_no_table(tmp_path):
    path = tmp_path / "archive.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    assert error_of(path).code == "NOT_A_TABLE"


@pytest.mark.parametrize(
    ("entries", "limits"),
    [
        ({"xl/workbook.xml": b"0" * 20_000_000}, {}),
        ({"xl/workbook.xml": b"x", **{f"{i}": b"" for i in range(2_001)}}, {}),
        ({"xl/workbook.xml": bytes(range(256)) * 40}, {"inflated": 10_000}),
    ],
)
def test_an_archive_that_inflates_beyond_reason_is_refused_before_it_is_opened(tmp_path, entries, limits):
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    assert error_of(path, **limits).code == "XLSX_BOMB"


def test_an_archive_that_lies_about_its_size_does_not_get_through(tmp_path):
    path = tmp_path / "liar.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * 20_000_000)
    content = path.read_bytes()
    real, told = (20_000_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little")
    assert real in content
    path.write_bytes(content.replace(real, told))
    assert error_of(path).code in {"XLSX_BOMB", "FILE_TRUNCATED"}


def test_entities_in_a_workbook_are_not_expanded(tmp_path):
    path = saved(tmp_path, answer(1))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    sheet = members["xl/worksheets/sheet1.xml"].decode()
    declared = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    start = sheet.index("<worksheet")
    members["xl/worksheets/sheet1.xml"] = (sheet[:start] + declared + sheet[start:]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert error_of(path).code == "NOT_A_TABLE"


def test_a_judged_row_of_a_workbook_never_depends_on_the_sheets_declared_size(tmp_path):
    path = saved(tmp_path, answer(1))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    members[name] = members[name].replace(b'<dimension ref="A1:M2"', b'<dimension ref="A1"')
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    with open_export(path, mapping("microsoft")) as export:
        (row,) = export
        assert judge(export.fields(row), "microsoft").outcome is Outcome.ACCEPT
