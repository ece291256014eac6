"""Counts for the overview and the reports, summed up by the database. Days are days in Japan, on both databases.

Nothing sealed is read, and nothing that `retain-records` takes away: what is counted once stays countable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Float, Integer, String, case, func, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from madoguchi.domain.application import Outcome
from madoguchi.domain.lifecycle import BookingStatus, RequestStatus
from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.domain.office import JST
from madoguchi.domain.statistics import Quantiles, quantiles
from madoguchi.store.models import Booking, BookingRequest, Bounce, OutboxMessage

_APPLIED = func.coalesce(BookingRequest.submitted_at, BookingRequest.recorded_at)
"""When somebody applied; a row without a time counts when it was read."""


class _JapanDay(GenericFunction[str]):
    """The day in Japan of an instant, as `2026-09-24`."""

    type = String()
    inherit_cache = True
    name = "japan_day"


class _JapanMonth(GenericFunction[str]):
    """The month in Japan of an instant, as `2026-09`."""

    type = String()
    inherit_cache = True
    name = "japan_month"


class _JapanHour(GenericFunction[int]):
    """The hour in Japan of an instant, 0 to 23."""

    type = Integer()
    inherit_cache = True
    name = "japan_hour"


class _Seconds(GenericFunction[float]):
    """The seconds from the second instant to the first."""

    type = Float()
    inherit_cache = True
    name = "seconds_between"


# Written out per database: neither knows the other's functions, and both keep instants in UTC.
@compiles(_JapanDay, "sqlite")
def _(element: _JapanDay, compiler: SQLCompiler, **more: Any) -> str:
    return f"date({compiler.process(element.clauses, **more)}, '+9 hours')"


@compiles(_JapanDay, "postgresql")
def _(element: _JapanDay, compiler: SQLCompiler, **more: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **more)} AT TIME ZONE 'Asia/Tokyo', 'YYYY-MM-DD')"


@compiles(_JapanMonth, "sqlite")
def _(element: _JapanMonth, compiler: SQLCompiler, **more: Any) -> str:
    return f"strftime('%Y-%m', {compiler.process(element.clauses, **more)}, '+9 hours')"


@compiles(_JapanMonth, "postgresql")
def _(element: _JapanMonth, compiler: SQLCompiler, **more: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **more)} AT TIME ZONE 'Asia/Tokyo', 'YYYY-MM')"


@compiles(_JapanHour, "sqlite")
def _(element: _JapanHour, compiler: SQLCompiler, **more: Any) -> str:
    return f"CAST(strftime('%H', {compiler.process(element.clauses, **more)}, '+9 hours') AS INTEGER)"


@compiles(_JapanHour, "postgresql")
def _(element: _JapanHour, compiler: SQLCompiler, **more: Any) -> str:
    return f"CAST(extract(hour FROM {compiler.process(element.clauses, **more)} AT TIME ZONE 'Asia/Tokyo') AS INTEGER)"


@compiles(_Seconds, "sqlite")
def _(element: _Seconds, compiler: SQLCompiler, **more: Any) -> str:
    later, earlier = (compiler.process(part, **more) for part in element.clauses)
    return f"((julianday({later}) - julianday({earlier})) * 86400.0)"


@compiles(_Seconds, "postgresql")
def _(element: _Seconds, compiler: SQLCompiler, **more: Any) -> str:
    later, earlier = (compiler.process(part, **more) for part in element.clauses)
    return f"CAST(extract(epoch FROM {later} - {earlier}) AS DOUBLE PRECISION)"


@dataclass(frozen=True, slots=True)
class Span:
    """From one instant to before another; of days in Japan by `span`."""

    since: datetime
    until: datetime


def span(first: date, after: date) -> Span:
    """Return the time from the beginning of a day in Japan to the beginning of another."""
    return Span(_midnight(first), _midnight(after))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=JST)


def _applications(office: str, within: Span) -> tuple[Any, ...]:
    """What counts as an application: every row that says something and whose file is settled."""
    return (
        BookingRequest.office == office,
        BookingRequest.outcome != Outcome.SKIP.value,
        BookingRequest.status != RequestStatus.STAGED.value,
        within.since <= _APPLIED,
        within.until > _APPLIED,
    )


def requests_by_day(session: Session, office: str, within: Span) -> dict[date, int]:
    """Return how many people applied on each day in Japan; days without anybody are absent."""
    day = _JapanDay(_APPLIED)
    rows = session.execute(select(day, func.count()).where(*_applications(office, within)).group_by(day))
    return {date.fromisoformat(found): count for found, count in rows}


def requests_by_hour(session: Session, office: str, within: Span) -> dict[int, int]:
    """Return how many applied in each hour of the day in Japan."""
    hour = _JapanHour(_APPLIED)
    rows = session.execute(select(hour, func.count()).where(*_applications(office, within)).group_by(hour))
    return {int(found): count for found, count in rows}


def requests_by_source(session: Session, office: str, within: Span) -> dict[str, int]:
    """Return how many came by each kind of form."""
    source = BookingRequest.source
    rows = session.execute(select(source, func.count()).where(*_applications(office, within)).group_by(source))
    return {str(found): int(count) for found, count in rows}


def requests_by_reason(session: Session, office: str, within: Span) -> dict[tuple[str, str], int]:
    """Return how many had each outcome and, within it, each reason; an empty one where there was none."""
    keys = (BookingRequest.outcome, BookingRequest.reason)
    rows = session.execute(select(*keys, func.count()).where(*_applications(office, within)).group_by(*keys))
    return {(outcome, reason or ""): count for outcome, reason, count in rows}


def _sessions(office: str, within: Span) -> tuple[Any, ...]:
    """What counts as a session: all that somebody was told of, and holds that will become one."""
    return (
        Booking.office == office,
        Booking.start_at >= within.since,
        Booking.start_at < within.until,
        Booking.status != BookingStatus.RELEASED.value,
    )


def sessions_by_month(session: Session, office: str, within: Span) -> dict[tuple[str, str], int]:
    """Return how many sessions of each month (`2026-09`, by their start in Japan) stand in each state."""
    keys = (_JapanMonth(Booking.start_at), Booking.status)
    rows = session.execute(select(*keys, func.count()).where(*_sessions(office, within)).group_by(*keys))
    return {(month, status): count for month, status, count in rows}


def sessions_by_hour(session: Session, office: str, within: Span) -> dict[int, int]:
    """Return how many sessions were to begin in each hour in Japan.

    Cancelled ones too: without them the sum would tell how many were cancelled, which may be hidden elsewhere.
    """
    hour = _JapanHour(Booking.start_at)
    rows = session.execute(select(hour, func.count()).where(*_sessions(office, within)).group_by(hour))
    return {int(found): count for found, count in rows}


def mails(session: Session, office: str, within: Span) -> dict[tuple[str, str], int]:
    """Return how many mails of each kind that were written in that time stand in each state now."""
    message = OutboxMessage
    keys = (message.kind, message.status)
    rows = session.execute(
        select(*keys, func.count())
        .where(message.office == office, message.queued_at >= within.since, message.queued_at < within.until)
        .group_by(*keys)
    )
    return {(kind, status): count for kind, status, count in rows}


def bounces(session: Session, office: str, within: Span) -> dict[str, int]:
    """Return how many notifications of each kind came back in that time."""
    rows = session.execute(
        select(Bounce.kind, func.count())
        .where(Bounce.office == office, Bounce.recorded_at >= within.since, Bounce.recorded_at < within.until)
        .group_by(Bounce.kind)
    )
    return {str(kind): int(count) for kind, count in rows}


def times_to_confirmation(session: Session, office: str, periods: Sequence[Span]) -> list[Quantiles]:
    """Return for each period how long it took from applying until the confirmation had left, by when it left.

    `periods`: one after the other, without gaps. A rehearsal may send before anybody applied; that counts as no time.
    """
    if not periods:
        return []
    sent = OutboxMessage.sent_at
    period = case(*((sent < each.until, number) for number, each in enumerate(periods)), else_=-1)
    took = _Seconds(sent, _APPLIED)
    inner = (
        select(
            period.label("period"),
            took.label("took"),
            func.row_number().over(order_by=took, partition_by=period).label("place"),
            func.count().over(partition_by=period).label("count"),
        )
        .join(Booking, Booking.id == OutboxMessage.booking_id)
        .join(BookingRequest, BookingRequest.id == Booking.request_id)
        .where(
            OutboxMessage.office == office,
            OutboxMessage.kind == MailKind.CONFIRMED.value,
            OutboxMessage.status == MessageStatus.SENT.value,
            sent >= periods[0].since,
            sent < periods[-1].until,
        )
        .subquery()
    )
    middle, ninetieth = (inner.c.count + 1) // 2, (inner.c.count * 9 + 9) // 10
    rows = session.execute(
        select(
            inner.c.period,
            inner.c.count,
            func.min(case((inner.c.place == middle, inner.c.took))),
            func.min(case((inner.c.place == ninetieth, inner.c.took))),
        )
        .where(or_(inner.c.place == middle, inner.c.place == ninetieth))
        .group_by(inner.c.period, inner.c.count)
    )
    found = {number: quantiles(count, median, high) for number, count, median, high in rows}
    return [found.get(number, Quantiles()) for number in range(len(periods))]
