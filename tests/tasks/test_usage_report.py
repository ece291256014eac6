"""The report of a month: the same bytes again, no small number in it, no name, and it adds up; on both databases."""

import csv
import io
import re
from dataclasses import replace
from datetime import date

import html5lib
import pytest

from madoguchi.adapters.usage_report_files import report_page, report_table, write_whole
from madoguchi.store.models import BookingRequest, Client, OutboxMessage
from tasks.summary import Summary
from tasks.usage_report import (
    CANNOT_WRITE,
    NO_FOLDER,
    NOT_OVER,
    lacking_report,
    report_markdown,
    usage_report,
    write_report,
)
from tests.overview_help import NOW, half_a_year
from tests.world import ROOT, Clock, World, jst

TEMPLATES = ROOT / "templates"


@pytest.fixture
def world(database, tmp_path):
    world = World(database, clock=Clock(NOW), reports_dir=tmp_path / "reports")
    half_a_year(world, first=date(2026, 7, 27))
    return world


def values(section):
    return {row[0]: row[1] for row in section.rows}


def test_a_month_adds_up_and_hides_what_is_small(world):
    report = usage_report(world.services, "2026-08")
    summary = values(report.section("summary"))
    assert report.title == "令和8年（2026年）8月の利用状況"
    outcomes = values(report.section("outcomes"))
    total = int(summary["申込み"].replace(",", ""))
    assert total == sum(int(count) for name, count in outcomes.items() if not name.startswith("　"))
    assert re.fullmatch(r"\d+\.\d%", summary["連絡なく不参加の割合"])
    assert "時間" in summary["申込みから確定のお知らせまで（半数の方）"]
    assert len(report.section("days").rows) == 31
    assert len(report.days) == 31
    for section in report.sections:
        for row in section.rows:
            for cell in row[1:]:
                assert cell not in {"1", "2", "3", "4"}, (section.key, row)


def test_it_is_written_whole_and_the_second_time_it_is_the_same_bytes(world):
    folder = world.services.reports_dir
    first = write_report(world.services, world.run(), "2026-08")
    assert (first.changed, first.files) == (True, ("usage-2026-08.html", "usage-2026-08.csv"))
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(found) == set(first.files)
    world.clock.forward(days=3)
    second = write_report(world.services, world.run(), "2026-08")
    assert second.changed is False
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == found


def test_it_keeps_standing_when_people_have_been_erased(world):
    before = usage_report(world.services, "2026-08")
    with world.database.write() as session:
        session.query(BookingRequest).update({"sealed_raw": b"", "sealed_values": b"", "number_index": None,
                                              "name_index": None, "contact_index": None, "wishes": []})  # fmt: skip
        session.query(OutboxMessage).update({"sealed_context": b""})
        session.query(Client).update({"sealed_personal": b""})
    assert usage_report(world.services, "2026-08") == before


def test_the_page_is_valid_html_that_loads_nothing_and_the_table_opens_in_a_spreadsheet(world):
    report = replace(usage_report(world.services, "2026-08"), office="<b>=1+1</b>")
    page = report_page(report, TEMPLATES).decode()
    html5lib.HTMLParser(strict=True).parse(page)
    assert "&lt;b&gt;" in page
    assert not re.search(r"<script|https?:|url\((?!#)| style=", page)
    rows = list(csv.reader(io.StringIO(report_table(report).decode("utf-8-sig"))))
    assert rows[0] == ["月", "表", "項目", "種類", "値"]
    assert ["2026-08", "まとめ", "申込み", "数", values(report.section("summary"))["申込み"]] in rows
    assert all(len(row) == 5 for row in rows)


def test_a_month_of_a_few_people_says_only_that_they_were_few(database, tmp_path):
    world = World(database, clock=Clock(NOW), reports_dir=tmp_path)
    for _ in range(3):
        world.ask("2026-08-20 11:00", submitted_at=jst("2026-08-03 10:00"))
    report = usage_report(world.services, "2026-08")
    assert values(report.section("summary"))["申込み"] == "5未満"
    assert {row[1] for row in report.section("days").rows} == {"非公表"}
    assert values(report.section("summary"))["申込みから確定のお知らせまで（半数の方）"] == "—"
    html5lib.HTMLParser(strict=True).parse(report_page(report, TEMPLATES).decode())


@pytest.mark.parametrize(
    ("as_of", "month", "redo", "problem", "skipped"),
    [
        ("2026-09-24 10:00", "2026-09", True, NOT_OVER, False),
        ("2026-09-30 23:59", "2026-09", True, NOT_OVER, False),
        ("2026-10-01 00:00", "2026-09", True, "", False),
        ("2026-08-01 09:00", "", False, "", True),
        ("2026-08-03 08:40", "", False, "", False),
    ],
    ids=["goes on", "last minute", "over", "a Saturday, nothing due", "the first open day"],
)
def test_a_month_is_reported_once_it_is_over_and_by_itself_on_the_first_open_day(
    world, as_of, month, redo, problem, skipped
):
    written = write_report(world.services, world.run(jst(as_of)), month, redo=redo)
    assert (written.problem, written.skipped) == (problem, skipped)
    if not redo and not skipped:
        assert write_report(world.services, world.run(jst(as_of)), month, redo=False).skipped, "it lies there already"


def test_what_keeps_it_from_being_written_is_said_with_what_to_do(world, tmp_path):
    (tmp_path / "file").write_text("")
    for services, code in (
        (replace(world.services, reports_dir=None), NO_FOLDER),
        (replace(world.services, reports_dir=tmp_path / "file"), CANNOT_WRITE),
    ):
        written = write_report(services, world.run(), "2026-08")
        summary = Summary()
        summary.lacking(lacking_report(written))
        assert written.problem == code
        assert summary.sentence() == "1 of 1 report not written: 2026-08; run again"
        assert "MADOGUCHI_REPORTS_DIR" in report_markdown(Summary(), written)


def test_a_rehearsal_shows_the_numbers_and_writes_nothing(world):
    written = write_report(replace(world.services, is_rehearsal=True), world.run(), "2026-08")
    assert not world.services.reports_dir.exists()
    assert "| 申込み |" in report_markdown(Summary(), written)


def test_a_reader_never_finds_half_a_file_and_nothing_is_left_of_a_failure(tmp_path):
    assert write_whole(tmp_path, "a.csv", b"1") is True
    assert write_whole(tmp_path, "a.csv", b"1") is False
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(OSError):
        write_whole(tmp_path, "b.csv", b"2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]
