"""Confirmed bookings that reminders are not recorded for, and what a reminder says of their meetings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, exists, select
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import BookingStatus, MeetingStatus
from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.domain.reminders import REMINDER_KINDS, ReminderWindow
from madoguchi.store.meetings import meeting_access
from madoguchi.store.models import Booking, BookingRequest, Meeting, OutboxMessage
from madoguchi.store.vault import Vault

_LEFT = frozenset({MessageStatus.SENDING.value, MessageStatus.SENT.value, MessageStatus.UNCERTAIN.value})


def bookings_to_remind(session: Session, office: str, after: datetime, before: datetime) -> list[Row[Any]]:
    """Return confirmed bookings that start between and lack a reminder of their present revision, the earliest first.

    `has_<kind>` of a row tells whether that one is recorded. What is due is not decided here.
    """
    recorded = {
        kind: exists().where(
            OutboxMessage.booking_id == Booking.id,
            OutboxMessage.kind == kind.value,
            OutboxMessage.revision == Booking.revision,
        )
        for kind in REMINDER_KINDS
    }
    return list(
        session.execute(
            select(
                Booking.id,
                Booking.reference,
                Booking.start_at,
                Booking.confirmed_at,
                *(there.label(f"has_{kind.value}") for kind, there in recorded.items()),
            )
            .where(
                Booking.office == office,
                Booking.status == BookingStatus.CONFIRMED.value,
                Booking.start_at > after,
                Booking.start_at < before,
                ~and_(*recorded.values()),
            )
            .order_by(Booking.start_at, Booking.id)
        )
    )


def lock_confirmed(session: Session, ids: Sequence[str]) -> list[Booking]:
    """Return those of the bookings that are confirmed, read anew and locked until the transaction ends.

    Always in the order of their ids: two runners wait for each other, never both ways.
    """
    return list(
        session.scalars(
            select(Booking)
            .where(Booking.id.in_(ids), Booking.status == BookingStatus.CONFIRMED.value)
            .order_by(Booking.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )


class RemindersRecorded:
    """The reminders that the record has of some bookings, read once."""

    def __init__(self, session: Session, bookings: Sequence[Booking]) -> None:
        self._rows: dict[tuple[str, str], list[Row[Any]]] = defaultdict(list)
        message = OutboxMessage
        for row in session.execute(
            select(message.booking_id, message.kind, message.revision, message.status, message.due_at).where(
                message.booking_id.in_([booking.id for booking in bookings]),
                message.kind.in_([kind.value for kind in REMINDER_KINDS]),
            )
        ):
            self._rows[row.booking_id, row.kind].append(row)

    def has(self, booking: Booking, window: ReminderWindow) -> bool:
        """Tell whether this reminder is recorded, or has left for the same session before only its link was changed."""
        return any(
            row.revision == booking.revision or (row.status in _LEFT and row.due_at == window.due_at)
            for row in self._rows[booking.id, window.kind.value]
        )


@dataclass(frozen=True, slots=True)
class Access:
    """What a client needs to enter a session; stays out of `repr`."""

    meeting_id: str = field(repr=False)
    passcode: str = field(repr=False)
    join_url: str = field(repr=False)


def verified_access(session: Session, vault: Vault, bookings: Sequence[Booking]) -> dict[str, Access]:
    """Return by booking how its session is entered; a booking without a verified meeting at its time has no entry."""
    starts = {booking.id: booking.start_at for booking in bookings}
    found = {}
    for meeting in session.scalars(
        select(Meeting)
        .where(Meeting.booking_id.in_(list(starts)), Meeting.status == MeetingStatus.VERIFIED.value)
        .order_by(Meeting.revision)
    ):
        access = meeting_access(vault, meeting)
        if meeting.start_at == starts[meeting.booking_id] and meeting.meeting_id and access.get("join_url"):
            found[meeting.booking_id] = Access(meeting.meeting_id, access["passcode"], access["join_url"])
    return found


def requests_of(session: Session, bookings: Sequence[Booking]) -> dict[str, BookingRequest]:
    """Return the requests of bookings by their ids."""
    ids = [booking.request_id for booking in bookings]
    return {
        request.id: request for request in session.scalars(select(BookingRequest).where(BookingRequest.id.in_(ids)))
    }


def lacks(row: Row[Any], kind: MailKind) -> bool:
    """Tell whether a row of `bookings_to_remind` has no reminder of that kind yet."""
    return not getattr(row, f"has_{kind.value}")
