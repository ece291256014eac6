"""The moment of submission as form products write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Final

from madoguchi.domain.form_values.dates import from_serial
from madoguchi.domain.form_values.text import Cell, cell_text, folded
from madoguchi.domain.office import JST

_STAMP: Final = re.compile(
    r"(?P<year>[0-9]{4})\s*[-/.年]\s*(?P<month>[0-9]{1,2})\s*[-/.月]\s*(?P<day>[0-9]{1,2})日?[\sT]\s*"
    r"(?P<pre>午前|午後|[AP]M)?\s*(?P<hour>[0-9]{1,2})[:時](?P<minute>[0-9]{1,2})"
    r"(?:[:分](?P<second>[0-9]{1,2})?(?:\.[0-9]+)?秒?)?"
    r"\s*(?P<post>午前|午後|[AP]M)?\s*(?P<zone>(?:GMT|UTC|JST|Z)?\s*(?:[+-][0-9]{1,2}(?::?[0-9]{2})?)?)",
    re.IGNORECASE,
)
_OFFSET: Final = re.compile(r"([+-])([0-9]{1,2}):?([0-9]{2})?")
_YEARS: Final = range(1990, 2100)


def read_submitted_at(cell: Cell, *, zone: tzinfo, formats: Sequence[str] = ()) -> datetime | None:
    """Return the instant, aware in Asia/Tokyo; None when the cell is blank or cannot be read.

    A zone in the cell wins over `zone`, which is the export's. `formats` are `strptime` patterns tried when the
    common shapes fail. Google's CSV puts 午前/午後 behind the time, which `strptime` cannot read.
    """
    found = _typed(cell) if isinstance(cell, int | float | datetime | date) else _written(cell, formats)
    if found is None or found.year not in _YEARS:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(JST)


def _typed(cell: Cell) -> datetime | None:
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, float | int) and not isinstance(cell, bool):
        return from_serial(cell)
    return None  # a bare date: the day alone does not order submissions


def _written(cell: Cell, formats: Sequence[str]) -> datetime | None:
    text = folded(cell_text(cell))
    if not text:
        return None
    match = _STAMP.fullmatch(text)
    if match is not None:
        return _from_match(match)
    for pattern in formats:
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007 — the caller adds the export's zone
        except ValueError:
            continue
    return from_serial(float(text)) if re.fullmatch(r"[0-9]{5}(?:\.[0-9]+)?", text) else None


def _from_match(match: re.Match[str]) -> datetime | None:
    hour = int(match["hour"])
    mark = match["pre"] or match["post"]
    if mark:
        if hour > 12:
            return None
        hour = hour % 12 + (12 if mark == "午後" or mark.upper() == "PM" else 0)
    try:
        found = datetime(  # noqa: DTZ001 — the zone follows
            int(match["year"]), int(match["month"]), int(match["day"]), hour, int(match["minute"]),
            int(match["second"] or 0),
        )  # fmt: skip
        return found.replace(tzinfo=_zone(match["zone"].strip().upper()))
    except ValueError:
        return None


def _zone(text: str) -> tzinfo | None:
    if text == "JST":
        return JST
    offset = _OFFSET.search(text)
    if offset is None:
        return UTC if text else None
    minutes = int(offset[2]) * 60 + int(offset[3] or 0)
    return timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes))
