"""Reminders: what is due and not recorded yet is queued, what was never queued in time is recorded as missed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.domain.reminders import (
    LOOK_BACK,
    REMINDER_KINDS,
    ReminderWindow,
    Standing,
    last_start_in_sight,
    reminder_windows,
    telephone_opens,
)
from madoguchi.domain.session_mails import ReminderContext
from madoguchi.store import reminders as store
from madoguchi.store.audit import Act
from madoguchi.store.models import Booking
from madoguchi.store.outbox import NewMessage, queue_messages
from tasks.booking_mail import Telling, tell
from tasks.scheduling import application_of
from tasks.settling import mailable, pin_templates
from tasks.wiring import Run, Services

BATCH = 200
_TRIES = 3

NOT_RUN_IN_TIME, NO_MEETING, NO_USABLE_ADDRESS = "NOT_RUN_IN_TIME", "NO_MEETING", "NO_USABLE_ADDRESS"


@dataclass(slots=True)
class RemindersReport:
    """What one round did: counts by kind, the rest by reference of the booking and kind, or reason code."""

    queued: Counter[str] = field(default_factory=Counter)
    missed: list[tuple[str, str]] = field(default_factory=list)
    unmailable: list[tuple[str, str]] = field(default_factory=list)
    incomplete: list[tuple[str, str]] = field(default_factory=list)

    def take(self, other: RemindersReport) -> None:
        """Take in what a batch did."""
        self.queued += other.queued
        self.missed += other.missed
        self.unmailable += other.unmailable
        self.incomplete += other.incomplete


def queue_reminders(services: Services, run: Run) -> RemindersReport:
    """Queue every reminder that is due and unrecorded at the run's business time, each once; send nothing.

    May run as often as you like and twice at once. A reminder that cannot help any more is recorded as missed. One that
    cannot be queued, since its session has no verified meeting, is named in the report and tried again by the next run.
    """
    as_of = run.at(services.clock())
    # One after the other and before any booking is locked: two runners pinning crosswise would wait for each other.
    for kind in REMINDER_KINDS:
        with services.database.write() as session:
            pin_templates(services, session, {kind})
    report = RemindersReport()
    todo = _bookings_with_work(services, as_of)
    for at in range(0, len(todo), BATCH):
        report.take(_settle_batch(services, run, todo[at : at + BATCH], as_of))
    return report


def _bookings_with_work(services: Services, as_of: datetime) -> list[tuple[str, str]]:
    """Return id and reference of bookings of which a reminder is due, or was, and is not recorded."""
    calendar = services.calendar
    with services.database.read() as session:
        rows = store.bookings_to_remind(
            session, services.office.code, as_of - LOOK_BACK, last_start_in_sight(calendar, as_of)
        )
    return [
        (row.id, row.reference)
        for row in rows
        if any(
            store.lacks(row, window.kind)
            and window.standing(row.confirmed_at, as_of) in {Standing.DUE, Standing.MISSED}
            for window in reminder_windows(calendar, row.start_at)
        )
    ]


def _settle_batch(services: Services, run: Run, batch: Sequence[tuple[str, str]], as_of: datetime) -> RemindersReport:
    """Settle one batch in one transaction; once more when another runner was faster somewhere in it."""
    for _ in range(_TRIES):
        try:
            with services.database.write() as session:
                round_ = _Batch(services, session, run.act(services), as_of)
                round_.settle([booking_id for booking_id, _ in batch])
        except IntegrityError:
            continue
        return round_.report
    return RemindersReport(incomplete=[(reference, "TAKEN_MEANWHILE") for _, reference in batch])


class _Batch:
    """Some bookings, locked: what is said of them below cannot change before the transaction ends."""

    def __init__(self, services: Services, session: Session, act: Act, as_of: datetime) -> None:
        self._services = services
        self._session = session
        self._act = act
        self._as_of = as_of
        self.report = RemindersReport()

    def settle(self, ids: Sequence[str]) -> None:
        bookings = store.lock_confirmed(self._session, ids)
        recorded = store.RemindersRecorded(self._session, bookings)
        self._access = store.verified_access(self._session, self._services.vault, bookings)
        self._requests = store.requests_of(self._session, bookings)
        tellings: list[Telling] = []
        stillborn: list[NewMessage] = []
        for booking in bookings:
            for window in reminder_windows(self._services.calendar, booking.start_at):
                standing = window.standing(booking.confirmed_at, self._as_of)
                if recorded.has(booking, window):
                    continue
                if standing == Standing.DUE:
                    self._take_due(booking, window, tellings, stillborn)
                elif standing == Standing.MISSED:
                    reason = NOT_RUN_IN_TIME if booking.id in self._access else NO_MEETING
                    stillborn.append(self._stillborn(booking, window, MessageStatus.MISSED, reason))
                    self.report.missed.append((booking.reference, window.kind.value))
        tell(self._services, self._session, self._act, tellings)
        queue_messages(self._session, self._services.vault, stillborn, self._act, self._services.office.mail_domain)

    def _take_due(
        self, booking: Booking, window: ReminderWindow, tellings: list[Telling], stillborn: list[NewMessage]
    ) -> None:
        access = self._access.get(booking.id)
        if access is None:
            self.report.incomplete.append((booking.reference, NO_MEETING))
            return
        request = self._requests[booking.request_id]
        application = application_of(self._services, request)
        if mailable(application, frozenset(request.flags)):
            self.report.queued[window.kind.value] += 1
        else:
            # Without a row of its own the next run would ask for the call again as soon as it was made.
            stillborn.append(self._stillborn(booking, window, MessageStatus.SUPPRESSED, NO_USABLE_ADDRESS))
            self.report.unmailable.append((booking.reference, window.kind.value))
        is_day = window.kind == MailKind.REMINDER_DAY
        context = partial(
            _context,
            booking,
            access,
            companion=bool(application.companion),
            opens=telephone_opens(self._services.calendar, booking.start_at, self._as_of) if is_day else None,
        )
        tellings.append(
            Telling(booking, window.kind, context, window.due_at, window.not_after, call_if_unmailable=is_day)
        )

    def _stillborn(self, booking: Booking, window: ReminderWindow, status: MessageStatus, reason: str) -> NewMessage:
        """Return a row that never leaves and holds nothing personal: the history says what there was not, and why."""
        return NewMessage(
            kind=window.kind,
            subject=booking.reference,
            revision=booking.revision,
            recipient="",
            context={},
            template_version=self._services.templates.version(window.kind),
            due_at=window.due_at,
            not_after=window.not_after,
            client_id=booking.client_id,
            request_id=booking.request_id,
            booking_id=booking.id,
            status=status,
            reason=reason,
        )


def _context(
    booking: Booking, access: store.Access, name: str, *, companion: bool, opens: datetime | None
) -> ReminderContext:
    return ReminderContext(
        recipient_name=name,
        start=booking.start_at,
        meeting_id=access.meeting_id,
        passcode=access.passcode,
        join_url=access.join_url,
        reference=booking.reference,
        revision=booking.revision,
        companion=companion,
        telephone_opens=opens,
    )
