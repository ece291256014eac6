"""kill -9 on the day of the sessions (reminders, sweep, cancellation, move, night), then the same command again.

docs/chaos.md; every moment on both databases and random ones: test_chaos.py. The webhooks that the sweep takes in were
answered by a web part that was killed before it could bring them into the record (`day_rehearsal.play_the_morning`).
"""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from tests.e2e.checker import violations_of_the_day
from tests.e2e.day_rehearsal import EVENTS, NIGHT, PEOPLE, Day
from tests.e2e.moments import DAY_MOMENTS, check_day_moment

pytestmark = [pytest.mark.prefect, pytest.mark.slow]


@pytest.fixture(scope="module")
def day(tmp_path_factory, sqlite_template, prefect_url):
    with Day(tmp_path_factory.mktemp("day"), prefect_url, template=sqlite_template).prepared() as made:
        yield made


@pytest.mark.parametrize("name", [name for name, moment in DAY_MOMENTS.items() if moment.quick])
def test_the_same_command_again_finishes_what_a_kill_has_left(name, day, tmp_path):
    check_day_moment(day, DAY_MOMENTS[name], tmp_path / "office")


ROW = "(SELECT b.id FROM booking b JOIN booking_request r ON r.id = b.request_id WHERE r.row_number = %d)"
VERDICT = (
    "INSERT INTO verdict SELECT 'x', office, booking_id, %d, '%s', reasons, rules, judged_for, evidence, duties, "
    "by_person, actor, run, happened_at, recorded_at FROM verdict WHERE booking_id = " + ROW % 1
)

SEEDS = [
    ("VERDICT_NUMBER", VERDICT % (3, "attended")),
    ("VERDICT", VERDICT % (2, "no_show")),
    ("VERDICT", f"DELETE FROM verdict WHERE booking_id = {ROW % 3}"),
    ("VERDICT", f"UPDATE booking SET status = 'confirmed' WHERE id = {ROW % 6}"),
    ("UNJUDGED", f"UPDATE booking SET status = 'confirmed' WHERE id = {ROW % 6}"),
    ("VERDICT_MINUTE", "UPDATE verdict SET judged_for = '2026-09-16 02:11:00.000000'"),
    ("VERDICT_EVIDENCE", "UPDATE verdict SET evidence = '[\"of nobody\"]'"),
    ("EVENTS", "DELETE FROM zoom_event WHERE id = (SELECT min(id) FROM zoom_event)"),
    ("EVENT_WITHOUT_EVIDENCE", "UPDATE evidence SET dedupe_key = id"),
    ("OCCUPANCY", f"DELETE FROM occupancy WHERE booking_id = {ROW % 12}"),
    ("OCCUPANCY", f"UPDATE occupancy SET booking_id = {ROW % 2} WHERE booking_id = {ROW % 12}"),
    ("OCCUPANCY", "UPDATE occupancy SET resource = replace(resource, 'host-1', 'host-9')"),
    ("BOOKING", "UPDATE booking_request SET status = 'booked' WHERE row_number = 9"),
    ("HELD", f"UPDATE booking SET status = 'held' WHERE id = {ROW % 13}"),
    ("MEETING", f"UPDATE meeting SET status = 'verified' WHERE booking_id = {ROW % 3}"),
    ("MEETING_EXTRA", f"UPDATE meeting SET status = 'deleted' WHERE booking_id = {ROW % 1}"),
    ("MEETING_OPEN", f"UPDATE meeting SET status = 'unwanted' WHERE booking_id = {ROW % 1}"),
    ("CHAIN", f"UPDATE meeting SET status = 'unwanted' WHERE booking_id = {ROW % 1}"),
]


@pytest.fixture(scope="module")
def evening(day, tmp_path_factory):
    with day.on(NIGHT, tmp_path_factory.mktemp("evening") / "office") as office:
        yield office


def violated(office, statement, folder):
    """The names of the properties that no longer hold after a statement."""
    shutil.copy(office.record.removeprefix("sqlite:///"), folder / "record.db")
    with closing(sqlite3.connect(folder / "record.db")) as record, record:
        # The history and the audit refuse changes: that guard is another test's.
        for (trigger,) in record.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            record.execute(f"DROP TRIGGER {trigger}")
        record.execute(statement)
    spoilt = replace(office, record=f"sqlite:///{folder / 'record.db'}")
    return {line.split()[0] for line in violations_of_the_day(spoilt, PEOPLE, NIGHT.as_of, events=EVENTS)}


def test_an_evening_has_one_fault_the_meeting_that_vanished(evening, tmp_path):
    assert violated(evening, "SELECT 1", tmp_path) == {"MEETING_MISSING"}


@pytest.mark.parametrize(("name", "statement"), SEEDS)
def test_the_checker_bites(name, statement, evening, tmp_path):
    assert name in violated(evening, statement, tmp_path)


def test_the_checker_sees_webhooks_that_wait(evening, tmp_path):
    waiting = evening.folder / "var" / "webhooks" / "1-a.event"
    waiting.write_bytes(b"")
    assert "SPOOL" in violated(evening, "SELECT 1", tmp_path)
    waiting.unlink()
