"""How long the office was open between two instants: while nobody is there, nothing grows old. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST


def open_time_between(calendar: OfficeCalendar, since: datetime, until: datetime) -> timedelta:
    """Return the reception hours between two aware instants, closed days left out; zero when `until` is earlier.

    Looks back over 60 days at most: what is older than that is old enough.
    """
    until = until.astimezone(JST)
    since = max(since.astimezone(JST), until - timedelta(days=60))
    total = timedelta()
    day = since.date()
    while day <= until.date():
        total += _open_on(calendar, day, since, until)
        day += timedelta(days=1)
    return total


def is_open_at(calendar: OfficeCalendar, at: datetime) -> bool:
    """Tell whether an aware instant lies in the reception hours of a working day, both ends included."""
    local = at.astimezone(JST)
    hours = calendar.office.reception
    return calendar.is_working_day(local.date()) and hours.opens <= local.time() <= hours.closes


def _open_on(calendar: OfficeCalendar, day: date, since: datetime, until: datetime) -> timedelta:
    if not calendar.is_working_day(day):
        return timedelta()
    hours = calendar.office.reception
    opens = max(datetime.combine(day, hours.opens, JST), since)
    closes = min(datetime.combine(day, hours.closes, JST), until)
    return max(closes - opens, timedelta())
