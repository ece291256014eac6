"""The `.ics` of a session (RFC 5545): stable UID, SEQUENCE that grows with every change, times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

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
) -> bytes:
    """Return the calendar file of one session; PUBLISH enters it, CANCEL takes it out again. No replies are asked for.

    Times are aware and written in UTC, which needs no zone table. ValueError for a naive time or another method.
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
    if url:
        lines += [f"URL:{url}", f"LOCATION:{_text(url)}"]
    lines += ["END:VEVENT", "END:VCALENDAR"]
    return b"".join(_folded(line) for line in lines)


def _utc(moment: datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError("a calendar file needs aware times")
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return "\\n".join(escaped.splitlines())


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
