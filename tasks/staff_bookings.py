"""Staff cancel and move bookings (Art. 6(3)): one transaction each, refused with a sentence or done as a whole.

The same form twice is one call: what it did is recognised in the audit (who, why, when), nothing is repeated, and the
steps after it finish what an earlier run left.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from madoguchi.domain.calendar import SESSION
from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS, SETTLED_BOOKINGS, BookingStatus, RequestStatus
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import JST
from madoguchi.domain.session_mails import CancelledContext, CorrectedContext
from madoguchi.domain.staff import (
    BOOKING_WORDS,
    BY_OFFICE,
    CANCEL_REASONS,
    MOVE_REASONS,
    dated_ja,
    moment_ja,
    not_in_this_state,
)
from madoguchi.domain.wording import session_hours
from madoguchi.store import staff_bookings as store
from madoguchi.store.audit import Act
from madoguchi.store.meeting_removal import mark_unwanted
from madoguchi.store.models import Booking, BookingRequest
from madoguchi.store.outbox import start_told
from madoguchi.store.runs import close_staff_tasks
from madoguchi.store.transitions import move_booking as move_state
from madoguchi.store.transitions import move_request
from madoguchi.store.verdicts import withdraw
from tasks.booking_mail import Telling, tell
from tasks.delivery import FAILED_MESSAGE, UNSENT_MESSAGE
from tasks.meeting_mail import ACCESS_KINDS
from tasks.settling import CALL_APPLICANT, pin_templates
from tasks.staff import CALL_THEM, Done, Refused, act_of, aware, booking_of, staff_run
from tasks.wiring import Run, Services

TENTH_MINUTE: Final = timedelta(minutes=10)
"""Until then a call counts for the client, the tenth minute itself included (Art. 6(3))."""
_CANCELLED = "BOOKING_CANCELLED"
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The form `cancel-booking` as it was filled in; `reason`: a phrase of `CANCEL_REASONS`."""

    reference: str
    received_by: str
    reason: str
    received_at: datetime | None = None
    by_office: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """The form `move-booking` as it was filled in; `reason`: a phrase of `MOVE_REASONS`."""

    reference: str
    start: datetime
    received_by: str
    reason: str
    counsellor: str | None = None


# --- cancelling


def cancel_booking(services: Services, run: Run, form: Cancellation) -> Done:
    """Cancel a booking (Art. 6(3)): booking, request, meeting, unsent mails, staff tasks and the mail, together.

    A session that has a verdict is cancelled as long as the call came by its tenth minute: then it was entered late.
    Asks nothing of Zoom and sends nothing: the steps after it do. Raises Refused; nothing is changed then.
    """
    by, code = staff_run(run, form.received_by), CANCEL_REASONS[form.reason]
    by_office = form.by_office or code == BY_OFFICE
    if by_office and code not in {BY_OFFICE, "OTHER"}:
        raise Refused(
            "所の都合による取消し（by_office）と、ご本人側の理由が同時に選ばれています。どちらかに直してください。"
        )
    pin(services, {MailKind.CANCELLED, MailKind.CORRECTED})
    with services.database.write() as session:
        act = act_of(services, by, form.received_at)
        booking = booking_of(session, act.office, form.reference)
        if booking.status == BookingStatus.CANCELLED.value:
            return _cancelled_before(session, act, booking, code, form.received_at)
        _require_cancellable(session, act, booking, run.as_of)
        if form.received_at is not None and act.happened_at < booking.held_at:
            raise Refused(
                f"受けた日時（{dated_ja(act.happened_at)}）が、予約を取った日時（{dated_ja(booking.held_at)}）より前です。"
                "日時を確かめてください。"
            )
        return _cancel(services, session, run, act, booking, code, by_office=by_office)


def _cancelled_before(session: Session, act: Act, booking: Booking, code: str, received_at: datetime | None) -> Done:
    last = store.last_act(session, act.office, booking.reference)
    since = last.happened_at if last else None
    is_same = last is not None and (last.actor, last.reason) == (act.actor, code)
    if is_same and (received_at is None or since == act.happened_at):
        said = f"{booking.reference} は{moment_ja(since) if since else ''}に取り消し済みです。"
        return Done(booking.reference, said, ("同じ内容の取消しです。繰り返さず、残りだけを行いました。",), again=True)
    raise Refused(not_in_this_state(booking.reference, "取り消し済み", since, "取り消せません"))


