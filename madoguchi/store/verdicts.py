"""Sessions that are due for their verdict, what it rests on, and the history of verdicts. Nothing here commits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row, exists, insert, select
from sqlalchemy.orm import Session

from madoguchi.domain.bounce import CAME_BACK
from madoguchi.domain.duties import LINK_KINDS, MessageFact
from madoguchi.domain.lifecycle import SETTLED_BOOKINGS, BookingStatus, MeetingStatus
from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.domain.office import JST
from madoguchi.domain.reminders import REMINDER_KINDS
from madoguchi.store.audit import Act
from madoguchi.store.models import Booking, Bounce, Meeting, OutboxMessage, StaffTask, VerdictRecord
from madoguchi.store.outbox import Settled, settle
from madoguchi.store.types import new_id

_AT_ONCE = 500
_BOUNCED = "BOUNCED"
_LEFT = frozenset({MessageStatus.SENDING, MessageStatus.SENT, MessageStatus.UNCERTAIN})
_UNSENT = frozenset({MessageStatus.QUEUED, MessageStatus.RETRYING})
_SETTLED = frozenset(status.value for status in SETTLED_BOOKINGS)


@dataclass(frozen=True, slots=True)
class NewVerdict:
    """One row of the history. `evidence`: ids; `duties`: codes, message ids and times; `number`: 1 is the first."""

    booking_id: str
    number: int
    verdict: str
    reasons: Sequence[str]
    rules: str
    judged_for: datetime
    evidence: Sequence[str]
    duties: dict[str, Any]
    by_person: bool


def due_sessions(session: Session, office: str, started_by: datetime) -> list[Row[Any]]:
    """Return `id`, `reference`, `revision`, `start_at` of confirmed bookings that started by then, earliest first."""
    return list(
        session.execute(
            select(Booking.id, Booking.reference, Booking.revision, Booking.start_at)
            .where(
                Booking.office == office,
                Booking.status == BookingStatus.CONFIRMED.value,
                Booking.start_at <= started_by,
            )
            .order_by(Booking.start_at, Booking.id)
        )
    )


def lock_due(session: Session, ids: Sequence[str], *, wait: bool) -> list[Booking]:
    """Return those of the bookings that are still confirmed, read anew and locked until the transaction ends.

    Always in the order of their ids. Without `wait` those that another runner has locked are left out.
    """
    return list(
        session.scalars(
            select(Booking)
            .where(Booking.id.in_(ids), Booking.status == BookingStatus.CONFIRMED.value)
            .order_by(Booking.id)
            .with_for_update(skip_locked=not wait)
            .execution_options(populate_existing=True)
        )
    )


def lock_settled(session: Session, office: str, references: Sequence[str]) -> list[Booking]:
    """Return those of the bookings that have a verdict, read anew and locked; in the order of their ids."""
    found = session.scalars(
        select(Booking)
        .where(Booking.office == office, Booking.reference.in_(references))
        .order_by(Booking.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    # Not part of the query: one whose first verdict another runner is just committing would not be waited for.
    return [booking for booking in found if booking.status in _SETTLED]


def meetings_of(session: Session, bookings: Sequence[tuple[str, int]]) -> dict[str, tuple[str, str]]:
    """Return by booking the Zoom id and the host of the verified meeting of that revision."""
    wanted = set(bookings)
    found = {}
    for part in _parts([booking_id for booking_id, _ in bookings]):
        rows = session.execute(
            select(Meeting.booking_id, Meeting.revision, Meeting.meeting_id, Meeting.host).where(
                Meeting.booking_id.in_(part), Meeting.status == MeetingStatus.VERIFIED.value
            )
        ).tuples()
        for booking_id, revision, meeting_id, host in rows:
            if meeting_id and (booking_id, revision) in wanted:
                found[booking_id] = (meeting_id, host)
    return found


def told_so_far(session: Session, ids: Sequence[str]) -> dict[str, list[MessageFact]]:
    """Return by booking what became of its messages with the link and of its reminders.

    One that the relay took and that came back is uncertain: perhaps somebody was told, nobody can say so.
    """
    kinds = [kind.value for kind in (*LINK_KINDS, *REMINDER_KINDS)]
    found: dict[str, list[MessageFact]] = defaultdict(list)
    message = OutboxMessage
    for part in _parts(ids):
        rows = session.execute(
            select(
                message.booking_id,
                message.id,
                message.kind,
                message.revision,
                message.status,
                message.reason,
                message.due_at,
                message.sent_at,
                exists(select(Bounce.id).where(Bounce.message_id == message.id, Bounce.action.in_(CAME_BACK))),
            )
            .where(message.booking_id.in_(part), message.kind.in_(kinds))
            .order_by(message.id)
        )
        for booking_id, row_id, kind, revision, status, reason, due_at, sent_at, came_back in rows:
            left = MessageStatus(status)
            if came_back and left is MessageStatus.SENT:
                left, reason = MessageStatus.UNCERTAIN, _BOUNCED  # noqa: PLW2901 — what is known of it since
            found[booking_id].append(MessageFact(row_id, MailKind(kind), revision, left, reason, due_at, sent_at))
    return found


def add_verdicts(session: Session, act: Act, verdicts: Sequence[NewVerdict]) -> None:
    """Append to the history. Raises IntegrityError when somebody else has appended in between."""
    rows = [
        {
            "id": new_id(),
            "office": act.office,
            "booking_id": new.booking_id,
            "number": new.number,
            "verdict": new.verdict,
            "reasons": [str(reason) for reason in new.reasons],
            "rules": new.rules,
            "judged_for": new.judged_for,
            "evidence": list(new.evidence),
            "duties": new.duties,
            "by_person": new.by_person,
            "actor": act.actor,
            "run": act.run,
            "happened_at": act.happened_at,
            "recorded_at": act.recorded_at,
        }
        for new in verdicts
    ]
    if rows:
        session.execute(insert(VerdictRecord), rows)


def verdicts_of(session: Session, booking_id: str) -> list[VerdictRecord]:
    """Return the history of what was held true of a session, the first verdict first; empty without one.

    `verdict` is the state that the booking took by it, `no_show_proposed` among them.
    """
    return list(
        session.scalars(
            select(VerdictRecord).where(VerdictRecord.booking_id == booking_id).order_by(VerdictRecord.number)
        )
    )


def last_verdicts(session: Session, ids: Sequence[str]) -> dict[str, VerdictRecord]:
    """Return by booking the verdict that holds now."""
    found: dict[str, VerdictRecord] = {}
    for part in _parts(ids):
        for record in session.scalars(
            select(VerdictRecord).where(VerdictRecord.booking_id.in_(part)).order_by(VerdictRecord.number)
        ):
            found[record.booking_id] = record
    return found


def no_show_days(session: Session, office: str, client_id: str) -> list[date]:
    """Return the days in Japan of a person's sessions that stand as no_show, the earliest first.

    Proposed ones, corrected ones and cancelled bookings are not among them. Whether a day still counts is not said
    (`domain.standing`).
    """
    starts = session.scalars(
        select(Booking.start_at)
        .where(Booking.office == office, Booking.client_id == client_id, Booking.status == BookingStatus.NO_SHOW.value)
        .order_by(Booking.start_at)
    )
    return [start.astimezone(JST).date() for start in starts]


def withdraw(session: Session, act: Act, booking_id: str, kind: MailKind, reason: str) -> bool:
    """Take the newest mail of a kind about a booking back if it has not left; True when it has, or may have.

    Locked, so that what a runner is just sending is either not begun, and never will be, or has left.
    """
    newest = session.execute(
        select(OutboxMessage.id, OutboxMessage.status)
        .where(OutboxMessage.booking_id == booking_id, OutboxMessage.kind == kind.value)
        .order_by(OutboxMessage.queued_at.desc(), OutboxMessage.id.desc())
        .limit(1)
        .with_for_update()
    ).one_or_none()
    if newest is None:
        return False
    status = MessageStatus(newest.status)
    if status in _UNSENT:
        settle(session, act, [Settled(newest.id, status, MessageStatus.SUPPRESSED, reason)])
    return status in _LEFT


def withdraw_unsent(session: Session, act: Act, booking_id: str, kind: MailKind, reason: str) -> bool:
    """Take mails of a kind about a booking back that have not left; True when there were any."""
    rows = session.execute(
        select(OutboxMessage.id, OutboxMessage.status)
        .where(
            OutboxMessage.booking_id == booking_id,
            OutboxMessage.kind == kind.value,
            OutboxMessage.status.in_([status.value for status in _UNSENT]),
        )
        .with_for_update()
    ).all()
    settle(
        session,
        act,
        [Settled(row.id, MessageStatus(row.status), MessageStatus.SUPPRESSED, reason) for row in rows],
    )
    return bool(rows)


def task_stands(session: Session, office: str, kind: str, subject: str, reason: str) -> bool | None:
    """Tell whether somebody still has to do a task of exactly that reason; None when there never was one."""
    task = session.scalar(
        select(StaffTask).where(
            StaffTask.office == office,
            StaffTask.kind == kind,
            StaffTask.subject == subject,
            StaffTask.reason == reason,
        )
    )
    return None if task is None else task.closed_at is None


def _parts(items: Sequence[str]) -> list[Sequence[str]]:
    return [items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE)]
