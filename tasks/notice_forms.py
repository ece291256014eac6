"""The forms of staff about notices: told by other means, totals signed off, a mail that came back dealt with."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.domain.amendment import NoticePurpose
from madoguchi.domain.notice_proof import HANDLED, HOW_JA, HOWS, PURPOSE_JA, PURPOSES, NoticeClass
from madoguchi.domain.staff import dated_ja, moment_ja
from madoguchi.store import bounces as bounce_store
from madoguchi.store import proof as store
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Amendment, Notice, NoticeSignOff, StaffTask
from madoguchi.store.staff_bookings import close_tasks
from tasks.bounces import CALL_BOUNCED, MAIL_REFUSED, UNCLEAR_BOUNCES
from tasks.delivery import FAILED_MESSAGE, UNSENT_MESSAGE
from tasks.proof import UnknownAmendmentError, amendment_of, open_notice_task, proof_csv
from tasks.staff import Done, Refused, act_of, booking_of, names_request, request_of, staff_run
from tasks.wiring import Run, Services

_SAME = "同じ内容の記録です。繰り返しませんでした。"


@dataclass(frozen=True, slots=True)
class Told:
    """The form `record-notice` as it was filled in. `how` and `purpose` are phrases of `HOWS` and `PURPOSES`."""

    reference: str
    code: str
    how: str
    received_by: str
    happened_at: datetime | None = None
    purpose: str = PURPOSE_JA[NoticePurpose.ANNOUNCED]


@dataclass(frozen=True, slots=True)
class Signature:
    """The form `sign-off-notice` as it was filled in."""

    code: str
    signed_by: str
    purpose: str = PURPOSE_JA[NoticePurpose.ANNOUNCED]


@dataclass(frozen=True, slots=True)
class Settled:
    """The form `settle-bounce` as it was filled in. `reference`: of a booking, an application, or a day's alarm."""

    reference: str
    outcome: str
    received_by: str


def record_notice(services: Services, run: Run, form: Told) -> Done:
    """Record that staff told somebody of an amendment by other means (Art. 13).

    Closes what waited for that call, and the amendment's task when nobody is left. Raises Refused; nothing is changed
    then.
    """
    by, purpose = staff_run(run, form.received_by), NoticePurpose(PURPOSES[form.purpose])
    with services.database.write() as session:
        act = act_of(services, by, form.happened_at)
        amendment = _amendment(session, act, form.code)
        subject, client_id = _person(session, act, form.reference)
        _require_after(act.happened_at, amendment.approved_at)
        found = store.proof_of(session, act.office, amendment.id, purpose, client_id)
        if found is None:
            raise Refused(f"{subject} の方は、{amendment.code} の{form.purpose}の対象ではありません。")
        notice = store.notice_of(session, found.id)
        if notice.told_at is not None:
            how = HOW_JA.get(notice.told_how or "", notice.told_how or "")
            said = f"{subject} の方には、{moment_ja(notice.told_at)}に{how}でお知らせ済みと記録されています。"
            return Done(subject, said, (_SAME,), again=True)
        _require_open(found, subject)
        _keep_told(session, act, notice, found.notice_class, HOWS[form.how], (amendment.code, purpose.value))
        _close(session, act, notice.reference, subject, notice.message_id)
        left = open_notice_task(session, act, amendment.id)
    said = f"{subject} の方に、{amendment.code} の{form.purpose}を{form.how}で伝えたと記録しました。"
    note = f"あと{left}名です" if left else "もういません"
    return Done(subject, said, (f"ほかの方法でお知らせする方は、{note}。",))


def _require_after(happened: datetime, approved: datetime) -> None:
    if happened < approved:
        raise Refused(
            f"伝えた日時（{dated_ja(happened)}）が、改定の承認（{dated_ja(approved)}）より前です。"
            "日時を確かめてください。"
        )


def _keep_told(session: Session, act: Act, notice: Notice, old: str, how: str, about: tuple[str, str]) -> None:
    notice.told_at, notice.told_by, notice.told_how = act.happened_at, act.actor, how
    details = {"amendment": about[0], "purpose": about[1]}
    write_audit(session, [audit_row(act, "notice", notice.id, "told", old=old, reason=how, details=details)])
    session.flush()


