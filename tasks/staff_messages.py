"""Staff settle mails of which nobody knows whether they arrived, or that could not be sent.

Never repeated by itself: a person says that it arrived, that it goes out again, or that the matter was told by
telephone. What goes out again is looked at once more at the moment of sending, as every mail is.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, TypeAlias

from pydantic import Field
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from madoguchi.domain.message import ALLOWED, MessageStatus
from madoguchi.domain.staff import MESSAGE_OUTCOMES, MESSAGE_WORDS, moment_ja
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Audit, Booking, OutboxMessage, StaffTask
from madoguchi.store.outbox import Settled, settle
from madoguchi.store.runs import close_staff_tasks
from tasks.staff import Done, Refused, act_of, staff_run
from tasks.verdicts import reconsider
from tasks.wiring import Run, Services

MessageId: TypeAlias = Annotated[str, Field(max_length=40, pattern=r"^\s*[0-9A-Fa-f]{32}\s*$")]
_ID: Final = re.compile(r"[0-9a-f]{32}")
_SAME = "同じ内容の記録です。繰り返さず、残りだけを行いました。"
_REASON: Final = {"arrived": "ARRIVED_SAYS_PERSON", "send_again": "SENT_AGAIN_BY_PERSON", "told": "TOLD_BY_TELEPHONE"}
_TARGET: Final = {
    "arrived": MessageStatus.SENT,
    "send_again": MessageStatus.QUEUED,
    "told": MessageStatus.FAILED,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The form `settle-message` as it was filled in; `message`: its id, `outcome`: a phrase of `MESSAGE_OUTCOMES`."""

    message: str
    outcome: str
    received_by: str


def settle_message(services: Services, run: Run, form: Answer) -> Done:
    """Settle a mail that waits for a person; sends nothing, the step after it does.

    A mail that is said to have arrived counts as sent when its body was given to the relay, not when somebody said
    so; a verdict that rests on it is judged again. Raises Refused; nothing is changed then.
    """
    by, outcome = staff_run(run, form.received_by), MESSAGE_OUTCOMES[form.outcome]
    typed = unicodedata.normalize("NFKC", form.message).strip().lower()
    if not _ID.fullmatch(typed):
        raise Refused("お知らせの番号の形になっていません。一覧から、英数字32文字の番号を写してください。")
    with services.database.write() as session:
        act = act_of(services, by)
        message = _message_of(session, act, typed)
        status = MessageStatus(message.status)
        about = session.get(Booking, message.booking_id) if message.booking_id else None
        reference = about.reference if about else typed
        done = _done_before(session, act, message, outcome)
        if done is None:
            _require_settleable(session, act, message, outcome)
            _settle(session, act, message, status, outcome)
    if about is not None and outcome == "arrived":
        reconsider(services, run, [about.reference])
    if done:
        return Done(reference, done, (_SAME,), again=True)
    return Done(reference, f"お知らせ {typed} を「{form.outcome}」としました。", _notes(outcome))


def _message_of(session: Session, act: Act, row_id: str) -> OutboxMessage:
    found = session.scalar(
        select(OutboxMessage)
        .where(OutboxMessage.office == act.office, OutboxMessage.id == row_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise Refused("その番号のお知らせは見つかりません。番号を確かめてください。")
    return found


def _done_before(session: Session, act: Act, message: OutboxMessage, outcome: str) -> str | None:
    """Return what the same form did before, if that still holds.

    A run that is repeated never sends a third time: what became uncertain again after it waits for another decision.
    """
    last = session.scalar(
        select(Audit)
        .where(
            Audit.office == act.office,
            Audit.subject == message.id,
            Audit.reason == _REASON[outcome],
        )
        .order_by(Audit.id.desc())
        .limit(1)
    )
    if last is None or last.actor != act.actor:
        return None
    waits = message.status in {MessageStatus.UNCERTAIN.value, MessageStatus.FAILED.value}
    is_same_run = act.run is not None and last.run == act.run
    if outcome == "send_again" and waits and not is_same_run:
        return None
    if outcome == "arrived" and message.status != _TARGET[outcome].value:
        return None
    if outcome == "told" and _waits(session, act, message.id):
        return None
    word = next(phrase for phrase, code in MESSAGE_OUTCOMES.items() if code == outcome)
    return f"お知らせ {message.id} は、{moment_ja(last.happened_at)}に「{word}」と記録済みです。"


def _require_settleable(session: Session, act: Act, message: OutboxMessage, outcome: str) -> None:
    status, target = MessageStatus(message.status), _TARGET[outcome]
    if target in ALLOWED[status] and status in {MessageStatus.UNCERTAIN, MessageStatus.FAILED}:
        return
    if outcome == "told" and _waits(session, act, message.id):
        return
    if status == MessageStatus.FAILED and outcome == "arrived":
        raise Refused(
            f"お知らせ {message.id} は送れなかったものなので、「届いていた」とはできません。"
            "「もう一度送る」か「電話で伝えた」を選んでください。"
        )
    raise Refused(
        f"お知らせ {message.id} は{MESSAGE_WORDS[status]}のため、記録を変えられません。"
        "変えられるのは、届いたか分からないものと、送れなかったものです。"
    )


def _waits(session: Session, act: Act, row_id: str) -> bool:
    known = select(StaffTask.id).where(
        StaffTask.office == act.office, StaffTask.subject == row_id, StaffTask.closed_at.is_(None)
    )
    return session.scalar(known.limit(1)) is not None


def _settle(session: Session, act: Act, message: OutboxMessage, status: MessageStatus, outcome: str) -> None:
    target = _TARGET[outcome]
    if target in ALLOWED[status]:
        given = _given_at(session, act, message)
        settle(session, act, [Settled(message.id, status, target, _REASON[outcome])])
        if target is MessageStatus.SENT:
            session.execute(
                update(OutboxMessage)
                .where(OutboxMessage.id == message.id)
                .values(sent_at=given)
                .execution_options(synchronize_session=False)
            )
    elif outcome == "told":
        write_audit(session, [audit_row(act, "message", message.id, "told", new=status, reason=_REASON[outcome])])
    close_staff_tasks(session, act, message.id)


def _given_at(session: Session, act: Act, message: OutboxMessage) -> datetime:
    """Return when the body was given to the relay for the last time, in business time."""
    given = session.scalar(
        select(Audit.happened_at)
        .where(
            Audit.office == act.office,
            Audit.subject == message.id,
            Audit.action == "transition",
            Audit.new == MessageStatus.SENDING.value,
        )
        .order_by(Audit.id.desc())
        .limit(1)
    )
    return given or message.changed_at


def _notes(outcome: str) -> tuple[str, ...]:
    if outcome == "send_again":
        return ("送る直前に、予約の状態をもう一度確かめます。取り消された予約や、時刻を過ぎたお知らせは送りません。",)
    if outcome == "told":
        return ("参加方法をお伝えしたときは、record-contact（連絡の記録）にも入れてください。",)
    return ()
