"""What the record holds that is due on a day: sessions, messages, versions of the terms."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from madoguchi.store.models import Booking, BookingRequest, OutboxMessage, TermsVersion

_LIVE = ("held", "confirmed")


def live_sessions(session: Session, office: str, start: datetime, end: datetime) -> Sequence[Row[tuple[str, datetime]]]:
    """Return reference and start of sessions that are held or confirmed and begin between two instants."""
    return session.execute(
        select(Booking.reference, Booking.start_at)
        .where(Booking.office == office, Booking.status.in_(_LIVE), Booking.start_at >= start, Booking.start_at < end)
        .order_by(Booking.start_at, Booking.reference)
    ).all()


def messages_due(session: Session, office: str, start: datetime, end: datetime) -> list[tuple[str, str, datetime]]:
    """Return kind, reference and time of unsent messages about one person that are due between two instants."""
    reference = func.coalesce(Booking.reference, BookingRequest.reference, OutboxMessage.message_id)
    rows = session.execute(
        select(OutboxMessage.kind, reference, OutboxMessage.due_at)
        .outerjoin(Booking, Booking.id == OutboxMessage.booking_id)
        .outerjoin(BookingRequest, BookingRequest.id == OutboxMessage.request_id)
        .where(
            OutboxMessage.office == office,
            OutboxMessage.lane == "",
            OutboxMessage.status.in_(("queued", "retrying")),
            OutboxMessage.due_at >= start,
            OutboxMessage.due_at < end,
        )
        .order_by(OutboxMessage.due_at, OutboxMessage.id)
    )
    return list(rows.tuples())


def versions_from(session: Session, office: str, start: datetime, end: datetime) -> list[tuple[str, datetime]]:
    """Return code and time of versions of the terms that come into force between two instants."""
    rows = session.execute(
        select(TermsVersion.code, TermsVersion.effective_at).where(
            TermsVersion.office == office,
            TermsVersion.document == "service",
            TermsVersion.withdrawn_at.is_(None),
            TermsVersion.effective_at >= start,
            TermsVersion.effective_at < end,
        )
    )
    return list(rows.tuples())