def _require_cancellable(session: Session, act: Act, booking: Booking, as_of: datetime) -> None:
    status = BookingStatus(booking.status)
    if status not in ACTIVE_BOOKINGS | SETTLED_BOOKINGS:
        raise Refused(_forbidden(session, act.office, booking, "取り消せません"))
    if status == BookingStatus.ATTENDED and as_of < booking.end_at:
        # Its meeting would be ended under the feet of those who are talking.
        raise Refused(
            f"{booking.reference} は、今、相談の途中と記録されているため、取り消せません。"
            "記録が違うときは、先に settle-attendance（出欠を決める）で直してください。"
        )
    if act.happened_at > booking.start_at + TENTH_MINUTE:
        raise Refused(
            f"{booking.reference} は開始（{moment_ja(booking.start_at)}）から10分を過ぎた後のご連絡のため、"
            "取り消せません。実際の出欠を settle-attendance（出欠を決める）で記録してください。"
            "10分までにお電話があったときは、received_at（受けた日時）にその時刻を入れてください。"
        )


def _cancel(
    services: Services, session: Session, run: Run, act: Act, booking: Booking, code: str, *, by_office: bool
) -> Done:
    was, freed = BookingStatus(booking.status), booking.start_at
    request = session.get_one(BookingRequest, booking.request_id, with_for_update=True)
    # Somebody who was told of a no-show is told once more what holds now, and only that: one mail a change.
    takes_back = was == BookingStatus.NO_SHOW and withdraw(session, act, booking.id, MailKind.NO_SHOW, _CANCELLED)
    mark_unwanted(session, booking, act, code)
    move_state(session, booking, BookingStatus.CANCELLED, act, code, by_office=by_office)
    if request.status == RequestStatus.BOOKED.value:
        move_request(session, request, RequestStatus.CANCELLED, act, code)
    store.void_unsent(session, act, _CANCELLED, booking=booking.id)
    _close_what_is_moot(session, act, booking)
    close_staff_tasks(session, act, booking.reference)
    close_staff_tasks(session, act, request.reference)
    # Moved, and not told of it yet: the mail speaks of the time that the client knows.
    known = start_told(session, booking.id, ACCESS_KINDS) or booking.start_at
    telling = _telling(run, act, booking, known, takes_back=takes_back, by_office=by_office)
    told = tell(services, session, act, [telling])
    notes = [] if told else [CALL_THEM]
    if was in SETTLED_BOOKINGS:
        notes.append(f"{BOOKING_WORDS[was]}だったものを、開始から10分までにご連絡があったものとして改めました。")
    said = f"{booking.reference}（{moment_ja(freed)}から）を取り消しました。"
    return Done(booking.reference, said, tuple(notes), freed=_worth_giving(freed, run.as_of))


def _telling(run: Run, act: Act, booking: Booking, start: datetime, *, takes_back: bool, by_office: bool) -> Telling:
    reference, revision = booking.reference, booking.revision
    if takes_back:
        return Telling(
            booking,
            MailKind.CORRECTED,
            lambda name: CorrectedContext(
                recipient_name=name, start=start, reference=reference, revision=revision, verdict="cancelled"
            ),
            due_at=run.as_of,
            occasion="cancelled",
        )
    return Telling(
        booking,
        MailKind.CANCELLED,
        lambda name: CancelledContext(
            recipient_name=name,
            start=start,
            received_at=act.happened_at,
            reference=reference,
            revision=revision,
            by_office=by_office,
        ),
        due_at=run.as_of,
    )


def _close_what_is_moot(session: Session, act: Act, booking: Booking) -> None:
    """Nobody has to telephone about a mail of a time that no longer holds; uncertain mails stay to be settled."""
    store.close_tasks(session, act, (FAILED_MESSAGE, UNSENT_MESSAGE), store.messages_of(session, booking.id))


# --- moving


