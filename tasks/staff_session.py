"""Staff book the next session of somebody who is with them (`book-in-session`)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from madoguchi.domain.application import Flag, Outcome
from madoguchi.domain.lifecycle import BookingStatus, RequestStatus
from madoguchi.domain.office import JST
from madoguchi.domain.reference import new_reference
from madoguchi.domain.retention import ERASED_JA
from madoguchi.domain.staff import BOOKING_WORDS, moment_ja, not_in_this_state
from madoguchi.store import staff_bookings as store
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.intake import taken_references
from madoguchi.store.models import Booking, BookingRequest
from madoguchi.store.terms import SERVICE_TERMS, ZOOM_TERMS, terms_in_force
from madoguchi.store.types import new_id
from tasks.scheduling import application_of
from tasks.staff import Done, Refused, act_of, aware, booking_of, staff_run
from tasks.staff_bookings import just_taken, pick_place, require_bookable, require_no_other_session
from tasks.staff_requests import ZOOM_BASIS, hold, standing_notes
from tasks.wiring import Run, Services

_TRIES = 3
_KEPT_FLAGS = frozenset({Flag.COMPANION_DECLARED.value, Flag.EMAIL_DOUBTFUL.value})


@dataclass(frozen=True, slots=True)
class NextBooking:
    """The form `book-in-session` as it was filled in; `reference`: the session that is being held."""

    reference: str
    start: datetime
    received_by: str
    counsellor: str | None = None
    allow_same_day: bool = False


def book_in_session(services: Services, run: Run, form: NextBooking) -> Done:
    """Book the second or a later session of somebody whose session is being held (Art. 6(1), proviso).

    A new application of its own with the earlier one's values, both consents by channel `in_session` to the versions in
    force now, and a hold, in one transaction. Raises Refused; nothing is changed then.
    """
    by, start = staff_run(run, form.received_by), aware(form.start)
    for _ in range(_TRIES):
        try:
            with services.database.write() as session:
                return _book_next(services, session, act_of(services, by), replace(form, start=start))
        except IntegrityError:
            continue
    raise Refused(just_taken(start))


def _book_next(services: Services, session: Session, act: Act, form: NextBooking) -> Done:
    earlier, start = booking_of(session, act.office, form.reference), form.start
    digest = hashlib.sha256(f"{earlier.reference} {start.astimezone(UTC).isoformat()}".encode()).digest()
    entered = store.requests_by_digest(session, act.office, digest)
    for request in entered:
        booking, last = (
            store.live_booking_of(session, request.id),
            store.last_act(session, act.office, request.reference, "entered"),
        )
        if booking is not None and last is not None and last.actor == act.actor:
            said = f"{booking.reference}（{moment_ja(start)}から）は{moment_ja(last.happened_at)}に予約済みです。"
            note = "同じ内容の予約です。繰り返さず、残りだけを行いました。"
            return Done(booking.reference, said, (note,), again=True)
    _require_in_session(session, act, earlier)
    require_bookable(services, start, act.happened_at)
    if start.astimezone(JST).date() == act.happened_at.astimezone(JST).date() and not form.allow_same_day:
        raise Refused(
            f"{moment_ja(start)}は当日です（原則は前日まで、規約第6条(1)）。"
            "当日でも受けるときは、allow_same_day（当日でも受ける）にしるしを付けてください。"
        )
    require_no_other_session(session, earlier.client_id, start)
    prefer = (earlier.counsellor, earlier.host)
    place = pick_place(services, session, start, form.counsellor, as_of=act.happened_at, prefer=prefer)
    before = session.get_one(BookingRequest, earlier.request_id)
    request = _enter(services, session, act, before, start, (digest, len(entered) + 1))
    notes = _consent_now(session, act, before, request)
    booking = hold(session, act, request, start, place)
    notes += standing_notes(services, session, earlier.client_id, act.happened_at)
    said = (
        f"{earlier.reference} の方の次回の予約 {booking.reference} を、{moment_ja(start)}から取りました"
        f"（申込番号 {request.reference}、担当 {booking.counsellor}）。"
    )
    return Done(booking.reference, said, tuple(notes))


def _require_in_session(session: Session, act: Act, earlier: Booking) -> None:
    """Only who is, or was, in a session may be booked this way; never for a first booking."""
    if session.get_one(BookingRequest, earlier.request_id).erased_at:
        raise Refused(f"{earlier.reference} の申込みの内容は、{ERASED_JA}。あらためて申し込んでいただいてください。")
    if BookingStatus(earlier.status) not in {BookingStatus.CONFIRMED, BookingStatus.ATTENDED}:
        last = store.last_act(session, act.office, earlier.reference)
        word = BOOKING_WORDS[BookingStatus(earlier.status)]
        since = last.happened_at if last else None
        raise Refused(not_in_this_state(earlier.reference, word, since, "次回の予約の元にできません"))
    if earlier.start_at > act.happened_at:
        raise Refused(
            f"{earlier.reference} の相談（{moment_ja(earlier.start_at)}から）は、まだ始まっていません。"
            "次回の予約をこの画面で取れるのは、相談の中か、その後です（規約第6条(1)ただし書）。"
        )


def _enter(
    services: Services,
    session: Session,
    act: Act,
    before: BookingRequest,
    start: datetime,
    key: tuple[bytes, int],
) -> BookingRequest:
    """Write the application that a person made by word of mouth, with the values of an earlier one.

    `key`: digest and occurrence, by which the same form is known again.
    """
    row_id, vault = new_id(), services.vault
    told = replace(
        application_of(services, before),
        wishes=(start.astimezone(JST),),
        chosen_preference=1,
        consent="given",
        submitted_at=act.happened_at,
    ).to_json()
    request = BookingRequest(
        id=row_id,
        reference=_free_reference(session, act.office),
        office=act.office,
        source=store.STAFF_SOURCE,
        form=store.IN_SESSION,
        file_id=store.staff_file(session, act),
        row_number=0,
        row_key=before.reference,
        digest=key[0],
        occurrence=key[1],
        outcome=Outcome.ACCEPT.value,
        reason=None,
        flags=sorted(_KEPT_FLAGS & set(before.flags)),
        status=RequestStatus.RECEIVED.value,
        relates_to=before.reference,
        client_id=before.client_id,
        number_index=before.number_index,
        name_index=before.name_index,
        contact_index=before.contact_index,
        values_digest=key[0],
        wishes=told["wishes"],
        submitted_at=act.happened_at,
        recorded_at=act.recorded_at,
        sealed_raw=vault.seal_json([], f"booking_request.sealed_raw.{row_id}"),
        sealed_values=vault.seal_json({"application": told, "findings": []}, f"booking_request.sealed_values.{row_id}"),
    )
    session.add(request)
    session.flush()
    details = {"earlier": before.reference}
    write_audit(
        session, [audit_row(act, "request", request.reference, store.ENTERED, new=request.status, details=details)]
    )
    return request


def _free_reference(session: Session, office: str) -> str:
    while True:
        drawn = new_reference("R", secrets.randbelow)
        if not taken_references(session, office, [drawn]):
            return drawn


def _consent_now(session: Session, act: Act, before: BookingRequest, request: BookingRequest) -> list[str]:
    """Record both consents to what is in force now and return a note when that is not what was agreed to before."""
    agreed = store.documents_agreed(session, before.id)
    changed = False
    for document, basis in ((SERVICE_TERMS, "Art. 6(1), in session"), (ZOOM_TERMS, ZOOM_BASIS)):
        terms = terms_in_force(session, act.office, document, act.happened_at)
        store.add_consent(session, act, request.id, terms, basis=basis, channel="in_session", at=act.happened_at)
        changed = changed or agreed.get(document, terms.id) != terms.id
    if changed:
        return ["前回の同意の後に規約が変わっています。変わった所を、ご本人に説明してください。"]
    return []
