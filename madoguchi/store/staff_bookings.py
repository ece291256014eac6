"""What the forms of staff read and change in the record; nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.store.models import Audit, Booking, BookingRequest


def booking_by_reference(session: Session, office: str, reference: str) -> Booking | None:
    """Return a booking, locked until the transaction ends."""
    return session.scalar(
        select(Booking)
        .where(Booking.office == office, Booking.reference == reference)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def request_by_reference(session: Session, office: str, reference: str) -> BookingRequest | None:
    """Return an application, locked until the transaction ends."""
    return session.scalar(
        select(BookingRequest)
        .where(BookingRequest.office == office, BookingRequest.reference == reference)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def last_act(session: Session, office: str, subject: str, action: str = "transition") -> Audit | None:
    """Return the newest audit row of a subject: who brought it where it stands, why, and both times."""
    return session.scalar(
        select(Audit)
        .where(Audit.office == office, Audit.subject == subject, Audit.action == action)
        .order_by(Audit.id.desc())
        .limit(1)
    )


def sessions_of(session: Session, office: str, references: Sequence[str]) -> list[tuple[str, str, datetime]]:
    """Return booking reference, request reference and start of bookings, by start."""
    rows = session.execute(
        select(Booking.reference, BookingRequest.reference, Booking.start_at)
        .join(BookingRequest, BookingRequest.id == Booking.request_id)
        .where(Booking.office == office, Booking.reference.in_(list(references)))
        .order_by(Booking.start_at, Booking.reference)
    )
    return [(booking, request, start) for booking, request, start in rows.tuples()]
