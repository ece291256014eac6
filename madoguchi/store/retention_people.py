"""Retention beside applications: who must be kept, people as a whole, webhooks, bounces, mails to everybody."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from madoguchi.domain.amendment import NoticeRoute
from madoguchi.domain.retention import OPEN_MESSAGES, Kept, RecordClass
from madoguchi.store.models import (
    Amendment,
    BlockedAddress,
    Booking,
    BookingRequest,
    Bounce,
    Client,
    Disclosure,
    Evidence,
    Meeting,
    Notice,
    NoticeSignOff,
    OutboxMessage,
    RecordHold,
    Restriction,
    StaffTask,
    ZoomEventRecord,
)
from madoguchi.store.retention import parts

GRANTED = "granted"


def kept_people(session: Session, office: str, at: datetime) -> dict[str, Kept]:
    """Return the people of whom nothing may go, with the reason: holds, extracts under way, refusals in force.

    All of them: they are few in an office.
    """
    found: dict[str, Kept] = {}
    restricted = select(Restriction.client_id).where(
        Restriction.office == office,
        Restriction.lifted_at.is_(None),
        or_(Restriction.until.is_(None), Restriction.until > at),
    )
    under_way = select(Disclosure.client_id).where(
        Disclosure.office == office, Disclosure.decision == GRANTED, Disclosure.given_at.is_(None)
    )
    held = select(RecordHold.client_id).where(RecordHold.office == office, RecordHold.lifted_at.is_(None))
    for statement, why in ((restricted, Kept.RESTRICTED), (under_way, Kept.DISCLOSURE), (held, Kept.HELD)):
        found |= {client: why for client in session.scalars(statement) if client}
    return found


def numbers_of(session: Session, client_ids: Collection[str]) -> set[bytes]:
    """Return the blind indexes of people's numbers: an application that was turned away has no other link to them."""
    return {
        bytes(index)
        for some in parts(sorted(client_ids))
        for index in session.scalars(select(Client.number_index).where(Client.id.in_(some)))
    }


def requests_with_numbers(session: Session, request_ids: Sequence[str], numbers: Collection[bytes]) -> set[str]:
    """Return which of these applications bear one of the numbers."""
    if not numbers:
        return set()
    rows = session.execute(
        select(BookingRequest.id, BookingRequest.number_index).where(
            BookingRequest.id.in_(request_ids), BookingRequest.number_index.is_not(None)
        )
    ).tuples()
    return {row_id for row_id, index in rows if index is not None and bytes(index) in numbers}


def untold_people(session: Session, office: str, since: datetime) -> set[str]:
    """Return who must still be told of an amendment: recorded since then, not told, nobody has signed it off."""
    signed = select(NoticeSignOff.id).where(
        NoticeSignOff.amendment_id == Notice.amendment_id, NoticeSignOff.purpose == Notice.purpose
    )
    statuses = [status.value for status in OPEN_MESSAGES]
    statement = (
        select(Notice.client_id)
        .join(OutboxMessage, OutboxMessage.id == Notice.message_id, isouter=True)
        .where(
            Notice.office == office,
            Notice.told_at.is_(None),
            Notice.recorded_at >= since,
            or_(Notice.route == NoticeRoute.OTHER.value, OutboxMessage.status.in_(statuses)),
            ~signed.exists(),
        )
    )
    return set(session.scalars(statement))


def notice_mails(session: Session, office: str, before: datetime, after: str, limit: int) -> list[Any]:
    """Return id, client and last moment of mails to everybody that may be over, by id; none that is under way."""
    message = OutboxMessage
    return list(
        session.execute(
            select(message.id, message.client_id, message.changed_at)
            .where(
                message.office == office,
                message.amendment_id.is_not(None),
                message.erased_at.is_(None),
                message.changed_at < before,
                message.status.not_in([status.value for status in OPEN_MESSAGES]),
                message.id > after,
            )
            .order_by(message.id)
            .limit(limit)
        )
    )


def open_subjects(session: Session, office: str) -> set[str]:
    """Return what waits for a person, by subject."""
    return set(
        session.scalars(select(StaffTask.subject).where(StaffTask.office == office, StaffTask.closed_at.is_(None)))
    )


def webhooks(session: Session, office: str, before: datetime, after: str, limit: int) -> list[Any]:
    """Return id, moment and person of webhooks that came before an instant, by id."""
    event = ZoomEventRecord
    return list(
        session.execute(
            select(event.id, event.received_at, Booking.client_id)
            .join(Meeting, and_(Meeting.meeting_id == event.meeting_id, Meeting.office == event.office), isouter=True)
            .join(Booking, Booking.id == Meeting.booking_id, isouter=True)
            .where(event.office == office, event.received_at < before, event.id > after)
            .order_by(event.id)
            .limit(limit)
        )
    )


def bounces(session: Session, office: str, before: datetime, after: str, limit: int) -> list[Any]:
    """Return id, moment, message and person of bounces that still name an address, by id."""
    client = _client_of_message()
    return list(
        session.execute(
            select(Bounce.id, Bounce.recorded_at, Bounce.message_id, client.label("client_id"), Booking.reference)
            .join(OutboxMessage, OutboxMessage.id == Bounce.message_id, isouter=True)
            .join(Booking, Booking.id == OutboxMessage.booking_id, isouter=True)
            .join(BookingRequest, BookingRequest.id == OutboxMessage.request_id, isouter=True)
            .where(
                Bounce.office == office,
                Bounce.address_index.is_not(None),
                Bounce.recorded_at < before,
                Bounce.id > after,
            )
            .order_by(Bounce.id)
            .limit(limit)
        )
    )


