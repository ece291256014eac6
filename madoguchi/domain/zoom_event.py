"""What an event of Zoom says about a session, without what it says about persons. Pure.

Kept: which event, which meeting, when, and whether the host or somebody else. Display names, addresses and Zoom's
numbers of guests are read past: a name is whatever a device says, and one meeting a booking needs none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from madoguchi.domain.evidence import EvidenceKind

_EARLIEST_MS = 1_262_304_000_000  # 2010: before Zoom
_LATEST_MS = 32_503_680_000_000  # 3000
_MAX_NAME = 100

_OF_THE_MEETING: Mapping[str, EvidenceKind] = {
    "meeting.started": EvidenceKind.MEETING_STARTED,
    "meeting.ended": EvidenceKind.MEETING_ENDED,
    "meeting.deleted": EvidenceKind.MEETING_GONE,
}
_OF_A_GUEST: Mapping[str, EvidenceKind] = {
    "meeting.participant_joined": EvidenceKind.GUEST_JOINED,
    "meeting.participant_left": EvidenceKind.GUEST_LEFT,
    "meeting.participant_joined_waiting_room": EvidenceKind.GUEST_WAITING,
    "meeting.participant_put_in_waiting_room": EvidenceKind.GUEST_WAITING,
    "meeting.participant_left_waiting_room": EvidenceKind.GUEST_STOPPED_WAITING,
    "meeting.participant_admitted": EvidenceKind.GUEST_STOPPED_WAITING,
    "meeting.participant_jbh_waiting": EvidenceKind.GUEST_WAITING,
    "meeting.participant_jbh_waiting_left": EvidenceKind.GUEST_STOPPED_WAITING,
    "meeting.participant_jbh_joined": EvidenceKind.GUEST_JOINED,
}
_OF_THE_HOST: Mapping[str, EvidenceKind] = {
    "meeting.participant_joined": EvidenceKind.HOST_JOINED,
    "meeting.participant_left": EvidenceKind.HOST_LEFT,
}
_TIMES = ("join_time", "leave_time", "date_time")


@dataclass(frozen=True, slots=True)
class ZoomEvent:
    """One event. `event_at`: when it happened (aware, UTC), not when it came. `meeting_id`, `host_id`: as text.

    `kind`: what it proves; None for everything that proves nothing about a session (unknown events among them).
    `key`: the same for the same event sent again, another for any other; a digest, nothing can be read from it.
    """

    event: str
    meeting_id: str | None
    event_at: datetime
    host_id: str | None
    kind: EvidenceKind | None
    key: str


def read_event(body: Mapping[str, Any], *, received_at: datetime | None = None) -> ZoomEvent:
    """Return what one event says; fields that are missing or odd are passed over.

    Whoever is not shown to be the host counts as a guest: of the two mistakes, this one never costs a client anything.
    `received_at` (aware) is the time of an event that carries none. ValueError names the field without which it is
    no event at all (`event`, or `event_ts` when no time is to be had); its text holds no part of the body.
    """
    name = body.get("event") if isinstance(body, Mapping) else None
    if not isinstance(name, str) or not name.strip() or len(name) > _MAX_NAME:
        raise ValueError("event")
    about = _object(_object(body, "payload"), "object")
    person = _object(about, "participant")
    stamped = _milliseconds(body.get("event_ts"))
    event_at = next((at for key in _TIMES if (at := _instant(person.get(key))) is not None), None)
    event_at = event_at or stamped or received_at
    if event_at is None:
        raise ValueError("event_ts")
    host_id = _text(about.get("host_id"))
    return ZoomEvent(
        event=name,
        meeting_id=_text(about.get("id")),
        event_at=event_at.astimezone(UTC),
        host_id=host_id,
        kind=_kind(name, is_host=_is_host(person, host_id)),
        key=_key(name, body.get("event_ts"), about, person),
    )


def _kind(name: str, *, is_host: bool) -> EvidenceKind | None:
    if name in _OF_THE_MEETING:
        return _OF_THE_MEETING[name]
    # The host's second device in the waiting room proves neither a guest nor that the host is there.
    return (_OF_THE_HOST if is_host else _OF_A_GUEST).get(name)


def _is_host(person: Mapping[str, Any], host_id: str | None) -> bool:
    # A guest's ids are empty, and so is a host id that is left out: two empty ones are not the same person.
    return host_id is not None and host_id in {_text(person.get("id")), _text(person.get("participant_user_id"))}


def _key(name: str, stamp: object, about: Mapping[str, Any], person: Mapping[str, Any]) -> str:
    meeting = _text(about.get("uuid")) or _text(about.get("id")) or ""
    # user_id alone would do, were it in every event; both are new with every stay.
    parts = (name, _text(stamp) or "", meeting, _text(person.get("user_id")), _text(person.get("participant_uuid")))
    joined = "\x1f".join(part or "" for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _object(body: object, name: str) -> Mapping[str, Any]:
    found = body.get(name) if isinstance(body, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str | None:
    # A meeting's id is a number in some events and text in most.
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def _instant(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _milliseconds(value: object) -> datetime | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not _EARLIEST_MS <= value < _LATEST_MS:
        return None
    return datetime.fromtimestamp(value / 1000, UTC)
