"""Meetings that Zoom must lose: their session is cancelled, moved, deemed cancelled or over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, not_, select, text
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import LIVE_MEETINGS, SETTLED_BOOKINGS, BookingStatus, MeetingStatus
from madoguchi.store.audit import Act
from madoguchi.store.models import Booking, Meeting
from madoguchi.store.transitions import move_meeting

_GIVEN_BACK = SETTLED_BOOKINGS - {BookingStatus.NO_SHOW}


def mark_unwanted(session: Session, booking: Booking, act: Act, reason: str) -> int:
    """Say of every live meeting of a booking that Zoom must lose it, and return how many; `unwanted_meetings` has them.

    One that certainly was never asked for at Zoom is done with at once.
    """
    found = session.scalars(
        select(Meeting)
        .where(Meeting.booking_id == booking.id, Meeting.status.in_([s.value for s in LIVE_MEETINGS]))
        .with_for_update()
    ).all()
    for meeting in found:
        untouched = meeting.meeting_id is None and meeting.attempts == 0
        to = MeetingStatus.DELETED if untouched else MeetingStatus.UNWANTED
        meeting.claim_owner = meeting.claim_until = None
        move_meeting(session, meeting, booking.reference, to, act, reason)
    return len(found)


def unwanted_meetings(
    session: Session, office: str, now: datetime, only: Sequence[str] | None = None
) -> list[Row[Any]]:
    """Return id, token, host, Zoom id and booking reference of meetings that Zoom must lose; `only`: of these ids.

    A session that late truth has given back to its client keeps its meeting until its end: they may be talking.
    """
    given_back = and_(Booking.status.in_([s.value for s in _GIVEN_BACK]), Booking.end_at > now)
    wanted = [] if only is None else [Meeting.id.in_(list(only))]
    return list(
        session.execute(
            select(Meeting.id, Meeting.token, Meeting.host, Meeting.meeting_id, Booking.reference.label("booking"))
            .join(Booking, Booking.id == Meeting.booking_id)
            # A literal, not a parameter: only so does the planner use the partial index.
            .where(Meeting.office == office, text("meeting.status = 'unwanted'"), not_(given_back), *wanted)
            .order_by(Meeting.host, Meeting.id)
        )
    )


def record_deleted(session: Session, row_id: str, booking: str, act: Act, reason: str) -> bool:
    """Record that Zoom has an unwanted meeting no longer; False when another runner was faster."""
    meeting = session.get_one(Meeting, row_id, with_for_update=True)
    if meeting.status != MeetingStatus.UNWANTED.value:
        return False
    move_meeting(session, meeting, booking, MeetingStatus.DELETED, act, reason)
    return True
