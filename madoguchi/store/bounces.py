"""Bounces in the record, and addresses to which no mail goes any more. Addresses stand here by blind index only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, distinct, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from madoguchi.domain.bounce import CAME_BACK, BounceKind, Notified, normalised_address
from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS
from madoguchi.domain.message import MessageStatus
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import (
    BlockedAddress,
    Booking,
    BookingRequest,
    Bounce,
    Notice,
    OutboxMessage,
    StaffTask,
)
from madoguchi.store.types import new_id
from madoguchi.store.vault import Vault

_PURPOSE = "mail-address"
_NEVER_LEFT = frozenset({MessageStatus.QUEUED, MessageStatus.SUPPRESSED, MessageStatus.MISSED})


def address_index(vault: Vault, address: str) -> bytes:
    """Return the blind index of a mail address: equal for spellings that lead to the same mailbox, as far as we know.

    Full-width letters, capitals and the quotes of a quoted local part make no difference.
    """
    return vault.index(_PURPOSE, normalised_address(address))


def blocked(session: Session, office: str) -> frozenset[bytes]:
    """Return the blind indexes of all addresses of an office to which no mail goes at the moment."""
    return frozenset(
        session.scalars(
            select(BlockedAddress.address_index).where(
                BlockedAddress.office == office, BlockedAddress.lifted_at.is_(None)
            )
        )
    )


def returned_message(session: Session, office: str, message_id: str) -> Row[Any] | None:
    """Return the message that came back, with what it is about; None for one that we never gave to a relay."""
    message = OutboxMessage
    row = session.execute(
        select(
            message.id,
            message.status,
            message.attempts,
            message.sealed_context,
            message.amendment_id,
            message.client_id,
            Booking.reference.label("booking"),
            BookingRequest.reference.label("request"),
            Notice.reference.label("notice"),
        )
        .join(Booking, Booking.id == message.booking_id, isouter=True)
        .join(BookingRequest, BookingRequest.id == message.request_id, isouter=True)
        .join(Notice, Notice.message_id == message.id, isouter=True)
        .where(message.office == office, message.id == message_id)
        .limit(1)
    ).one_or_none()
    if row is None or (row.status in _NEVER_LEFT and not row.attempts):
        return None
    return row


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBounce:
    """What one notification says about one recipient, as the record keeps it. `address_index`: None if unknown."""

    dedupe_key: str
    message_id: str | None
    address_index: bytes | None
    kind: BounceKind
    said: Notified
    arrived_at: datetime


def add_bounce(session: Session, act: Act, new: NewBounce) -> str | None:
    """Keep a notification and return its id; None when it is known already, also to a run that is under way."""
    known = select(Bounce.id).where(Bounce.office == act.office, Bounce.dedupe_key == new.dedupe_key)
    if session.scalar(known) is not None:
        return None
    row_id = new_id()
    try:
        with session.begin_nested():
            session.add(
                Bounce(
                    id=row_id,
                    office=act.office,
                    dedupe_key=new.dedupe_key,
                    message_id=new.message_id,
                    address_index=new.address_index,
                    kind=new.kind.value,
                    action=new.said.action.value,
                    status_code=new.said.status or new.said.reply,
                    arrived_at=new.arrived_at,
                    recorded_at=act.recorded_at,
                )
            )
    except IntegrityError:
        return None
    subject = ("message", new.message_id) if new.message_id else ("bounce", row_id)
    details = {"action": new.said.action.value, "status": new.said.status or new.said.reply, "bounce": row_id}
    write_audit(session, [audit_row(act, *subject, "bounced", new=new.kind.value, details=details)])
    return row_id


def soft_bounces(session: Session, office: str, index: bytes, since: datetime) -> int:
    """Count the messages to an address that came back softly since an instant; those of one message count once.

    One that is merely delayed has not come back: it arrives yet, or comes back with a notification of its own.
    """
    return (
        session.scalar(
            select(func.count(distinct(Bounce.message_id))).where(
                Bounce.office == office,
                Bounce.address_index == index,
                Bounce.message_id.is_not(None),
                Bounce.kind.in_([BounceKind.SOFT.value, BounceKind.UNKNOWN.value]),
                Bounce.action.in_(CAME_BACK),
                Bounce.arrived_at >= since,
            )
        )
        or 0
    )


def last_lifted(session: Session, office: str, index: bytes) -> datetime | None:
    """Return when a person last said that an address can be used: what came before counts no more."""
    return session.scalar(
        select(func.max(BlockedAddress.lifted_at)).where(
            BlockedAddress.office == office, BlockedAddress.address_index == index
        )
    )


def block(session: Session, act: Act, index: bytes, reason: str, bounce_id: str) -> bool:
    """Stop mail to an address and tell whether that is new."""
    standing = select(BlockedAddress.id).where(
        BlockedAddress.office == act.office,
        BlockedAddress.address_index == index,
        BlockedAddress.lifted_at.is_(None),
    )
    if session.scalar(standing) is not None:
        return False
    try:
        with session.begin_nested():
            session.add(
                BlockedAddress(
                    office=act.office,
                    address_index=index,
                    reason=reason,
                    bounce_id=bounce_id,
                    since=act.happened_at,
                    lifted_at=None,
                    lifted_by=None,
                )
            )
    except IntegrityError:
        return False
    write_audit(session, [audit_row(act, "bounce", bounce_id, "blocked", reason=reason)])
    return True


def lift(session: Session, act: Act, indexes: Collection[bytes], reason: str) -> int:
    """Let mail go to addresses again and return how many were blocked."""
    rows = session.scalars(
        select(BlockedAddress)
        .where(
            BlockedAddress.office == act.office,
            BlockedAddress.address_index.in_(list(indexes)),
            BlockedAddress.lifted_at.is_(None),
        )
        .with_for_update()
    ).all()
    for row in rows:
        row.lifted_at, row.lifted_by = act.happened_at, act.actor
    write_audit(session, [audit_row(act, "bounce", row.bounce_id or row.id, "lifted", reason=reason) for row in rows])
    return len(rows)


def addresses_of(session: Session, office: str, client_id: str | None, request_id: str | None) -> list[bytes]:
    """Return the indexes of the addresses of a person, or of an application without one, from which mail came back."""
    whose = []
    if client_id:
        whose += [
            OutboxMessage.client_id == client_id,
            Booking.client_id == client_id,
            BookingRequest.client_id == client_id,
        ]
    if request_id:
        whose.append(OutboxMessage.request_id == request_id)
    return list(
        session.scalars(
            select(Bounce.address_index)
            .join(OutboxMessage, OutboxMessage.id == Bounce.message_id)
            .join(Booking, Booking.id == OutboxMessage.booking_id, isouter=True)
            .join(BookingRequest, BookingRequest.id == OutboxMessage.request_id, isouter=True)
            .where(Bounce.office == office, Bounce.address_index.is_not(None), or_(*whose))
            .distinct()
        )
    )


def session_ahead(session: Session, office: str, client_id: str, after: datetime) -> str | None:
    """Return the reference of a person's next session, if there is one."""
    return session.scalar(
        select(Booking.reference)
        .where(
            Booking.office == office,
            Booking.client_id == client_id,
            Booking.status.in_([status.value for status in ACTIVE_BOOKINGS]),
            Booking.start_at > after,
        )
        .order_by(Booking.start_at)
        .limit(1)
    )


def open_count(session: Session, office: str, kind: str) -> int:
    """Return how many matters of a kind wait for a person."""
    waiting = select(func.count()).select_from(StaffTask)
    return (
        session.scalar(waiting.where(StaffTask.office == office, StaffTask.kind == kind, StaffTask.closed_at.is_(None)))
        or 0
    )


def open_task(session: Session, office: str, kind: str, subject: str) -> StaffTask | None:
    """Return a matter that waits for a person."""
    return session.scalar(
        select(StaffTask).where(
            StaffTask.office == office,
            StaffTask.kind == kind,
            StaffTask.subject == subject,
            StaffTask.closed_at.is_(None),
        )
    )
