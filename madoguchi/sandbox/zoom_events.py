"""The bodies of the stand-in's webhook events, field by field as Zoom has them. Guests have no name and no address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from madoguchi.sandbox.zoom_people import Stay

HOST_NAME = "Host Sandbox"
ACCOUNT_ID = "sandbox-account"
_NUMBER_IDS = {"meeting.deleted", "meeting.participant_jbh_waiting_left"}
_TIME_FIELDS = {"meeting.participant_joined": "join_time", "meeting.participant_left": "leave_time"}
_COMMON = ("uuid", "host_id", "topic", "type", "start_time", "timezone", "duration")


@dataclass(frozen=True, slots=True)
class Event:
    """One event on its way. `raw`: the very bytes that are signed and sent."""

    name: str
    meeting_id: str
    raw: bytes


def meeting_event(name: str, doc: Mapping[str, Any], at: datetime, **more: Any) -> Event:
    """Return an event of a whole meeting. `at` (aware): when it happened, in the stand-in's time."""
    return _event(name, doc, at, _about(name, doc) | more)


def person_event(name: str, doc: Mapping[str, Any], at: datetime, stay: Stay) -> Event:
    """Return an event of one person at a meeting."""
    person: dict[str, Any] = {"user_name": HOST_NAME if stay.is_host else "", "id": _id(doc, stay)}
    if "_jbh_" not in name:
        person |= {
            "user_id": stay.user_id,
            "participant_uuid": stay.uuid,
            "participant_user_id": _id(doc, stay),
            "email": str(doc["host_email"]) if stay.is_host else "",
            "registrant_id": "",
            _TIME_FIELDS.get(name, "date_time"): stamp(at),
        }
    if name == "meeting.participant_left":
        person["leave_reason"] = stay.reason or "left the meeting."
    return _event(name, doc, at, _about(name, doc) | {"participant": person})


def stamp(instant: datetime) -> str:
    """Return an instant as Zoom writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def compact(body: Mapping[str, Any]) -> bytes:
    """Return JSON as Zoom signs it: no spaces, Japanese as it is."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _event(name: str, doc: Mapping[str, Any], at: datetime, about: Mapping[str, Any]) -> Event:
    payload: dict[str, Any] = {"account_id": ACCOUNT_ID, "object": about}
    if name == "meeting.deleted":
        payload |= {"operator": doc["host_email"], "operator_id": doc["host_id"], "operation": "all"}
    milliseconds = round(at.timestamp() * 1000)
    return Event(name, str(doc["id"]), compact({"event": name, "event_ts": milliseconds, "payload": payload}))


def _about(name: str, doc: Mapping[str, Any]) -> dict[str, Any]:
    number = int(doc["id"]) if name in _NUMBER_IDS else str(doc["id"])
    return {"id": number} | {field: doc[field] for field in _COMMON}


def _id(doc: Mapping[str, Any], stay: Stay) -> str:
    # Hidden for guests since 2023.
    return str(doc["host_id"]) if stay.is_host else ""
