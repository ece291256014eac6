"""The `.ics` of a session (RFC 5545): stable UID, SEQUENCE that grows with every change, times in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Method = Literal["PUBLISH", "CANCEL"]


def session_calendar(
    *,
    uid: str,
    sequence: int,
    method: str,
    start: datetime,
    end: datetime,
    stamp: datetime,
    summary: str,
    description: str,
    url: str,
    organizer: tuple[str, str] | None = None,
) -> bytes:
    """Return the calendar file of one session; PUBLISH enters it, CANCEL takes it out again. No replies are asked for.

    Times are aware and written in UTC, which needs no zone table. `organizer`: name and address of the office, which
    RFC 5546 wants in a published event. ValueError for a naive time, another method, or a link or address that would
    break its line.
    """
    if method not in {"PUBLISH", "CANCEL"}:
        raise ValueError("method: PUBLISH or CANCEL")
    status = "CANCELLED" if method == "CANCEL" else "CONFIRMED"
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Madoguchi//Madoguchi//JA",
        "CALSCALE:GREGORIAN",
        f"METHOD:{method}",
        "BEGIN:VEVENT",
        f"UID:{_text(uid)}",
        f"SEQUENCE:{sequence}",
        f"DTSTAMP:{_utc(stamp)}",
        f"DTSTART:{_utc(start)}",
        f"DTEND:{_utc(end)}",
        f"SUMMARY:{_text(summary)}",
        f"DESCRIPTION:{_text(description)}",
        f"STATUS:{status}",
        "CLASS:PRIVATE",
        "TRANSP:OPAQUE",
    ]
    if organizer:
        name, address = organizer
        quoted = name.replace('"', "'")
        lines.append(f'ORGANIZER;CN="{_plain(quoted)}":mailto:{_plain(address)}')
    if url:
        lines += [f"URL:{_plain(url)}", f"LOCATION:{_text(url)}"]
    lines += ["END:VEVENT", "END:VCALENDAR"]
    return b"".join(_folded(line) for line in lines)


def _utc(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a calendar file needs aware times")
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _plain(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a link, name or address of a calendar file must be one printable line")
    return value


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return _CONTROL.sub("", "\\n".join(escaped.splitlines()))


def _folded(line: str) -> bytes:
    """Return a line of at most 75 octets each, cut between characters, never inside one."""
    raw = line.encode()
    if len(raw) <= 75:
        return raw + b"\r\n"
    parts: list[bytes] = []
    limit = 75
    while len(raw) > limit:
        cut = limit
        while raw[cut] & 0xC0 == 0x80:
            cut -= 1
        parts.append(raw[:cut])
        raw, limit = raw[cut:], 74
    return b"\r\n ".join([*parts, raw]) + b"\r\n"
