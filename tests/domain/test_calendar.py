from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madoguchi.adapters.holidays import is_public_holiday
from madoguchi.domain.calendar import SESSION, OfficeCalendar, parse_clock
from madoguchi.domain.office import JST, OpeningHours
from tests.world import jst, shipped_office

CALENDAR = OfficeCalendar(shipped_office(), is_public_holiday)


def calendar(**changes):
    return OfficeCalendar(replace(shipped_office(), **changes), is_public_holiday)


@pytest.mark.parametrize(
    ("day", "is_open"),
    [
        ("2026-09-18", True), ("2026-09-19", False), ("2026-09-20", False),
        ("2026-09-21", False), ("2026-09-22", False), ("2026-09-23", False), ("2026-09-24", True),
        ("2026-05-06", False), ("2026-12-28", True), ("2026-12-29", False), ("2026-12-31", False),
        ("2027-01-01", False), ("2027-01-03", False), ("2027-01-04", True),
        ("2025-12-29", False), ("2026-01-02", False), ("2026-01-05", True),
        ("2026-02-11", False), ("2026-02-23", False), ("2027-03-22", False),
    ],
)  # fmt: skip
def test_working_days(day, is_open):
    assert CALENDAR.is_working_day(date.fromisoformat(day)) is is_open


def test_the_offices_own_closures_are_no_working_days():
    assert not calendar(closures=frozenset({date(2026, 9, 24)})).is_working_day(date(2026, 9, 24))


@pytest.mark.parametrize(
    ("clock", "inside", "on_grid"),
    [
        ("10:30", False, True), ("10:59", False, False), ("11:00", True, True), ("11:01", True, False),
        ("11:15", True, False), ("14:30", True, True), ("14:31", False, False), ("15:00", False, True),
        ("23:45", False, False), ("00:00", False, True),
    ],
)  # fmt: skip
def test_a_session_lies_inside_the_hours_with_its_end(clock, inside, on_grid):
    start = jst(f"2026-09-24 {clock}")
    assert CALENDAR.is_inside_hours(start) is inside
    assert CALENDAR.is_on_grid(start) is on_grid
    # The instant decides, in whatever zone it is written.
    assert CALENDAR.is_inside_hours(start.astimezone(UTC)) is inside
    assert CALENDAR.is_on_grid(start.astimezone(UTC)) is on_grid


def test_seconds_are_off_the_grid_and_may_push_the_end_out():
    assert not CALENDAR.is_on_grid(jst("2026-09-24 11:00:01"))
    assert not CALENDAR.is_inside_hours(jst("2026-09-24 14:30:01"))


def test_a_weekday_without_hours_has_no_starts():
    fridays_off = calendar(hours={day: OpeningHours(time(11), time(15)) for day in range(4)})
    assert fridays_off.starts_on(date(2026, 9, 25)) == ()
    assert not fridays_off.is_inside_hours(jst("2026-09-25 11:00"))
    assert not fridays_off.is_on_grid(jst("2026-09-25 11:00"))


def test_the_starts_of_a_day_are_eight_half_hours():
    starts = CALENDAR.starts_on(date(2026, 9, 24))
    assert [f"{start:%H:%M}" for start in starts] == [
        "11:00", "11:30", "12:00", "12:30", "13:00", "13:30", "14:00", "14:30",
    ]  # fmt: skip
    assert all(start.tzinfo is JST for start in starts)


@pytest.mark.parametrize(("step", "clocks"), [(45, "11:00 11:45 12:30 13:15 14:00"), (120, "11:00 13:00")])
def test_another_grid_has_other_starts(step, clocks):
    assert " ".join(f"{s:%H:%M}" for s in calendar(grid_minutes=step).starts_on(date(2026, 9, 24))) == clocks


def test_no_start_on_a_closed_day_nor_beyond_the_holiday_table():
    assert CALENDAR.starts_on(date(2026, 9, 22)) == ()
    short = calendar(holidays_known_until=date(2026, 9, 24))
    assert short.starts_on(date(2026, 9, 24)) != ()
    assert short.starts_on(date(2026, 9, 25)) == ()
    assert short.knows(date(2026, 9, 24))
    assert not short.knows(date(2026, 9, 25))


