"""The tenth minute applied: sessions that are due are judged once, and judged again when the truth comes late.

A sweep that runs hours late judges the tenth minute, not its own (`domain/verdict.py`); docs/verdict.md has the rules.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from madoguchi.adapters.event_spool import EventSpool
from madoguchi.domain.duties import DutiesFound, MessageFact, duties_of
from madoguchi.domain.evidence import Evidence, Verdict
from madoguchi.domain.lifecycle import BookingStatus, ForbiddenTransition
from madoguchi.domain.office import JST
from madoguchi.domain.reminders import reminder_windows
from madoguchi.domain.verdict import (
    CONTACT_LIMIT,
    OUTSIDE_CATCH_UP,
    RULES,
    Change,
    Judgement,
    VerdictReason,
    deadline,
    judge,
    revise,
    zoom_was_asked,
)
from madoguchi.store import verdicts as store
from madoguchi.store.audit import Act
from madoguchi.store.evidence import evidence_of
from madoguchi.store.models import Booking, VerdictRecord
from madoguchi.store.runs import open_staff_task
from tasks.evidence import drain
from tasks.observing import observe
from tasks.verdict_effects import EVIDENCE_AFTER_VERDICT, Decision, Effects, pin_mails
from tasks.wiring import Run, Services

BATCH: Final = 200
BY_PERSON: Final = "by-person"
"""What stands for the version of the rules where a person has decided."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SweepReport:
    """What one sweep did, by booking reference.

    `settled`: how many by the state that they took. `judged`: every booking with state and reason codes. `changed`:
    verdicts that late truth changed (reference, old, new). `incomplete`: not judged, each with a reason code.
    """

    settled: Counter[str] = field(default_factory=Counter)
    judged: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    changed: list[tuple[str, str, str]] = field(default_factory=list)
    incomplete: list[tuple[str, str]] = field(default_factory=list)


def sweep(services: Services, run: Run) -> SweepReport:
    """Take in what Zoom has reported, ask Zoom about the rest, and judge every session whose tenth minute has come.

    May run as often as you like, late, and twice at once: each session is settled once. Removes no meeting and sends
    nothing; the steps after it do.
    """
    changed = take_in(services, run)
    observe(services, run)
    report = judge_due(services, run)
    report.changed = changed
    return report


def take_in(services: Services, run: Run) -> list[tuple[str, str, str]]:
    """Take in the webhooks that wait, judge again the sessions that have a verdict, and return what changed."""
    changed: list[tuple[str, str, str]] = []
    if services.spool is not None:
        # Before their files go: after a crash in between the next run is told the same references again.
        drain(services, run, EventSpool(services.spool), lambda refs: changed.extend(reconsider(services, run, refs)))
    return changed


def judge_due(services: Services, run: Run) -> SweepReport:
    """Judge every confirmed booking whose tenth minute has come, in batches; asks nobody.

    A crash leaves the batches after it due. One session that cannot be judged does not keep the others from it.
    """
    report, offered = SweepReport(), Counter[datetime]()
    before = run.at(services.clock()) - CONTACT_LIMIT
    due = _due(services, before)
    if not due:
        return report
    pin_mails(services)

    def batch(items: Sequence[tuple[str, str]], *, wait: bool) -> None:
        with services.database.write() as session:
            judging = _Judging(services, session, run)
            bookings = store.lock_due(session, [booking_id for booking_id, _ in items], wait=wait)
            decisions = judging.first(bookings)
            Effects(services, session, judging.act, run.as_of, offered).settle(decisions)
        for decision in decisions:
            report.settled[decision.to.value] += 1
            report.judged.append((decision.booking.reference, decision.to.value, decision.reasons))

    _in_batches(due, lambda items: batch(items, wait=False), report.incomplete)
    failed = {reference for reference, _ in report.incomplete}
    # What another runner had locked: wait for it, and judge what it gave up. One by one: who holds nothing while
    # waiting cannot be in a deadlock.
    ours = set(due)
    for item in _due(services, before):
        if item in ours and item[1] not in failed:
            _robustly([item], lambda items: batch(items, wait=True), report.incomplete)
    return report


def _due(services: Services, before: datetime) -> list[tuple[str, str]]:
    with services.database.read() as session:
        return [(row.id, row.reference) for row in store.due_sessions(session, services.office.code, before)]