def move_booking(services: Services, run: Run, form: Move) -> Done:
    """Move a booking to another time that staff may give: same day and off the grid too, inside the hours of Art. 6(1).

    One transaction: places, times, the old meeting unwanted, its unsent mails void. The client hears of it when the new
    meeting is verified. Raises Refused; nothing is changed then.
    """
    by, code = staff_run(run, form.received_by), MOVE_REASONS[form.reason]
    start = aware(form.start)
    for _ in range(_TRIES):
        try:
            with services.database.write() as session:
                return _move(services, session, act_of(services, by), replace(form, start=start), code)
        except IntegrityError:
            continue
    raise Refused(just_taken(start))


def _move(services: Services, session: Session, act: Act, form: Move, code: str) -> Done:
    booking, start = booking_of(session, act.office, form.reference), form.start
    if before := _moved_before(session, act, booking, start, code):
        return before
    if BookingStatus(booking.status) not in ACTIVE_BOOKINGS:
        raise Refused(_forbidden(session, act.office, booking, "日時を変えられません"))
    if act.happened_at > booking.start_at + TENTH_MINUTE:
        raise Refused(
            f"{booking.reference} は開始（{moment_ja(booking.start_at)}）から10分を過ぎたため、日時を変えられません。"
            "実際の出欠を settle-attendance（出欠を決める）で記録してください。"
        )
    if booking.start_at == start and form.counsellor in {None, booking.counsellor}:
        raise Refused(f"{booking.reference} は、もう{moment_ja(start)}からの予約です。変えるところがありません。")
    require_bookable(services, start, act.happened_at)
    require_no_other_session(session, booking.client_id, start, booking.id)
    counsellor, host = pick_place(
        services,
        session,
        start,
        form.counsellor,
        as_of=act.happened_at,
        prefer=(booking.counsellor, booking.host),
        own=booking.id,
    )
    old = booking.start_at
    mark_unwanted(session, booking, act, code)
    store.void_unsent(session, act, "BOOKING_CHANGED", booking=booking.id)
    _close_what_is_moot(session, act, booking)
    store.close_tasks(session, act, (CALL_APPLICANT,), (booking.reference,))
    store.take_other_time(session, booking, (start, start + SESSION), (counsellor, host), act, code)
    said = f"{booking.reference} を{moment_ja(old)}から{moment_ja(start)}に変えました（担当 {counsellor}）。"
    return Done(booking.reference, said, freed=_worth_giving(old, act.happened_at) if old != start else None)


def _moved_before(session: Session, act: Act, booking: Booking, start: datetime, code: str) -> Done | None:
    """Return what the same form did before, if the booking still stands where it put it."""
    last = store.last_act(session, act.office, booking.reference, store.MOVED)
    if last is None or (last.actor, last.reason) != (act.actor, code):
        return None
    if booking.start_at != start or BookingStatus(booking.status) not in ACTIVE_BOOKINGS:
        return None
    return Done(
        booking.reference,
        f"{booking.reference} は{moment_ja(last.happened_at)}に、{moment_ja(start)}からへ変更済みです。",
        ("同じ内容の変更です。繰り返さず、残りだけを行いました。",),
        again=True,
        freed=_worth_giving(datetime.fromisoformat(last.details["from"]), act.happened_at),
    )


def _worth_giving(start: datetime, as_of: datetime) -> datetime | None:
    """Return a freed start if somebody who waits may get it: by the day before (Art. 6(1))."""
    return start if start.astimezone(JST).date() > as_of.astimezone(JST).date() else None


def _forbidden(session: Session, office: str, booking: Booking, cannot: str) -> str:
    last = store.last_act(session, office, booking.reference)
    word = BOOKING_WORDS[BookingStatus(booking.status)]
    return not_in_this_state(booking.reference, word, last.happened_at if last else None, cannot)


# --- a time that staff give


