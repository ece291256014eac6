"""What a verdict does, in the transaction that says it: state, history, meeting, mails, staff tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from madoguchi.domain.alternatives import answer_by
from madoguchi.domain.lifecycle import BookingStatus
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import JST
from madoguchi.domain.session_mails import CorrectedContext, NoShowContext, OfficeFaultContext
from madoguchi.domain.verdict import deadline
from madoguchi.store import verdicts as store
from madoguchi.store.audit import Act
from madoguchi.store.meeting_removal import mark_unwanted
from madoguchi.store.models import Booking
from madoguchi.store.runs import open_staff_task
from madoguchi.store.staff_bookings import close_tasks
from madoguchi.store.transitions import move_bookings
from tasks.booking_mail import Telling, tell
from tasks.scheduling import Offers, free_places
from tasks.settling import CALL_APPLICANT, OFFICE_FAULT, pin_templates
from tasks.wiring import Services

CONFIRM_NO_SHOW: Final = "confirm-no-show"
SETTLE_ATTENDANCE: Final = "settle-attendance"
EVIDENCE_AFTER_VERDICT: Final = "evidence-after-verdict"
"""Staff tasks, each about a booking: confirm a proposed no-show; call and book anew; say what was; look again."""
VERDICT_CHANGED: Final = "VERDICT_CHANGED"
"""Why a mail about a verdict that no longer holds did not leave."""

_TASK_OF: Final[Mapping[BookingStatus, str]] = {
    BookingStatus.NO_SHOW_PROPOSED: CONFIRM_NO_SHOW,
    BookingStatus.OFFICE_FAULT: OFFICE_FAULT,
    BookingStatus.UNDETERMINED: SETTLE_ATTENDANCE,
    BookingStatus.CONTACTED: SETTLE_ATTENDANCE,
}
_ALL_TASKS: Final = (CONFIRM_NO_SHOW, OFFICE_FAULT, SETTLE_ATTENDANCE, EVIDENCE_AFTER_VERDICT)
# Not an office fault: a host who comes late may still meet the client there; the night removes that meeting.
_ENDS_THE_MEETING: Final = frozenset({BookingStatus.NO_SHOW})
_ABSENT: Final = frozenset({BookingStatus.NO_SHOW, BookingStatus.NO_SHOW_PROPOSED})
_MAILS: Final = (MailKind.NO_SHOW, MailKind.OFFICE_FAULT, MailKind.CORRECTED)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one booking, and everything that it rests on. `number`: of the row in its history."""

    booking: Booking
    to: BookingStatus
    reasons: tuple[str, ...]
    number: int
    rules: str
    evidence: tuple[str, ...]
    duties: dict[str, Any]


def pin_mails(services: Services) -> None:
    """Keep the templates of every mail that a verdict can send.

    One after the other and before any booking is locked: two runners pinning crosswise would wait for each other.
    """
    for kind in _MAILS:
        with services.database.write() as session:
            pin_templates(services, session, {kind})


