"""Held bookings get a Zoom meeting: claimed, created or found again, read back, and only then confirmed.

Creations and readings run in two pools, so that reading a meeting back never delays the next creation.
"""

from __future__ import annotations

import logging
import secrets
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sqlalchemy.exc import IntegrityError

from madoguchi.adapters.zoom import ZoomClient, ensure_meeting
from madoguchi.adapters.zoom_errors import (
    ZoomAmbiguous,
    ZoomBudgetSpent,
    ZoomConfigError,
    ZoomError,
    ZoomHostBudgetSpent,
    ZoomMeetingGone,
    ZoomRetryable,
)
from madoguchi.domain.meeting import MeetingPlan, ZoomMeeting, check_meeting, draw_passcode
from madoguchi.store import meetings as store
from madoguchi.store.bookings import change_host, free_hosts
from madoguchi.store.models import Booking
from tasks.meeting_mail import Access, pin_access_templates, tell_access
from tasks.restored_doubt import doubt_confirmation
from tasks.wiring import Run, Services

_TRIES = 3
_UNREACHABLE_LIMIT = 3
SETTLE_SECONDS = 2.0
"""How long after an uncertain creation a list of meetings is given to show it; Zoom does not say how long it takes."""
_HOST_CODES = frozenset({"ZOOM_HOST_UNKNOWN", "ZOOM_HOST_PENDING", "ZOOM_HOST_UNLICENSED", "ZOOM_HOST_BUDGET"})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class MeetingsReport:
    """What one round did. `incomplete`: bookings that still have no meeting, each with a reason code."""

    confirmed: list[str] = field(default_factory=list)
    created: int = 0
    adopted: int = 0
    deleted_extras: int = 0
    incomplete: list[tuple[str, str]] = field(default_factory=list)


