"""What we hold true of our meetings, compared with what Zoom shows: findings, and what may be done about each. Pure.

A finding is repaired only where that cannot hurt: nothing that is not certainly ours is ever touched, no meeting that
runs, and no time shortly before a session. Why each: docs/reconcile.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS, SETTLED_BOOKINGS, BookingStatus, MeetingStatus
from madoguchi.domain.meeting import ZoomMeeting, carries_token, drifted_settings, is_join_link
from madoguchi.domain.office import SESSION_MINUTES

TOO_CLOSE = timedelta(hours=1)
"""From here on to its start a session's time is no longer changed at Zoom: people may be on their way in."""
MANY_MISSING = 5
"""So many meetings gone, and more than half of all: rather another Zoom account than so many deletions by hand."""

_WORD = re.compile(r"[\w-]+")
_TOKEN_FORM = re.compile(r"M-[0-9A-Z]{6}-[0-9a-f]{10}")
_HAS_MEETING = ACTIVE_BOOKINGS | SETTLED_BOOKINGS
_UNDER_WAY = frozenset({MeetingStatus.CLAIMED, MeetingStatus.CREATED})


class Kind(StrEnum):
    """In what our record and Zoom differ."""

    ORPHAN = "orphan"
    """At Zoom, and no session of ours needs it."""
    FOREIGN = "foreign"
    """Not ours: counted, never touched."""
    MISSING = "missing"
    """A confirmed session ahead has no meeting at Zoom: the link that was mailed leads nowhere."""
    WRONG_TIME = "wrong_time"
    WRONG_HOST = "wrong_host"
    DUPLICATE = "duplicate"
    """A second meeting with the token of a session that has one; nobody was ever given its link."""
    SETTINGS_DRIFTED = "settings_drifted"
    LINK_CHANGED = "link_changed"
    """Join link or passcode are not those that were mailed."""


class Action(StrEnum):
    """What may be done about a finding."""

    REPAIR = "repair"
    REPORT = "report"
    """A person has to look at it."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class OurMeeting:
    """What the record says of one meeting and its booking. `start`: the booking's, aware.

    A confirmed session without a verified meeting on record has `meeting_status` None. `told`: the join link and the
    passcode that were mailed. `host`: the office's code of the Zoom host.
    """

    booking: str
    booking_status: BookingStatus
    start: datetime
    host: str
    token: str = ""
    meeting_id: str | None = None
    meeting_status: MeetingStatus | None = None
    told: tuple[str, str] | None = field(default=None, repr=False)

    def is_ahead(self, now: datetime) -> bool:
        """Tell whether it stands for a session that was confirmed and has not begun."""
        verified = self.meeting_status in {MeetingStatus.VERIFIED, None}
        return self.booking_status == BookingStatus.CONFIRMED and self.start > now and verified


@dataclass(frozen=True, slots=True)
class AtZoom:
    """What Zoom shows. `listed`: by host code, complete lists only. `read`: by meeting id; None: no such meeting.

    `silent`: hosts whose list could not be had. What is in neither is not known, and nothing follows from it.
    """

    listed: Mapping[str, Sequence[ZoomMeeting]]
    read: Mapping[str, ZoomMeeting | None]
    silent: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference. `why`: a reason code. `names`: the settings that drifted.

    `subject`: the booking's reference; for a meeting of unknown origin what its token begins with, for a foreign one
    the host's code.
    """

    kind: Kind
    action: Action
    why: str
    subject: str
    host: str
    meeting_id: str | None
    names: tuple[str, ...] = ()


def compare(
    ours: Iterable[OurMeeting],
    zoom: AtZoom,
    *,
    now: datetime,
    join_hosts: Collection[str],
    may_be_absent: Collection[str] = (),
    repair_many: bool = False,
) -> list[Finding]:
    """Return every difference; two descriptions of the same meetings give none.

    `ours` must hold every session ahead and every meeting whose token or id is listed, and must have been read after
    the lists: a token is on record before Zoom is asked. `now`: aware business time. `repair_many`: a person has said
    that the many missing ones are to be made anew. Changes nothing, knows nothing of budgets.
    """
    rows = list(ours)
    by_id = {row.meeting_id: row for row in rows if row.meeting_id}
    by_token = {row.token: row for row in rows if row.token}
    findings = [
        finding
        for host, meetings in zoom.listed.items()
        for meeting in meetings
        if (finding := _judge_listed(host, meeting, by_id, by_token)) is not None
    ]
    ahead = [row for row in rows if row.is_ahead(now)]
    places = _Places(zoom.listed)
    for row in ahead:
        findings += _judge_ahead(row, zoom, places, now, join_hosts, may_be_absent)
    return findings if repair_many else _hold_back_many(findings, len(ahead))