def _require_open(found: Any, subject: str) -> None:
    match NoticeClass(found.notice_class):
        case NoticeClass.TOLD:
            raise Refused(
                f"{subject} の方には、{moment_ja(found.sent_at)}にメールでお知らせ済みです。記録の必要はありません。"
            )
        case NoticeClass.TOLD_OTHERWISE:
            raise Refused(f"{subject} の方には、お電話でお知らせ済みと記録されています。記録の必要はありません。")
        case NoticeClass.WAITING:
            raise Refused(f"{subject} の方には、これからメールでお知らせします。送られるまでお待ちください。")
        case NoticeClass.UNCERTAIN:
            raise Refused(
                f"{subject} の方へのメールは、届いたか分かりません。settle-message で"
                f"お知らせ {found.message_id} の扱いを決めてください（「電話で伝えた」も選べます）。"
            )
        case _:
            return


def _close(session: Session, act: Act, reference: str, subject: str, message_id: str | None) -> None:
    """Close what waited for this call; what waits about a session itself is another matter."""
    for known in {reference, subject}:
        task = bounce_store.open_task(session, act.office, CALL_BOUNCED, known)
        if task is not None and task.reason == "BOUNCED_NOTICE":
            close_tasks(session, act, [CALL_BOUNCED], [known])
    if message_id:
        close_tasks(session, act, [FAILED_MESSAGE, UNSENT_MESSAGE], [message_id])


def sign_off_notice(services: Services, run: Run, form: Signature) -> Done:
    """Freeze the totals of a notice and the hash of its table, as one person vouches for them.

    Signing the same totals again changes nothing; totals that have changed since are signed anew, and both stay.
    Raises Refused while a mail waits or is in doubt.
    """
    by, purpose = staff_run(run, form.signed_by), NoticePurpose(PURPOSES[form.purpose])
    with services.database.read() as session:
        code = _amendment(session, act_of(services, by), form.code).code
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 — the table is hashed, not kept: it can be made again
        table = proof_csv(services, code, purpose, nowhere)
    _require_settled(code, form.purpose, table.rows, table.totals)
    with services.database.write() as session:
        act = act_of(services, by)
        amendment = _amendment(session, act, code)
        known = store.sign_offs(session, amendment.id, purpose)
        same = [one for one in known if one.sha256 == table.sha256 and one.signed_by == act.actor]
        if same:
            said = f"{code} の{form.purpose}の合計は、{moment_ja(same[-1].signed_at)}に確認済みです。"
            return Done(code, said, (_SAME,), again=True)
        session.add(
            NoticeSignOff(
                office=act.office,
                amendment_id=amendment.id,
                purpose=purpose.value,
                totals=table.totals,
                sha256=table.sha256,
                signed_by=act.actor,
                signed_at=act.happened_at,
            )
        )
        details = {"purpose": purpose.value, "totals": table.totals, "sha256": table.sha256}
        write_audit(session, [audit_row(act, "amendment", code, "signed_off", details=details)])
    return Done(
        code, f"{code} の{form.purpose}（{table.rows}名）の合計を確認済みとしました。", _changes(known, table.totals)
    )


def _require_settled(code: str, purpose: str, rows: int, totals: dict[str, int]) -> None:
    if not rows:
        raise Refused(f"{code} の{purpose}の対象の方は、まだ記録されていません。お知らせの後で確認してください。")
    waiting, uncertain = totals[NoticeClass.WAITING.value], totals[NoticeClass.UNCERTAIN.value]
    if waiting:
        raise Refused(
            f"{code} の{purpose}は、送信待ちが{waiting}件あるため、まだ確認済みにできません。"
            "deliver-messages で送り終えてから、もう一度行ってください。"
        )
    if uncertain:
        raise Refused(
            f"{code} の{purpose}は、届いたか分からないものが{uncertain}件あるため、まだ確認済みにできません。"
            "settle-message で扱いを決めてから、もう一度行ってください。"
        )


