"""What a day of the office looks like: open or closed, which runs start when, what is due. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Final

from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.cron_times import next_time
from madoguchi.domain.office import JST

RESTS_ON_CLOSED_DAYS: Final = frozenset({"process-requests", "read-bounces"})
"""Flows that take nothing new in on a closed day. What is due (retries, reminders, verdicts) is done on any day."""


@dataclass(frozen=True, slots=True)
class PlannedRuns:
    """The starts of one deployment on one day, Asia/Tokyo. `rests`: it starts, and takes nothing in."""

    flow: str
    deployment: str
    at: tuple[datetime, ...]
    rests: bool = False


@dataclass(frozen=True, slots=True)
class Due:
    """Something that is due on the day, by reference: a session, a reminder, a verdict, a message, a version."""

    what: str
    reference: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DayPlan:
    """One day. `why_closed`: in Japanese, empty when the office is open."""

    day: date
    why_closed: str
    runs: tuple[PlannedRuns, ...]
    due: tuple[Due, ...]

    @property
    def is_open(self) -> bool:
        """Tell whether the office is open."""
        return not self.why_closed


def times_on(crons: Sequence[str], day: date) -> tuple[datetime, ...]:
    """Return every start on a day in Asia/Tokyo by cron lines of which one may repeat another, each once, in order."""
    midnight = datetime.combine(day, time(), JST)
    found: set[datetime] = set()
    for cron in crons:
        at = next_time(cron, midnight - timedelta(minutes=1))
        while at is not None and at.date() == day:
            found.add(at)
            at = next_time(cron, at)
    return tuple(sorted(found))


def why_closed(calendar: OfficeCalendar, day: date) -> str:
    """Return in Japanese why the office is closed on a day (Act on Holidays of Administrative Organs); empty: open."""
    if calendar.is_working_day(day):
        return ""
    if day.weekday() >= 5:
        return "土曜日" if day.weekday() == 5 else "日曜日"
    if calendar.is_public_holiday(day):
        return "祝日・休日"
    if (day.month, day.day) >= (12, 29) or (day.month, day.day) <= (1, 3):
        return "年末年始"
    return "所の休業日"


def rests(flow: str, calendar: OfficeCalendar, at: datetime) -> bool:
    """Tell whether a flow on schedule takes nothing in at an instant, because the office is closed that day."""
    return flow in RESTS_ON_CLOSED_DAYS and not calendar.is_working_day(at.astimezone(JST).date())


def in_words(at: Sequence[datetime]) -> str:
    """Return starts as people say them: `08:30-17:15 every 5 min (106)`, or each one where they follow no step."""
    if len(at) < 4:
        return ", ".join(f"{each:%H:%M}" for each in at)
    steps = {second - first for first, second in pairwise(at)}
    if len(steps) == 1:
        minutes = int(steps.pop().total_seconds() // 60)
        return f"{at[0]:%H:%M}-{at[-1]:%H:%M} every {minutes} min ({len(at)})"
    return ", ".join(f"{each:%H:%M}" for each in at)
