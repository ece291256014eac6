"""Asking Zoom about sessions whose tenth minute has come and of which too little is known. Each answer is evidence."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Row

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.adapters.zoom_errors import ZoomConfigError, ZoomError
from madoguchi.domain.evidence import Duties, Duty, Verdict
from madoguchi.domain.evidence import EvidenceKind as Kind
from madoguchi.domain.evidence import EvidenceSource as Source
from madoguchi.domain.participant import Participant
from madoguchi.domain.verdict import CONTACT_LIMIT, VerdictReason, deadline, judge
from madoguchi.store.evidence import NewEvidence, add_evidence, evidence_of
from madoguchi.store.verdicts import due_sessions, meetings_of
from tasks.wiring import Run, Services

WORTH_ASKING: Final = timedelta(minutes=20)
"""How long after the tenth minute Zoom's present state still says something about it."""
TRY_OUT: Final = timedelta(hours=1)
"""A run of the meeting that ended longer before the start was somebody trying the link, not the session."""
OUT_OF_TIME: Final = "LOOK_SECONDS_SPENT"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Session:
    """A session to ask about. `meeting_id` stays out of logs."""

    booking_id: str
    reference: str
    revision: int
    start: datetime
    meeting_id: str
    host: str


def observe(services: Services, run: Run) -> list[str]:
    """Ask Zoom about due sessions that cannot be judged by what is known, and return their references.

    Hosts side by side, at most `no_show.look_seconds` in all; what was not answered by then counts as silence. Says
    nothing of sessions whose tenth minute is long past: the meeting's present state does not reach back. Zoom being out
    of order, silent or badly configured is evidence, never an error.
    """
    as_of = run.at(services.clock())
    todo = _undecided(services, as_of)
    if not todo:
        return []
    found = _ask_all(services, run, todo)
    for at in range(0, len(found), 500):
        with services.database.write() as session:
            add_evidence(session, run.act(services), found[at : at + 500])
    return [each.reference for each in todo]


def _undecided(services: Services, as_of: datetime) -> list[_Session]:
    office = services.office
    with services.database.read() as session:
        due = [
            row
            for row in due_sessions(session, office.code, as_of - CONTACT_LIMIT)
            if as_of <= deadline(row.start_at) + WORTH_ASKING
        ]
        keys = [(row.id, row.revision) for row in due]
        evidence = evidence_of(session, keys)
        unclear = [row for row in due if _is_unclear(row, evidence[row.id])]
        meetings = meetings_of(session, [(row.id, row.revision) for row in unclear])
    return [
        _Session(row.id, row.reference, row.revision, row.start_at, *meetings[row.id])
        for row in unclear
        if row.id in meetings
    ]


def _is_unclear(row: Row[Any], evidence: Sequence[Any]) -> bool:
    """Tell whether asking Zoom can change what is held true, the office's own duties aside.

    Nobody is said to be absent on the word of events alone: some of them may be lost or late, and a meeting that Zoom
    does not show as running contradicts them.
    """
    judgement = judge(row.start_at, evidence, Duties(Duty.DONE, Duty.DONE))
    if judgement.verdict in {Verdict.NO_SHOW, Verdict.UNDETERMINED}:
        return True
    return judgement.reasons[0] is VerdictReason.GUEST_CAME_HOST_UNKNOWN


def _ask_all(services: Services, run: Run, todo: Sequence[_Session]) -> list[NewEvidence]:
    """Ask about every session and return the evidence; whatever has not come in time is silence."""
    by_host = [(host, list(group)) for host, group in groupby(sorted(todo, key=_by_host), key=_by_host)]
    try:
        services.set_stage(run.as_of)
        zoom = services.make_zoom()
    except ZoomConfigError as error:
        return [_silence(services, run, each, error) for each in todo]
    asking = _Asking(services, run, zoom)
    pool = ThreadPoolExecutor(min(services.office.zoom.concurrency, len(by_host)), thread_name_prefix="zoom-look")
    answers: list[tuple[list[_Session], Future[list[NewEvidence]]]] = [
        (sessions, pool.submit(asking.host, host, sessions)) for host, sessions in by_host
    ]
    wait([future for _, future in answers], timeout=services.office.no_show.look_seconds)
    # A call that hangs goes on in its thread and is not waited for; nothing reads its answer any more.
    pool.shutdown(wait=False, cancel_futures=True)
    found: list[NewEvidence] = []
    in_time = True
    for sessions, future in answers:
        if future.done() and not future.cancelled():
            found += future.result()
        else:
            in_time = False
            found += [_silence(services, run, each, ZoomError(OUT_OF_TIME)) for each in sessions]
    if in_time:
        zoom.close()
    return found


def _by_host(session: _Session) -> str:
    return session.host


