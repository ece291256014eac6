"""What the forms of staff read and change in the record; nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS, BookingStatus
from madoguchi.domain.message import MessageStatus
from madoguchi.domain.office import JST
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.bookings import cells
from madoguchi.store.models import (
    Audit,
    Booking,
    BookingRequest,
    Consent,
    ExportFile,
    Occupancy,
    OutboxMessage,
    Restriction,
    StaffTask,
    TermsVersion,
)
from madoguchi.store.outbox import Settled, settle
from madoguchi.store.transitions import move_booking

MOVED = "moved"
"""Action of the audit row of a move; its details say from where to where."""
DECIDED = "decided"
"""Action of the audit row of a person's decision about an application."""
ENTERED = "entered"
"""Action of the audit row of an application that staff entered."""
STAFF_SOURCE, IN_SESSION = "staff", "in-session"
"""Source and form of applications that staff enter during a session."""
_UNSENT = (MessageStatus.QUEUED.value, MessageStatus.RETRYING.value)


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
    # A meeting's acts stand under its booking's reference, and it is removed after the booking was cancelled.
    of_itself = Audit.subject_kind != "meeting"
    return session.scalar(
        select(Audit)
        .where(Audit.office == office, Audit.subject == subject, Audit.action == action, of_itself)
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


def taken_by_others(
    session: Session, office: str, start: datetime, end: datetime, except_booking: str | None = None
) -> frozenset[str]:
    """Return which resources (`counsellor:…`, `host:…`) are occupied in a time by anything but that booking (an id)."""
    rows = session.execute(
        select(Occupancy.resource, Occupancy.booking_id).where(
            Occupancy.office == office, Occupancy.cell_at.in_(cells(start, end))
        )
    ).tuples()
    return frozenset(resource for resource, booking_id in rows if booking_id != except_booking)


def session_of_client(
    session: Session, client_id: str, start: datetime, end: datetime, except_booking: str | None = None
) -> Booking | None:
    """Return an active session of a person that overlaps a time, other than that booking (an id)."""
    return session.scalar(
        select(Booking)
        .where(
            Booking.client_id == client_id,
            Booking.status.in_([status.value for status in ACTIVE_BOOKINGS]),
            Booking.start_at < end,
            Booking.end_at > start,
            Booking.id != (except_booking or ""),
        )
        .limit(1)
    )


def take_other_time(
    session: Session,
    booking: Booking,
    times: tuple[datetime, datetime],
    place: tuple[str, str],
    act: Act,
    reason: str,
) -> None:
    """Hold a booking at another time: occupancy, `times` (start, end) and `place` (counsellor, host) change together.

    Its meetings are the caller's business (`mark_unwanted` first). Raises IntegrityError, and the transaction is lost
    as a whole, when somebody else has taken the place in between.
    """
    (start, end), (counsellor, host) = times, place
    details = {
        "from": booking.start_at.astimezone(JST).isoformat(),
        "to": start.astimezone(JST).isoformat(),
        "counsellor_from": booking.counsellor,
        "counsellor_to": counsellor,
    }
    write_audit(session, [audit_row(act, "booking", booking.reference, MOVED, reason=reason, details=details)])
    if booking.status != BookingStatus.HELD.value:
        move_booking(session, booking, BookingStatus.HELD, act, reason)
    session.execute(delete(Occupancy).where(Occupancy.booking_id == booking.id))
    booking.start_at, booking.end_at = start, end
    booking.counsellor, booking.host = counsellor, host
    session.flush()
    session.execute(
        insert(Occupancy),
        [
            {"office": act.office, "resource": resource, "cell_at": cell, "booking_id": booking.id}
            for resource in (f"counsellor:{counsellor}", f"host:{host}")
            for cell in cells(start, end)
        ],
    )


def void_unsent(session: Session, act: Act, reason: str, *, booking: str | None = None, request: str = "") -> int:
    """Suppress every unsent mail about a booking, or else about a request (ids), and return how many.

    Delivery would find out by itself at the moment of sending; so the history says at once what became of them.
    """
    whose = OutboxMessage.booking_id == booking if booking else OutboxMessage.request_id == request
    rows = session.execute(
        select(OutboxMessage.id, OutboxMessage.status)
        .where(whose, OutboxMessage.status.in_(_UNSENT))
        .order_by(OutboxMessage.id)
        .with_for_update()
    ).tuples()
    return settle(
        session,
        act,
        [Settled(row_id, MessageStatus(status), MessageStatus.SUPPRESSED, reason) for row_id, status in rows],
    )


def close_tasks(session: Session, act: Act, kinds: Sequence[str], subjects: Sequence[str]) -> None:
    """Close open staff tasks of some kinds about some subjects; none of them is needed any more."""
    for task in session.scalars(
        select(StaffTask).where(
            StaffTask.office == act.office,
            StaffTask.kind.in_(list(kinds)),
            StaffTask.subject.in_(list(subjects)),
            StaffTask.closed_at.is_(None),
        )
    ):
        task.closed_at, task.closed_by = act.happened_at, act.actor


def messages_of(session: Session, booking_id: str) -> list[str]:
    """Return the ids of every message about a booking."""
    return list(session.scalars(select(OutboxMessage.id).where(OutboxMessage.booking_id == booking_id)))


def restrictions_of(session: Session, office: str, client_id: str) -> list[tuple[datetime, datetime | None]]:
    """Return from and until of the restrictions of a person that nobody lifted; for `domain.standing`."""
    return list(
        session.execute(
            select(Restriction.starts_at, Restriction.until).where(
                Restriction.office == office, Restriction.client_id == client_id, Restriction.lifted_at.is_(None)
            )
        ).tuples()
    )


def documents_agreed(session: Session, request_id: str) -> dict[str, str]:
    """Return the terms version (its id) that an application agreed to, by document."""
    rows = session.execute(select(Consent.document, Consent.terms_id).where(Consent.request_id == request_id))
    return dict(rows.tuples().all())


def add_consent(
    session: Session, act: Act, request_id: str, terms: TermsVersion, *, basis: str, channel: str, at: datetime
) -> None:
    """Record the agreement of one application to one version of one document."""
    session.add(
        Consent(
            office=act.office,
            request_id=request_id,
            document=terms.document,
            terms_id=terms.id,
            basis=basis,
            channel=channel,
            consented_at=at,
            recorded_at=act.recorded_at,
        )
    )


def write_decision(
    session: Session, act: Act, reference: str, decision: str, reason: str, details: dict[str, Any]
) -> None:
    """Write down what a person decided about an application, apart from where it led."""
    write_audit(session, [audit_row(act, "request", reference, DECIDED, new=decision, reason=reason, details=details)])


def requests_by_digest(session: Session, office: str, digest: bytes) -> list[BookingRequest]:
    """Return the applications that staff entered under a digest, the newest first."""
    return list(
        session.scalars(
            select(BookingRequest)
            .where(
                BookingRequest.office == office,
                BookingRequest.source == STAFF_SOURCE,
                BookingRequest.form == IN_SESSION,
                BookingRequest.digest == digest,
            )
            .order_by(BookingRequest.occurrence.desc())
        )
    )


def live_booking_of(session: Session, request_id: str) -> Booking | None:
    """Return the active booking of an application."""
    return session.scalar(
        select(Booking)
        .where(Booking.request_id == request_id, Booking.status.in_([status.value for status in ACTIVE_BOOKINGS]))
        .limit(1)
    )


def staff_file(session: Session, act: Act) -> str:
    """Return the id of the file row under which staff's own applications stand; there is one an office."""
    known = select(ExportFile.id).where(
        ExportFile.office == act.office, ExportFile.source == STAFF_SOURCE, ExportFile.form == IN_SESSION
    )
    found = session.scalar(known)
    if found is not None:
        return found
    file = ExportFile(
        office=act.office,
        source=STAFF_SOURCE,
        form=IN_SESSION,
        name=IN_SESSION,
        sha256="0" * 64,
        size=0,
        status="read",
        counts={},
        first_read_at=act.happened_at,
        completed_at=act.happened_at,
    )
    # Another runner may be making it just now.
    with suppress(IntegrityError), session.begin_nested():
        session.add(file)
    return session.scalars(known).one()
