"""What the record says of having been restored, and what of it may have happened to people since the backup."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from madoguchi.store.audit import Act
from madoguchi.store.models import Booking, BookingRequest, OutboxMessage, RunRecord
from madoguchi.store.runs import finish_run, start_run

RESTORE = "restore"
"""The flow's name under which a restore stands among the runs: its business time is the loss."""


def note_restore(session: Session, act: Act, made_at: datetime, lost_at: datetime, counts: dict[str, int]) -> None:
    """Record that the record was restored from a backup made at one instant, after a loss at another."""
    run = start_run(session, act.office, RESTORE, None, lost_at, act.recorded_at)
    more = {"made_at": made_at.isoformat(), "lost_at": lost_at.isoformat()}
    finish_run(
        session, run, state="completed", message="Restored", counts={**counts, **more}, incomplete=[],
        now=act.recorded_at,
    )  # fmt: skip


def newest_loss(session: Session, office: str) -> datetime | None:
    """Return when the record was lost last; None when it never was."""
    return session.scalar(
        select(func.max(RunRecord.as_of)).where(RunRecord.office == office, RunRecord.flow == RESTORE)
    )


def perhaps_sent(session: Session, office: str, until: datetime) -> list[tuple[str, str]]:
    """Return id and state of messages that the backup holds as unsent and that were due at the loss."""
    rows = session.execute(
        select(OutboxMessage.id, OutboxMessage.status).where(
            OutboxMessage.office == office,
            OutboxMessage.status.in_(("queued", "retrying", "sending")),
            OutboxMessage.due_at <= until,
        )
    )
    return list(rows.tuples())


def unsent_confirmation(session: Session, booking_id: str) -> list[tuple[str, str]]:
    """Return id and state of a booking's mails with its link that have not been sent."""
    rows = session.execute(
        select(OutboxMessage.id, OutboxMessage.status).where(
            OutboxMessage.booking_id == booking_id,
            OutboxMessage.kind.in_(("confirmed", "changed")),
            OutboxMessage.status.in_(("queued", "retrying")),
        )
    )
    return list(rows.tuples())


def perhaps_booked(session: Session, office: str) -> list[BookingRequest]:
    """Return the applications that wait for a slot or an offer, locked, in the order of submission."""
    return list(
        session.scalars(
            select(BookingRequest)
            .where(BookingRequest.office == office, BookingRequest.status.in_(("received", "waiting", "to_offer")))
            .order_by(BookingRequest.submitted_at, BookingRequest.id)
            .with_for_update()
        )
    )


def booked_before(session: Session, office: str, lost_at: datetime) -> frozenset[str]:
    """Return the references of live sessions that were booked before the record was lost."""
    rows = session.scalars(
        select(Booking.reference).where(
            Booking.office == office, Booking.status.in_(("held", "confirmed")), Booking.held_at <= lost_at
        )
    )
    return frozenset(rows)
