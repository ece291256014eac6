"""What the stand-in accepts in the body of a meeting: types, lengths, instants. Facts: docs/zoom.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from madoguchi.sandbox.zoom_errors import validation

Errors = list[tuple[str, str]]

UNFRIENDLY_DEFAULTS: Mapping[str, Any] = {
    "waiting_room": False,
    "join_before_host": True,
    "use_pmi": True,
    "auto_recording": "cloud",
    "meeting_authentication": True,
    "approval_type": 2,
    "email_notification": True,
    "private_meeting": False,
    "auto_start_meeting_summary": True,
    "auto_start_ai_companion_questions": True,
    "mute_upon_entry": False,
    "host_video": False,
    "participant_video": False,
    "cn_meeting": False,
    "in_meeting": False,
    "watermark": False,
    "audio": "both",
    "jbh_time": 0,
    "registration_type": 1,
    "encryption_type": "enhanced_encryption",
    "alternative_hosts": "",
    "device_testing": False,
    "focus_mode": False,
}
"""An account set up by somebody with no thought of our terms: what a request leaves out turns out badly and shows."""

_TEXT_LIMITS = {"topic": 200, "agenda": 2000, "password": 10}
_WHOLE = {"duration": (1, 1440)}
_TYPES = {1, 2, 3}
_SETTING_ENUMS: Mapping[str, frozenset[Any]] = {
    "auto_recording": frozenset({"local", "cloud", "none"}),
    "approval_type": frozenset({0, 1, 2}),
    "registration_type": frozenset({1, 2, 3}),
    "jbh_time": frozenset({0, 5, 10, 15}),
    "audio": frozenset({"both", "telephony", "voip", "thirdParty"}),
    "encryption_type": frozenset({"enhanced_encryption", "e2ee"}),
}
_SETTING_TEXTS = frozenset({"alternative_hosts", "contact_email", "contact_name", "authentication_option"})
_UTC_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_WALL_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_PASSCODE = re.compile(r"[A-Za-z0-9@_*-]*")


def check_body(body: Mapping[str, Any]) -> None:
    """Raise 400/300 with every wrong field of a creation or change. Unknown fields are ignored, as Zoom does."""
    errors: Errors = []
    for name, limit in _TEXT_LIMITS.items():
        value = body.get(name, "")
        if not isinstance(value, str):
            errors.append((name, "Invalid field type, a string is expected."))
        elif len(value) > limit:
            errors.append((name, f"The length cannot exceed {limit}."))
    if isinstance(body.get("password"), str) and not _PASSCODE.fullmatch(body["password"]):
        errors.append(("password", "Only [a-z A-Z 0-9 @ - _ *] are allowed."))
    for name, (least, most) in _WHOLE.items():
        if name in body and not (_is_whole(body[name]) and least <= body[name] <= most):
            errors.append((name, f"A whole number from {least} to {most} is expected."))
    if "type" in body and not (_is_whole(body["type"]) and body["type"] in _TYPES):
        errors.append(("type", "This stand-in plays the meeting types 1, 2 and 3."))
    _check_time(body, errors)
    _check_settings(body.get("settings", {}), errors)
    if errors:
        raise validation(errors)


def read_start(body: Mapping[str, Any], account_zone: str) -> datetime | None:
    """Return the instant that a checked body asks for: `Z` is UTC, otherwise wall time of its timezone; None: none."""
    text = body.get("start_time") or ""
    if not text:
        return None
    if text.endswith("Z"):
        return datetime.fromisoformat(text)
    zone = ZoneInfo(body.get("timezone") or account_zone)
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def merge_settings(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the known ones of `given` over it; a waiting room switches joining before the host off."""
    known = {name: value for name, value in given.items() if _expected(name)}
    merged = {**base, **known}
    if merged.get("waiting_room") is True:
        merged["join_before_host"] = False
    return merged


def _check_time(body: Mapping[str, Any], errors: Errors) -> None:
    zone, start = body.get("timezone", ""), body.get("start_time", "")
    if not isinstance(zone, str) or (zone and not _is_zone(zone)):
        errors.append(("timezone", "Invalid timezone."))
    if not isinstance(start, str):
        errors.append(("start_time", "Invalid field type, a string is expected."))
    elif start and not ((_UTC_FORM.fullmatch(start) or _WALL_FORM.fullmatch(start)) and _is_time(start)):
        errors.append(("start_time", "Use yyyy-MM-ddTHH:mm:ssZ or yyyy-MM-ddTHH:mm:ss."))


def _check_settings(settings: object, errors: Errors) -> None:
    if not isinstance(settings, dict):
        errors.append(("settings", "An object is expected."))
        return
    for name, value in settings.items():
        allowed = _SETTING_ENUMS.get(name)
        is_wrong_enum = allowed is not None and (isinstance(value, bool | list | dict) or value not in allowed)
        is_wrong_text = name in _SETTING_TEXTS and not isinstance(value, str)
        is_wrong_flag = isinstance(UNFRIENDLY_DEFAULTS.get(name), bool) and not isinstance(value, bool)
        if is_wrong_enum or is_wrong_text or is_wrong_flag:
            errors.append((f"settings.{name}", "Invalid value."))


def _expected(name: str) -> bool:
    return name in UNFRIENDLY_DEFAULTS or name in _SETTING_ENUMS or name in _SETTING_TEXTS


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
