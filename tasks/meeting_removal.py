"""Meetings that Zoom must lose are removed: ended if they run, deleted, looked up when their id never reached us."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from sqlalchemy import Row

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.adapters.zoom_errors import (
    ZoomBudgetSpent,
    ZoomConfigError,
    ZoomError,
    ZoomRejected,
)
from madoguchi.domain.meeting import carries_token
from madoguchi.store import meeting_removal as store
from madoguchi.store.runs import open_staff_task
from tasks.wiring import Run, Services

ZOOM_DIFFERS = "zoom-differs"
"""Staff task: Zoom has something that a person has to look at; the reason says what."""
ZOOM_DRIFT = "zoom-drift"
"""Staff task: a privacy setting of a meeting cannot be put right; somebody has to do it in Zoom's own pages."""
HOST_NOT_IN_OFFICE = "HOST_NOT_IN_OFFICE"
"""Reason of a `zoom-differs`: what an unanswered creation left at that host, nobody can look up any more."""
SETTLE_SECONDS = 2.0
"""A creation whose answer was lost may show in a list only after a while: how long to wait before looking again."""
_HOST_CODES = frozenset({"ZOOM_HOST_UNKNOWN", "ZOOM_HOST_PENDING", "ZOOM_HOST_UNLICENSED"})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RemovalReport:
    """What one round did, by booking reference. `incomplete`: may still be at Zoom, each with a reason code."""

    deleted: list[str] = field(default_factory=list)
    incomplete: list[tuple[str, str]] = field(default_factory=list)


def remove_meetings(services: Services, run: Run) -> RemovalReport:
    """Remove every unwanted meeting from Zoom; a running one is ended for everybody in it first.

    Two runners at once are harmless: what one has removed the other finds gone, and one of them reports it. A failure
    leaves that meeting unwanted and named; the next run goes on with it.
    """
    report = RemovalReport()
    with services.database.read() as session:
        rows = store.unwanted_meetings(session, services.office.code, run.at(services.clock()))
    if not rows:
        return report
    services.set_stage(run.as_of)
    with services.make_zoom() as zoom:
        _Round(services, run, zoom, report).go(rows)
    report.deleted.sort()
    report.incomplete.sort()
    return report


def end_and_delete(zoom: ZoomClient, meeting_id: str) -> bool:
    """Remove a meeting; a running one is ended for everybody first. False: Zoom had it no longer. Raises ZoomError."""
    try:
        return zoom.delete_meeting(meeting_id)
    except ZoomRejected as refused:
        if refused.code != "ZOOM_MEETING_RUNNING":
            raise
    zoom.end_meeting(meeting_id)
    return zoom.delete_meeting(meeting_id)


class _Round:
    """One round over all hosts: hosts side by side, one host's meetings one after the other, as Zoom demands."""

    def __init__(self, services: Services, run: Run, zoom: ZoomClient, report: RemovalReport) -> None:
        self._services = services
        self._run = run
        self._zoom = zoom
        self._report = report
        self._lock = threading.Lock()
        self._halt: str | None = None
        self._users = {host.code: host.user for host in services.office.hosts}

    def go(self, rows: Sequence[Row[Any]]) -> None:
        by_host = [(host, list(group)) for host, group in groupby(rows, key=lambda row: row.host)]
        workers = self._services.office.zoom.concurrency
        with ThreadPoolExecutor(min(workers, len(by_host)), thread_name_prefix="zoom-remove") as pool:
            for done in [pool.submit(self._host, host, group) for host, group in by_host]:
                done.result()

    def _host(self, host: str, rows: Sequence[Row[Any]]) -> None:
        unknown = [row for row in rows if row.meeting_id is None]
        stop: str | None = None
        for row in rows:
            if row.meeting_id is not None:
                stop = self._one(row, [row.meeting_id], stop)
        if unknown and host not in self._users:
            self._give_up(unknown)
            return
        found: dict[str, list[str]] = {}
        if unknown and not (stop or self._halt):
            try:
                found = self._look_up(self._users[host], [row.token for row in unknown])
            except ZoomError as error:
                stop = self._sorted(error) or error.code
        for row in unknown:
            stop = self._one(row, found.get(row.token, []), stop)

    def _one(self, row: Row[Any], meeting_ids: Sequence[str], stop: str | None) -> str | None:
        """Remove what stands for one row and return the code for which the rest of its host is left, if any."""
        code = self._halt or stop
        if code is None and not self._is_still_unwanted(row):
            return stop
        if code is None:
            try:
                removed = [end_and_delete(self._zoom, meeting_id) for meeting_id in meeting_ids]
            except ZoomError as error:
                log.warning("removing the meeting of %s: %s", row.booking, error)
                code, stop = error.code, self._sorted(error)
            else:
                reason = "REMOVED" if any(removed) else "GONE_ALREADY" if meeting_ids else "NEVER_MADE"
                self._settle(row, reason)
                return None
        with self._lock:
            self._report.incomplete.append((row.booking, code))
        return stop

    def _is_still_unwanted(self, row: Row[Any]) -> bool:
        # An event that came since may have shown that the client is there.
        now = self._run.at(self._services.clock())
        with self._services.database.read() as session:
            return bool(store.unwanted_meetings(session, self._services.office.code, now, [row.id]))

    def _sorted(self, error: ZoomError) -> str | None:
        """Return the code if nothing more can be had of this host now; note it when the same holds for all hosts."""
        if error.code in _HOST_CODES:
            return error.code
        if isinstance(error, (ZoomConfigError, ZoomBudgetSpent)) or error.code == "ZOOM_UNREACHABLE":
            with self._lock:
                self._halt = error.code
            return error.code
        return None

    def _look_up(self, user: str, tokens: Sequence[str]) -> dict[str, list[str]]:
        """Return the ids of the host's meetings by token; looks again after a while for those that do not show."""
        found = self._listed(user, tokens)
        if len(found) < len(tokens):
            self._zoom.sleep(SETTLE_SECONDS)
            found = self._listed(user, tokens)
        return found

    def _listed(self, user: str, tokens: Sequence[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for meeting in self._zoom.list_meetings(user):
            for token in tokens:
                if carries_token(meeting.agenda, token):
                    found.setdefault(token, []).append(meeting.meeting_id)
        return found

    def _settle(self, row: Row[Any], reason: str) -> None:
        with self._services.database.write() as session:
            mine = store.record_deleted(session, row.id, row.booking, self._run.act(self._services), reason)
        if mine:
            with self._lock:
                self._report.deleted.append(row.booking)

    def _give_up(self, rows: Sequence[Row[Any]]) -> None:
        """Ask a person: the host left the office, so nobody can look up what an unanswered creation left there."""
        act = self._run.act(self._services)
        for row in rows:
            with self._services.database.write() as session:
                if store.record_deleted(session, row.id, row.booking, act, HOST_NOT_IN_OFFICE):
                    open_staff_task(session, act, ZOOM_DIFFERS, row.booking, HOST_NOT_IN_OFFICE)