def reconsider(services: Services, run: Run, references: Sequence[str]) -> list[tuple[str, str, str]]:
    """Judge sessions that have a verdict again with all that is known now; return (reference, old, new) of changes.

    Always at the same tenth minute. Corrects only in favour of the client and never what a person decided; what else
    differs is asked of staff once, and so is a session that cannot be judged. Bookings without a verdict, and cancelled
    ones, are left alone.
    """
    if not references:
        return []
    pin_mails(services)
    changes: list[tuple[str, str, str]] = []
    failed: list[tuple[str, str]] = []

    def batch(items: Sequence[tuple[str, str]]) -> None:
        with services.database.write() as session:
            bookings = store.lock_settled(session, services.office.code, [reference for _, reference in items])
            judging = _Judging(services, session, run)
            before = {booking.id: booking.status for booking in bookings}
            decisions = judging.again(bookings)
            Effects(services, session, judging.act, run.as_of).settle(decisions)
        changes.extend((d.booking.reference, before[d.booking.id], d.to.value) for d in decisions)

    _in_batches([(reference, reference) for reference in sorted(set(references))], batch, failed)
    for reference, code in failed:
        # Their webhooks are taken in already and nobody would come back to them: a person has to.
        with services.database.write() as session:
            open_staff_task(session, run.act(services), EVIDENCE_AFTER_VERDICT, reference, code[:60])
    return changes


def settle_by_person(
    session: Session,
    services: Services,
    act: Act,
    booking: Booking,
    verdict: Verdict | None,
    reason: str,
    *,
    as_of: datetime,
    confirm_no_show: bool = False,
) -> None:
    """Let a person's decision about a session hold, in the caller's transaction; the caller has locked the booking.

    `verdict` None with `confirm_no_show`: the proposed no-show is confirmed. State, history, mails (also those taken
    back or corrected) and the booking's staff tasks change together; no later evidence changes it by itself any more.
    `reason`: a code; `as_of`: business time of the run, from which its mails are due. ForbiddenTransition when the
    lifecycle has no such arrow, when nothing was proposed, or for a no-show before the tenth minute; ValueError when
    neither a verdict nor a confirmation is given.
    """
    to = BookingStatus.NO_SHOW if verdict is None else BookingStatus(verdict.value)
    if verdict is None and not confirm_no_show:
        raise ValueError("settle_by_person: give a verdict, or confirm the proposed no-show")
    is_proposed = booking.status == BookingStatus.NO_SHOW_PROPOSED.value
    too_early = to is BookingStatus.NO_SHOW and act.happened_at < deadline(booking.start_at)
    if (verdict is None and not is_proposed) or too_early:
        raise ForbiddenTransition(booking.reference, booking.status, to)
    judging = _Judging(services, session, act=act)
    Effects(services, session, act, as_of).settle([judging.by_person(booking, to, reason)], by_person=True)


def _in_batches(
    items: Sequence[tuple[str, str]],
    work: Callable[[Sequence[tuple[str, str]]], None],
    failed: list[tuple[str, str]],
) -> None:
    """Do `work` a transaction a batch; where one breaks, one by one, so that one session stops no other."""
    for at in range(0, len(items), BATCH):
        _robustly(items[at : at + BATCH], work, failed)


def _robustly(
    items: Sequence[tuple[str, str]],
    work: Callable[[Sequence[tuple[str, str]]], None],
    failed: list[tuple[str, str]],
) -> None:
    for last_try in (False, True):
        try:
            work(items)
        except Exception as error:
            if len(items) > 1:
                for item in items:
                    _robustly([item], work, failed)
                return
            if isinstance(error, OperationalError):
                # A deadlock that was broken up is worth another try; a database that is away says nothing of sessions.
                if last_try:
                    raise
                continue
            code = type(error).__name__
            log.error("%s cannot be judged: %s", items[0][1], code)  # noqa: TRY400 — its text may quote a person
            failed.append((items[0][1], code))
        return