def token_form(agenda: str) -> str | None:
    """Return the first word of an agenda that has the form of our tokens; it may be another installation's."""
    return next((word for word in _WORD.findall(agenda) if _TOKEN_FORM.fullmatch(word)), None)


def words_of(agenda: str) -> list[str]:
    """Return the words of an agenda among which a token of ours would stand."""
    return _WORD.findall(agenda)


def drift_of(meeting: ZoomMeeting, token: str, may_be_absent: Collection[str]) -> tuple[str, ...]:
    """Return what of a meeting is not as we set it, its time and its link left aside."""
    found = list(drifted_settings(meeting.settings, may_be_absent=may_be_absent))
    if meeting.duration != SESSION_MINUTES:
        found.append("duration")
    if not carries_token(meeting.agenda, token):
        found.append("agenda")
    if not meeting.passcode:
        found.append("passcode")
    return tuple(found)


def link_state(meeting: ZoomMeeting, told: tuple[str, str] | None, join_hosts: Collection[str]) -> str | None:
    """Return None while link and passcode are those that were mailed, CHANGED, or why they must not be mailed."""
    if not meeting.join_url:
        return "NO_JOIN_URL"
    if not is_join_link(meeting.join_url, join_hosts):
        return "JOIN_URL_NOT_HTTPS_ZOOM"
    if not meeting.passcode:
        return "NO_PASSCODE"
    return None if (meeting.join_url, meeting.passcode) == told else "CHANGED"


class _Places:
    """Where meetings are listed, and by what id Zoom knows each of the office's hosts."""

    def __init__(self, listed: Mapping[str, Sequence[ZoomMeeting]]) -> None:
        self.hosts_of: dict[str, set[str]] = {}
        self.ids_of: dict[str, set[str]] = {}
        for host, meetings in listed.items():
            for meeting in meetings:
                self.hosts_of.setdefault(meeting.meeting_id, set()).add(host)
                if meeting.host_id:
                    self.ids_of.setdefault(host, set()).add(meeting.host_id)


def _judge_listed(
    host: str, meeting: ZoomMeeting, by_id: Mapping[str, OurMeeting], by_token: Mapping[str, OurMeeting]
) -> Finding | None:
    row = by_id.get(meeting.meeting_id)
    if row is not None:
        return _judge_own(host, row)
    token = next((word for word in words_of(meeting.agenda) if word in by_token), None)
    if token is not None:
        return _judge_namesake(host, meeting, by_token[token])
    form = token_form(meeting.agenda)
    if form is None:
        return _finding(Kind.FOREIGN, Action.NONE, "NOT_OURS", host, host, meeting.meeting_id)
    # Another installation's, or made after the backup that this record was restored from: somebody may have its link.
    return _finding(Kind.ORPHAN, Action.REPORT, "UNKNOWN_TOKEN", form[: len("M-000000")], host, meeting.meeting_id)


def _judge_own(host: str, row: OurMeeting) -> Finding | None:
    """Judge a listed meeting whose id is on record."""
    if row.meeting_status == MeetingStatus.DELETED:
        return _finding(Kind.ORPHAN, Action.REPAIR, "CAME_BACK", row.booking, host, row.meeting_id)
    if row.meeting_status == MeetingStatus.UNWANTED or row.booking_status in _HAS_MEETING:
        return None
    return _finding(Kind.ORPHAN, Action.REPAIR, "NO_LIVE_BOOKING", row.booking, host, row.meeting_id)


