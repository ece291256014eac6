"""Staff decide applications that wait for a person (`decide-request`)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from madoguchi.domain.application import Application, Flag
from madoguchi.domain.calendar import SESSION
from madoguchi.domain.lifecycle import RequestStatus
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import JST
from madoguchi.domain.reference import new_reference
from madoguchi.domain.session_mails import DeclinedContext
from madoguchi.domain.staff import (
    CONSENT_CONFIRMED,
    DECIDE_REASONS,
    DECISIONS,
    REQUEST_WORDS,
    TELLS,
    fits,
    moment_ja,
    not_in_this_state,
)
from madoguchi.domain.standing import RESTRICTED, standing
from madoguchi.store import staff_bookings as store
from madoguchi.store.audit import Act
from madoguchi.store.bookings import active_starts, fresh_references, hold_slots
from madoguchi.store.models import Booking, BookingRequest
from madoguchi.store.outbox import NewMessage, queue_messages
from madoguchi.store.runs import close_staff_tasks, open_staff_task
from madoguchi.store.terms import SERVICE_TERMS, ZOOM_TERMS, terms_in_force
from madoguchi.store.transitions import move_request
from madoguchi.store.verdicts import no_show_days
from tasks.scheduling import application_of
from tasks.settling import CALL_APPLICANT, REVIEW_REQUEST, SWITCH_REGISTRATION, mailable
from tasks.staff import CALL_THEM, Done, Refused, act_of, aware, request_of, staff_run
from tasks.staff_bookings import just_taken, pick_place, pin, require_bookable, require_no_other_session
from tasks.wiring import Run, Services

ZOOM_BASIS: Final = "Art. 4, by applying and using"
_SERVICE_BASIS = {"given": "checkbox", "deemed": "preamble, Art. 6"}
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Ruling:
    """The form `decide-request` as it was filled in: phrases of `DECISIONS`, `DECIDE_REASONS` and `TELLS`."""

    reference: str
    decision: str
    received_by: str
    reason: str
    start: datetime | None = None
    tell: str = "メールで知らせる"


def decide_request(services: Services, run: Run, form: Ruling) -> Done:
    """Approve or decline an application that waits for a person, or for a slot; people decide, the record says who.

    Approved with `start`: held at once, same day and off the grid too. Approved without: it takes its turn in the next
    round of scheduling. Raises Refused, naming what is missing; nothing is changed then.
    """
    by, decision, code = staff_run(run, form.received_by), DECISIONS[form.decision], DECIDE_REASONS[form.reason]
    if not fits(decision, code):
        raise Refused(f"「{form.decision}」の理由に「{form.reason}」は使えません。選び直してください。")
    start = aware(form.start) if form.start else None
    if start and decision == "decline":
        raise Refused("「お断りする」のときは、start（開始日時）を空にしてください。")
    pin(services, {MailKind.DECLINED})
    for _ in range(_TRIES):
        try:
            # Not while an export is judged: it may be replacing this very application.
            with services.database.exclusive("intake"), services.database.write() as session:
                act = act_of(services, by)
                request = request_of(session, act.office, form.reference)
                ruling = _Decision(services, session, run, act, request, code)
                if before := ruling.made_before(decision, start):
                    return before
                return ruling.approve(start) if decision == "approve" else ruling.decline(form.tell)
        except IntegrityError:
            continue
    raise Refused(just_taken(start) if start else "ほかの処理と重なりました。もう一度実行してください。")


@dataclass(slots=True)
class _Decision:
    """One decision inside one transaction."""

    services: Services
    session: Session
    run: Run
    act: Act
    request: BookingRequest
    code: str

    def made_before(self, decision: str, start: datetime | None) -> Done | None:
        """Return what the same form did before. What is in review is undecided, whatever was decided earlier."""
        if self.request.status == RequestStatus.IN_REVIEW.value:
            return None
        last = store.last_act(self.session, self.act.office, self.request.reference, store.DECIDED)
        if last is None or (last.actor, last.new, last.reason) != (self.act.actor, decision, self.code):
            return None
        if last.details.get("start") != _text(start):
            return None
        word = {"approve": "承認", "decline": "お断り"}[decision]
        return Done(
            self.request.reference,
            f"{self.request.reference} は{moment_ja(last.happened_at)}に{word}済みです。",
            ("同じ内容の判断です。繰り返さず、残りだけを行いました。",),
            again=True,
        )

    def approve(self, start: datetime | None) -> Done:
        request, status = self.request, RequestStatus(self.request.status)
        if status != RequestStatus.IN_REVIEW and not (status == RequestStatus.WAITING and start):
            if status == RequestStatus.WAITING:
                raise Refused(
                    f"{request.reference} は受付済みで、空きを待っています。日時を決めて承認するときは、"
                    "start（開始日時）を入れてください。"
                )
            raise Refused(self._forbidden("承認できません"))
        application = application_of(self.services, request)
        client = self._require_person(application)
        self._require_consent(application)
        place = self._place(client, start)
        self._agree(application)
        self._write("approve", start)
        if status == RequestStatus.IN_REVIEW:
            move_request(self.session, request, RequestStatus.RECEIVED, self.act, self.code)
        store.close_tasks(self.session, self.act, (REVIEW_REQUEST,), (request.reference,))
        if Flag.ONLINE_REGISTRANT in request.flags:
            open_staff_task(self.session, self.act, SWITCH_REGISTRATION, request.reference, None)
        notes = tuple(standing_notes(self.services, self.session, client, self.act.happened_at))
        if start is None or place is None:
            said = f"{request.reference} を承認しました。申込みの順に枠を決めます。"
            return Done(request.reference, said, notes)
        booking = hold(self.session, self.act, request, start, place)
        said = (
            f"{request.reference} を承認し、{moment_ja(start)}からの枠を取りました"
            f"（予約番号 {booking.reference}、担当 {booking.counsellor}）。"
        )
        return Done(request.reference, said, notes)

    def decline(self, tell: str) -> Done:
        request, status = self.request, RequestStatus(self.request.status)
        target = {RequestStatus.IN_REVIEW: RequestStatus.REJECTED, RequestStatus.WAITING: RequestStatus.LAPSED}
        if status not in target:
            raise Refused(self._forbidden("お断りできません"))
        self._write("decline", None)
        move_request(self.session, request, target[status], self.act, self.code)
        store.void_unsent(self.session, self.act, "REQUEST_DECLINED", request=request.id)
        close_staff_tasks(self.session, self.act, request.reference)
        note = "お電話でお知らせ済みのため、メールは送りません。" if TELLS[tell] == "telephone" else self._tell()
        return Done(request.reference, f"{request.reference} をお断りとして記録しました。", (note,))

    def _tell(self) -> str:
        application, request = application_of(self.services, self.request), self.request
        if not mailable(application, frozenset(request.flags)):
            open_staff_task(self.session, self.act, CALL_APPLICANT, request.reference, MailKind.DECLINED.name)
            return CALL_THEM
        message = NewMessage(
            kind=MailKind.DECLINED,
            subject=request.reference,
            revision=1,
            recipient=application.email or "",
            context=DeclinedContext(
                recipient_name=application.name or "", reference=request.reference, revision=1
            ).to_json(),
            template_version=self.services.templates.version(MailKind.DECLINED),
            due_at=self.run.as_of,
            client_id=request.client_id,
            request_id=request.id,
        )
        queue_messages(self.session, self.services.vault, [message], self.act, self.services.office.mail_domain)
        return "お電話をお願いするメールを送ります（理由は書きません）。"

    def _write(self, decision: str, start: datetime | None) -> None:
        details = {"start": _text(start)}
        store.write_decision(self.session, self.act, self.request.reference, decision, self.code, details)

    def _forbidden(self, cannot: str) -> str:
        last = store.last_act(self.session, self.act.office, self.request.reference)
        word = REQUEST_WORDS[RequestStatus(self.request.status)]
        return not_in_this_state(self.request.reference, word, last.happened_at if last else None, cannot)

    def _require_person(self, application: Application) -> str:
        """Return the id of the client; without name and number nobody can be booked (Art. 6(1) items 1 and 2)."""
        parts = (("お名前", application.name), ("求職番号", application.job_seeker_number))
        missing = [name for name, value in parts if not value]
        if missing or self.request.client_id is None:
            what = "と".join(missing or ["お名前か求職番号"])
            raise Refused(
                f"{self.request.reference} は{what}が読み取れないため、承認できません。"
                "ご本人に、フォームからもう一度申し込んでいただいてください。"
            )
        return self.request.client_id

    def _require_consent(self, application: Application) -> None:
        """An answer "I do not agree", or no time of application, is no consent: a person has to have asked."""
        known = store.documents_agreed(self.session, self.request.id)
        unclear = application.consent not in _SERVICE_BASIS or self.request.submitted_at is None
        if unclear and self.code != CONSENT_CONFIRMED and not known:
            why = "申込みの日時が読めない" if self.request.submitted_at is None else "規約に同意しないと回答されている"
            raise Refused(
                f"{self.request.reference} は{why}ため、承認できません。ご本人に同意を確かめたうえで、"
                "理由に「電話で規約への同意を確かめた」を選んでください。"
            )

    def _agree(self, application: Application) -> None:
        """Record both consents as intake does, unless they are there (the application was accepted once before)."""
        known = store.documents_agreed(self.session, self.request.id)
        submitted = self.request.submitted_at
        by_telephone = self.code == CONSENT_CONFIRMED
        at = self.act.happened_at if by_telephone or submitted is None else submitted
        channel = "telephone" if by_telephone else f"form:{self.request.source}"
        service = "by telephone" if by_telephone else _SERVICE_BASIS[application.consent]
        for document, basis in ((SERVICE_TERMS, service), (ZOOM_TERMS, ZOOM_BASIS)):
            if document not in known:
                terms = terms_in_force(self.session, self.act.office, document, at)
                store.add_consent(self.session, self.act, self.request.id, terms, basis=basis, channel=channel, at=at)

    def _place(self, client: str, start: datetime | None) -> tuple[str, str] | None:
        """Return counsellor and host for `start`; without one, require a wish that scheduling can give."""
        if start is not None:
            require_bookable(self.services, start, self.act.happened_at)
            require_no_other_session(self.session, client, start)
            return pick_place(self.services, self.session, start, None, as_of=self.act.happened_at)
        bookable = set(self.services.calendar.bookable_starts(self.act.happened_at))
        own = {at for _, at in active_starts(self.session, self.act.office, {client})}
        wishes = [datetime.fromisoformat(wish) for wish in self.request.wishes]
        if not any(wish in bookable and wish not in own for wish in wishes):
            raise Refused(
                f"{self.request.reference} の希望には、自動で予約できる日時がありません"
                "（明日以降の開庁日で、開始の刻みに合うもの）。"
                "ご本人と決めた日時を start（開始日時）に入れて承認してください。"
            )
        return None


def _text(start: datetime | None) -> str | None:
    return start.astimezone(JST).isoformat() if start else None


def hold(session: Session, act: Act, request: BookingRequest, start: datetime, place: tuple[str, str]) -> Booking:
    """Hold `start` for a request at `place` (counsellor, host); IntegrityError when another runner was faster."""
    [name] = fresh_references(session, act.office, 1, lambda: new_reference("M", secrets.randbelow))
    [booking] = hold_slots(session, [(request, name, start, start + SESSION, *place)], act)
    return booking


def standing_notes(services: Services, session: Session, client: str, as_of: datetime) -> list[str]:
    """Return what the clerk should know of a person's past when deciding; it forbids nothing (Art. 6(3))."""
    office, policy = services.office.code, services.office.standing
    found = standing(
        no_show_days(session, office, client),
        store.restrictions_of(session, office, client),
        as_of=as_of,
        counts_for_days=policy.counts_for_days,
        review_after=policy.review_after,
    )
    if not found.needs_person:
        return []
    if found.reason == RESTRICTED:
        until = found.restricted_until
        term = f"{until.year}年{until.month}月{until.day}日まで" if until else "期限なし"
        known = f"今後のご利用をお断りする決定があります（{term}）"
    else:
        known = f"連絡なく不参加だった記録が{found.no_shows}回あります"
    return [f"ご注意: この方には、{known}。今回は職員の判断として記録しました。"]
