"""Telling clients about their bookings: one mail each, in the transaction that changes what it speaks of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.domain.message import MailContext, MailKind
from madoguchi.store.audit import Act
from madoguchi.store.models import Booking, BookingRequest
from madoguchi.store.outbox import NewMessage, queue_messages
from madoguchi.store.runs import open_staff_task
from tasks.scheduling import application_of
from tasks.settling import CALL_APPLICANT, mailable, pin_templates
from tasks.wiring import Services


@dataclass(frozen=True, slots=True)
class Telling:
    """One thing to tell the client of a booking.

    `context` makes what the mail says of the recipient's name; `due_at` is business time. `occasion` sets a second mail
    of the same kind about the same revision apart (such as the number of a verdict); without it there is only ever one.
    `call_if_unmailable`: ask staff to telephone when the address may not be written to.
    """

    booking: Booking
    kind: MailKind
    context: Callable[[str], MailContext]
    due_at: datetime
    not_after: datetime | None = None
    occasion: str = ""
    call_if_unmailable: bool = True


def tell(services: Services, session: Session, act: Act, tellings: Sequence[Telling]) -> int:
    """Queue the mails in the caller's transaction and return how many are new.

    Who cannot be written to is called: the staff task names the booking and the kind of mail. Sends nothing.
    """
    if not tellings:
        return 0
    requests = _requests(session, {telling.booking.request_id for telling in tellings})
    versions = pin_templates(services, session, {telling.kind for telling in tellings})
    messages = []
    for telling in tellings:
        booking, request = telling.booking, requests[telling.booking.request_id]
        application = application_of(services, request)
        if not mailable(application, frozenset(request.flags)):
            if telling.call_if_unmailable:
                open_staff_task(session, act, CALL_APPLICANT, booking.reference, telling.kind.name)
            continue
        messages.append(
            NewMessage(
                kind=telling.kind,
                subject=f"{booking.reference}/{telling.occasion}" if telling.occasion else booking.reference,
                revision=booking.revision,
                recipient=application.email or "",
                context=telling.context(application.name or "").to_json(),
                template_version=versions[telling.kind],
                due_at=telling.due_at,
                not_after=telling.not_after,
                client_id=booking.client_id,
                request_id=request.id,
                booking_id=booking.id,
            )
        )
    return queue_messages(session, services.vault, messages, act, services.office.mail_domain)


def _requests(session: Session, ids: set[str]) -> dict[str, BookingRequest]:
    found: dict[str, BookingRequest] = {}
    wanted = sorted(ids)
    for at in range(0, len(wanted), 500):
        for request in session.scalars(select(BookingRequest).where(BookingRequest.id.in_(wanted[at : at + 500]))):
            found[request.id] = request
    return found
