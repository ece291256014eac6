"""What staff know of a session: who called, who was seen, and what a person decides about it (Art. 6(3)).

A note is one piece of evidence with both times; a session that has its verdict already is judged again at once. A
person's decision stands against every machine. The same form twice is one note, or one decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.domain.duties import DutiesFound, duties_of
from madoguchi.domain.evidence import EvidenceKind, EvidenceSource, Verdict
from madoguchi.domain.lifecycle import SETTLED_BOOKINGS, BookingStatus
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import JST
from madoguchi.domain.reminders import reminder_windows
from madoguchi.domain.staff import (
    ABOUTS,
    ATTENDANCE_REASONS,
    ATTENDANCES,
    BOOKING_WORDS,
    CHANNELS,
    LINK_TOLD,
    NOTICE_TOLD,
    SEEN,
    WANTS_TO_CANCEL,
    dated_ja,
    fits_attendance,
    moment_ja,
    not_in_this_state,
)
from madoguchi.domain.verdict import deadline, judge, reason_ja
from madoguchi.store import staff_bookings as bookings
from madoguchi.store import verdicts as store
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.evidence import SESSION_START, NewEvidence, add_evidence, evidence_of
from madoguchi.store.models import Booking, Evidence
from madoguchi.store.restrictions import open_task
from tasks.settling import CALL_APPLICANT, OFFICE_FAULT
from tasks.staff import Done, Refused, act_of, booking_of, names_request, request_of, staff_run
from tasks.verdict_effects import CONFIRM_NO_SHOW, EVIDENCE_AFTER_VERDICT, SETTLE_ATTENDANCE, pin_mails
from tasks.verdicts import BY_PERSON, reconsider, settle_by_person
from tasks.wiring import Run, Services

CHECK_IN_BEFORE: Final = timedelta(minutes=30)
"""How long before the start a counsellor can say who is there."""
_SAME = "同じ内容の記録です。繰り返さず、残りだけを行いました。"
_TASKS: Final = (CONFIRM_NO_SHOW, OFFICE_FAULT, SETTLE_ATTENDANCE, EVIDENCE_AFTER_VERDICT)
_ABOUT_THE_LINK: Final = frozenset(
    {kind.name for kind in (MailKind.CONFIRMED, MailKind.CHANGED, MailKind.REMINDER_DAY, MailKind.REMINDER_HOUR)}
    | {"LINK_REPLACED_LATE"}
)
_TOLD_TO_SOMEBODY: Final = frozenset({BookingStatus.CONFIRMED, *SETTLED_BOOKINGS})


@dataclass(frozen=True, slots=True)
class Contact:
    """The form `record-contact` as it was filled in: phrases of `CHANNELS` and `ABOUTS`; `received_at` None: now."""

    reference: str
    channel: str
    about: str
    received_by: str
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CheckIn:
    """The form `check-in` as it was filled in; `who`: a phrase of `SEEN`, `seen_at` None: now."""

    reference: str
    who: str
    received_by: str
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """The form `settle-attendance` as it was filled in: phrases of `ATTENDANCES` and `ATTENDANCE_REASONS`."""

    reference: str
    verdict: str
    reason: str
    received_by: str


# --- a contact


def record_contact(services: Services, run: Run, form: Contact) -> Done:
    """Keep that somebody called or wrote, and judge the session again if it has its verdict.

    When it happened and when it was entered are kept apart; only the first counts for the tenth minute. Cancels
    nothing, whatever the caller wanted. Raises Refused; nothing is changed then.
    """
    by, about = staff_run(run, form.received_by), ABOUTS[form.about]
    if about == NOTICE_TOLD:
        return _notice_told(services, by, form)
    with services.database.write() as session:
        now = act_of(services, by)
        booking = booking_of(session, now.office, form.reference)
        act = act_of(services, by, form.received_at or _entered_by(session, now, booking))
        _require_known(session, act, booking, "連絡を記録できません")
        _require_after_booking(act, booking)
        new = add_evidence(session, act, [_contact(act, booking, form)])
        if about == LINK_TOLD:
            _close_calls(session, now, booking.reference, _ABOUT_THE_LINK)
        reference, limit = booking.reference, deadline(booking.start_at)
    told = f"{moment_ja(act.happened_at)}の{form.channel}（{form.about}）"
    said = f"{reference} に、{told}を記録しました。" if new else f"{reference} に、{told}は記録済みです。"
    notes = [] if new else [_SAME]
    if about == WANTS_TO_CANCEL:
        notes.append(
            "この記録だけでは取り消されません。取り消すときは cancel-booking（予約の取消し）を使ってください。"
        )
    if form.received_at is None and act.happened_at > limit:
        notes.append(
            f"受けた日時が空なので、今のご連絡として記録しました。{moment_ja(limit)}までのご連絡だったときは、"
            "received_at（受けた日時）にその時刻を入れて、もう一度実行してください。"
        )
    notes += _judged_again(services, run, reference)
    return Done(reference, said, tuple(notes), again=not new)


def _contact(act: Act, booking: Booking, form: Contact) -> NewEvidence:
    channel, about = CHANNELS[form.channel], ABOUTS[form.about]
    return NewEvidence(
        booking.id,
        booking.revision,
        EvidenceKind.LINK_TOLD if about == LINK_TOLD else EvidenceKind.CONTACT,
        EvidenceSource.STAFF,
        act.happened_at,
        f"staff:{booking.id}:{channel}:{about}:{_when(act.happened_at, form.received_at)}",
        {"channel": channel, "about": about, SESSION_START: booking.start_at.isoformat()},
    )


def _notice_told(services: Services, by: Run, form: Contact) -> Done:
    """Close the call that somebody has made; about a booking or, where there is none yet, an application."""
    with services.database.write() as session:
        now, act = act_of(services, by), act_of(services, by, form.received_at)
        is_request = names_request(session, act.office, form.reference)
        subject = request_of if is_request else booking_of
        reference, kind = subject(session, act.office, form.reference).reference, "request" if is_request else "booking"
        task = open_task(session, act.office, CALL_APPLICANT, reference)
        before = bookings.last_act(session, act.office, reference, "told")
        is_known = before is not None and before.actor == act.actor
        if before is not None and form.received_at is not None:
            is_known = is_known and before.happened_at == act.happened_at
        if task is None and is_known:
            return Done(reference, f"{reference} のお電話は、記録済みです。", (_SAME,), again=True)
        if task is None:
            raise Refused(f"{reference} に、お電話を待っている用件はありません。番号を確かめてください。")
        details = {"channel": CHANNELS[form.channel]}
        write_audit(session, [audit_row(act, kind, reference, "told", reason=task.reason, details=details)])
        task.closed_at, task.closed_by = now.happened_at, now.actor
    said = f"{reference} に、{moment_ja(act.happened_at)}に{form.channel}でお伝えしたことを記録しました。"
    return Done(reference, said, ("お電話での連絡の待ちを閉じました。",))


def _entered_by(session: Session, act: Act, booking: Booking) -> datetime | None:
    """Return the time of the note that this very run has made before, if it broke off and is repeated now."""
    if act.run is None:
        return None
    return session.scalar(
        select(Evidence.happened_at).where(Evidence.booking_id == booking.id, Evidence.run == act.run).limit(1)
    )


def _when(happened: datetime, given: datetime | None) -> str:
    """Return what tells one note from another: the time; without one the same click twice within a minute is one."""
    at = happened.astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%S.%f}" if given else f"{at:%Y%m%dT%H%M}"


def _require_known(session: Session, act: Act, booking: Booking, cannot: str) -> None:
    """Only a session that was told to somebody, and is not called off, has anything to be said about it."""
    status = BookingStatus(booking.status)
    if status == BookingStatus.HELD and booking.revision > 0:
        # Told of an earlier time or link: the client may well call.
        return
    if status == BookingStatus.HELD:
        raise Refused(
            f"{booking.reference} は確定の準備中のため、{cannot}。数分後、確定してからもう一度実行してください。"
        )
    if status not in _TOLD_TO_SOMEBODY:
        last = bookings.last_act(session, act.office, booking.reference)
        since = last.happened_at if last else None
        raise Refused(not_in_this_state(booking.reference, BOOKING_WORDS[status], since, cannot))


def _require_after_booking(act: Act, booking: Booking) -> None:
    if act.happened_at < booking.held_at:
        raise Refused(
            f"受けた日時（{dated_ja(act.happened_at)}）が、予約を取った日時（{dated_ja(booking.held_at)}）より前です。"
            "日時を確かめてください。"
        )


def _close_calls(session: Session, act: Act, reference: str, reasons: frozenset[str]) -> None:
    """Close the call about a booking if that is what the client was to be told; another matter still waits."""
    task = open_task(session, act.office, CALL_APPLICANT, reference)
    if task is not None and (task.reason is None or task.reason in reasons):
        task.closed_at, task.closed_by = act.happened_at, act.actor


def _judged_again(services: Services, run: Run, reference: str) -> list[str]:
    """Judge the session again if it has a verdict, and say in words what became of it."""
    notes = [
        f"出欠の記録を、{_word(old)}から{_word(new)}に改めました。"
        for _, old, new in reconsider(services, run, [reference])
    ]
    with services.database.read() as session:
        asked = open_task(session, services.office.code, EVIDENCE_AFTER_VERDICT, reference)
    if asked is not None:
        notes.append(
            "出欠の記録と食い違うため、職員の判断が必要です。settle-attendance（出欠を決める）で決めてください。"
        )
    return notes


def _word(status: str) -> str:
    return BOOKING_WORDS[BookingStatus(status)].removesuffix("と記録済み")


# --- the counsellor's word


def check_in(services: Services, run: Run, form: CheckIn) -> Done:
    """Keep whether the counsellor sees the client, and judge the session again if it has its verdict.

    From 30 minutes before the start until the end of that day; later a person settles. Raises Refused.
    """
    by, kind = staff_run(run, form.received_by), EvidenceKind(SEEN[form.who])
    with services.database.write() as session:
        now = act_of(services, by)
        booking = booking_of(session, now.office, form.reference)
        act = act_of(services, by, form.seen_at or _entered_by(session, now, booking))
        _require_known(session, act, booking, "来談を記録できません")
        _require_check_in_time(now.happened_at, act.happened_at, booking)
        key = f"checkin:{booking.id}:{booking.revision}:{kind}:{_when(act.happened_at, form.seen_at)}"
        source = EvidenceSource.COUNSELLOR
        about = {SESSION_START: booking.start_at.isoformat()}
        new = add_evidence(
            session, act, [NewEvidence(booking.id, booking.revision, kind, source, act.happened_at, key, about)]
        )
        reference = booking.reference
    told = f"{moment_ja(act.happened_at)}に「{form.who}」"
    said = f"{reference} に、{told}と記録しました。" if new else f"{reference} に、{told}とは記録済みです。"
    notes = ([] if new else [_SAME]) + _judged_again(services, run, reference)
    return Done(reference, said, tuple(notes), again=not new)


def _require_check_in_time(now: datetime, seen_at: datetime, booking: Booking) -> None:
    start, earliest = booking.start_at, booking.start_at - CHECK_IN_BEFORE
    if now < earliest or seen_at < earliest:
        raise Refused(
            f"{booking.reference} の開始は{moment_ja(start)}です。来談の記録は、その30分前"
            f"（{moment_ja(earliest)}）からのことについて入れられます。"
        )
    if now.astimezone(JST).date() > start.astimezone(JST).date():
        raise Refused(
            f"{booking.reference} の当日（{start.astimezone(JST).month}月{start.astimezone(JST).day}日）を過ぎたため、"
            "来談を記録できません。settle-attendance（出欠を決める）で決めてください。"
        )


# --- a person's decision


def settle_attendance(services: Services, run: Run, form: Settlement) -> Done:
    """Let a person's decision about a session stand: state, history, mails and staff tasks together.

    Only after the tenth minute. Also confirms a proposed no-show, and affirms what stands already. No later evidence
    changes it by itself. Raises Refused; nothing is changed then.
    """
    by = staff_run(run, form.received_by)
    verdict, code = Verdict(ATTENDANCES[form.verdict]), ATTENDANCE_REASONS[form.reason]
    if not fits_attendance(verdict.value, code):
        raise Refused(
            f"「{form.reason}」は、「{form.verdict}」の理由になりません。無断欠席としては数えられませんので、"
            "ほかの結果を選んでください。"
        )
    pin_mails(services)
    with services.database.write() as session:
        act = act_of(services, by)
        booking = booking_of(session, act.office, form.reference)
        _require_known(session, act, booking, "出欠を決められません")
        was = BookingStatus(booking.status)
        _require_settleable(act, booking, was, verdict)
        reference = booking.reference
        if (before := _decided_before(session, act, booking, code)) and was.value == verdict.value:
            said = f"{reference} は{moment_ja(before)}に「{form.verdict}」と決定済みです。"
            return Done(reference, said, ("同じ内容の決定です。繰り返さず、残りだけを行いました。",), again=True)
        doubts = _machine_differs(services, session, booking, verdict)
        if was.value == verdict.value:
            _affirm(services, session, act, booking, code)
        elif was == BookingStatus.NO_SHOW_PROPOSED and verdict is Verdict.NO_SHOW:
            settle_by_person(session, services, act, booking, None, code, as_of=run.as_of, confirm_no_show=True)
        else:
            settle_by_person(session, services, act, booking, verdict, code, as_of=run.as_of)
    until_now = f"（これまでは{_word(was.value)}）" if was in SETTLED_BOOKINGS and was.value != verdict.value else ""
    return Done(reference, f"{reference} の出欠を「{form.verdict}」と決めました{until_now}。", tuple(doubts))


def _decided_before(session: Session, act: Act, booking: Booking, code: str) -> datetime | None:
    """Return when the same person decided for the same reason, if that is the verdict that stands."""
    last = store.last_verdicts(session, [booking.id]).get(booking.id)
    is_same = last is not None and last.by_person and (last.actor, last.reasons[:1]) == (act.actor, [code])
    return last.happened_at if last is not None and is_same else None


def _require_settleable(act: Act, booking: Booking, was: BookingStatus, verdict: Verdict) -> None:
    limit = deadline(booking.start_at)
    if act.happened_at < limit:
        raise Refused(
            f"{booking.reference} は、開始から10分（{moment_ja(limit)}）がまだ過ぎていないため、出欠を決められません。"
            "来談は check-in（来談の記録）で、ご連絡は record-contact（連絡の記録）で入れてください。"
        )
    ends_it = verdict in {Verdict.NO_SHOW, Verdict.OFFICE_FAULT}
    if was == BookingStatus.ATTENDED and ends_it and act.happened_at < booking.end_at:
        # Its meeting would be ended under the feet of those who are talking.
        raise Refused(
            f"{booking.reference} は、今、相談の途中と記録されているため、「来なかった」ことにはできません。"
            f"相談の終わる時刻（{moment_ja(booking.end_at)}）の後に、もう一度実行してください。"
        )


def _machine_differs(services: Services, session: Session, booking: Booking, verdict: Verdict) -> list[str]:
    """Tell the clerk when the evidence alone says that a no-show cannot be proved; the decision stands all the same."""
    if verdict is not Verdict.NO_SHOW:
        return []
    found = evidence_of(session, [(booking.id, booking.revision)])[booking.id]
    judgement = judge(booking.start_at, found, _duties(services, session, booking).duties)
    if judgement.verdict is Verdict.NO_SHOW:
        return []
    why = "、".join(filter(None, (reason_ja(reason) for reason in judgement.reasons)))
    return [f"ご注意: 記録だけからは無断欠席と言えません（{why}）。職員の判断として記録しました。"]


def _affirm(services: Services, session: Session, act: Act, booking: Booking, code: str) -> None:
    """Make what stands a person's decision: history and tasks change, state and mails do not."""
    evidence = evidence_of(session, [(booking.id, booking.revision)])[booking.id]
    last = store.last_verdicts(session, [booking.id]).get(booking.id)
    row = store.NewVerdict(
        booking_id=booking.id,
        number=last.number + 1 if last else 1,
        verdict=booking.status,
        reasons=(code,),
        rules=BY_PERSON,
        judged_for=deadline(booking.start_at),
        evidence=[piece.id for piece in evidence],
        duties=_duties(services, session, booking).details,
        by_person=True,
    )
    store.add_verdicts(session, act, [row])
    details = {"verdict": row.number, "rules": BY_PERSON}
    write_audit(
        session,
        [audit_row(act, "booking", booking.reference, "affirmed", new=booking.status, reason=code, details=details)],
    )
    bookings.close_tasks(session, act, _TASKS, (booking.reference,))


def _duties(services: Services, session: Session, booking: Booking) -> DutiesFound:
    told = store.told_so_far(session, [booking.id]).get(booking.id, ())
    windows = reminder_windows(services.calendar, booking.start_at)
    return duties_of(booking.start_at, booking.revision, booking.confirmed_at, told, windows)
