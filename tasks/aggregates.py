"""What the overview and the reports both publish of the record, small counts hidden: the same numbers on either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final

from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.domain.statistics import Cell, Quantiles, Table, days_of, first_of, following, month_of, protect
from madoguchi.store import statistics as store

ATTENDED, NO_SHOW, CANCELLED, CONTACTED, FAULT, OPEN = (
    "attended", "no_show", "cancelled", "contacted", "office_fault", "open",
)  # fmt: skip
ATTENDANCE: Final[Mapping[str, str]] = MappingProxyType(
    {
        ATTENDED: "相談した",
        NO_SHOW: "連絡なく不参加",
        CANCELLED: "取り消し",
        CONTACTED: "連絡があり見送り",
        FAULT: "所の不手際",
        OPEN: "まだ決まっていない",
    }
)
"""What became of a session, the most important first: what has to be held back is taken from the end."""
_CLASS: Final[Mapping[str, str]] = MappingProxyType(
    {
        BookingStatus.ATTENDED: ATTENDED,
        BookingStatus.NO_SHOW: NO_SHOW,
        BookingStatus.CANCELLED: CANCELLED,
        BookingStatus.CONTACTED: CONTACTED,
        BookingStatus.OFFICE_FAULT: FAULT,
    }
)


@dataclass(frozen=True, slots=True)
class Day:
    """How many people applied on one day in Japan."""

    day: date
    applied: Cell


@dataclass(frozen=True, slots=True)
class Week:
    """How long it took to a confirmation in the seven days from `first` (a Monday)."""

    first: date
    took: Quantiles


@dataclass(frozen=True, slots=True)
class Month:
    """What became of the sessions of a month (`2026-09`); `held` only says how many there were."""

    month: str
    held: Table


def applications_by_day(session: Session, office: str, first: date, after: date) -> list[Day]:
    """Return the applications of each day from `first` to the one before `after`, small counts hidden.

    What is hidden is decided for whole months at a time, as the report of the month does it.
    """
    begins = first.replace(day=1)
    counts = store.requests_by_day(session, office, store.span(begins, after))
    found: list[Day] = []
    while begins < after:
        ends = min(first_of(following(month_of(begins))), after)
        days = list(days_of(begins, ends))
        table = protect({day.isoformat(): counts.get(day, 0) for day in days})
        found += [Day(day, cell) for day, cell in zip(days, table.cells, strict=True)]
        begins = ends
    return [each for each in found if each.day >= first]


def attendance(session: Session, office: str, months: Sequence[str]) -> list[Month]:
    """Return what became of the sessions of months that follow each other, small counts hidden."""
    within = store.span(first_of(months[0]), first_of(following(months[-1])))
    counts = {month: dict.fromkeys(ATTENDANCE, 0) for month in months}
    for (month, status), count in store.sessions_by_month(session, office, within).items():
        counts[month][attendance_class(status)] += count
    return [Month(month, protect(counts[month])) for month in months]


def attendance_class(status: str) -> str:
    """Return under which word of `ATTENDANCE` a state of a booking is counted."""
    return _CLASS.get(status, OPEN)


def confirmation_times(session: Session, office: str, mondays: Sequence[date]) -> list[Week]:
    """Return how long it took to a confirmation, week by week; the weeks follow each other."""
    spans = [store.span(monday, monday + timedelta(days=7)) for monday in mondays]
    found = store.times_to_confirmation(session, office, spans)
    return [Week(monday, took) for monday, took in zip(mondays, found, strict=True)]
