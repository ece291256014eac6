from datetime import date, datetime, timedelta

import pytest

from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST
from madoguchi.domain.open_time import is_open_at, open_time_between
from madoguchi.domain.schedule_plan import in_words, rests, times_on, why_closed
from tests.world import jst, office

CALENDAR = OfficeCalendar(office(closures=frozenset({date(2026, 9, 18)})), is_public_holiday)


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("2026-09-17", ""),
        ("2026-09-18", "所の休業日"),
        ("2026-09-19", "土曜日"),
        ("2026-09-20", "日曜日"),
        ("2026-09-22", "祝日・休日"),
        ("2026-12-29", "年末年始"),
        ("2027-01-01", "祝日・休日"),
        ("2027-01-03", "日曜日"),
    ],
)
def test_a_closed_day_says_why(day, why):
    assert why_closed(CALENDAR, date.fromisoformat(day)) == why


@pytest.mark.parametrize(
    ("flow", "at", "resting"),
    [
        ("process-requests", "2026-09-22 09:00", True),
        ("process-requests", "2026-09-17 09:00", False),
        ("process-requests", "2026-09-18 00:00", True),
        ("deliver-messages", "2026-09-22 09:00", False),
        ("sweep-no-shows", "2026-09-22 11:10", False),
    ],
)
def test_on_a_closed_day_nothing_new_is_taken_in_and_what_is_due_is_done(flow, at, resting):
    assert rests(flow, CALENDAR, jst(at)) is resting


def test_the_days_of_the_schedule_end_at_midnight_in_japan_and_two_lines_give_one_start():
    found = times_on(("0 0,9 * * *", "0-30/30 9 * * 1-5", "59 23 * * *"), date(2026, 9, 17))
    assert [f"{at:%d %H:%M}" for at in found] == ["17 00:00", "17 09:00", "17 09:30", "17 23:59"]
    assert all(at.tzinfo is JST for at in found)
    assert times_on(("0 9 * * 1-5",), date(2026, 9, 19)) == ()


@pytest.mark.parametrize(
    ("clocks", "words"),
    [
        (["19:30"], "19:30"),
        (["08:30", "08:35", "08:40", "08:45"], "08:30-08:45 every 5 min (4)"),
        (["11:10", "11:40", "12:10", "17:05"], "11:10, 11:40, 12:10, 17:05"),
    ],
)
def test_starts_are_said_as_people_say_them(clocks, words):
    assert in_words([jst(f"2026-09-17 {clock}") for clock in clocks]) == words


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        ("2026-09-17 09:00", "2026-09-17 10:00", 1),
        ("2026-09-17 17:00", "2026-09-17 22:00", 0.25),
        ("2026-09-17 16:15", "2026-09-24 09:30", 2),
        ("2026-09-17 10:00", "2026-09-17 09:00", 0),
        ("2026-09-19 00:00", "2026-09-23 23:59", 0),
    ],
)
def test_time_passes_only_while_the_office_is_open(since, until, hours):
    assert open_time_between(CALENDAR, jst(since), jst(until)) == timedelta(hours=hours)


def test_open_is_reception_on_a_working_day_its_ends_included():
    said = {clock: is_open_at(CALENDAR, jst(f"2026-09-17 {clock}")) for clock in ("08:29", "08:30", "17:15", "17:16")}
    assert said == {"08:29": False, "08:30": True, "17:15": True, "17:16": False}
    assert not is_open_at(CALENDAR, datetime(2026, 9, 22, 10, tzinfo=JST))