class _Judging:
    """Judges bookings that are locked; what it reads cannot change before the transaction ends."""

    def __init__(self, services: Services, session: Session, run: Run | None = None, act: Act | None = None) -> None:
        if act is None:
            if run is None:
                raise ValueError("_Judging: needs a run or an act")
            act = run.act(services)
        self._services = services
        self._session = session
        self.act = act

    def first(self, bookings: Sequence[Booking]) -> list[Decision]:
        evidence, told = self._known(bookings)
        decisions = []
        for booking in bookings:
            duties, judgement = self._judge(booking, evidence[booking.id], told.get(booking.id, ()))
            to, reasons = self._now(booking, judgement, evidence[booking.id])
            decisions.append(_decision(booking, to, reasons, 1, evidence[booking.id], duties))
        return decisions

    def again(self, bookings: Sequence[Booking]) -> list[Decision]:
        """Return what the machine may change; what it may not is asked of staff here."""
        evidence, told = self._known(bookings)
        stands = store.last_verdicts(self._session, [booking.id for booking in bookings])
        decisions = []
        for booking in bookings:
            last, found = stands.get(booking.id), evidence[booking.id]
            duties, judgement = self._judge(booking, found, told.get(booking.id, ()))
            if last is None or not _is_news(last, found, duties):
                continue
            change = revise(_verdict_of(booking.status), last.by_person, judgement)
            if change is Change.APPLY:
                to = BookingStatus(judgement.verdict.value)
                decisions.append(_decision(booking, to, judgement.reasons, last.number + 1, found, duties))
            elif change is Change.ASK and not self._was_weighed(booking, last, found, judgement, duties):
                open_staff_task(
                    self._session, self.act, EVIDENCE_AFTER_VERDICT, booking.reference, judgement.reasons[0]
                )
        return decisions

    @staticmethod
    def _was_weighed(
        booking: Booking, last: VerdictRecord, found: Sequence[Evidence], judgement: Judgement, duties: DutiesFound
    ) -> bool:
        """Tell whether what the verdict rests on says by itself all that is said now: who decided had it before them.

        Otherwise the end of the meeting, which the decision itself brings about, would ask about the decision.
        """
        known: dict[str, Any] = dict(last.duties)
        rested_on = [piece for piece in found if piece.id in last.evidence]
        return known == duties.details and judge(booking.start_at, rested_on, duties.duties) == judgement

    def by_person(self, booking: Booking, to: BookingStatus, reason: str) -> Decision:
        """Return a person's decision with all that was known when it was taken."""
        evidence, told = self._known([booking])
        duties = self._duties(booking, told.get(booking.id, ()))
        last = store.last_verdicts(self._session, [booking.id]).get(booking.id)
        number = 1 if last is None else last.number + 1
        return _decision(booking, to, (reason,), number, evidence[booking.id], duties, rules=BY_PERSON)

    def _known(
        self, bookings: Sequence[Booking]
    ) -> tuple[Mapping[str, list[Evidence]], Mapping[str, list[MessageFact]]]:
        ids = [booking.id for booking in bookings]
        evidence = evidence_of(self._session, [(booking.id, booking.revision) for booking in bookings])
        return evidence, store.told_so_far(self._session, ids)

    def _duties(self, booking: Booking, told: Sequence[MessageFact]) -> DutiesFound:
        windows = reminder_windows(self._services.calendar, booking.start_at)
        return duties_of(booking.start_at, booking.revision, booking.confirmed_at, told, windows)

    def _judge(
        self, booking: Booking, evidence: Sequence[Evidence], told: Sequence[MessageFact]
    ) -> tuple[DutiesFound, Judgement]:
        duties = self._duties(booking, told)
        return duties, judge(booking.start_at, evidence, duties.duties)

    def _now(
        self, booking: Booking, judgement: Judgement, evidence: Sequence[Evidence]
    ) -> tuple[BookingStatus, tuple[str, ...]]:
        """Return the state that a judgement leads to today: late sweeps and cautious offices ask a person.

        So does a sweep that could not ask Zoom: webhooks are late now and then, and an absence is a grave thing to say.
        """
        policy, as_of = self._services.office.no_show, self.act.happened_at
        if as_of - booking.start_at > policy.catch_up:
            return BookingStatus.UNDETERMINED, (OUTSIDE_CATCH_UP, *judgement.reasons)
        to = BookingStatus(judgement.verdict.value)
        is_later_day = as_of.astimezone(JST).date() > booking.start_at.astimezone(JST).date()
        if to is BookingStatus.NO_SHOW:
            if policy.confirm_by_person or is_later_day:
                return BookingStatus.NO_SHOW_PROPOSED, judgement.reasons
            if not zoom_was_asked(evidence, deadline(booking.start_at)):
                return BookingStatus.NO_SHOW_PROPOSED, (*judgement.reasons, VerdictReason.NOT_ASKED_IN_TIME)
        return to, judgement.reasons


def _decision(
    booking: Booking,
    to: BookingStatus,
    reasons: Sequence[str],
    number: int,
    evidence: Sequence[Evidence],
    duties: DutiesFound,
    *,
    rules: str = RULES,
) -> Decision:
    return Decision(
        booking=booking,
        to=to,
        reasons=tuple(str(reason) for reason in reasons),
        number=number,
        rules=rules,
        evidence=tuple(piece.id for piece in evidence),
        duties=duties.details,
    )


def _is_news(last: VerdictRecord, evidence: Sequence[Evidence], duties: DutiesFound) -> bool:
    """Tell whether anything is known that the verdict does not rest on: what was weighed before is not asked again."""
    known: dict[str, Any] = dict(last.duties)
    return not {piece.id for piece in evidence} <= set(last.evidence) or known != duties.details


def _verdict_of(status: str) -> Verdict:
    return Verdict.NO_SHOW if status == BookingStatus.NO_SHOW_PROPOSED.value else Verdict(status)
