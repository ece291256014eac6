"""The mail that gives a client the way into a session: the first one confirms, later ones say what has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from madoguchi.domain.application import Flag
from madoguchi.domain.message import ConfirmedContext, MailContext, MailKind
from madoguchi.domain.session_mails import ChangedContext
from madoguchi.store.audit import Act
from madoguchi.store.models import Booking, BookingRequest
from madoguchi.store.outbox import NewMessage, queue_messages, start_told
from madoguchi.store.runs import open_staff_task
from tasks.scheduling import application_of
from tasks.settling import CALL_APPLICANT, mailable, pin_templates
from tasks.wiring import Services

ACCESS_KINDS = (MailKind.CONFIRMED, MailKind.CHANGED)


@dataclass(frozen=True, slots=True)
class Access:
    """The way into a meeting."""

    meeting_id: str = field(repr=False)
    passcode: str = field(repr=False)
    join_url: str = field(repr=False)


def pin_access_templates(services: Services) -> None:
    """Keep the present words of these mails, before any booking is locked.

    One transaction a kind: two runners pinning crosswise would wait for each other.
    """
    for kind in ACCESS_KINDS:
        with services.database.write() as session:
            pin_templates(services, session, {kind})


def tell_access(
    services: Services,
    session: Session,
    act: Act,
    booking: Booking,
    access: Access,
    *,
    is_first: bool,
    due_at: datetime,
) -> None:
    """Queue the mail about the booking's present revision in the caller's transaction; void after the start.

    A change names the time that the client was told and that no longer holds. Who cannot be written to is called. The
    templates have to be pinned (`pin_access_templates`).
    """
    request = session.get_one(BookingRequest, booking.request_id)
    application = application_of(services, request)
    flags = frozenset(request.flags)
    if not mailable(application, flags):
        told = MailKind.CONFIRMED if is_first else MailKind.CHANGED
        open_staff_task(session, act, CALL_APPLICANT, booking.reference, told.name)
        return
    # Moved before its confirmation left: the change alone would not say what it costs, what is needed, and the terms.
    known = start_told(session, booking.id, ACCESS_KINDS)
    is_first = is_first or known is None
    kind = MailKind.CONFIRMED if is_first else MailKind.CHANGED
    shared: dict[str, Any] = {
        "recipient_name": application.name or "",
        "start": booking.start_at,
        "meeting_id": access.meeting_id,
        "passcode": access.passcode,
        "join_url": access.join_url,
        "reference": booking.reference,
        "revision": booking.revision,
    }
    context: MailContext
    if is_first:
        online = Flag.ONLINE_REGISTRANT in flags
        context = ConfirmedContext(**shared, companion=bool(application.companion), online_registrant=online)
    else:
        # What was settled last may not have been told: its mail is void once the booking changes again.
        moved_from = known if known != booking.start_at else None
        context = ChangedContext(**shared, previous_start=moved_from, companion=bool(application.companion))
    message = NewMessage(
        kind=kind,
        subject=booking.reference,
        revision=booking.revision,
        recipient=application.email or "",
        context=context.to_json(),
        template_version=services.templates.version(kind),
        due_at=due_at,
        not_after=booking.start_at,
        client_id=booking.client_id,
        request_id=request.id,
        booking_id=booking.id,
    )
    queue_messages(session, services.vault, [message], act, services.office.mail_domain)
