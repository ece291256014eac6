"""One meeting put right: deleted, made anew, set again, or its new link told. Nothing is believed before it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from madoguchi.adapters.zoom import ZoomClient
from madoguchi.adapters.zoom_errors import ZoomHostBudgetSpent, ZoomMeetingGone, ZoomRejected
from madoguchi.domain.lifecycle import MeetingStatus
from madoguchi.domain.meeting import MeetingPlan, ZoomMeeting
from madoguchi.domain.reconciliation import Finding, Kind, drift_of, link_state
from madoguchi.store import meetings as meeting_store
from madoguchi.store import reconciliation as store
from madoguchi.store.audit import Act
from madoguchi.store.runs import open_staff_task
from tasks.meeting_mail import Access, tell_access
from tasks.meeting_removal import ZOOM_DIFFERS, ZOOM_DRIFT
from tasks.settling import CALL_APPLICANT
from tasks.wiring import Run, Services

_OURS_SHARE = 0.8
"""Of a host's day so much at most goes into repairs: the rest is for new meetings, which somebody is waiting for."""


class NotDone(Exception):  # noqa: N818 — named by what happened
    """The repair could not be done; `code` says why, and staff know of it where they have to."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Repair:
    """The repair of one meeting. `row`: what the record has of it (`store.reconciliation`)."""

    def __init__(self, services: Services, run: Run, zoom: ZoomClient, row: Row[Any]) -> None:
        self._services = services
        self._run = run
        self._zoom = zoom
        self._row = row

    def repair(self, findings: Sequence[Finding], meeting: ZoomMeeting | None) -> None:
        """Put right what the findings name, all of one meeting; `meeting`: as it was read.

        NotDone when it is not right afterwards; raises ZoomError.
        """
        kinds = {finding.kind for finding in findings}
        first = findings[0]
        if kinds & {Kind.ORPHAN, Kind.DUPLICATE}:
            self._remove(first)
        elif Kind.MISSING in kinds:
            self._make_anew(first)
        elif meeting is not None:
            is_set = bool(kinds & {Kind.WRONG_TIME, Kind.SETTINGS_DRIFTED})
            with_time = Kind.WRONG_TIME in kinds
            after = self._set_again(meeting, with_time=with_time) if is_set else meeting
            self._tell_new_link(after)
            if is_set:
                self._require_right(after, with_time=with_time)

    def _remove(self, finding: Finding) -> None:
        """Delete what nobody was given a link to, or whose session is off; never while somebody is in it."""
        if finding.meeting_id is None:
            return
        own = finding.meeting_id == self._row.meeting_id
        if own and self._row.meeting_status != MeetingStatus.DELETED.value:
            with self._services.database.write() as session:
                store.call_off_meeting(session, self._row.booking_id, self._act(), finding.why)
            return
        try:
            self._zoom.delete_meeting(finding.meeting_id)
        except ZoomRejected as refused:
            if refused.code == "ZOOM_MEETING_RUNNING":
                self._ask_staff(ZOOM_DIFFERS, f"{finding.kind.name}:RUNNING")
                raise NotDone(refused.code) from None
            raise

    def _make_anew(self, finding: Finding) -> None:
        with self._services.database.write() as session:
            act = self._act()
            held = store.hold_again(session, self._row.booking_id, self._row.meeting_id, act, "MEETING_GONE")
            if held and finding.why.endswith("_SOON"):
                # A mail may not be read in time any more.
                open_staff_task(session, act, CALL_APPLICANT, self._row.booking, "LINK_REPLACED_LATE")

    def _set_again(self, meeting: ZoomMeeting, *, with_time: bool) -> ZoomMeeting:
        """Set time and settings and return the meeting as it is then; the time only if it was found wrong."""
        self._spend()
        start = self._row.start_at if with_time or meeting.start is None else meeting.start.replace(microsecond=0)
        plan = MeetingPlan(token=self._row.token, start=start, passcode=self._told()[1])
        try:
            # Giving a passcode, though the same, may change the link, and the client would have to be told.
            self._zoom.update_meeting(meeting.meeting_id, plan, with_passcode=not meeting.passcode)
        except ZoomHostBudgetSpent:
            with self._services.database.write() as session:
                limit = self._services.office.zoom.daily_changes_per_host
                meeting_store.spend_whole_day(session, self._act(), self._row.host, limit)
            raise
        after = self._zoom.get_meeting(meeting.meeting_id)
        if after is None:
            raise ZoomMeetingGone("ZOOM_MEETING_GONE", operation="get")
        return after

    def _require_right(self, meeting: ZoomMeeting, *, with_time: bool) -> None:
        if names := drift_of(meeting, self._row.token, self._services.office.zoom.hidden_settings):
            code = f"SETTING_DRIFT:{','.join(names)}"[:60]
            self._ask_staff(ZOOM_DRIFT, code)
            raise NotDone(code)
        if with_time and meeting.start != self._row.start_at:
            self._ask_staff(ZOOM_DIFFERS, "WRONG_TIME:STILL_WRONG")
            raise NotDone("WRONG_TIME")

    def _tell_new_link(self, meeting: ZoomMeeting) -> None:
        """Keep and mail the link that Zoom has, if it is another one than was mailed and may be mailed."""
        if link_state(meeting, self._told(), self._services.join_hosts) != "CHANGED":
            return
        act = self._act()
        with self._services.database.write() as session:
            booking = store.change_link(
                session,
                self._services.vault,
                self._row.booking_id,
                meeting.meeting_id,
                act,
                join_url=meeting.join_url,
                passcode=meeting.passcode,
            )
            if booking is not None:
                access = Access(meeting.meeting_id, meeting.passcode, meeting.join_url)
                tell_access(self._services, session, act, booking, access, is_first=False, due_at=self._run.as_of)

    def _spend(self) -> None:
        limit = int(self._services.office.zoom.daily_changes_per_host * _OURS_SHARE)
        try:
            with self._services.database.write() as session:
                meeting_store.spend_change(session, self._row.host, self._act(), limit)
        except meeting_store.BudgetSpent:
            raise NotDone("ZOOM_HOST_BUDGET") from None

    def _told(self) -> tuple[str, str]:
        access = meeting_store.access_of(self._services.vault, self._row.row_id, self._row.sealed_access)
        return access["join_url"], access["passcode"]

    def _ask_staff(self, kind: str, reason: str) -> None:
        with self._services.database.write() as session:
            open_staff_task(session, self._act(), kind, self._row.booking, reason)

    def _act(self) -> Act:
        return self._run.act(self._services)