def _judge_namesake(host: str, meeting: ZoomMeeting, row: OurMeeting) -> Finding | None:
    """Judge a listed meeting that carries a token of ours and is not the meeting on record."""
    if row.meeting_status in _UNDER_WAY:
        # `create_meetings` looks it up by its token and adopts it.
        return None
    if row.meeting_status == MeetingStatus.UNWANTED and row.meeting_id is None:
        return None
    if row.meeting_status == MeetingStatus.VERIFIED and row.booking_status in _HAS_MEETING:
        return _finding(Kind.DUPLICATE, Action.REPAIR, "SECOND_WITH_TOKEN", row.booking, host, meeting.meeting_id)
    return _finding(Kind.ORPHAN, Action.REPAIR, "NO_LIVE_BOOKING", row.booking, host, meeting.meeting_id)


def _judge_ahead(
    row: OurMeeting,
    zoom: AtZoom,
    places: _Places,
    now: datetime,
    join_hosts: Collection[str],
    may_be_absent: Collection[str],
) -> list[Finding]:
    soon = row.start - now <= TOO_CLOSE
    if row.meeting_status is None or row.meeting_id is None:
        return [_of(row, Kind.MISSING, Action.REPAIR, "NOT_ON_RECORD_SOON" if soon else "NOT_ON_RECORD")]
    if row.meeting_id not in zoom.read:
        return []
    meeting = zoom.read[row.meeting_id]
    if meeting is None:
        return _missing(row, zoom, places, soon=soon)
    runs = meeting.status == "started"
    found = []
    if not _is_at_its_host(row, meeting, places):
        found.append(_of(row, Kind.WRONG_HOST, Action.REPORT, "AT_ANOTHER_HOST"))
    if meeting.start != row.start:
        why = "RUNNING" if runs else "TOO_CLOSE" if soon else "OTHER_INSTANT"
        found.append(_of(row, Kind.WRONG_TIME, Action.REPORT if runs or soon else Action.REPAIR, why))
    if names := drift_of(meeting, row.token, may_be_absent):
        action, why = (Action.REPORT, "RUNNING") if runs else (Action.REPAIR, "CHANGED")
        found.append(replace(_of(row, Kind.SETTINGS_DRIFTED, action, why), names=names))
    # Without a passcode it has drifted: putting that right makes the link that is judged then.
    if meeting.passcode and (state := link_state(meeting, row.told, join_hosts)) is not None:
        found.append(_of(row, Kind.LINK_CHANGED, Action.REPAIR if state == "CHANGED" else Action.REPORT, state))
    return found


def _missing(row: OurMeeting, zoom: AtZoom, places: _Places, *, soon: bool) -> list[Finding]:
    if row.host in zoom.silent:
        return []
    if row.meeting_id in places.hosts_of:
        # Zoom contradicts itself; one of the two is late.
        return [_of(row, Kind.MISSING, Action.REPORT, "LISTED_BUT_NOT_THERE")]
    return [_of(row, Kind.MISSING, Action.REPAIR, "GONE_SOON" if soon else "GONE")]


def _is_at_its_host(row: OurMeeting, meeting: ZoomMeeting, places: _Places) -> bool:
    """Tell whether Zoom shows the meeting at its own host; what cannot be told counts as right."""
    at = places.hosts_of.get(meeting.meeting_id)
    if at:
        return row.host in at
    # A list may lag behind; then the host's id of its other meetings tells.
    own = places.ids_of.get(row.host)
    return not own or not meeting.host_id or meeting.host_id in own


def _hold_back_many(findings: list[Finding], ahead: int) -> list[Finding]:
    gone = [f for f in findings if f.kind == Kind.MISSING and f.action == Action.REPAIR]
    if len(gone) < MANY_MISSING or 2 * len(gone) <= ahead:
        return findings
    return [
        replace(f, action=Action.REPORT, why="TOO_MANY_GONE")
        if f.kind == Kind.MISSING and f.action == Action.REPAIR
        else f
        for f in findings
    ]


def _of(row: OurMeeting, kind: Kind, action: Action, why: str) -> Finding:
    return _finding(kind, action, why, row.booking, row.host, row.meeting_id)


def _finding(kind: Kind, action: Action, why: str, subject: str, host: str, meeting_id: str | None) -> Finding:
    return Finding(kind=kind, action=action, why=why, subject=subject, host=host, meeting_id=meeting_id)
