"""What comparing our meetings with Zoom reads of the record, and what it puts right there. Nothing here commits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import SETTLED_BOOKINGS, BookingStatus, MeetingStatus
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.meeting_removal import mark_unwanted
from madoguchi.store.meetings import seal_access
from madoguchi.store.models import Booking, Meeting, StaffTask
from madoguchi.store.transitions import move_booking, move_meeting
from madoguchi.store.vault import Vault

_AT_ONCE = 500


def sessions_ahead(session: Session, office: str, as_of: datetime) -> list[Row[Any]]:
    """Return confirmed bookings that start after `as_of`, each with its verified meeting, if the record has one."""
    return list(
        session.execute(
            _columns()
            .join(
                Meeting,
                and_(Meeting.booking_id == Booking.id, Meeting.status == MeetingStatus.VERIFIED.value),
                isouter=True,
            )
            .where(
                Booking.office == office,
                Booking.status == BookingStatus.CONFIRMED.value,
                Booking.start_at > as_of,
            )
            .order_by(Booking.start_at, Booking.id)
        )
    )


def meetings_listed(session: Session, office: str, ids: Collection[str], tokens: Collection[str]) -> list[Row[Any]]:
    """Return the office's meetings with one of these Zoom ids or tokens, of whatever state."""
    found: dict[str, Row[Any]] = {}
    for column, values in ((Meeting.meeting_id, sorted(ids)), (Meeting.token, sorted(tokens))):
        for at in range(0, len(values), _AT_ONCE):
            rows = session.execute(
                _columns()
                .join(Meeting, Meeting.booking_id == Booking.id)
                .where(Meeting.office == office, column.in_(values[at : at + _AT_ONCE]))
            )
            found |= {row.row_id: row for row in rows}
    return list(found.values())


def _columns() -> Select[Any]:
    return select(
        Booking.id.label("booking_id"),
        Booking.reference.label("booking"),
        Booking.status.label("booking_status"),
        Booking.start_at,
        Booking.host.label("booking_host"),
        Meeting.id.label("row_id"),
        Meeting.host,
        Meeting.token,
        Meeting.meeting_id,
        Meeting.status.label("meeting_status"),
        Meeting.sealed_access,
    ).select_from(Booking)


def hold_again(session: Session, booking_id: str, meeting_id: str | None, act: Act, reason: str) -> bool:
    """Let a confirmed booking wait for a new meeting at the same time, since Zoom has the old one no longer.

    False, and nothing is changed, when the booking is not confirmed any more, has begun, or has another meeting now.
    """
    booking = _locked(session, booking_id)
    if booking.status != BookingStatus.CONFIRMED.value or booking.start_at <= act.happened_at:
        return False
    meeting = _verified(session, booking)
    if (meeting.meeting_id if meeting else None) != meeting_id:
        return False
    if meeting is not None:
        move_meeting(session, meeting, booking.reference, MeetingStatus.DELETED, act, reason)
    move_booking(session, booking, BookingStatus.HELD, act, reason)
    return True


def change_link(
    session: Session, vault: Vault, booking_id: str, meeting_id: str, act: Act, *, join_url: str, passcode: str
) -> Booking | None:
    """Keep the link that Zoom has now, as a new revision of booking and meeting; the caller tells the client.

    None, and nothing is changed, when the booking is not confirmed any more, has begun, or has another meeting now.
    """
    # It counts as confirmed now: a reminder that is due already would only say once more what the new mail says.
    booking = _locked(session, booking_id)
    if booking.status != BookingStatus.CONFIRMED.value or booking.start_at <= act.happened_at:
        return None
    meeting = _verified(session, booking)
    if meeting is None or meeting.meeting_id != meeting_id:
        return None
    newest = session.scalar(select(func.max(Meeting.revision)).where(Meeting.booking_id == booking_id)) or 0
    seal_access(vault, meeting, join_url, passcode)
    meeting.revision = booking.revision = max(newest, booking.revision) + 1
    meeting.changed_at = booking.confirmed_at = act.happened_at
    details = {"revision": booking.revision}
    write_audit(session, [audit_row(act, "booking", booking.reference, "link", reason="LINK_CHANGED", details=details)])
    session.flush()
    return booking


def call_off_meeting(session: Session, booking_id: str, act: Act, reason: str) -> None:
    """Say of the live meetings of a booking that has no session any more that Zoom must lose them."""
    booking = _locked(session, booking_id)
    if booking.status in {BookingStatus.CANCELLED.value, BookingStatus.RELEASED.value}:
        mark_unwanted(session, booking, act, reason)


def sessions_over(session: Session, office: str, after: datetime, before: datetime) -> list[Row[Any]]:
    """Return sessions that started in `[after, before)` and whose verified meeting is still at Zoom, earliest first.

    Those without a verdict are among them.
    """
    statuses = [BookingStatus.CONFIRMED.value, *sorted(status.value for status in SETTLED_BOOKINGS)]
    return list(
        session.execute(
            _columns()
            .add_columns(Booking.end_at, Meeting.revision)
            .join(Meeting, Meeting.booking_id == Booking.id)
            .where(
                Booking.office == office,
                Booking.start_at >= after,
                Booking.start_at < before,
                Booking.status.in_(statuses),
                Meeting.status == MeetingStatus.VERIFIED.value,
                Meeting.meeting_id.is_not(None),
            )
            .order_by(Booking.start_at, Booking.id)
        )
    )


def retire_meeting(session: Session, booking_id: str, meeting_id: str, act: Act) -> bool:
    """Say of the meeting of a session that is over that Zoom must lose it; False when no verdict stands yet."""
    booking = _locked(session, booking_id)
    meeting = _verified(session, booking)
    if BookingStatus(booking.status) not in SETTLED_BOOKINGS or meeting is None or meeting.meeting_id != meeting_id:
        return False
    move_meeting(session, meeting, booking.reference, MeetingStatus.UNWANTED, act, "SESSION_OVER")
    return True


def waiting(session: Session, office: str, kinds: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return kind, subject and reason of what waits for a person."""
    rows = session.execute(
        select(StaffTask.kind, StaffTask.subject, StaffTask.reason).where(
            StaffTask.office == office, StaffTask.kind.in_(kinds), StaffTask.closed_at.is_(None)
        )
    ).tuples()
    return [(kind, subject, reason or "") for kind, subject, reason in rows]


def close_task(session: Session, act: Act, kind: str, subject: str) -> None:
    """Close one matter that has settled itself."""
    task = session.scalar(
        select(StaffTask)
        .where(
            StaffTask.office == act.office,
            StaffTask.kind == kind,
            StaffTask.subject == subject,
            StaffTask.closed_at.is_(None),
        )
        .with_for_update()
    )
    if task is not None:
        task.closed_at, task.closed_by = act.happened_at, act.actor


def _locked(session: Session, booking_id: str) -> Booking:
    return session.get_one(Booking, booking_id, with_for_update=True, populate_existing=True)


def _verified(session: Session, booking: Booking) -> Meeting | None:
    return session.scalar(
        select(Meeting)
        .where(Meeting.booking_id == booking.id, Meeting.status == MeetingStatus.VERIFIED.value)
        .order_by(Meeting.revision.desc())
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
