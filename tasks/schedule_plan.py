"""A day's plan from the record and the list of deployments: what would run, what would be due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from madoguchi.domain.office import JST
from madoguchi.domain.reminders import reminder_windows
from madoguchi.domain.schedule_plan import RESTS_ON_CLOSED_DAYS, DayPlan, Due, PlannedRuns, times_on, why_closed
from madoguchi.store import schedule_plan as store
from tasks.wiring import Services

_AHEAD = timedelta(days=30)
"""Farther ahead than a reminder can be: the longest row of closed days, and a half."""
_TENTH_MINUTE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class OnSchedule:
    """A deployment that starts by itself: cron lines in Asia/Tokyo."""

    flow: str
    deployment: str
    crons: tuple[str, ...]


def plan_of(services: Services, day: date, deployments: Sequence[OnSchedule]) -> DayPlan:
    """Return the plan of a day in Asia/Tokyo. Says what would be due as the record stands now; changes nothing."""
    closed = why_closed(services.calendar, day)
    runs = [
        PlannedRuns(each.flow, each.deployment, at, bool(closed) and each.flow in RESTS_ON_CLOSED_DAYS)
        for each in deployments
        if (at := times_on(each.crons, day))
    ]
    return DayPlan(day, closed, tuple(sorted(runs, key=lambda run: (run.at[0], run.flow))), tuple(_due(services, day)))


def _due(services: Services, day: date) -> list[Due]:
    start = datetime.combine(day, time(), JST)
    end = start + timedelta(days=1)
    code = services.office.code
    with services.database.read() as session:
        sessions = store.live_sessions(session, code, start, end + _AHEAD)
        messages = store.messages_due(session, code, start, end)
        versions = store.versions_from(session, code, start, end)
    found = [Due(f"message {kind}", reference, at.astimezone(JST)) for kind, reference, at in messages]
    found += [Due("terms in force", version, at.astimezone(JST)) for version, at in versions]
    for reference, begins in sessions:
        begin = begins.astimezone(JST)
        found += [
            Due(window.kind.value, reference, window.due_at.astimezone(JST))
            for window in reminder_windows(services.calendar, begin)
        ]
        found += [Due("session", reference, begin), Due("verdict", reference, begin + _TENTH_MINUTE)]
    today = [each for each in found if start <= each.at < end]
    return sorted(today, key=lambda each: (each.at, each.what, each.reference))
