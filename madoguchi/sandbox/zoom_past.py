"""Who is, and who was, in a meeting: what the stand-in answers of it. Facts and assumptions: docs/zoom.md."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from madoguchi.sandbox.zoom_errors import no_meeting, refusal, validation
from madoguchi.sandbox.zoom_events import HOST_NAME
from madoguchi.sandbox.zoom_meetings import MAX_PAGE, Answer, Call
from madoguchi.sandbox.zoom_people import Run, Stay

_LIVE_TYPES = {"live", "past", "pastOne"}


def past_meeting(call: Call) -> Answer:
    """200 once a meeting has run and ended; 404/3001 before that, as for a wrong id."""
    doc, run = _ended(call)
    seconds = (datetime.fromisoformat(run.ended) - datetime.fromisoformat(run.started)).total_seconds()
    minutes = max(0, int(seconds // 60))
    there = {stay.who for stay in call.state.people.stays(doc["id"], run.uuid) if stay.place == "meeting"}
    return 200, {name: doc[name] for name in ("id", "host_id", "topic", "type")} | {
        "uuid": run.uuid,
        "start_time": run.started,
        "end_time": run.ended,
        "duration": minutes,
        "total_minutes": minutes * max(1, len(there)),
        "participants_count": max(1, len(there)),
        "user_email": doc["host_email"],
        "user_name": HOST_NAME,
    }


def past_people(call: Call) -> Answer:
    """200 with one row a stay, after the end; no row at all when only one person was in the meeting.

    Whoever only waited does not count towards the two. A lag (fault `list_lag`) shows no rows yet.
    """
    doc, run = _ended(call)
    stays = [stay for stay in call.state.people.stays(doc["id"], run.uuid) if stay.place != "outside"]
    there = {stay.who for stay in stays if stay.place == "meeting"}
    rows = [_past_row(doc, stay) for stay in stays] if len(there) > 1 and not call.lag else []
    return _page(call, rows)


def live_people(call: Call) -> Answer:
    """200 with those in the meeting and its waiting room, and those who left, while it runs (or ran, with `past`)."""
    if not call.state.settings.has_dashboard:
        raise refusal(400, 200, "Only available for Business or higher accounts.")
    kind = call.query.get("type", "live")
    if kind not in _LIVE_TYPES:
        raise validation([("type", "Invalid field.")])
    if kind == "live":
        doc = _doc(call)
        if doc["status"] != "started":
            raise refusal(404, 3001, "Meeting ID is invalid or has not ended.")
        uuid = str(doc["uuid"])
    else:
        doc, run = _ended(call)
        uuid = run.uuid
    stays = [stay for stay in call.state.people.stays(doc["id"], uuid) if stay.place != "outside"]
    return _page(call, [_live_row(doc, stay) for stay in stays])


def _past_row(doc: dict[str, Any], stay: Stay) -> dict[str, Any]:
    return {
        **_person(doc, stay),
        "name": HOST_NAME if stay.is_host else "",
        "user_email": doc["host_email"] if stay.is_host else "",
        "leave_time": stay.gone,
        "duration": int((datetime.fromisoformat(stay.gone) - datetime.fromisoformat(stay.came)).total_seconds()),
        "failover": False,
        "registrant_id": "",
        "internal_user": stay.is_host,
    }


def _live_row(doc: dict[str, Any], stay: Stay) -> dict[str, Any]:
    gone = {"leave_time": stay.gone, "leave_reason": stay.reason or "Unknown reason."} if stay.gone else {}
    return {
        **_person(doc, stay),
        "user_name": HOST_NAME if stay.is_host else "",
        "email": doc["host_email"] if stay.is_host else "",
        "role": "host" if stay.is_host else "attendee",
        "participant_user_id": doc["host_id"] if stay.is_host else "",
        "participant_uuid": stay.uuid,
        "device": "Windows",
        **gone,
    }


def _person(doc: dict[str, Any], stay: Stay) -> dict[str, Any]:
    return {
        "id": doc["host_id"] if stay.is_host else "",
        "user_id": stay.user_id,
        "join_time": stay.came,
        "status": "in_meeting" if stay.place == "meeting" else "in_waiting_room",
    }


def _page(call: Call, rows: list[dict[str, Any]]) -> Answer:
    text = call.query.get("page_size", "30")
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
    if not 1 <= size <= MAX_PAGE:
        raise validation([("page_size", f"1 to {MAX_PAGE}.")])
    begin = _begin(call.query.get("next_page_token", ""))
    end = begin + size
    token = base64.urlsafe_b64encode(json.dumps([end]).encode()).decode() if end < len(rows) else ""
    pages = -(-len(rows) // size)
    found = {"page_count": pages, "page_size": size, "total_records": len(rows), "next_page_token": token}
    return 200, {**found, "participants": rows[begin:end]}


def _begin(token: str) -> int:
    if not token:
        return 0
    try:
        (begin,) = json.loads(base64.urlsafe_b64decode(token))
        return int(begin)
    except (ValueError, TypeError):
        raise refusal(400, 300, "The next page token is invalid or expired.") from None


def _ended(call: Call) -> tuple[dict[str, Any], Run]:
    """Return a meeting and the run that is meant: the last one for a number, that one for a uuid."""
    doc = _doc(call)
    runs = call.state.people.runs(doc["id"])
    target = unquote(call.target)
    named = [run for run in runs if target in {run.uuid, str(doc["id"])}]
    if not named or not named[-1].ended:
        raise no_meeting(call.target)
    return doc, named[-1]


def _doc(call: Call) -> dict[str, Any]:
    # One layer of encoding is off; without a second one Zoom loses a uuid that begins with a slash or has two.
    if call.target.startswith("/") or "//" in call.target:
        raise no_meeting(call.target)
    target = unquote(call.target)
    if target.isascii() and target.isdigit() and len(target) <= 18:
        doc = call.state.meeting(int(target))
    else:
        number = call.state.people.meeting_of(target)
        # What a run left behind outlives its meeting, under the run's own name.
        doc = None if number is None else call.state.meeting(number) or call.state.meeting(number, deleted=True)
    if doc is None:
        raise no_meeting(call.target)
    return doc
