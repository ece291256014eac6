"""Changes of state: the arrow is checked, the state set and the audit row written in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import (
    BOOKING_ARROWS,
    MEETING_ARROWS,
    OCCUPYING_BOOKINGS,
    REQUEST_ARROWS,
    BookingStatus,
    MeetingStatus,
    RequestStatus,
    require_arrow,
)
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Booking, BookingRequest, Meeting, Occupancy


def move_request(
    session: Session, request: BookingRequest, to: RequestStatus, act: Act, reason: str | None = None, **details: Any
) -> None:
    """Move a request along its lifecycle; ForbiddenTransition changes nothing."""
    require_arrow(request.reference, REQUEST_ARROWS, RequestStatus(request.status), to)
    row = audit_row(
        act, "request", request.reference, "transition", old=request.status, new=to, reason=reason, details=details
    )
    request.status = to
    write_audit(session, [row])


def move_booking(
    session: Session, booking: Booking, to: BookingStatus, act: Act, reason: str | None = None, **details: Any
) -> None:
    """Move a booking along its lifecycle; leaving the occupying states frees its counsellor and host."""
    move_bookings(session, [(booking, to, reason, details)], act)


def move_bookings(
    session: Session, moves: Sequence[tuple[Booking, BookingStatus, str | None, Mapping[str, Any]]], act: Act
) -> None:
    """Move many bookings, each once (booking, state, reason, details), in a handful of statements."""
    for booking, to, _, _ in moves:
        require_arrow(booking.reference, BOOKING_ARROWS, BookingStatus(booking.status), to)
    rows = []
    for booking, to, reason, details in moves:
        rows.append(
            audit_row(
                act,
                "booking",
                booking.reference,
                "transition",
                old=booking.status,
                new=to,
                reason=reason,
                details=details,
            )
        )
        booking.status = to
        if to == BookingStatus.CONFIRMED:
            booking.confirmed_at = act.happened_at
    freed = [booking.id for booking, to, _, _ in moves if to not in OCCUPYING_BOOKINGS]
    if freed:
        session.execute(delete(Occupancy).where(Occupancy.booking_id.in_(freed)))
    write_audit(session, rows)


def move_meeting(
    session: Session,
    meeting: Meeting,
    booking: str,
    to: MeetingStatus,
    act: Act,
    reason: str | None = None,
    **details: Any,
) -> None:
    """Move a meeting along its lifecycle; `booking` is the reference that the audit row names."""
    require_arrow(booking, MEETING_ARROWS, MeetingStatus(meeting.status), to)
    row = audit_row(act, "meeting", booking, "transition", old=meeting.status, new=to, reason=reason, details=details)
    meeting.status = to
    meeting.changed_at = act.happened_at
    write_audit(session, [row])
