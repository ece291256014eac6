"""Zoom's JSON into our words. Lenient on what we do not use, strict on nothing: checking is the domain's part."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from madoguchi.domain.meeting import PRIVACY_SETTINGS, MeetingPlan, ZoomMeeting


class UnreadableAnswerError(ValueError):
    """The answer lacks what even its least use needs. Carries no part of the answer."""


def read_meeting(body: Mapping[str, Any]) -> ZoomMeeting:
    """Return the meeting of one answer or list item; UnreadableAnswerError when it has no id.

    The start link is left behind here and never travels further.
    """
    settings = body.get("settings")
    duration = body.get("duration")
    return ZoomMeeting(
        meeting_id=_id(body.get("id")),
        host_id=_text(body.get("host_id")),
        start=read_instant(body.get("start_time")),
        duration=duration if isinstance(duration, int) and not isinstance(duration, bool) else None,
        join_url=_text(body.get("join_url")),
        passcode=_text(body.get("password")),
        status=_text(body.get("status")),
        agenda=_text(body.get("agenda")),
        settings=dict(settings) if isinstance(settings, dict) else {},
        created_at=read_instant(body.get("created_at")),
    )


def read_instant(value: object) -> datetime | None:
    """Return an aware UTC instant, or None: a time without a zone is not an instant and is not guessed at."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None


def write_plan(plan: MeetingPlan) -> dict[str, Any]:
    """Return the body of a creation or change. Every privacy setting is in it, every time."""
    return {
        "type": 2,
        "topic": plan.topic,
        "agenda": plan.agenda,
        # The Z is what makes it an instant; without it Zoom reads wall time of `timezone`, nine hours off.
        "start_time": plan.start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "timezone": "Asia/Tokyo",
        "duration": plan.duration_minutes,
        "password": plan.passcode,
        "settings": dict(PRIVACY_SETTINGS),
    }


def window_around(start: datetime) -> dict[str, str]:
    """Return the days (UTC) to ask a list for, wide enough for any reading of the zone by Zoom."""
    day = start.astimezone(UTC).date()
    return {
        "from": (day - timedelta(days=1)).isoformat(),
        "to": (day + timedelta(days=1)).isoformat(),
        "timezone": "UTC",
    }


def _id(value: object) -> str:
    # A number in REST answers, a string in most webhooks: always text with us.
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UnreadableAnswerError("id")
    text = str(value)
    if not (text.isascii() and text.isdigit()):
        raise UnreadableAnswerError("id")
    return text


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