def _changes(known: list[NoticeSignOff], totals: dict[str, int]) -> tuple[str, ...]:
    if not known:
        return ()
    last = known[-1]
    if dict(last.totals) == totals:
        return ("前の確認から、合計は変わっていません。前の確認も残ります。",)
    return (f"前の確認（{moment_ja(last.signed_at)}）から合計が変わっています。前の確認も残ります。",)


def settle_bounce(services: Services, run: Run, form: Settled) -> Done:
    """Close what waits because a mail came back; on request let mail go to the person's addresses again.

    What came back is not sent again: the person was told, or the next mail goes out. Raises Refused.
    """
    by, outcome = staff_run(run, form.received_by), HANDLED[form.outcome]
    with services.database.write() as session:
        act = act_of(services, by)
        typed = unicodedata.normalize("NFKC", form.reference).strip().lower()
        if outcome == "looked":
            return _looked(session, act, typed, form.outcome)
        subject, client_id, request_id = _whose(session, act, form.reference)
        lifted = 0
        if outcome == "usable":
            addresses = bounce_store.addresses_of(session, act.office, client_id, request_id)
            lifted = bounce_store.lift(session, act, addresses, "USABLE_SAYS_PERSON") if addresses else 0
        waited = bounce_store.open_task(session, act.office, CALL_BOUNCED, subject) is not None
        if not waited and not lifted:
            if _was_closed(session, act, subject):
                return Done(subject, f"{subject} の戻ってきたメールは、対応済みです。", (_SAME,), again=True)
            raise Refused(f"{subject} の方に、戻ってきたメールで対応を待つものはありません。番号を確かめてください。")
        close_tasks(session, act, [CALL_BOUNCED], [subject])
        write_audit(session, [audit_row(act, "bounce", subject, "settled", reason=outcome.upper())])
    note = "この方のアドレスに、これからのメールをまた送ります。戻ってきたメールは、送り直しません。"
    return Done(subject, f"{subject} の戻ってきたメールを「{form.outcome}」としました。", (note,) if lifted else ())


def _looked(session: Session, act: Act, typed: str, phrase: str) -> Done:
    kinds = [MAIL_REFUSED, UNCLEAR_BOUNCES]
    waits = [kind for kind in kinds if bounce_store.open_task(session, act.office, kind, typed) is not None]
    known = session.scalar(
        select(StaffTask)
        .where(StaffTask.office == act.office, StaffTask.kind.in_(kinds), StaffTask.subject == typed)
        .limit(1)
    )
    if known is None:
        raise Refused(
            "「確かめた」は、policy-20260914 や unclear-20260914 のような番号に使います。一覧から写してください。"
        )
    close_tasks(session, act, kinds, [typed])
    if waits:
        write_audit(session, [audit_row(act, "bounce", typed, "settled", reason="LOOKED")])
    return Done(typed, f"{typed} を「{phrase}」としました。", () if waits else (_SAME,), again=not waits)


def _was_closed(session: Session, act: Act, subject: str) -> bool:
    known = select(StaffTask.id).where(
        StaffTask.office == act.office, StaffTask.kind == CALL_BOUNCED, StaffTask.subject == subject
    )
    return session.scalar(known.limit(1)) is not None


def _amendment(session: Session, act: Act, code: str) -> Amendment:
    try:
        return amendment_of(session, act.office, unicodedata.normalize("NFKC", code))
    except UnknownAmendmentError as unknown:
        raise Refused(str(unknown)) from None


def _person(session: Session, act: Act, reference: str) -> tuple[str, str]:
    """Return the reference as it is written, and the person behind it."""
    subject, client_id, _ = _whose(session, act, reference)
    if client_id is None:
        raise Refused(f"{subject} の申込みは、どなたのものか確かめられていないため、お知らせの対象ではありません。")
    return subject, client_id


def _whose(session: Session, act: Act, reference: str) -> tuple[str, str | None, str | None]:
    if names_request(session, act.office, reference):
        request = request_of(session, act.office, reference)
        return request.reference, request.client_id, request.id
    booking = booking_of(session, act.office, reference)
    return booking.reference, booking.client_id, booking.request_id
