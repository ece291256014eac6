"""Everything that the record holds of one person, by scope, for an extract under law (Art. 7(2) proviso)."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from madoguchi.domain.retention import ERASED_JA
from madoguchi.store.listing_of_the_day import evidence_about, iso, verdicts_about
from madoguchi.store.models import (
    Booking,
    BookingRequest,
    Client,
    Disclosure,
    Meeting,
    Notice,
    OutboxMessage,
    Restriction,
    ZoomEventRecord,
)
from madoguchi.store.vault import Erased, Vault


def disclosure_by_reference(session: Session, office: str, reference: str, *, lock: bool = False) -> Disclosure | None:
    """Return an entry of the register; with `lock` held until the transaction ends."""
    query = select(Disclosure).where(Disclosure.office == office, Disclosure.reference == reference)
    return session.scalar(query.with_for_update() if lock else query)


def same_decision(session: Session, row: Disclosure) -> Disclosure | None:
    """Return the entry that says the same about the same paper, if there is one."""
    rows = session.scalars(
        select(Disclosure)
        .where(
            Disclosure.office == row.office,
            Disclosure.client_id == row.client_id,
            Disclosure.authority == row.authority,
            Disclosure.legal_basis == row.legal_basis,
            Disclosure.paper == row.paper,
            Disclosure.decision == row.decision,
            Disclosure.approver == row.approver,
        )
        .order_by(Disclosure.decided_at.desc())
    )
    return next((one for one in rows if one.scope == row.scope), None)


def gather(session: Session, vault: Vault, client: Client, scope: Collection[str]) -> dict[str, Any]:
    """Return what the record holds of one person inside the scope, in words and times of Japan, ready for JSON.

    Applications that merely bear the same number are not taken for the person's: they are counted, and no more.
    """
    parts: dict[str, Callable[[Session, Vault, Client], Any]] = {
        "identity": _identity,
        "applications": _applications,
        "sessions": _sessions,
        "messages": _messages,
        "device": _device,
        "decisions": _decisions,
    }
    found = {name: part(session, vault, client) for name, part in parts.items() if name in scope}
    if "applications" in scope:
        found["not_attributed"] = _same_number_only(session, client)
    return found


def _opened(vault: Vault, sealed: bytes | None, place: str) -> Any:
    if not sealed:
        return None
    try:
        return vault.open_json(sealed, place)
    except Erased:
        return ERASED_JA


def _identity(_session: Session, vault: Vault, client: Client) -> Any:
    return _opened(vault, client.sealed_personal, f"client.sealed_personal.{client.id}")


def _applications(session: Session, vault: Vault, client: Client) -> list[dict[str, Any]]:
    rows = session.scalars(
        select(BookingRequest).where(BookingRequest.client_id == client.id).order_by(BookingRequest.recorded_at)
    )
    listed = []
    for row in rows:
        values = _opened(vault, row.sealed_values, f"booking_request.sealed_values.{row.id}")
        listed.append(
            {
                "reference": row.reference,
                "submitted_at": iso(row.submitted_at),
                "recorded_at": iso(row.recorded_at),
                "status": row.status,
                "reason": row.reason,
                "content": values["application"] if isinstance(values, dict) else values,
            }
        )
    return listed


def _same_number_only(session: Session, client: Client) -> int:
    rows = select(BookingRequest.id).where(
        BookingRequest.office == client.office,
        BookingRequest.number_index == client.number_index,
        or_(BookingRequest.client_id.is_(None), BookingRequest.client_id != client.id),
    )
    return len(session.scalars(rows).all())


def _bookings(session: Session, client: Client) -> list[Booking]:
    return list(session.scalars(select(Booking).where(Booking.client_id == client.id).order_by(Booking.start_at)))


def _sessions(session: Session, _vault: Vault, client: Client) -> list[dict[str, Any]]:
    return [
        {
            "reference": booking.reference,
            "start": iso(booking.start_at),
            "end": iso(booking.end_at),
            "status": booking.status,
            "counsellor": booking.counsellor,
            "verdicts": verdicts_about(session, booking.id),
            "evidence": evidence_about(session, booking.id),
        }
        for booking in _bookings(session, client)
    ]


def _messages(session: Session, vault: Vault, client: Client) -> list[dict[str, Any]]:
    message = OutboxMessage
    bookings = select(Booking.id).where(Booking.client_id == client.id)
    requests = select(BookingRequest.id).where(BookingRequest.client_id == client.id)
    notices = select(Notice.message_id).where(Notice.client_id == client.id)
    rows = session.scalars(
        select(message)
        .where(or_(message.booking_id.in_(bookings), message.request_id.in_(requests), message.id.in_(notices)))
        .order_by(message.queued_at, message.id)
    )
    return [
        {
            "kind": row.kind,
            "status": row.status,
            "queued_at": iso(row.queued_at),
            "sent_at": iso(row.sent_at),
            "content": _opened(vault, row.sealed_context, f"outbox_message.sealed_context.{row.id}"),
        }
        for row in rows
    ]


def _device(session: Session, vault: Vault, client: Client) -> list[dict[str, Any]]:
    event = ZoomEventRecord
    rows = session.execute(
        select(event.id, event.event, event.happened_at, event.sealed_body, Booking.reference)
        .join(Meeting, Meeting.meeting_id == event.meeting_id)
        .join(Booking, Booking.id == Meeting.booking_id)
        .where(event.office == client.office, Meeting.office == client.office, Booking.client_id == client.id)
        .order_by(event.happened_at, event.id)
    )
    return [
        {
            "booking": row.reference,
            "event": row.event,
            "happened_at": iso(row.happened_at),
            "body": _body(vault, row),
        }
        for row in rows
    ]


def _body(vault: Vault, row: Any) -> Any:
    raw = vault.open(row.sealed_body, f"zoom_event.sealed_body.{row.id}")
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def _decisions(session: Session, _vault: Vault, client: Client) -> list[dict[str, Any]]:
    rows = session.scalars(
        select(Restriction).where(Restriction.client_id == client.id).order_by(Restriction.starts_at)
    )
    return [
        {
            "reference": row.reference,
            "ground": row.ground,
            "reason": row.reason,
            "document": row.document,
            "starts_at": iso(row.starts_at),
            "until": iso(row.until),
            "lifted_at": iso(row.lifted_at),
        }
        for row in rows
    ]