class _GiveUp(Exception):  # noqa: N818 — named by what happens
    """This booking gets no meeting in this run; `code` says why. Its claim is lifted by the raiser."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def create_meetings(services: Services, run: Run) -> MeetingsReport:
    """Give every held booking that lies ahead its verified meeting and queue its confirmation.

    May run twice at once: each booking is claimed. What fails stays held and is named in the report.
    """
    report = MeetingsReport()
    with services.database.write() as session:
        dead = services.dead_among(store.owners_of_claims(session, services.office.code))
        store.lift_claims(session, run.act(services), dead)
        todo = store.bookings_without_meeting(session, services.office.code, run.as_of)
    if todo:
        pin_access_templates(services)
        services.set_stage(run.as_of)
        with services.make_zoom() as zoom:
            _Round(services, run, zoom, report).go([(row.id, row.reference) for row in todo])
        _name_the_rest(services, run, report)
    return report


def _name_the_rest(services: Services, run: Run, report: MeetingsReport) -> None:
    """Name holds that another runner has claimed, unless it certainly lives: then it will report them itself."""
    named = {reference for reference, _ in report.incomplete}
    with services.database.read() as session:
        for row in store.bookings_without_meeting(session, services.office.code, run.as_of):
            owner = store.owner_of_claim(session, row.id)
            if row.reference not in named and owner and services.is_alive(owner) is not True:
                report.incomplete.append((row.reference, "CLAIMED_ELSEWHERE"))


class _Round:
    def __init__(self, services: Services, run: Run, zoom: ZoomClient, report: MeetingsReport) -> None:
        self._services = services
        self._run = run
        self._zoom = zoom
        self._report = report
        self._lock = threading.Lock()
        self._halt: str | None = None
        self._unreachable = 0
        self._bad_hosts: set[str] = set()
        self._users = {host.code: host.user for host in services.office.hosts}

    def go(self, todo: list[tuple[str, str]]) -> None:
        workers = self._services.office.zoom.concurrency
        with (
            ThreadPoolExecutor(workers, thread_name_prefix="zoom-read") as readers,
            ThreadPoolExecutor(workers, thread_name_prefix="zoom-create") as creators,
        ):
            made = [(ref, creators.submit(self._make_then_read, booking_id, readers)) for booking_id, ref in todo]
            for reference, future in made:
                self._outcome(reference, future)

    def _make_then_read(self, booking_id: str, readers: Executor) -> Future[None]:
        return readers.submit(self._confirm, self._make(booking_id))

    def _outcome(self, reference: str, made: Future[Future[None]]) -> None:
        try:
            made.result().result()
        except store.ClaimedElsewhere:
            log.info("meeting of %s: another runner is at it", reference)
        except _GiveUp as given_up:
            self._report.incomplete.append((reference, given_up.code))

    def _make(self, booking_id: str) -> store.MeetingClaim:
        """Claim, then create or find the meeting; keep its id before anything else is asked."""
        for attempt in range(_TRIES):
            claim = self._claim(booking_id)
            if claim.meeting_id:
                return claim
            try:
                result = ensure_meeting(
                    self._zoom,
                    self._users[claim.host],
                    self._plan(claim),
                    look_first=claim.look_first,
                    settle_seconds=SETTLE_SECONDS,
                    allowed_join_hosts=self._services.join_hosts,
                    may_be_absent=self._services.office.zoom.hidden_settings,
                )
            except ZoomError as error:
                self._after_failure(claim, error, last=attempt == _TRIES - 1)
                continue
            self._keep(claim, result.meeting.meeting_id, adopted=result.adopted, extras=result.deleted_extras)
            return claim
        raise AssertionError("unreachable")

    def _claim(self, booking_id: str) -> store.MeetingClaim:
        for _ in range(_TRIES):
            if self._halt:
                raise _GiveUp(self._halt)
            # Another hold may just have been moved to the host that looked free: look again.
            with suppress(IntegrityError):
                return self._try_to_claim(booking_id)
        raise _GiveUp("HOST_TAKEN")

    def _try_to_claim(self, booking_id: str) -> store.MeetingClaim:
        act = self._run.act(self._services)
        limit = self._services.office.zoom.daily_changes_per_host
        with self._services.database.write() as session:
            booking = session.get(Booking, booking_id)
            if booking is not None and booking.host not in self._users and not self._change_host(session, booking):
                raise _GiveUp("HOST_NOT_IN_OFFICE")
            if booking is not None and booking.host in self._bad_hosts:
                self._change_host(session, booking)
            while True:
                try:
                    return store.claim_meeting(
                        session,
                        self._services.vault,
                        booking_id,
                        self._services.owner,
                        act,
                        passcode=draw_passcode(secrets.choice),
                        daily_limit=limit,
                    )
                except store.BudgetSpent:
                    booking = session.get_one(Booking, booking_id)
                    self._bad_hosts.add(booking.host)
                    if not self._change_host(session, booking):
                        raise _GiveUp("ZOOM_HOST_BUDGET") from None

    def _change_host(self, session: Any, booking: Booking) -> bool:
        """Move a hold to another free host with budget left, unless an earlier try may have reached the present one."""
        act = self._run.act(self._services)
        if not store.is_untouched(session, booking.id):
            return False
        used = store.used_today(session, act)
        limit = self._services.office.zoom.daily_changes_per_host
        for host in free_hosts(session, booking, [h.code for h in self._services.office.hosts]):
            if host not in self._bad_hosts and used.get(host, 0) < limit:
                change_host(session, booking, host, act)
                return True
        return False

    def _after_failure(self, claim: store.MeetingClaim, error: ZoomError, *, last: bool) -> None:
        """Sort a failed try: go on (return) or give this booking up for this run (raise)."""
        log.warning("meeting of %s: %s", claim.booking, error)
        certain = not isinstance(error, ZoomAmbiguous)
        act = self._run.act(self._services)
        with self._services.database.write() as session:
            is_ours = store.record_failure(session, claim, error.code, nothing_made=certain and not claim.look_first)
            if isinstance(error, (ZoomRetryable, ZoomConfigError, ZoomBudgetSpent)):
                # Zoom did not take the request: an outage must not use the host's day up.
                store.give_back(session, act.office, claim)
            if isinstance(error, ZoomHostBudgetSpent):
                limit = self._services.office.zoom.daily_changes_per_host
                store.spend_whole_day(session, act, claim.host, limit)
        if not is_ours:
            raise store.ClaimedElsewhere
        with self._lock:
            if error.code in _HOST_CODES:
                self._bad_hosts.add(claim.host)
                if not last and certain and len(self._bad_hosts) < len(self._users):
                    return
            elif isinstance(error, (ZoomBudgetSpent, ZoomConfigError)):
                self._halt = error.code
            elif error.code == "ZOOM_UNREACHABLE":
                self._unreachable += 1
                if self._unreachable >= _UNREACHABLE_LIMIT:
                    self._halt = error.code
            elif isinstance(error, (ZoomAmbiguous, ZoomRetryable)) and not last:
                return
        raise _GiveUp(error.code)

    def _keep(self, claim: store.MeetingClaim, meeting_id: str, *, adopted: bool, extras: int) -> None:
        act = self._run.act(self._services)
        with self._services.database.write() as session:
            store.record_created(session, claim, meeting_id, act, adopted=adopted)
            if adopted:
                store.give_back(session, act.office, claim)
        with self._lock:
            self._unreachable = 0
            self._report.adopted += adopted
            self._report.created += not adopted
            self._report.deleted_extras += extras

    def _confirm(self, claim: store.MeetingClaim) -> None:
        """Read the meeting back; a right one confirms its booking, a wrong one is put right once or named."""
        meeting_id = claim.meeting_id or self._meeting_id(claim)
        plan = self._plan(claim)
        try:
            meeting = self._zoom.get_meeting(meeting_id)
            wrong = self._wrong(plan, meeting)
            if meeting is not None and wrong:
                log.warning("meeting of %s: %s, putting it right", claim.booking, ",".join(wrong))
                self._count_change(claim)
                self._zoom.update_meeting(meeting_id, plan)
                meeting = self._zoom.get_meeting(meeting_id)
                wrong = self._wrong(plan, meeting)
        except ZoomMeetingGone:
            meeting, wrong = None, ("MEETING_GONE",)
        except ZoomError as error:
            self._fail(claim, error.code)
        if meeting is None:
            act = self._run.act(self._services)
            with self._services.database.write() as session:
                store.forget_created(session, claim, act, "MEETING_GONE")
            raise _GiveUp("MEETING_GONE")
        if wrong:
            self._fail(claim, wrong[0])
        self._tell(claim, meeting)

    def _count_change(self, claim: store.MeetingClaim) -> None:
        limit = self._services.office.zoom.daily_changes_per_host
        try:
            with self._services.database.write() as session:
                store.spend_change(session, claim.host, self._run.act(self._services), limit)
        except store.BudgetSpent:
            self._fail(claim, "ZOOM_HOST_BUDGET")

    def _fail(self, claim: store.MeetingClaim, code: str) -> NoReturn:
        with self._services.database.write() as session:
            is_ours = store.record_failure(session, claim, code)
        if not is_ours:
            raise store.ClaimedElsewhere
        raise _GiveUp(code)

    def _wrong(self, plan: MeetingPlan, meeting: ZoomMeeting | None) -> tuple[str, ...]:
        if meeting is None:
            return ("MEETING_GONE",)
        return check_meeting(
            plan,
            meeting,
            allowed_join_hosts=self._services.join_hosts,
            may_be_absent=self._services.office.zoom.hidden_settings,
        )

    def _meeting_id(self, claim: store.MeetingClaim) -> str:
        with self._services.database.read() as session:
            return store.meeting_id_of(session, claim)

    def _tell(self, claim: store.MeetingClaim, meeting: ZoomMeeting) -> None:
        """Confirm the booking and queue its mail, together."""
        act = self._run.act(self._services)
        services = self._services
        access = Access(meeting.meeting_id, meeting.passcode, meeting.join_url)
        with services.database.write() as session:
            done = store.confirm_booking(session, services.vault, claim, meeting.join_url, meeting.passcode, act)
            tell_access(
                services,
                session,
                act,
                done.booking,
                access,
                is_first=done.is_first,
                due_at=self._run.as_of,
            )
            doubt_confirmation(session, act, done.booking)
        with self._lock:
            self._report.confirmed.append(claim.booking)

    def _plan(self, claim: store.MeetingClaim) -> MeetingPlan:
        return MeetingPlan(token=claim.token, start=claim.start, passcode=claim.passcode)
