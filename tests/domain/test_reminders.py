"""When reminders are due: over weekends, holidays and closures, late, and for bookings made inside their window."""

from dataclasses import replace
from datetime import UTC, date, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import ReminderTimes
from madoguchi.domain.reminders import Standing, last_start_in_sight, reminder_windows, telephone_opens
from tests.world import jst, shipped_office


def calendar(*closed, **changes):
    closures = frozenset(date.fromisoformat(day) for day in closed)
    return OfficeCalendar(replace(shipped_office(), closures=closures, **changes), is_public_holiday)


CALENDAR = calendar()
# 21 to 23 September 2026 are public holidays; the office is closed from 29 December to 3 January.
DAYS = [
    ("2026-09-15 11:00", (), "2026-09-14 15:00", None),  # Tuesday
    ("2026-09-18 14:30", (), "2026-09-17 15:00", None),  # Friday
    ("2026-09-14 11:00", (), "2026-09-11 15:00", "2026-09-14 08:30"),  # Monday
    ("2026-09-24 11:00", (), "2026-09-18 15:00", "2026-09-24 08:30"),  # after five closed days
    ("2026-09-25 11:00", (), "2026-09-24 15:00", None),
    ("2026-11-04 11:00", (), "2026-11-02 15:00", "2026-11-04 08:30"),  # after one holiday
    ("2026-11-05 11:00", ("2026-11-04",), "2026-11-02 15:00", "2026-11-05 08:30"),  # the office's own day after it
    ("2027-01-04 11:00", (), "2026-12-28 15:00", "2027-01-04 08:30"),  # after the year-end
    ("2027-01-05 11:00", ("2026-12-28", "2027-01-04"), "2026-12-25 15:00", "2027-01-05 08:30"),
    ("2026-09-16 11:00", ("2026-09-15",), "2026-09-14 15:00", "2026-09-16 08:30"),
    # Closed since it was booked: the telephone is answered on the day before, or not before the session at all.
    ("2026-09-16 11:00", ("2026-09-16",), "2026-09-15 15:00", None),
    ("2026-09-24 11:00", ("2026-09-24",), "2026-09-18 15:00", "2026-09-25 08:30"),
]


@pytest.mark.parametrize(("start", "closed", "due", "opens"), DAYS)
def test_the_day_before_is_the_last_working_day_and_it_says_when_the_telephone_opens_again(start, closed, due, opens):
    there, start = calendar(*closed), jst(start)
    for same in (start, start.astimezone(UTC)):
        day, hour = reminder_windows(there, same)
        assert (day.kind, day.due_at, day.not_after) == (MailKind.REMINDER_DAY, jst(due), start - timedelta(hours=1))
        assert (hour.kind, hour.due_at, hour.not_after) == (MailKind.REMINDER_HOUR, start - timedelta(hours=1), start)
        assert telephone_opens(there, same, day.due_at) == (jst(opens) if opens else None)
        assert last_start_in_sight(there, day.due_at) > same


def test_a_reminder_made_late_does_not_speak_of_an_opening_that_has_been():
    start = jst("2026-09-24 11:00")
    assert telephone_opens(CALENDAR, start, jst("2026-09-24 08:29")) == jst("2026-09-24 08:30")
    assert telephone_opens(CALENDAR, start, jst("2026-09-24 08:30")) is None


def test_the_office_sets_the_times():
    there = calendar(reminders=ReminderTimes(time(9, 30), timedelta(minutes=90)))
    day, hour = reminder_windows(there, jst("2026-09-24 11:00"))
    assert (day.due_at, hour.due_at) == (jst("2026-09-18 09:30"), jst("2026-09-24 09:30"))


@pytest.mark.parametrize(
    ("as_of", "day", "hour"),
    [
        ("2026-09-18 14:59:59", Standing.NOT_YET, Standing.NOT_YET),
        ("2026-09-18 15:00", Standing.DUE, Standing.NOT_YET),
        ("2026-09-22 03:00", Standing.DUE, Standing.NOT_YET),
        ("2026-09-24 09:59:59", Standing.DUE, Standing.NOT_YET),
        ("2026-09-24 10:00", Standing.MISSED, Standing.DUE),
        ("2026-09-24 10:59:59", Standing.MISSED, Standing.DUE),
        ("2026-09-24 11:00", Standing.MISSED, Standing.MISSED),
        ("2026-09-25 11:00", Standing.MISSED, Standing.MISSED),
    ],
)
def test_due_is_at_or_after_and_never_two_at_once(as_of, day, hour):
    windows = reminder_windows(CALENDAR, jst("2026-09-24 11:00"))
    assert [window.standing(jst("2026-09-01 09:00"), jst(as_of)) for window in windows] == [day, hour]
    assert [window.standing(None, jst(as_of)) for window in windows] == [day, hour]


@pytest.mark.parametrize(
    ("confirmed", "day", "hour"),
    [
        ("2026-09-18 14:59", Standing.MISSED, Standing.DUE),
        ("2026-09-18 15:00", Standing.NOT_NEEDED, Standing.DUE),
        ("2026-09-24 09:59", Standing.NOT_NEEDED, Standing.DUE),
        ("2026-09-24 10:00", Standing.NOT_NEEDED, Standing.NOT_NEEDED),
    ],
)
def test_reminders_at_the_moment_of_booking_are_not_due(confirmed, day, hour):
    windows = reminder_windows(CALENDAR, jst("2026-09-24 11:00"))
    assert [window.standing(jst(confirmed), jst("2026-09-24 10:30")) for window in windows] == [day, hour]


MINUTES = st.integers(0, 60 * 24 * 120).map(lambda minutes: jst("2026-09-01 00:00") + timedelta(minutes=minutes))
DAYTIME = st.tuples(st.integers(0, 120), st.integers(10, 30)).map(
    lambda drawn: jst("2026-09-01 00:00") + timedelta(days=drawn[0], minutes=30 * drawn[1])
)
CLOSED = st.frozensets(st.integers(0, 120).map(lambda day: date(2026, 9, 1) + timedelta(days=day)), max_size=12)


@given(DAYTIME, CLOSED, st.integers(0, 60 * 24 * 20))
def test_every_session_with_a_reminder_that_has_become_due_is_in_sight(start, closed, later):
    there = OfficeCalendar(replace(shipped_office(), closures=closed), is_public_holiday)
    for window in reminder_windows(there, start):
        assert start < last_start_in_sight(there, window.due_at)
        assert start < last_start_in_sight(there, window.due_at + timedelta(minutes=later))


@given(DAYTIME, MINUTES, st.lists(MINUTES, max_size=30), CLOSED)
def test_each_reminder_is_made_at_most_once_and_exactly_once_if_some_run_falls_into_its_window(
    start, confirmed, runs, closed
):
    there = OfficeCalendar(replace(shipped_office(), closures=closed), is_public_holiday)
    for window in reminder_windows(there, start):
        record = []
        # Runs close to the window too: most of a random hundred days is far from it.
        near = [window.due_at + (run - confirmed) / 100 for run in runs]
        for as_of in sorted([*runs, *near]):
            standing = window.standing(confirmed, as_of)
            if not record and standing in {Standing.DUE, Standing.MISSED}:
                record.append((standing, as_of))
        inside = [run for run in [*runs, *near] if window.due_at <= run < window.not_after]
        queued = [as_of for standing, as_of in record if standing == Standing.DUE]
        assert len(queued) == (1 if inside and confirmed < window.due_at else 0)
        assert queued in ([], [min(inside, default=None)])
