"""What the stand-in does with meetings: create, read, list, change, delete, end. Facts: docs/zoom.md."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from madoguchi.sandbox.zoom_day import end as end_meeting
from madoguchi.sandbox.zoom_errors import host_day_spent, no_meeting, no_user, refusal, validation
from madoguchi.sandbox.zoom_events import meeting_event
from madoguchi.sandbox.zoom_rules import check_body, merge_settings, read_start
from madoguchi.sandbox.zoom_state import ZoomState

AGENDA_IN_LISTS = 250
MAX_PAGE = 300
PAGE_TOKEN_SECONDS = 900
_LIST_TYPES = {"scheduled", "live", "upcoming", "upcoming_meetings", "previous_meetings"}
_LISTED = ("created_at", "duration", "host_id", "id", "join_url", "start_time", "timezone", "topic", "type", "uuid")


@dataclass(frozen=True, slots=True)
class Call:
    """One authorised request, as a handler needs it. `lag`: seconds for which lists hide new meetings."""

    state: ZoomState
    target: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    lag: float = 0.0


Answer = tuple[int, dict[str, Any] | None]


def create_meeting(call: Call) -> Answer:
    """201 with the whole meeting. A start that is missing or past becomes now, without a word."""
    user = _user(call)
    check_body(call.body)
    _spend(call.state, user["email"])
    return 201, _whole({**make_meeting(call.state, user, call.body), "status": "waiting"})


def make_meeting(state: ZoomState, user: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
    """Keep and return the document of a new meeting; `body` is checked, a start in the past becomes now."""
    now = state.now().replace(microsecond=0)
    start = read_start(body, state.settings.account_zone)
    number = state.new_id()
    doc: dict[str, Any] = {
        "id": number,
        "uuid": base64.b64encode(secrets.token_bytes(16)).decode(),
        "host_id": user["id"],
        "host_email": user["email"],
        "type": body.get("type", 2),
        "topic": body.get("topic") or "Zoom Meeting",
        "agenda": body.get("agenda", ""),
        "start_time": _stamp(start if start is not None and start > now else now),
        "duration": body.get("duration", 60),
        "timezone": body.get("timezone") or state.settings.account_zone,
        "created_at": _stamp(now),
        "pre_schedule": False,
        "creation_source": "open_api",
        "settings": merge_settings(state.settings.account_defaults, _unlocked(state, body)),
        **_access(number, _passcode(body), state.settings.join_host),
    }
    state.add(user["email"], doc)
    return doc


def get_meeting(call: Call) -> Answer:
    """200 with the whole meeting, its start link fresh; 404/3001 when deleted or never there."""
    return 200, _whole(_meeting(call))


def list_meetings(call: Call) -> Answer:
    """200 with one page: no passcode, status or settings, agendas cut at 250 characters."""
    state, user = call.state, _user(call)
    kind = call.query.get("type", "scheduled")
    size = _whole_number(call.query.get("page_size", "30"))
    if kind not in _LIST_TYPES:
        raise validation([("type", "Invalid field.")])
    if not 1 <= size <= MAX_PAGE:
        raise validation([("page_size", f"1 to {MAX_PAGE}.")])
    after = _read_page_token(call.query.get("next_page_token", ""))
    docs, total, has_more = state.page(user["email"], kind, _bounds(call), after, size, call.lag)
    items = [{**{k: doc[k] for k in _LISTED}, "agenda": doc["agenda"][:AGENDA_IN_LISTS]} for doc in docs]
    token = _page_token(docs[-1]["start_time"], docs[-1]["id"]) if has_more else ""
    return 200, {"page_size": size, "total_records": total, "next_page_token": token, "meetings": items}


def update_meeting(call: Call) -> Answer:
    """204. What is left out stays; a start in the past is ignored without a word."""
    state, doc = call.state, _meeting(call)
    check_body(call.body)
    _spend(state, state.host_of(doc["id"]))
    if doc["status"] == "started":
        raise refusal(400, 3000, "You cannot update or delete meetings that have started using this method.")
    for name in ("topic", "agenda", "duration", "timezone", "type"):
        if name in call.body:
            doc[name] = call.body[name]
    start = read_start(call.body, doc["timezone"])
    if start is not None and start > state.now():
        doc["start_time"] = _stamp(start)
    if "password" in call.body:
        doc |= _access(doc["id"], str(call.body["password"]), state.settings.join_host)
    doc["settings"] = merge_settings(doc["settings"], _unlocked(state, call.body))
    state.change(doc)
    return 204, None


def delete_meeting(call: Call) -> Answer:
    """204; 404/3001 the second time; 400/3002 while it runs; 400/3007 once it has run, if the account is so."""
    state, doc = call.state, _meeting(call)
    if doc["status"] == "started":
        raise refusal(400, 3002, "Sorry, you cannot delete this meeting since it is in progress.")
    if "ended_at" in doc and state.settings.keeps_ended_meetings:
        raise refusal(400, 3007, "Sorry, you cannot delete this meeting since it has ended.")
    vanish(state, doc)
    return 204, None


def vanish(state: ZoomState, doc: Mapping[str, Any]) -> None:
    """Delete a meeting, whoever did it, and tell the subscriber."""
    state.set_deleted(doc["id"], deleted=True)
    state.webhooks.emit([meeting_event("meeting.deleted", doc, state.now())])


def set_status(call: Call) -> Answer:
    """204. `end` stops a running meeting, `recover` brings a deleted one back."""
    action = call.body.get("action")
    if action not in {"end", "recover"}:
        raise validation([("action", "Invalid field.")])
    if action == "recover":
        doc = call.state.meeting(_id(call), deleted=True)
        if doc is None:
            raise no_meeting(call.target)
        call.state.set_deleted(doc["id"], deleted=False)
        return 204, None
    doc = _meeting(call)
    call.state.webhooks.emit(end_meeting(call.state, doc["id"], call.state.now()))
    return 204, None


def get_user(call: Call) -> Answer:
    """200 with the user, an active licensed one."""
    return 200, _user_answer(_user(call))


def list_users(call: Call) -> Answer:
    """200 with all users on one page."""
    users = [_user_answer(user) for user in call.state.users()]
    return 200, {"page_size": MAX_PAGE, "total_records": len(users), "next_page_token": "", "users": users}


def _user_answer(user: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": user["id"],
        "email": user["email"],
        "type": 2,
        "status": "active",
        "first_name": "Host",
        "last_name": "Sandbox",
        "display_name": "Host Sandbox",
        "timezone": "Asia/Tokyo",
        "verified": 1,
    }


def _user(call: Call) -> dict[str, str]:
    user = call.state.user(call.target)
    if user is None:
        raise no_user(call.target)
    return user


def _meeting(call: Call) -> dict[str, Any]:
    doc = call.state.meeting(_id(call))
    if doc is None:
        raise no_meeting(call.target)
    return doc


def _id(call: Call) -> int:
    if not (call.target.isascii() and call.target.isdigit() and len(call.target) <= 18):
        raise validation([("meetingId", "Invalid meeting id.")])
    return int(call.target)


def _spend(state: ZoomState, host: str) -> None:
    if not state.spend(host):
        raise host_day_spent(state.settings.daily_changes_per_host)


def _unlocked(state: ZoomState, body: Mapping[str, Any]) -> dict[str, Any]:
    # What the account has locked stays as it is; Zoom takes the request all the same.
    return {name: value for name, value in body.get("settings", {}).items() if name not in state.locked}


def _passcode(body: Mapping[str, Any]) -> str:
    if body.get("password"):
        return str(body["password"])
    # The account demands a passcode; only default_password: false leaves a meeting open.
    return "" if body.get("default_password") is False else secrets.token_hex(3)


def _access(number: int, passcode: str, join_host: str) -> dict[str, Any]:
    if not passcode:
        return {"join_url": f"https://{join_host}/j/{number}"}
    hidden = secrets.token_urlsafe(24)
    return {
        "password": passcode,
        "encrypted_password": hidden,
        "h323_password": passcode,
        "pstn_password": str(secrets.randbelow(900_000) + 100_000),
        "join_url": f"https://{join_host}/j/{number}?pwd={hidden}",
    }


def _whole(doc: Mapping[str, Any]) -> dict[str, Any]:
    # A fresh secret each time, as with Zoom: whoever keeps it is found by looking for `zak=`.
    start_url = f"{str(doc['join_url']).split('?')[0].replace('/j/', '/s/')}?zak={secrets.token_urlsafe(40)}"
    return {name: value for name, value in doc.items() if name != "ended_at"} | {"start_url": start_url}


def _bounds(call: Call) -> tuple[str, str]:
    zone_name = call.query.get("timezone") or call.state.settings.account_zone
    found = []
    for name, days in (("from", 0), ("to", 1)):
        text = call.query.get(name, "")
        try:
            day = date.fromisoformat(text) if text else None
            zone = ZoneInfo(zone_name)
        except (ValueError, KeyError, OSError):
            raise validation([(name, "Invalid date or timezone.")]) from None
        edge = None if day is None else datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(days=days)
        found.append("" if edge is None else _stamp(edge))
    return found[0], found[1] or "9999"


def _page_token(start: str, number: int) -> str:
    body = json.dumps([start, number, time.time() + PAGE_TOKEN_SECONDS])
    return base64.urlsafe_b64encode(body.encode()).decode()


def _read_page_token(text: str) -> tuple[str, int]:
    if not text:
        return "", 0
    try:
        start, number, ends = json.loads(base64.urlsafe_b64decode(text))
        is_alive = time.time() < float(ends)
    except (ValueError, TypeError):
        is_alive = False
    if not is_alive:
        raise refusal(400, 300, "The next page token is invalid or expired.")
    return str(start), int(number)


def _whole_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1


def _stamp(instant: datetime) -> str:
    return instant.astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ")
