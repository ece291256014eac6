"""What `madoguchi list` and `madoguchi show` read. Lists hold references and states only; `one` opens sealed values."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS
from madoguchi.domain.office import StandingPolicy
from madoguchi.domain.retention import ERASED_JA
from madoguchi.store import listing_of_the_day as day_lists
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.listing_of_the_day import iso as iso  # noqa: PLC0414 — asked of this module too
from madoguchi.store.listing_of_the_terms import terms_of_booking
from madoguchi.store.meetings import live_meeting, meeting_access
from madoguchi.store.models import (
    Audit,
    Booking,
    BookingRequest,
    Consent,
    ExportFile,
    Meeting,
    OutboxMessage,
    TermsVersion,
)
from madoguchi.store.vault import Erased, Vault

KINDS = ("requests", "bookings", "meetings", "messages", *day_lists.KINDS)


def listed(
    session: Session, office: str, kind: str, day: date | None = None, status: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a list. `day` (Asia/Tokyo): submitted, held, due on it; `status`: exactly that one.

    Of tasks: opened on it, `open` or `closed`. Of verdicts: the day of the session, and the verdict. Of evidence: the
    day on which it happened, and the kind.

    Without personal data: references, states, times as ISO 8601 in Japan's offset.
    """
    if kind in day_lists.KINDS:
        yield from day_lists.listed(session, office, kind, day, status)
        return
    statement, shape = {
        "requests": (_requests(office, day, status), _request),
        "bookings": (_bookings(office, day, status), _booking),
        "meetings": (_meetings(office, day, status), _meeting),
        "messages": (_messages(office, day, status), _message),
    }[kind]
    for row in session.execute(statement.execution_options(yield_per=1000)):
        yield shape(row)


def _where(statement: Any, column: Any, day: date | None, state: Any, status: str | None) -> Any:
    conditions = day_lists.span(column, day)
    if status:
        conditions.append(state == status)
    return statement.where(*conditions)


def _requests(office: str, day: date | None, status: str | None) -> Any:
    request = BookingRequest
    statement = (
        select(
            request.reference,
            request.source,
            ExportFile.name.label("file"),
            request.row_number,
            request.outcome,
            request.reason,
            request.flags,
            request.status,
            Booking.reference.label("booking"),
        )
        .join(ExportFile, ExportFile.id == request.file_id)
        .join(
            Booking,
            (Booking.request_id == request.id) & Booking.status.in_([s.value for s in ACTIVE_BOOKINGS]),
            isouter=True,
        )
        .where(request.office == office)
        .order_by(ExportFile.first_read_at, request.file_id, request.row_number, request.occurrence)
    )
    return _where(statement, request.submitted_at, day, request.status, status)


def _request(row: Any) -> dict[str, Any]:
    return {
        "reference": row.reference,
        "source": row.source,
        "file": row.file,
        "row": row.row_number,
        "outcome": row.outcome,
        "reason": row.reason,
        "flags": row.flags,
        "status": row.status,
        "booking": row.booking,
    }


def _bookings(office: str, day: date | None, status: str | None) -> Any:
    statement = (
        select(
            Booking.reference,
            BookingRequest.reference.label("request"),
            Booking.start_at,
            Booking.end_at,
            Booking.status,
            Booking.revision,
            Booking.counsellor,
            Booking.host,
            Meeting.meeting_id,
        )
        .join(BookingRequest, BookingRequest.id == Booking.request_id)
        .join(Meeting, (Meeting.booking_id == Booking.id) & (Meeting.status == "verified"), isouter=True)
        .where(Booking.office == office)
        .order_by(Booking.start_at, Booking.counsellor, Booking.reference)
    )
    return _where(statement, Booking.start_at, day, Booking.status, status)


def _booking(row: Any) -> dict[str, Any]:
    return {
        "reference": row.reference,
        "request": row.request,
        "start": iso(row.start_at),
        "end": iso(row.end_at),
        "status": row.status,
        "revision": row.revision,
        "counsellor": row.counsellor,
        "host": row.host,
        "meeting_id": row.meeting_id,
    }


def _meetings(office: str, day: date | None, status: str | None) -> Any:
    statement = (
        select(Booking.reference.label("booking"), Meeting.meeting_id, Meeting.host, Meeting.start_at, Meeting.status)
        .join(Booking, Booking.id == Meeting.booking_id)
        .where(Meeting.office == office)
        .order_by(Meeting.start_at, Meeting.host, Meeting.id)
    )
    return _where(statement, Meeting.start_at, day, Meeting.status, status)


def _meeting(row: Any) -> dict[str, Any]:
    return {
        "booking": row.booking,
        "meeting_id": row.meeting_id,
        "host": row.host,
        "start": iso(row.start_at),
        "status": row.status,
    }


def _messages(office: str, day: date | None, status: str | None) -> Any:
    message = OutboxMessage
    statement = (
        select(
            message.id,
            message.kind,
            Booking.reference.label("booking"),
            message.revision,
            message.status,
            message.attempts,
            message.due_at,
            message.sent_at,
            message.message_id,
        )
        .join(Booking, Booking.id == message.booking_id, isouter=True)
        .where(message.office == office)
        .order_by(message.due_at, message.id)
    )
    return _where(statement, message.due_at, day, message.status, status)


