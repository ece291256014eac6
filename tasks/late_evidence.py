"""Late truth from Zoom: who was in the meetings of sessions that are over; then the meetings have done their duty.

Zoom tells by number only while it has the meeting, so the list is read before the meeting is given up.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.adapters.zoom_errors import ZoomBudgetSpent, ZoomConfigError, ZoomError
from madoguchi.domain.evidence import EvidenceKind, EvidenceSource
from madoguchi.domain.office import JST, Office
from madoguchi.domain.participant import Participant
from madoguchi.store import reconciliation as store
from madoguchi.store.evidence import NewEvidence, add_evidence
from tasks.verdicts import reconsider
from tasks.wiring import Run, Services

LOOK_BACK = timedelta(days=7)
"""Sessions that began longer ago are not asked about any more; staff have settled what was open."""
FORGOTTEN_AFTER = timedelta(days=35)
"""Zoom itself forgets a number 30 days after its last use."""
ROWS_COME_AFTER = timedelta(minutes=30)
"""Zoom shows past participants some minutes after the end; asked earlier it shows none."""
BEFORE, AFTER = timedelta(hours=1), timedelta(hours=3)
"""A stay that is over earlier, or begins later, belongs to a try-out or another use of the number."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class LateEvidenceReport:
    """What one round did, by booking reference.

    `asked`: sessions whose participants were read. `news`: those about which something is known that was not before.
    `changed`: verdicts that this changed (reference, old, new). `retired`: their meetings are to be removed now.
    `incomplete`: could not be read.
    """

    asked: int = 0
    news: list[str] = field(default_factory=list)
    changed: list[tuple[str, str, str]] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    incomplete: list[tuple[str, str]] = field(default_factory=list)


def gather_late_evidence(services: Services, run: Run) -> LateEvidenceReport:
    """Read the past participants of sessions that are over, judge those again, and give up meetings that are done with.

    A meeting is done with when its list was read, a verdict stands, and the office has closed on the session's day or
    later; `remove_meetings` removes it. Any number of runs at once: evidence is kept once, a verdict changed once. What
    a crash leaves is read and judged again by the next run, since the meeting is given up last.
    """
    report = LateEvidenceReport()
    act = run.act(services)
    with services.database.read() as session:
        rows = store.sessions_over(session, act.office, act.happened_at - FORGOTTEN_AFTER, act.happened_at)
    rows = [row for row in rows if row.end_at + ROWS_COME_AFTER <= act.happened_at]
    to_ask = [row for row in rows if row.start_at >= act.happened_at - LOOK_BACK]
    read: dict[str, list[Participant] | None] = {}
    if to_ask:
        services.set_stage(run.as_of)
        with services.make_zoom() as zoom:
            read = _ask(services, zoom, to_ask, report)
    report.asked = len(read)
    told = []
    for row in to_ask:
        if found := evidence_of_stays(row, read.get(row.row_id) or ()):
            told.append(row.booking)
            with services.database.write() as session:
                if add_evidence(session, run.act(services), found):
                    report.news.append(row.booking)
    report.changed = reconsider(services, run, told)
    for row in rows:
        is_past_asking = row.start_at < act.happened_at - LOOK_BACK
        if is_past_asking or (row.row_id in read and _may_go(services.office, row, read[row.row_id], act.happened_at)):
            with services.database.write() as session:
                if store.retire_meeting(session, row.booking_id, row.meeting_id, run.act(services)):
                    report.retired.append(row.booking)
    return report


def evidence_of_stays(row: Row[Any], stays: Sequence[Participant]) -> list[NewEvidence]:
    """Return what the stays of a meeting's past participants prove about the session.

    No stays prove nothing: Zoom shows none when only one person was in the meeting. Of somebody who may be the host or
    may not, nothing is known either. Stays outside the session's time are another use of the number.
    """
    near = [stay for stay in stays if _is_near(stay, row.start_at, row.end_at)]
    found: list[tuple[EvidenceKind, datetime]] = []
    for stay in near:
        if (stay.is_host, stay.is_waiting) not in _KINDS:
            continue
        came, went = _KINDS[stay.is_host, stay.is_waiting]
        found += [(kind, at) for kind, at in ((came, stay.joined_at), (went, stay.left_at)) if at is not None]
    ends = [stay.left_at for stay in near if stay.left_at is not None]
    # At least two people are on every list that is not empty: here two devices of the host.
    if ends and all(stay.is_host is True for stay in near):
        found.append((EvidenceKind.HOST_ALONE, max(ends)))
    return [
        NewEvidence(
            booking_id=row.booking_id,
            revision=row.revision,
            kind=kind,
            source=EvidenceSource.PAST,
            happened_at=at,
            dedupe_key=f"past:{row.meeting_id}:{kind.value}:{at.isoformat()}",
        )
        for kind, at in found
    ]


_KINDS: Mapping[tuple[bool | None, bool], tuple[EvidenceKind, EvidenceKind]] = {
    (True, False): (EvidenceKind.HOST_JOINED, EvidenceKind.HOST_LEFT),
    (False, False): (EvidenceKind.GUEST_JOINED, EvidenceKind.GUEST_LEFT),
    (False, True): (EvidenceKind.GUEST_WAITING, EvidenceKind.GUEST_STOPPED_WAITING),
}


def _is_near(stay: Participant, start: datetime, end: datetime) -> bool:
    came, went = stay.joined_at or stay.left_at, stay.left_at or stay.joined_at
    return came is not None and went is not None and went >= start - BEFORE and came <= end + AFTER


def _ask(
    services: Services, zoom: ZoomClient, rows: Sequence[Row[Any]], report: LateEvidenceReport
) -> dict[str, list[Participant] | None]:
    read: dict[str, list[Participant] | None] = {}
    halt: list[str] = []

    def one(row: Row[Any]) -> None:
        if halt:
            report.incomplete.append((row.booking, halt[0]))
            return
        try:
            read[row.row_id] = zoom.past_participants(row.meeting_id)
        except ZoomError as error:
            log.warning("past participants of %s: %s", row.booking, error)
            report.incomplete.append((row.booking, error.code))
            if isinstance(error, (ZoomConfigError, ZoomBudgetSpent)) or error.code == "ZOOM_UNREACHABLE":
                halt.append(error.code)

    with ThreadPoolExecutor(services.office.zoom.concurrency, thread_name_prefix="zoom-past") as pool:
        for done in [pool.submit(one, row) for row in rows]:
            done.result()
    report.incomplete.sort()
    return read


def _may_go(office: Office, row: Row[Any], stays: Sequence[Participant] | None, now: datetime) -> bool:
    # Never started, or running still: ending a talk that takes longer would be worse than a meeting kept for a night.
    if stays is None and now < row.end_at + AFTER:
        return False
    return now >= datetime.combine(row.start_at.astimezone(JST).date(), office.reception.closes, JST)