def test_the_last_bookable_day_is_the_nearer_of_horizon_and_holiday_table():
    as_of = jst("2026-09-14 09:00")
    assert calendar(horizon_days=10).last_bookable_day(as_of) == date(2026, 9, 24)
    assert calendar(holidays_known_until=date(2026, 9, 20)).last_bookable_day(as_of) == date(2026, 9, 20)


@pytest.mark.parametrize(
    ("as_of", "first"),
    [
        ("2026-09-14 00:00", "2026-09-15"), ("2026-09-14 23:59", "2026-09-15"), ("2026-09-18 17:00", "2026-09-24"),
        ("2026-12-28 09:00", "2027-01-04"),
    ],
)  # fmt: skip
def test_booking_is_from_the_next_working_day_in_japan(as_of, first):
    moment = jst(as_of)
    assert next(CALENDAR.bookable_starts(moment)).date() == date.fromisoformat(first)
    assert next(CALENDAR.bookable_starts(moment.astimezone(UTC))).date() == date.fromisoformat(first)


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        ("2026-09-24", "2026-09-18", "2026-09-25"), ("2026-09-22", "2026-09-18", "2026-09-24"),
        ("2027-01-04", "2026-12-28", "2027-01-05"), ("2026-09-16", "2026-09-15", "2026-09-17"),
    ],
)  # fmt: skip
def test_the_working_days_beside_a_day(day, before, after):
    assert CALENDAR.previous_working_day(date.fromisoformat(day)) == date.fromisoformat(before)
    assert CALENDAR.next_working_day(date.fromisoformat(day)) == date.fromisoformat(after)


@given(st.dates(date(2025, 1, 1), date(2027, 12, 20)))
def test_the_days_beside_are_working_days_with_none_between(day):
    before, after = CALENDAR.previous_working_day(day), CALENDAR.next_working_day(day)
    assert before < day < after
    assert CALENDAR.is_working_day(before)
    assert CALENDAR.is_working_day(after)
    between = [before + timedelta(days=n) for n in range(1, (after - before).days)]
    assert not any(CALENDAR.is_working_day(each) for each in between if each != day)


MOMENTS = st.datetimes(
    datetime(2026, 1, 1),  # noqa: DTZ001 — hypothesis adds the zone
    datetime(2027, 12, 30),  # noqa: DTZ001 — the same
    timezones=st.just(JST),
)


@given(
    MOMENTS,
    st.sampled_from([30, 45, 60, 90]),
    st.integers(1, 20),
)
def test_everything_bookable_is_offered_by_every_rule_of_its_own(as_of, grid, horizon):
    own = calendar(grid_minutes=grid, horizon_days=horizon)
    starts = list(own.bookable_starts(as_of))
    assert starts == sorted(set(starts))
    for start in starts:
        assert own.is_working_day(start.date())
        assert own.is_inside_hours(start)
        assert own.is_on_grid(start)
        assert as_of.date() < start.date() <= own.last_bookable_day(as_of)
    assert all(second - first >= SESSION for first, second in pairwise(starts))


@given(MOMENTS)
def test_a_moment_is_a_start_of_its_day_exactly_when_every_rule_says_so(moment):
    moment = moment.replace(minute=moment.minute // 15 * 15, second=0, microsecond=0)
    rules = CALENDAR.is_working_day(moment.date()) and CALENDAR.is_inside_hours(moment) and CALENDAR.is_on_grid(moment)
    assert (moment in CALENDAR.starts_on(moment.date())) is rules


@pytest.mark.parametrize("text", ["", "11", "24:00", "11:60", "11:00:00", "eleven"])
def test_what_is_no_wall_time_is_refused(text):
    with pytest.raises(ValueError):
        parse_clock(text)


def test_a_wall_time_is_read():
    assert parse_clock("08:30") == time(8, 30)
