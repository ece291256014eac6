"""Zoom kept true: what the record says of meetings is compared with what Zoom has, and put right where that is safe."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.adapters.zoom_errors import ZoomBudgetSpent, ZoomConfigError, ZoomError
from madoguchi.domain.lifecycle import BookingStatus, MeetingStatus
from madoguchi.domain.meeting import ZoomMeeting
from madoguchi.domain.reconciliation import (
    Action,
    AtZoom,
    Finding,
    Kind,
    OurMeeting,
    compare,
    words_of,
)
from madoguchi.store import reconciliation as store
from madoguchi.store.meetings import access_of
from madoguchi.store.restoring import booked_before, newest_loss
from madoguchi.store.runs import open_staff_task
from tasks.meeting_mail import pin_access_templates
from tasks.meeting_removal import HOST_NOT_IN_OFFICE, ZOOM_DIFFERS, ZOOM_DRIFT
from tasks.meeting_repair import NotDone, Repair
from tasks.wiring import Run, Services

_HOST_CODES = frozenset({"ZOOM_HOST_UNKNOWN", "ZOOM_HOST_PENDING", "ZOOM_HOST_UNLICENSED"})

log = logging.getLogger(__name__)

_BY_THE_RECORD = frozenset({Kind.MISSING, Kind.WRONG_TIME, Kind.WRONG_HOST})
"""Differences that are repaired by making Zoom what the record says."""


@dataclass(frozen=True, slots=True)
class Noted:
    """A finding and what became of it: `repaired`, `reported` to staff, or `undone` for the reason `code`."""

    finding: Finding
    outcome: str
    code: str = ""


@dataclass(slots=True)
class ReconcileReport:
    """What one round did. `listed`: meetings that Zoom showed; `read`: sessions ahead whose meeting was read back.

    `of`: hosts and sessions ahead that there were to look at.

    `foreign`: meetings that are not ours. `incomplete`: hosts and bookings with something undone, and why.
    """

    of: int = 0
    listed: int = 0
    read: int = 0
    foreign: int = 0
    noted: list[Noted] = field(default_factory=list)
    incomplete: list[tuple[str, str]] = field(default_factory=list)

    def count(self, outcome: str) -> int:
        """Return how many findings had that outcome."""
        return sum(noted.outcome == outcome for noted in self.noted)


def reconcile(services: Services, run: Run, *, repair_many: bool = False) -> ReconcileReport:
    """Compare every session ahead and every meeting of the office's hosts, both ways, and put right what may be.

    A session whose meeting is gone waits for a new one afterwards (`create_meetings` makes it and tells the client),
    and meetings of sessions that are off wait for `remove_meetings`. Rounds go one after the other, so that a second
    one at once finds nothing to do. What fails is named; the rest is done all the same. `repair_many`: make the many
    missing meetings anew that are otherwise left to a person.
    """
    report = ReconcileReport()
    with services.database.exclusive("reconcile"):
        services.set_stage(run.as_of)
        pin_access_templates(services)
        with services.make_zoom() as zoom:
            _Round(services, run, zoom, report).go(repair_many=repair_many)
    report.incomplete.sort()
    report.noted.sort(key=lambda noted: (noted.finding.subject, noted.finding.kind, noted.finding.meeting_id or ""))
    return report


class _Round:
    def __init__(self, services: Services, run: Run, zoom: ZoomClient, report: ReconcileReport) -> None:
        self._services = services
        self._run = run
        self._zoom = zoom
        self._report = report
        self._lock = threading.Lock()
        self._halt: str | None = None
        self._users = {host.code: host.user for host in services.office.hosts}

    def go(self, *, repair_many: bool) -> None:
        listed = self._lists()
        silent = frozenset(self._users) - listed.keys()
        # The record after the lists: a token is on record before Zoom is asked, so none of ours looks unknown.
        rows = self._rows(listed)
        ours = {row.row_id or row.booking_id: self._ours(row) for row in rows}
        now = self._run.act(self._services).happened_at
        ahead = [row for row in rows if ours[row.row_id or row.booking_id].is_ahead(now)]
        self._report.of = len(self._users) + len(ahead)
        read = self._read_back([row for row in ahead if row.meeting_id])
        findings = compare(
            ours.values(),
            AtZoom(listed, read, silent),
            now=now,
            join_hosts=self._services.join_hosts,
            may_be_absent=self._services.office.zoom.hidden_settings,
            repair_many=repair_many,
        )
        findings = self._left_to_staff(findings)
        self._report.listed = sum(len(meetings) for meetings in listed.values())
        self._report.read = len(read)
        self._report.foreign = sum(finding.kind == Kind.FOREIGN for finding in findings)
        self._treat([finding for finding in findings if finding.kind != Kind.FOREIGN], rows, read)
        if not silent:
            self._close_settled(findings)

    def _left_to_staff(self, findings: Sequence[Finding]) -> list[Finding]:
        """Repair nothing that the record may be wrong about: a session booked before a loss may have been moved since.

        After a restore the record does not know what staff did on its last day; Zoom does.
        """
        office = self._services.office.code
        with self._services.database.read() as session:
            lost_at = newest_loss(session, office)
            doubtful = booked_before(session, office, lost_at) if lost_at else frozenset()
        return [
            replace(each, action=Action.REPORT)
            if each.subject in doubtful and each.action == Action.REPAIR and each.kind in _BY_THE_RECORD
            else each
            for each in findings
        ]

    # --- what Zoom has

    def _lists(self) -> dict[str, Sequence[ZoomMeeting]]:
        listed: dict[str, Sequence[ZoomMeeting]] = {}

        def one(code: str, user: str) -> None:
            found = self._asked(code, lambda: list(self._zoom.list_meetings(user)))
            if found is not None:
                listed[code] = found

        self._in_pool(one, list(self._users.items()))
        return listed

    def _read_back(self, rows: Sequence[Row[Any]]) -> dict[str, ZoomMeeting | None]:
        read: dict[str, ZoomMeeting | None] = {}

        def one(row: Row[Any]) -> None:
            found = self._asked(row.booking, lambda: [self._zoom.get_meeting(row.meeting_id)])
            if found is not None:
                read[row.meeting_id] = found[0]

        self._in_pool(one, [(row,) for row in rows])
        return read

    def _asked(self, subject: str, ask: Callable[[], list[Any]]) -> list[Any] | None:
        """Return what Zoom says, or None and name the subject as undone."""
        code = self._halt
        if code is None:
            try:
                return ask()
            except ZoomError as error:
                log.warning("comparing %s: %s", subject, error)
                code = error.code
                self._sort(error)
        with self._lock:
            self._report.incomplete.append((subject, code))
        return None

    def _sort(self, error: ZoomError) -> None:
        """Stop asking when nothing more can be had of Zoom now; a host's own trouble concerns nobody else."""
        is_general = isinstance(error, (ZoomConfigError, ZoomBudgetSpent)) or error.code == "ZOOM_UNREACHABLE"
        if is_general and error.code not in _HOST_CODES:
            self._halt = error.code

    def _in_pool(self, work: Callable[..., None], items: Sequence[tuple[Any, ...]]) -> None:
        workers = self._services.office.zoom.concurrency
        with ThreadPoolExecutor(workers, thread_name_prefix="zoom-compare") as pool:
            for done in [pool.submit(work, *item) for item in items]:
                done.result()

    # --- what the record has

    def _rows(self, listed: dict[str, Sequence[ZoomMeeting]]) -> list[Row[Any]]:
        act = self._run.act(self._services)
        shown = [meeting for meetings in listed.values() for meeting in meetings]
        ids = {meeting.meeting_id for meeting in shown}
        tokens = {word for meeting in shown for word in words_of(meeting.agenda)}
        with self._services.database.read() as session:
            ahead = store.sessions_ahead(session, act.office, act.happened_at)
            known = store.meetings_listed(session, act.office, ids, tokens)
        return list({row.row_id or row.booking_id: row for row in [*known, *ahead]}.values())

    def _ours(self, row: Row[Any]) -> OurMeeting:
        told = None
        if row.meeting_status == MeetingStatus.VERIFIED.value:
            access = access_of(self._services.vault, row.row_id, row.sealed_access)
            told = access["join_url"], access["passcode"]
        return OurMeeting(
            booking=row.booking,
            booking_status=BookingStatus(row.booking_status),
            start=row.start_at,
            host=row.host or row.booking_host,
            token=row.token or "",
            meeting_id=row.meeting_id,
            meeting_status=MeetingStatus(row.meeting_status) if row.meeting_status else None,
            told=told,
        )

    # --- what is done about the differences

    def _treat(
        self, findings: Sequence[Finding], rows: Sequence[Row[Any]], read: dict[str, ZoomMeeting | None]
    ) -> None:
        """Treat each meeting's findings together; hosts side by side, one host's meetings one after the other."""
        by_host: dict[str, dict[str, list[Finding]]] = defaultdict(lambda: defaultdict(list))
        for finding in findings:
            by_host[finding.host][finding.meeting_id or finding.subject].append(finding)
        by_booking = {row.booking: row for row in rows}
        by_id = {row.meeting_id: row for row in rows if row.meeting_id}

        def one_host(groups: Sequence[list[Finding]]) -> None:
            for group in groups:
                first = group[0]
                row = by_id.get(first.meeting_id) or by_booking.get(first.subject)
                self._treat_one(group, row, read.get(first.meeting_id or ""))

        self._in_pool(one_host, [(list(groups.values()),) for groups in by_host.values()])

    def _treat_one(self, group: Sequence[Finding], row: Row[Any] | None, meeting: ZoomMeeting | None) -> None:
        to_repair = [finding for finding in group if finding.action == Action.REPAIR]
        for finding in group:
            if finding.action == Action.REPORT:
                self._report_to_staff(finding)
                self._note(finding, "reported")
        if not to_repair or row is None:
            return
        code = self._halt
        if code is None:
            try:
                Repair(self._services, self._run, self._zoom, row).repair(to_repair, meeting)
            except NotDone as not_done:
                code = not_done.code
            except ZoomError as error:
                log.warning("putting %s right: %s", row.booking, error)
                code = error.code
                self._sort(error)
        for finding in to_repair:
            self._note(finding, "undone" if code else "repaired", code or "")
        if code:
            with self._lock:
                self._report.incomplete.append((row.booking, code))

    def _report_to_staff(self, finding: Finding) -> None:
        kind = ZOOM_DRIFT if finding.kind == Kind.SETTINGS_DRIFTED else ZOOM_DIFFERS
        act = self._run.act(self._services)
        with self._services.database.write() as session:
            open_staff_task(session, act, kind, finding.subject, f"{finding.kind.name}:{finding.why}"[:60])

    def _note(self, finding: Finding, outcome: str, code: str = "") -> None:
        with self._lock:
            self._report.noted.append(Noted(finding, outcome, code))

    def _close_settled(self, findings: Sequence[Finding]) -> None:
        """Close what waited for a person and is found no more, everything having been looked at."""
        act = self._run.act(self._services)
        wrong = {finding.subject for finding in findings} | {subject for subject, _ in self._report.incomplete}
        with self._services.database.read() as session:
            waiting = store.waiting(session, act.office, (ZOOM_DRIFT, ZOOM_DIFFERS))
        for kind, subject, reason in sorted(waiting):
            # What nobody can look at is not found either.
            if subject not in wrong and reason != HOST_NOT_IN_OFFICE:
                with self._services.database.write() as session:
                    store.close_task(session, act, kind, subject)
