"""Starting times as people write them. Morning or afternoon is never guessed."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Final

from madoguchi.domain.application import Reason
from madoguchi.domain.form_values.text import Cell, Reading, as_dashes, as_tildes, cell_text, folded
from madoguchi.domain.office import SESSION_MINUTES

_MARK: Final = r"午前|午後|[AP]\.?M\.?"
_CLOCK: Final = (
    r"(?P<pre{n}>" + _MARK + r")?\s*(?P<hour{n}>[0-9]{{1,2}})\s*"
    r"(?::\s*(?P<min{n}>[0-9]{{2}})(?:\s*:\s*(?P<sec{n}>[0-9]{{2}})(?:\.[0-9]+)?)?\s*分?"
    r"|時\s*(?:(?P<kmin{n}>[0-9]{{1,2}})\s*分?|(?P<half{n}>半))?"
    r"|(?P<bare{n}>))"
    r"\s*(?P<post{n}>" + _MARK + r")?"
)
_TIME: Final = re.compile(
    _CLOCK.format(n=1)
    + r"\s*(?:(?:~|-|から|より|→)\s*"
    + _CLOCK.format(n=2)
    + r"\s*(?:まで|迄)?|(?P<tail>[~-]|から|より|開始|スタ-ト|希望)*)",
    re.IGNORECASE,
)
_FRACTION: Final = re.compile(r"(?:[0-9]{5}|0)?\.[0-9]+")
_COMPACT: Final = re.compile(r"([0-9]{1,2})([0-9]{2})")
_BARE_HOUR: Final = re.compile(r"[0-9]{1,2}(?:\.[0-9]+)?")
_DAY: Final = 24 * 60

FREE_TEXT: Final[Reading[time]] = Reading(None, (Reason.TIME_FREE_TEXT,))
AMBIGUOUS: Final[Reading[time]] = Reading(None, (Reason.TIME_AMBIGUOUS,))


def read_time(cell: Cell) -> Reading[time]:  # noqa: PLR0911 — one return for each way to write a time
    """Read a start, in Asia/Tokyo wall time to the minute.

    One to five o'clock without 午前 or 午後 is ambiguous, and so is 午後12時, which people use for noon and for
    midnight. A range is fine when it is exactly one session (Art. 6(1)); a wider one keeps its start and says
    TIME_RANGE_WIDE. Does not judge the office's hours. Never raises.
    """
    if isinstance(cell, datetime):
        return _judged(cell.hour, _rounded(cell.hour, cell.minute, cell.second))
    if isinstance(cell, time):
        return _judged(cell.hour, _rounded(cell.hour, cell.minute, cell.second))
    if isinstance(cell, date | bool):
        return FREE_TEXT
    if isinstance(cell, float) and cell % 1 > 0 and (0 < cell < 1 or cell >= 10_000):
        return _of_day(cell)
    text = as_dashes(as_tildes(folded(cell_text(cell))))
    if text == "正午":
        return Reading(time(12))
    if _FRACTION.fullmatch(text):
        return _of_day(float(text))
    compact = _COMPACT.fullmatch(text)
    if compact is not None:
        return _from_clock(None, None, int(compact[1]), int(compact[2]))
    if _BARE_HOUR.fullmatch(text):
        return AMBIGUOUS
    match = _TIME.fullmatch(text)
    return FREE_TEXT if match is None else _from_match(match)


def _from_match(match: re.Match[str]) -> Reading[time]:
    start = _clock_of(match, 1)
    if start.value is None or match["hour2"] is None:
        return start
    first = _minutes(start.value)
    last = _end_minutes(match, first)
    if last is None or last - first < SESSION_MINUTES:
        return AMBIGUOUS
    return start if last - first == SESSION_MINUTES else Reading(start.value, (Reason.TIME_RANGE_WIDE,))


def _end_minutes(match: re.Match[str], first: int) -> int | None:
    """Return the end of a range; without a marker of its own it may lean on the start: 午後2時30分~3時, 12:30~1:00."""
    marked = match["pre2"] or match["post2"]
    end = _clock_of(match, 2)
    if end.value is not None and (marked or _minutes(end.value) > first):
        return _minutes(end.value)
    hour, minute = int(match["hour2"]), _minute_of(match, 2)
    if marked or not 1 <= hour <= 5 or minute > 59:
        return None
    return (hour + 12) * 60 + minute


def _clock_of(match: re.Match[str], n: int) -> Reading[time]:
    before, after = match[f"pre{n}"], match[f"post{n}"]
    if match[f"bare{n}"] is not None and not (before or after):
        return FREE_TEXT
    # A program that writes 12:30:00 午後 means half past noon; a person who writes 午後12時 may mean either.
    by_program = bool(after and match[f"sec{n}"]) or bool((before or after or "").upper().startswith("P"))
    return _from_clock(before, after, int(match[f"hour{n}"]), _minute_of(match, n), noon_is_12=by_program)


def _minute_of(match: re.Match[str], n: int) -> int:
    return 30 if match[f"half{n}"] else int(match[f"min{n}"] or match[f"kmin{n}"] or 0)


def _from_clock(
    before: str | None, after: str | None, hour: int, minute: int, *, noon_is_12: bool = False
) -> Reading[time]:
    if hour > 23 or minute > 59:
        return FREE_TEXT
    marks = {"午後" if mark == "午後" or mark.upper().startswith("P") else "午前" for mark in (before, after) if mark}
    if not marks:
        return _judged(hour, hour * 60 + minute)
    if len(marks) > 1:
        return AMBIGUOUS
    if "午前" in marks:
        return AMBIGUOUS if hour >= 12 else Reading(time(hour, minute))
    if hour == 12 and not noon_is_12:
        return AMBIGUOUS
    return Reading(time(hour if hour >= 12 else hour + 12, minute))


def _of_day(number: float) -> Reading[time]:
    minutes = round(number % 1 * _DAY) % _DAY
    return _judged(minutes // 60, minutes)


def _judged(hour: int, minutes: int) -> Reading[time]:
    return AMBIGUOUS if 1 <= hour <= 5 else Reading(time(minutes // 60, minutes % 60))


def _rounded(hour: int, minute: int, second: int) -> int:
    return (hour * 60 + minute + (second >= 30)) % _DAY


def _minutes(clock: time) -> int:
    return clock.hour * 60 + clock.minute