@dataclass(slots=True)
class Effects:
    """The effects of some decisions in the caller's transaction, whose bookings the caller has locked.

    `as_of`: the run's business time, from which its mails are due; any later, and the same run again would find them
    not yet due. `offered`: which times were offered in this run, so that not everybody gets the same three.
    """

    services: Services
    session: Session
    act: Act
    as_of: datetime
    offered: Counter[datetime] = field(default_factory=Counter)

    def settle(self, decisions: Sequence[Decision], *, by_person: bool = False) -> None:
        """Let the decisions hold. ForbiddenTransition when the lifecycle forbids one; roll back then."""
        before = {decision.booking.id: BookingStatus(decision.booking.status) for decision in decisions}
        told_back = [d for d in decisions if self._take_back(d, before[d.booking.id]) and d.to not in _ABSENT]
        details = {d.booking.id: {"verdict": d.number, "rules": d.rules, "reasons": list(d.reasons)} for d in decisions}
        move_bookings(
            self.session, [(d.booking, d.to, d.reasons[0], details[d.booking.id]) for d in decisions], self.act
        )
        store.add_verdicts(self.session, self.act, [_row(d, by_person=by_person) for d in decisions])
        for decision in decisions:
            if decision.to in _ENDS_THE_MEETING:
                mark_unwanted(self.session, decision.booking, self.act, decision.to.name)
        self._tasks(decisions, before, by_person=by_person)
        tell(self.services, self.session, self.act, self._tellings(decisions, told_back))

    def _take_back(self, decision: Decision, old: BookingStatus) -> bool:
        """Withdraw what was said of the old verdict; True when the client has, or may have, been told of a no-show."""
        booking = decision.booking
        if old is BookingStatus.OFFICE_FAULT:
            store.withdraw(self.session, self.act, booking.id, MailKind.OFFICE_FAULT, VERDICT_CHANGED)
        # A correction that has not left would say what does not hold any more: it is said anew.
        unsaid = store.withdraw_unsent(self.session, self.act, booking.id, MailKind.CORRECTED, VERDICT_CHANGED)
        if old is not BookingStatus.NO_SHOW:
            return unsaid
        if store.withdraw(self.session, self.act, booking.id, MailKind.NO_SHOW, VERDICT_CHANGED):
            return True
        waits = store.task_stands(
            self.session, self.act.office, CALL_APPLICANT, booking.reference, MailKind.NO_SHOW.name
        )
        if waits:
            close_tasks(self.session, self.act, (CALL_APPLICANT,), (booking.reference,))
        # Not waiting any more: somebody has told them by telephone.
        return waits is False

    def _tasks(self, decisions: Sequence[Decision], before: Mapping[str, BookingStatus], *, by_person: bool) -> None:
        for decision in decisions:
            reference, kind = decision.booking.reference, _TASK_OF.get(decision.to)
            if by_person:
                kind = None
            if by_person or before[decision.booking.id] is not BookingStatus.CONFIRMED:
                moot = [each for each in _ALL_TASKS if each != kind]
                close_tasks(self.session, self.act, moot, (reference,))
            if kind is not None:
                open_staff_task(self.session, self.act, kind, reference, decision.reasons[0])

    def _tellings(self, decisions: Sequence[Decision], told_back: Sequence[Decision]) -> list[Telling]:
        """Return one mail a change at most: who is told that a no-show is taken back is told what holds instead."""
        corrected = {decision.booking.id for decision in told_back}
        tellings = [self._corrected(decision) for decision in told_back]
        faults = [d for d in decisions if d.to is BookingStatus.OFFICE_FAULT and d.booking.id not in corrected]
        tellings += [self._no_show(d) for d in decisions if d.to is BookingStatus.NO_SHOW]
        if faults:
            offers = Offers(free_places(self.services, self.session, self.as_of), self.offered)
            tellings += [self._office_fault(decision, offers) for decision in faults]
        return tellings

    def _no_show(self, decision: Decision) -> Telling:
        booking = decision.booking
        context = partial(_no_show_context, booking.start_at, booking.reference, booking.revision)
        tomorrow = self.as_of.astimezone(JST).date() + timedelta(days=1)
        return Telling(
            booking,
            MailKind.NO_SHOW,
            context,
            due_at=self.as_of,
            not_after=datetime.combine(tomorrow, time(), JST),
            occasion=_occasion(decision),
        )

    def _corrected(self, decision: Decision) -> Telling:
        booking = decision.booking
        context = partial(_corrected_context, booking.start_at, booking.reference, booking.revision, decision.to.value)
        return Telling(booking, MailKind.CORRECTED, context, due_at=self.as_of, occasion=_occasion(decision))

    def _office_fault(self, decision: Decision, offers: Offers) -> Telling:
        booking, services = decision.booking, self.services
        times = offers.take((booking.start_at,), services.office.alternatives_offered, self.as_of)

        def context(name: str) -> OfficeFaultContext:
            return OfficeFaultContext(
                recipient_name=name,
                start=booking.start_at,
                offers=times,
                answer_by=answer_by(times, services.calendar, self.as_of) if times else None,
                reference=booking.reference,
                revision=booking.revision,
            )

        return Telling(
            booking,
            MailKind.OFFICE_FAULT,
            context,
            due_at=self.as_of,
            # Offers that have passed help nobody.
            not_after=min(times) if times else None,
            occasion=_occasion(decision),
        )


def _no_show_context(start: datetime, reference: str, revision: int, name: str) -> NoShowContext:
    return NoShowContext(recipient_name=name, start=start, reference=reference, revision=revision)


def _corrected_context(start: datetime, reference: str, revision: int, verdict: str, name: str) -> CorrectedContext:
    return CorrectedContext(recipient_name=name, start=start, reference=reference, revision=revision, verdict=verdict)


def _occasion(decision: Decision) -> str:
    return str(decision.number) if decision.number > 1 else ""


def _row(decision: Decision, *, by_person: bool) -> store.NewVerdict:
    return store.NewVerdict(
        booking_id=decision.booking.id,
        number=decision.number,
        verdict=decision.to.value,
        reasons=decision.reasons,
        rules=decision.rules,
        judged_for=deadline(decision.booking.start_at),
        evidence=decision.evidence,
        duties=decision.duties,
        by_person=by_person,
    )
