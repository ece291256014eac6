"""What the overview asks of the record besides statistics: runs, and what waits since when. Codes, references only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import BookingStatus, RequestStatus
from madoguchi.domain.message import MessageStatus
from madoguchi.store.models import Booking, BookingRequest, OutboxMessage, RunRecord

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class LastRuns:
    """The newest run of a flow and the end of the newest that was complete (aware); None where there was none."""

    started_at: datetime
    state: str
    message: str
    succeeded_at: datetime | None


def last_runs(session: Session, office: str, flows: Iterable[str]) -> dict[str, LastRuns]:
    """Return by flow how its newest runs ended; a flow that never ran is absent."""
    found = {}
    for flow in flows:
        of_flow = (RunRecord.office == office, RunRecord.flow == flow)
        newest = session.execute(
            select(RunRecord.started_at, RunRecord.state, RunRecord.message)
            .where(*of_flow)
            .order_by(RunRecord.started_at.desc())
            .limit(1)
        ).one_or_none()
        if newest is None:
            continue
        succeeded = session.scalar(
            select(RunRecord.finished_at)
            .where(*of_flow, RunRecord.state == "completed")
            .order_by(RunRecord.started_at.desc())
            .limit(1)
        )
        found[flow] = LastRuns(newest.started_at, newest.state, newest.message, succeeded)
    return found


@dataclass(frozen=True, slots=True)
class Queue:
    """How many of one kind wait, and since when the oldest does (aware)."""

    count: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class Queues:
    """What a person has to decide, by the states themselves: true also where no task was opened."""

    in_review: Queue
    proposed: Queue
    undetermined: Queue


def queues(session: Session, office: str) -> Queues:
    """Return what waits in states that only a person ends.

    Reviews count from when the row was read, sessions from their start. Mails: see `mails_by_state`.
    """
    return Queues(
        in_review=_queue(session, BookingRequest, BookingRequest.recorded_at, office, RequestStatus.IN_REVIEW),
        proposed=_queue(session, Booking, Booking.start_at, office, BookingStatus.NO_SHOW_PROPOSED),
        undetermined=_queue(session, Booking, Booking.start_at, office, BookingStatus.UNDETERMINED),
    )


def _queue(
    session: Session,
    table: type[BookingRequest | Booking],
    since: object,
    office: str,
    status: str,
) -> Queue:
    count, oldest = session.execute(
        select(func.count(), func.min(since)).where(table.office == office, table.status == str(status))
    ).one()
    return Queue(count, oldest)


def mails_by_state(session: Session, office: str, settled_since: datetime) -> dict[str, Queue]:
    """Return how many mails stand in each state: all that wait for something, and what was settled since then.

    The oldest of a state counts from its last change.
    """
    message = OutboxMessage
    over = (MessageStatus.SENT.value, MessageStatus.SUPPRESSED.value, MessageStatus.MISSED.value)
    rows = session.execute(
        select(message.status, func.count(), func.min(message.changed_at))
        .where(message.office == office, or_(message.status.not_in(over), message.changed_at >= settled_since))
        .group_by(message.status)
    )
    return {str(status): Queue(count, oldest) for status, count, oldest in rows}


def sessions_ahead(session: Session, references: Sequence[str], now: datetime) -> dict[str, datetime]:
    """Return by reference, of a booking or of an application, its next session that has not begun; others are absent.

    For an application without a session the first wish that lies ahead stands in for it.
    """
    found: dict[str, datetime] = {}
    for at in range(0, len(references), _AT_ONCE):
        part = references[at : at + _AT_ONCE]
        live = Booking.status.in_((BookingStatus.HELD.value, BookingStatus.CONFIRMED.value))
        wishes = select(BookingRequest.reference, BookingRequest.wishes).where(
            BookingRequest.reference.in_(part), BookingRequest.status == RequestStatus.IN_REVIEW.value
        )
        for reference, texts in session.execute(wishes):
            ahead = [start for start in map(datetime.fromisoformat, texts) if start > now]
            if ahead:
                found[reference] = min(ahead)
        sessions = (
            select(Booking.reference, BookingRequest.reference.label("request"), Booking.start_at)
            .join(BookingRequest, BookingRequest.id == Booking.request_id)
            .where(Booking.start_at > now, live)
        )
        for column in (Booking.reference, BookingRequest.reference):
            for row in session.execute(sessions.where(column.in_(part))):
                key = row.reference if column is Booking.reference else row.request
                found[key] = row.start_at
    return found