def _message(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "booking": row.booking,
        "revision": row.revision,
        "status": row.status,
        "attempts": row.attempts,
        "due_at": iso(row.due_at),
        "sent_at": iso(row.sent_at),
        "message_id": row.message_id,
    }


def show(
    session: Session, vault: Vault, reference: str, act: Act, policy: StandingPolicy | None = None
) -> dict[str, Any] | None:
    """Return one request, booking, message or restriction, and leave an audit row of having looked.

    With personal data, and with everything that explains a verdict or a decision later: evidence with both times,
    every verdict, the person's other sessions and restrictions. `policy`: by which the person's standing is told.
    None when the reference is nobody's; nothing is recorded then.
    """
    policy = policy or StandingPolicy()
    request = session.scalar(
        select(BookingRequest).where(BookingRequest.office == act.office, BookingRequest.reference == reference)
    )
    booking = session.scalar(select(Booking).where(Booking.office == act.office, Booking.reference == reference))
    message = session.scalar(
        select(OutboxMessage).where(OutboxMessage.office == act.office, OutboxMessage.id == reference)
    )
    if request is not None:
        found, kind = _show_request(session, vault, request), "request"
        found |= _person(session, act, request.client_id, policy)
    elif booking is not None:
        found, kind = _show_booking(session, vault, booking), "booking"
        found |= _person(session, act, booking.client_id, policy)
    elif message is not None:
        found, kind = _show_message(session, vault, message), "message"
    elif restriction := day_lists.restriction(session, act.office, reference):
        found, kind = restriction, "restriction"
    else:
        return None
    found["history"] = _history(session, act.office, reference)
    write_audit(session, [audit_row(act, kind, reference, "shown")])
    return found


def _person(session: Session, act: Act, client_id: str | None, policy: StandingPolicy) -> dict[str, Any]:
    return {"person": day_lists.person(session, act.office, client_id, act.happened_at, policy) if client_id else None}


def _show_request(session: Session, vault: Vault, request: BookingRequest) -> dict[str, Any]:
    values = _values(vault, request)
    row = session.execute(_requests(request.office, None, None).where(BookingRequest.id == request.id)).one()
    return {
        "kind": "request",
        **_request(row),
        "relates_to": request.relates_to,
        "submitted_at": iso(request.submitted_at),
        "recorded_at": iso(request.recorded_at),
        "findings": values["findings"],
        "application": values["application"],
        "consents": _consents(session, request.id),
        "staff_tasks": day_lists.tasks_about(session, request.office, [request.reference]),
    }


def _show_booking(session: Session, vault: Vault, booking: Booking) -> dict[str, Any]:
    row = session.execute(_bookings(booking.office, None, None).where(Booking.id == booking.id)).first()
    request = session.get_one(BookingRequest, booking.request_id)
    values = _values(vault, request)
    meeting = live_meeting(session, booking.id)
    about = _messages(booking.office, None, None).where(OutboxMessage.booking_id == booking.id)
    messages = [_message(message) for message in session.execute(about)]
    return {
        "kind": "booking",
        **_booking(row),
        "application": values["application"],
        "access": meeting_access(vault, meeting) if meeting else None,
        "consents": _consents(session, request.id),
        **terms_of_booking(session, booking),
        "messages": messages,
        "verdicts": day_lists.verdicts_about(session, booking.id),
        "evidence": day_lists.evidence_about(session, booking.id),
        "staff_tasks": day_lists.tasks_about(
            session, booking.office, [booking.reference, request.reference, *(m["id"] for m in messages)]
        ),
    }


def _show_message(session: Session, vault: Vault, message: OutboxMessage) -> dict[str, Any]:
    row = session.execute(_messages(message.office, None, None).where(OutboxMessage.id == message.id)).one()
    try:
        sealed = vault.open_json(message.sealed_context, f"outbox_message.sealed_context.{message.id}")
    except Erased:
        sealed = {"to": ERASED_JA, "context": ERASED_JA}
    return {"kind": "message", **_message(row), "reason": message.reason, **sealed}


def _values(vault: Vault, request: BookingRequest) -> dict[str, Any]:
    try:
        found: dict[str, Any] = vault.open_json(request.sealed_values, f"booking_request.sealed_values.{request.id}")
    except Erased:
        found = {"application": ERASED_JA, "findings": []}
    return found


def _consents(session: Session, request_id: str) -> list[dict[str, Any]]:
    terms = TermsVersion
    rows = session.execute(
        select(Consent.document, terms.code, terms.sha256, Consent.basis, Consent.channel, Consent.consented_at)
        .join(terms, terms.id == Consent.terms_id)
        .where(Consent.request_id == request_id)
        .order_by(Consent.document)
    )
    return [
        {
            "document": row.document,
            "version": row.code,
            "sha256": row.sha256,
            "basis": row.basis,
            "channel": row.channel,
            "consented_at": iso(row.consented_at),
        }
        for row in rows
    ]


def _history(session: Session, office: str, reference: str) -> list[dict[str, Any]]:
    rows = session.scalars(select(Audit).where(Audit.office == office, Audit.subject == reference).order_by(Audit.id))
    return [
        {
            "action": row.action,
            "old": row.old,
            "new": row.new,
            "reason": row.reason,
            "actor": row.actor,
            "happened_at": iso(row.happened_at),
            "recorded_at": iso(row.recorded_at),
        }
        for row in rows
    ]