def blocks(session: Session, office: str, before: datetime, after: str, limit: int) -> list[Any]:
    """Return id, moment, lifting and person of blocked addresses that may be over, by id."""
    client, block = _client_of_message(), BlockedAddress
    return list(
        session.execute(
            select(block.id, block.since, block.lifted_at, client.label("client_id"))
            .join(Bounce, Bounce.id == block.bounce_id, isouter=True)
            .join(OutboxMessage, OutboxMessage.id == Bounce.message_id, isouter=True)
            .join(Booking, Booking.id == OutboxMessage.booking_id, isouter=True)
            .join(BookingRequest, BookingRequest.id == OutboxMessage.request_id, isouter=True)
            .where(block.office == office, block.since < before, block.id > after)
            .order_by(block.id)
            .limit(limit)
        )
    )


def _client_of_message() -> Any:
    return func.coalesce(OutboxMessage.client_id, Booking.client_id, BookingRequest.client_id)


def clients_with_applications(session: Session, client_ids: Collection[str]) -> set[str]:
    """Return who has an application that is not erased."""
    return {
        client
        for some in parts(sorted(client_ids))
        for client in session.scalars(
            select(BookingRequest.client_id).where(
                BookingRequest.client_id.in_(some), BookingRequest.erased_at.is_(None)
            )
        )
        if client
    }


def clients_to_judge(session: Session, office: str, before: datetime, after: str, limit: int) -> list[Any]:
    """Return, locked, people who are known and have no application left that is not erased, by id."""
    left = select(BookingRequest.id).where(BookingRequest.client_id == Client.id, BookingRequest.erased_at.is_(None))
    return list(
        session.execute(
            select(Client.id, Client.created_at)
            .where(
                Client.office == office,
                Client.erased_at.is_(None),
                Client.created_at < before,
                Client.id > after,
                ~left.exists(),
            )
            .order_by(Client.id)
            .limit(limit)
            .with_for_update()
        )
    )


def has_anything_left(session: Session, client_ids: Sequence[str]) -> set[str]:
    """Return of whom anything at all is left: an application, a mail, a note, the way into a session."""
    bookings = select(Booking.id, Booking.client_id).where(Booking.client_id.in_(client_ids)).subquery()
    message, notices = OutboxMessage, _notices(session, client_ids)
    statements = (
        select(BookingRequest.client_id).where(
            BookingRequest.client_id.in_(client_ids), BookingRequest.erased_at.is_(None)
        ),
        select(bookings.c.client_id).join(Meeting, Meeting.booking_id == bookings.c.id).where(
            Meeting.erased_at.is_(None)
        ),
        select(bookings.c.client_id).join(message, message.booking_id == bookings.c.id).where(
            message.erased_at.is_(None)
        ),
        select(bookings.c.client_id)
        .join(Evidence, Evidence.booking_id == bookings.c.id)
        .where(Evidence.sealed_note.is_not(None), Evidence.erased_at.is_(None)),
        select(BookingRequest.client_id)
        .join(message, message.request_id == BookingRequest.id)
        .where(
            BookingRequest.client_id.in_(client_ids),
            message.booking_id.is_(None),
            message.request_id.is_not(None),
            message.erased_at.is_(None),
        ),
        notices.with_only_columns(Notice.client_id)
        .join(message, message.id == Notice.message_id)
        .where(message.erased_at.is_(None)),
    )  # fmt: skip
    return {client for statement in statements for client in session.scalars(statement.distinct()) if client}


def _notices(session: Session, client_ids: Sequence[str]) -> Any:
    """Select the notices to people by the index that there is: amendment, purpose, client."""
    amendments = list(session.scalars(select(Amendment.id)))
    purposes = ("announced", "withdrawn")
    return select(Notice.client_id, Notice.recorded_at, Notice.told_at).where(
        Notice.amendment_id.in_(amendments), Notice.purpose.in_(purposes), Notice.client_id.in_(client_ids)
    )


def moments_of_people(session: Session, client_ids: Sequence[str]) -> dict[str, dict[RecordClass, list[datetime]]]:
    """Return by person when what keeps a person known happened: sessions, notices, refusals, extracts."""
    found: dict[str, dict[RecordClass, list[datetime]]] = {client: {} for client in client_ids}

    def add(record_class: RecordClass, rows: Any) -> None:
        for client, *moments in rows:
            found[client].setdefault(record_class, []).extend(moment for moment in moments if moment)

    add(
        RecordClass.BOOKING,
        session.execute(select(Booking.client_id, Booking.end_at).where(Booking.client_id.in_(client_ids))),
    )
    add(RecordClass.NOTICE, session.execute(_notices(session, client_ids)))
    add(
        RecordClass.RESTRICTION,
        session.execute(
            select(Restriction.client_id, Restriction.starts_at, Restriction.until, Restriction.lifted_at).where(
                Restriction.client_id.in_(client_ids)
            )
        ),
    )
    add(
        RecordClass.DISCLOSURE,
        session.execute(
            select(Disclosure.client_id, Disclosure.decided_at, Disclosure.given_at).where(
                Disclosure.client_id.in_(client_ids)
            )
        ),
    )
    return found