def require_bookable(services: Services, start: datetime, as_of: datetime) -> None:
    """Raise Refused unless staff may give `start` at `as_of`: ahead, on a working day, inside the hours (Art. 6(1)).

    Staff are not bound to the grid, to the horizon or to the day before; whether same-day is wanted is the form's
    matter.
    """
    calendar, local = services.calendar, start.astimezone(JST)
    day, said = local.date(), moment_ja(start)
    if start <= as_of:
        raise Refused(f"{said}は、もう過ぎています。これからの日時を入れてください。")
    if local.second or local.microsecond:
        raise Refused("開始は、秒を付けずに時と分で入れてください。")
    if not calendar.knows(day):
        until = services.office.holidays_known_until
        raise Refused(
            f"祝日の一覧が{until.year}年{until.month}月{until.day}日までしかないため、{said}は予約できません。"
            "一覧を新しくしてから、もう一度入れてください。"
        )
    if not calendar.is_working_day(day):
        raise Refused(f"{local.month}月{local.day}日は閉庁日のため、予約できません。")
    if not calendar.is_inside_hours(start):
        raise Refused(f"{said}からの30分は、相談の時間（{session_hours(services.office.hours)}）に収まりません。")


def require_no_other_session(session: Session, client_id: str, start: datetime, own: str | None = None) -> None:
    """Raise Refused when the same person has another session then."""
    other = store.session_of_client(session, client_id, start, start + SESSION, own)
    if other is not None:
        raise Refused(
            f"同じ方の予約 {other.reference}（{moment_ja(other.start_at)}から）と重なるため、"
            f"{moment_ja(start)}からは取れません。"
        )


def pick_place(
    services: Services,
    session: Session,
    start: datetime,
    counsellor: str | None,
    *,
    as_of: datetime,
    prefer: tuple[str, str] = ("", ""),
    own: str | None = None,
) -> tuple[str, str]:
    """Return who takes a session and under which Zoom host: those preferred when they are free, else the first free.

    `own`: the id of a booking that does not stand in its own way. Refused says which starts of that day are free.
    """
    known = {one.code for one in services.office.counsellors}
    if counsellor is not None and counsellor not in known:
        # What was typed is not repeated: it may be anything.
        raise Refused(f"その担当は登録されていません。{'、'.join(sorted(known))} のどれかを入れてください。")
    people, hosts = free_at(services, session, start, own)
    wanted = [code for code in people if counsellor in {None, code}]
    if not wanted or not hosts:
        who = "Zoomの枠" if wanted else f"担当 {counsellor} " if counsellor else "担当者"
        others = _free_that_day(services, session, start, counsellor, as_of)
        raise Refused(f"{moment_ja(start)}からは、{who}が空いていません。{others}")
    by_choice = [counsellor] if counsellor else [code for code in wanted if code == prefer[0]] or wanted
    return by_choice[0], prefer[1] if prefer[1] in hosts else hosts[0]


def free_at(
    services: Services, session: Session, start: datetime, own: str | None = None
) -> tuple[list[str], list[str]]:
    """Return the codes of counsellors at work and free, and of free Zoom hosts, for a session from `start`."""
    office, day = services.office, start.astimezone(JST).date()
    taken = store.taken_by_others(session, office.code, start, start + SESSION, own)
    people = [one.code for one in office.counsellors if one.works_on(day) and f"counsellor:{one.code}" not in taken]
    return people, [host.code for host in office.hosts if f"host:{host.code}" not in taken]


def _free_that_day(
    services: Services, session: Session, start: datetime, counsellor: str | None, as_of: datetime
) -> str:
    found: list[str] = []
    for other in services.calendar.starts_on(start.astimezone(JST).date()):
        people, hosts = free_at(services, session, other)
        if other > as_of and hosts and (counsellor in people if counsellor else people):
            found.append(f"{other.hour}時{other.minute:02d}分")
    return f"その日に空いている開始: {'、'.join(found)}。" if found else "その日は、ほかの開始も空いていません。"


def just_taken(start: datetime) -> str:
    """Return the sentence for a race lost."""
    return f"{moment_ja(start)}からの枠は、ちょうど今、ほかの予約に取られました。別の日時を入れてください。"


def pin(services: Services, kinds: Collection[MailKind]) -> None:
    """Pin templates one transaction a kind and before anything is locked: pinning crosswise would deadlock."""
    for kind in sorted(kinds):
        with services.database.write() as session:
            pin_templates(services, session, {kind})
