"""Asking Zoom who is or was in a meeting. Answers without names: the host or somebody else, and when.

What each answer proves, and which plan has it: docs/zoom.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from madoguchi.adapters.zoom_errors import ZoomMeetingGone, ZoomRejected, ZoomRetryable
from madoguchi.adapters.zoom_http import Operation, ZoomCaller
from madoguchi.adapters.zoom_read import read_instant
from madoguchi.domain.participant import Participant, PastMeeting

PAGE_SIZE = 300
MAX_PAGES = 200

_LIVE = Operation("live_people", "GET", repeatable=True, answers=True)
_PAST = Operation("past", "GET", repeatable=True, answers=True)
_PAST_PEOPLE = Operation("past_people", "GET", repeatable=True, answers=True)

_UUID = re.compile(r"[A-Za-z0-9+/=_-]{8,64}")


def live_participants(caller: ZoomCaller, meeting_id: str) -> list[Participant] | None:
    """Return every stay in a running meeting, those that have ended too (`left_at`); None when Zoom shows none running.

    None is no proof that nobody came: ask for the status. ZoomConfigError when plan or scope do not have this list.
    """
    path = f"/metrics/meetings/{path_of(meeting_id)}/participants"
    try:
        return [_live(row) for row in _rows(caller, _LIVE, path, {"type": "live"})]
    except ZoomMeetingGone:
        return None


def past_meeting(caller: ZoomCaller, meeting_id: str) -> PastMeeting | None:
    """Return the last time that a meeting ran (by number) or one time (by uuid); None before an end."""
    try:
        body = caller.call(_PAST, f"/past_meetings/{path_of(meeting_id)}")
    except ZoomMeetingGone:
        return None
    count = body.get("participants_count")
    return PastMeeting(
        uuid=_text(body.get("uuid")),
        host_id=_text(body.get("host_id")),
        started_at=read_instant(body.get("start_time")),
        ended_at=read_instant(body.get("end_time")),
        participants=count if isinstance(count, int) and not isinstance(count, bool) else None,
    )


def past_participants(caller: ZoomCaller, meeting_id: str) -> list[Participant] | None:
    """Return every stay in the run that `past_meeting` names; None when there is none. Asks Zoom twice.

    An empty list: only one person was in the meeting, or the rows are late (they come some minutes after the end).
    """
    run = past_meeting(caller, meeting_id)
    if run is None:
        return None
    # By its own name: the number would lead to another run if one ended in between.
    path = f"/past_meetings/{path_of(run.uuid or meeting_id)}/participants"
    try:
        return [_past(row, run.host_id) for row in _rows(caller, _PAST_PEOPLE, path, {})]
    except ZoomMeetingGone:
        return None


def path_of(meeting_id: str) -> str:
    """Return a number or uuid as it must stand in a path; ZoomRejected for anything else.

    A uuid that begins with a slash or holds two of them in a row is encoded twice, or Zoom answers 404.
    """
    if meeting_id.isascii() and meeting_id.isdigit():
        return meeting_id
    if not _UUID.fullmatch(meeting_id):
        raise ZoomRejected("ZOOM_MEETING_ID", operation="address")
    once = quote(meeting_id, safe="")
    return quote(once, safe="") if meeting_id.startswith("/") or "//" in meeting_id else once


def _rows(
    caller: ZoomCaller, operation: Operation, path: str, params: Mapping[str, str]
) -> Iterator[Mapping[str, Any]]:
    asked: dict[str, str | int] = {**params, "page_size": PAGE_SIZE}
    for _ in range(MAX_PAGES):
        body = caller.call(operation, path, params=asked)
        rows = body.get("participants")
        # A list that is missing is not an empty one: from an empty one follows that nobody else was there.
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ZoomRetryable("ZOOM_UNREADABLE_ANSWER", operation=operation.name)
        yield from rows
        page = body.get("next_page_token")
        if not page:
            return
        asked["next_page_token"] = str(page)
    raise ZoomRetryable("ZOOM_ENDLESS_LIST", operation=operation.name)


def _live(row: Mapping[str, Any]) -> Participant:
    role = row.get("role")
    return Participant(
        is_host=role == "host" if role in {"host", "attendee"} else None,
        joined_at=read_instant(row.get("join_time")),
        left_at=read_instant(row.get("leave_time")),
        is_waiting=row.get("status") == "in_waiting_room",
    )


def _past(row: Mapping[str, Any], host_id: str) -> Participant:
    user = _text(row.get("id"))
    return Participant(
        # The host is always signed in; who has no id is not. With no host to compare, a signed-in user may be either.
        is_host=(user == host_id if host_id else None) if user else False,
        joined_at=read_instant(row.get("join_time")),
        left_at=read_instant(row.get("leave_time")),
        is_waiting=row.get("status") == "in_waiting_room",
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
