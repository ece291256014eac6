"""What waits for a person, the most urgent first: tasks of staff and alarms. References, codes and words; no names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum
from typing import Final

from sqlalchemy.orm import Session

from madoguchi.domain.calendar import OfficeCalendar
from madoguchi.domain.office import JST
from madoguchi.domain.statistics import age_ja
from madoguchi.domain.watching import WORDS, Code, Severity
from madoguchi.domain.wording import short_start
from madoguchi.store import day_list as store
from madoguchi.store.overview import sessions_ahead
from tasks.alarms import OpenAlarm, open_alarms
from tasks.bounces import CALL_BOUNCED
from tasks.day_list import waiting_of
from tasks.delivery import FAILED_MESSAGE, UNCERTAIN_MESSAGE, UNSENT_MESSAGE
from tasks.meeting_removal import ZOOM_DIFFERS, ZOOM_DRIFT
from tasks.settling import CALL_APPLICANT, OFFICE_FAULT
from tasks.verdict_effects import CONFIRM_NO_SHOW, EVIDENCE_AFTER_VERDICT, SETTLE_ATTENDANCE
from tasks.wiring import Services

_TOUCHED = 8
MOST = 1000
"""So many of the oldest tasks are put in order; nobody works through more in a day."""


class Urgency(IntEnum):
    """How soon a person has to act; the least first."""

    NOW = 0
    TODAY = 1
    SOON = 2


URGENCY_JA: Final = {Urgency.NOW: "今すぐ", Urgency.TODAY: "きょう中に", Urgency.SOON: "近いうちに"}

_SEVERITIES: Final[Mapping[str, Urgency]] = {
    Severity.URGENT: Urgency.NOW,
    Severity.SOON: Urgency.TODAY,
    Severity.NOTE: Urgency.SOON,
}
_NOW: Final = frozenset({OFFICE_FAULT})
"""Somebody has been let down and is waiting."""
_TODAY: Final = frozenset(
    {
        UNCERTAIN_MESSAGE,
        FAILED_MESSAGE,
        UNSENT_MESSAGE,
        CALL_APPLICANT,
        CALL_BOUNCED,
        CONFIRM_NO_SHOW,
        SETTLE_ATTENDANCE,
        EVIDENCE_AFTER_VERDICT,
        ZOOM_DRIFT,
        ZOOM_DIFFERS,
    }
)
"""Somebody does not know what they should, or a verdict hangs in the air."""


@dataclass(frozen=True, slots=True)
class Item:
    """One matter. `code`: what it is; `start`: of its next session (aware), if one lies ahead; `flow`: the form."""

    urgency: Urgency
    code: str
    title: str
    what: str
    reference: str
    since: datetime
    reason: str = ""
    flow: str = ""
    message: str = ""
    start: datetime | None = None
    is_alarm: bool = False

    def when(self, as_of: datetime) -> str:
        """Return since when it waits, and what session it touches, in words."""
        waits = f"{age_ja(self.since, as_of)}から"
        return f"{short_start(self.start)}の相談。{waits}" if self.start else waits


@dataclass(frozen=True, slots=True)
class Waiting:
    """Everything that waits, by urgency. `count`: of tasks in the record, even where there are more than `MOST`."""

    items: tuple[Item, ...]
    count: int

    def number(self, urgency: Urgency) -> int:
        """Return how many are as urgent as that."""
        return sum(item.urgency is urgency for item in self.items)


def waiting(services: Services, session: Session, as_of: datetime) -> Waiting:
    """Return what waits for a person at a business time: alarms and tasks, the most urgent first, then the oldest."""
    office = services.office.code
    count, tasks = store.tasks_waiting(session, office, MOST)
    starts = sessions_ahead(session, sorted({task.reference for task in tasks}), as_of)
    items = [_item(services.calendar, task, starts.get(task.reference), as_of) for task in tasks]
    items += [_alarm(alarm) for alarm in open_alarms(session, office)]
    far = datetime.max.replace(tzinfo=JST)
    items.sort(key=lambda item: (item.urgency, not item.is_alarm, item.start or far, item.since, item.reference))
    return Waiting(tuple(items), count)


def _item(calendar: OfficeCalendar, task: store.OpenTask, start: datetime | None, as_of: datetime) -> Item:
    words = waiting_of(task)
    return Item(
        urgency=_urgency(calendar, task, start, as_of),
        code=task.kind,
        title=words.to_do.title,
        what=words.to_do.what,
        reference=words.reference,
        since=task.opened_at,
        reason=words.reason,
        flow=words.to_do.flow,
        message=words.message,
        start=start,
    )


def _urgency(calendar: OfficeCalendar, task: store.OpenTask, start: datetime | None, as_of: datetime) -> Urgency:
    today = as_of.astimezone(JST).date()
    # Whoever has a session today or on the next open day cannot be told later.
    if task.kind in _NOW or (start is not None and _day(start) <= calendar.next_working_day(today)):
        return Urgency.NOW
    if task.kind in _TODAY or calendar.next_working_day(_day(task.opened_at)) <= today:
        return Urgency.TODAY
    return Urgency.SOON


def _day(at: datetime) -> date:
    return at.astimezone(JST).date()


def _alarm(alarm: OpenAlarm) -> Item:
    words = WORDS[Code(alarm.code)] if alarm.code in set(Code) else None
    return Item(
        urgency=_SEVERITIES.get(alarm.severity, Urgency.NOW),
        code=alarm.code,
        title=words.happened if words else alarm.code,
        what=words.do if words else "",
        reference=alarm.subject,
        since=alarm.first_seen_at,
        reason=_touched(alarm.touched),
        is_alarm=True,
    )


def _touched(references: Sequence[str]) -> str:
    shown = "、".join(references[:_TOUCHED])
    return f"{shown} ほか{len(references) - _TOUCHED}件" if len(references) > _TOUCHED else shown