class _Asking:
    """Asks one host after the other; used by several threads, holds nothing that changes but the reason to stop."""

    def __init__(self, services: Services, run: Run, zoom: ZoomClient) -> None:
        self._services = services
        self._run = run
        self._zoom = zoom
        self._users = {host.code: host.user for host in services.office.hosts}
        self._halt: ZoomError | None = None
        self._lists_people = services.office.zoom.live_participants

    def host(self, host: str, sessions: Sequence[_Session]) -> list[NewEvidence]:
        running: set[str] = set()
        if self._halt is None and host in self._users:
            try:
                running = self._zoom.live_meeting_ids(self._users[host])
            except ZoomError as error:
                self._note(error)
                log.info("the live list of a host: %s", error)
        return [piece for session in sessions for piece in self._one(session, running)]

    def _one(self, session: _Session, running: set[str]) -> list[NewEvidence]:
        if self._halt is not None:
            return [_silence(self._services, self._run, session, self._halt)]
        try:
            status = "started" if session.meeting_id in running else self._zoom.meeting_status(session.meeting_id)
            if status == "waiting" and (run := self._over(session)):
                return run
        except ZoomError as error:
            self._note(error)
            log.info("asking about the meeting of %s: %s", session.reference, error)
            return [_silence(self._services, self._run, session, error)]
        kinds = {"started": Kind.MEETING_STARTED, "waiting": Kind.STILL_WAITING, None: Kind.MEETING_GONE}
        if status not in kinds:
            return [_silence(self._services, self._run, session, ZoomError("ZOOM_STATUS_UNKNOWN"))]
        found = [self._piece(session, kinds[status], Source.STATUS)]
        if status == "started" and self._lists_people:
            found += self._people(session)
        return found

    def _over(self, session: _Session) -> list[NewEvidence]:
        """Return when the meeting ran, if it has been: one that is over is as little started as one that never was."""
        past = self._zoom.past_meeting(session.meeting_id)
        if past is None or past.started_at is None or (past.ended_at or past.started_at) < session.start - TRY_OUT:
            return []
        found = [self._piece(session, Kind.MEETING_STARTED, Source.PAST, past.started_at)]
        if past.ended_at is not None:
            found.append(self._piece(session, Kind.MEETING_ENDED, Source.PAST, past.ended_at))
        return found

    def _people(self, session: _Session) -> list[NewEvidence]:
        try:
            people = self._zoom.live_participants(session.meeting_id)
        except ZoomError as error:
            if isinstance(error, ZoomConfigError):
                # The plan does not have it after all: asked once, not once a session.
                self._lists_people = False
            log.info("the participants of %s: %s", session.reference, error)
            return []
        if not people:
            return []
        found = [piece for person in people for piece in self._stay(session, person)]
        if all(person.is_host for person in people):
            found.append(self._piece(session, Kind.HOST_ALONE, Source.LIVE))
        return found

    def _stay(self, session: _Session, person: Participant) -> list[NewEvidence]:
        # Whoever is not shown to be the host counts as a guest: of the two mistakes this one costs a client nothing.
        if person.is_host:
            came, went = Kind.HOST_JOINED, Kind.HOST_LEFT
        elif person.is_waiting:
            came, went = Kind.GUEST_WAITING, Kind.GUEST_STOPPED_WAITING
        else:
            came, went = Kind.GUEST_JOINED, Kind.GUEST_LEFT
        # Who is there and joined nobody knows when is known to be there now.
        found = [self._piece(session, came, Source.LIVE, person.joined_at)]
        if person.left_at is not None:
            found.append(self._piece(session, went, Source.LIVE, person.left_at))
        return found

    def _piece(self, session: _Session, kind: Kind, source: Source, at: datetime | None = None) -> NewEvidence:
        return _piece(session, kind, source, at or _now(self._services, self._run))

    def _note(self, error: ZoomError) -> None:
        """Stop asking when the same would be answered about every meeting."""
        if isinstance(error, ZoomConfigError) and not error.code.startswith("ZOOM_HOST_"):
            self._halt = error


def _now(services: Services, run: Run) -> datetime:
    return run.at(services.clock())


def _silence(services: Services, run: Run, session: _Session, error: ZoomError) -> NewEvidence:
    kind = Kind.ZOOM_DOWN if error.is_zoom_down else Kind.ZOOM_SILENT
    return _piece(session, kind, Source.STATUS, _now(services, run), error.code)


def _piece(session: _Session, kind: Kind, source: Source, at: datetime, code: str | None = None) -> NewEvidence:
    return NewEvidence(
        booking_id=session.booking_id,
        revision=session.revision,
        kind=kind,
        source=source,
        happened_at=at,
        dedupe_key=f"{source}:{session.booking_id}:{session.revision}:{kind}:{at.timestamp():.0f}",
        details={"code": code} if code else {},
    )
