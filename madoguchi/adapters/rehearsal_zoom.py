"""Zoom as a rehearsal meets it: reading goes through to Zoom, what would change there is kept here and read back.

No request that changes anything leaves: whatever this class does not answer itself has no connection to ask over.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from madoguchi.adapters.zoom import ListType, ZoomClient
from madoguchi.adapters.zoom_access import AccessItem
from madoguchi.adapters.zoom_errors import ZoomMeetingGone, ZoomRejected
from madoguchi.domain.meeting import PRIVACY_SETTINGS, MeetingPlan, ZoomMeeting
from madoguchi.domain.participant import Participant, PastMeeting

_FIRST_ID = 99_000_000_000
"""Eleven digits, as Zoom's. None of these ids ever leaves the rehearsal."""
_AROUND = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class ZoomChange:
    """One change that would have been made. `agenda`: carries the token of a meeting of ours, else empty."""

    action: str
    meeting_id: str
    agenda: str
    host_user: str
    start: datetime | None


@dataclass(slots=True)
class ZoomNotes:
    """What one rehearsal would have changed at Zoom, for all of its clients. Thread-safe.

    `join_host`: where the links of its meetings would lead; one that the office allows in mails.
    """

    join_host: str
    changes: list[ZoomChange] = field(default_factory=list)
    made: dict[str, tuple[str, ZoomMeeting]] = field(default_factory=dict)
    """By id: the host, and the meeting as it would be."""
    changed: dict[str, ZoomMeeting] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(_FIRST_ID + 1))


class RehearsalZoom(ZoomClient):
    """A client that changes nothing. `real` is asked for what Zoom has; `notes` holds what would be different."""

    def __init__(self, real: ZoomClient, notes: ZoomNotes) -> None:
        # Not ours: a client without a connection of its own cannot send what nobody foresaw.
        self._real = real
        self._notes = notes
        self.sleep = real.sleep

    def close(self) -> None:
        """Close the client that reads."""
        self._real.close()

    def create_meeting(self, host_user: str, plan: MeetingPlan) -> ZoomMeeting:
        """Note a meeting and return it as Zoom would show it."""
        notes = self._notes
        with notes.lock:
            meeting = _planned(str(next(notes.ids)), host_user, plan, notes.join_host)
            notes.made[meeting.meeting_id] = (host_user, meeting)
            notes.changes.append(ZoomChange("create", meeting.meeting_id, plan.agenda, host_user, plan.start))
        return meeting

    def get_meeting(self, meeting_id: str) -> ZoomMeeting | None:
        """Return the meeting as it would be now, or None."""
        notes = self._notes
        with notes.lock:
            if meeting_id in notes.removed:
                return None
            known = notes.changed.get(meeting_id) or notes.made.get(meeting_id, ("", None))[1]
        return known or self._real.get_meeting(meeting_id)

    def update_meeting(self, meeting_id: str, plan: MeetingPlan, *, with_passcode: bool = True) -> None:
        """Note a change. ZoomMeetingGone when there is no such meeting."""
        found = self.get_meeting(meeting_id)
        if found is None:
            raise ZoomMeetingGone("ZOOM_MEETING_GONE", operation="update")
        planned = _planned(meeting_id, found.host_id, plan, self._notes.join_host)
        changed = replace(
            planned,
            join_url=found.join_url,
            passcode=plan.passcode if with_passcode else found.passcode,
            status=found.status,
            created_at=found.created_at,
        )
        with self._notes.lock:
            self._notes.changed[meeting_id] = changed
            self._notes.changes.append(ZoomChange("update", meeting_id, plan.agenda, found.host_id, plan.start))

    def delete_meeting(self, meeting_id: str) -> bool:
        """Note a removal; ZoomRejected while people are in the meeting, as at Zoom."""
        found = self.get_meeting(meeting_id)
        if found is None:
            return False
        if found.status == "started":
            raise ZoomRejected("ZOOM_MEETING_RUNNING", operation="delete")
        with self._notes.lock:
            self._notes.removed.add(meeting_id)
            self._notes.changes.append(ZoomChange("delete", meeting_id, found.agenda, found.host_id, found.start))
        return True

    def end_meeting(self, meeting_id: str) -> bool:
        """Note that a running meeting would be ended."""
        found = self.get_meeting(meeting_id)
        if found is None:
            return False
        with self._notes.lock:
            self._notes.changed[meeting_id] = replace(found, status="waiting")
            self._notes.changes.append(ZoomChange("end", meeting_id, found.agenda, found.host_id, found.start))
        return True

    def list_meetings(
        self, host_user: str, *, around: datetime | None = None, kind: ListType = "scheduled"
    ) -> Iterator[ZoomMeeting]:
        """Yield what Zoom lists, without what would be removed and with what would be there."""
        notes = self._notes
        for meeting in self._real.list_meetings(host_user, around=around, kind=kind):
            if meeting.meeting_id not in notes.removed:
                known = notes.changed.get(meeting.meeting_id)
                yield replace(meeting, start=known.start, agenda=known.agenda) if known else meeting
        if kind not in {"scheduled", "upcoming"}:
            return
        with notes.lock:
            mine = [each for host, each in notes.made.values() if host == host_user]
        for meeting in mine:
            near = around is None or meeting.start is None or abs(meeting.start - around) <= _AROUND
            if near and meeting.meeting_id not in notes.removed:
                yield meeting

    def live_participants(self, meeting_id: str) -> list[Participant] | None:
        """Ask Zoom; a meeting of the rehearsal has nobody in it."""
        return None if meeting_id in self._notes.made else self._real.live_participants(meeting_id)

    def past_meeting(self, meeting_id: str) -> PastMeeting | None:
        """Ask Zoom; a meeting of the rehearsal never ran."""
        return None if meeting_id in self._notes.made else self._real.past_meeting(meeting_id)

    def past_participants(self, meeting_id: str) -> list[Participant] | None:
        """Ask Zoom; a meeting of the rehearsal never ran."""
        return None if meeting_id in self._notes.made else self._real.past_participants(meeting_id)

    def check_access(self, host_users: Iterable[str] = ()) -> list[AccessItem]:
        """Ask Zoom."""
        return self._real.check_access(host_users)


def _planned(meeting_id: str, host_id: str, plan: MeetingPlan, join_host: str) -> ZoomMeeting:
    return ZoomMeeting(
        meeting_id=meeting_id,
        host_id=host_id,
        start=plan.start,
        duration=plan.duration_minutes,
        join_url=f"https://{join_host}/j/{meeting_id}",
        passcode=plan.passcode,
        status="waiting",
        agenda=plan.agenda,
        settings=dict(PRIVACY_SETTINGS),
    )
