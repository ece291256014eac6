"""Wished sessions: a date and a time, in one cell or two, alone or as a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import lru_cache

from madoguchi.domain.application import Flag, Reason
from madoguchi.domain.form_values.dates import DateReading, read_date
from madoguchi.domain.form_values.text import Cell, Reading, cell_text, list_items, says_nothing, without_enclosed
from madoguchi.domain.form_values.times import read_time
from madoguchi.domain.office import JST

_NOTHING_WRITTEN = ("", None)


@dataclass(frozen=True, slots=True)
class Wish:
    """One wish as far as it can be read. `preference` counts from 1, as the applicant did."""

    day: date | None = None
    clock: time | None = None
    reasons: tuple[Reason, ...] = ()
    flags: tuple[Flag, ...] = ()
    preference: int = 1

    @property
    def start(self) -> datetime | None:
        """The start, aware in Asia/Tokyo; None while day or time is unknown."""
        return datetime.combine(self.day, self.clock, JST) if self.day and self.clock is not None else None


def read_wishes(cells: Sequence[tuple[Cell, Cell]], *, reference: date, year_guess_days: int) -> list[Wish]:
    """Read the wishes of a row from (date cell, time cell) pairs in order of preference.

    A cell may list several wishes behind enclosed numbers; blank wishes are left out, but count for `preference`.
    `reference` is the day of submission, against which a missing year is completed.
    """
    found: list[Wish] = []
    place = 0
    for date_cell, time_cell in cells:
        if date_cell in _NOTHING_WRITTEN and time_cell in _NOTHING_WRITTEN:
            place += 1
            continue
        for day, clock in _pairs(date_cell, time_cell):
            place += 1
            if not (_blank(day) and _blank(clock)):
                typed = not isinstance(day, str | None) or not isinstance(clock, str | None)
                read = _read_one if typed else _read_written
                wish = read(day, clock, reference, year_guess_days)
                found.append(replace(wish, preference=place) if place > 1 else wish)
    return found


def _pairs(date_cell: Cell, time_cell: Cell) -> list[tuple[Cell, Cell]]:
    days, clocks = _items(date_cell), _items(time_cell)
    if len(days) == len(clocks):
        return list(zip(days, clocks, strict=True))
    if len(clocks) == 1:
        return [(day, clocks[0]) for day in days]
    if len(days) == 1:
        return [(days[0], clock) for clock in clocks]
    return [("?", "?")]  # so many days, so many other times: for a person to read


def _items(cell: Cell) -> list[Cell]:
    if not isinstance(cell, str) or cell.isascii():
        return [cell]
    items = list_items(cell)
    if items is None:
        return [without_enclosed(cell)]
    return [item.strip(" \t\r\n\u3000、,・") for item in items] or ["?"]


def _blank(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and says_nothing(cell))


def _read_one(date_cell: Cell, time_cell: Cell, reference: date, year_guess_days: int) -> Wish:
    if _blank(date_cell):
        date_cell, time_cell = time_cell, None
        reading = read_date(date_cell, reference=reference, year_guess_days=year_guess_days)
        if reading.day is None and isinstance(date_cell, str | time | float | int) and _is_time(date_cell):
            return Wish(None, read_time(date_cell).value, (Reason.MISSING_DATETIME,))
    else:
        reading = read_date(date_cell, reference=reference, year_guess_days=year_guess_days)
    clock = _clock(reading, time_cell)
    return Wish(reading.day, clock.value, (*reading.reasons, *clock.reasons), reading.flags)


_read_written = lru_cache(maxsize=4096)(_read_one)
"""For cells of text only: many people wish the same, and 1, 1.0 and True would be the same key."""


def _is_time(cell: Cell) -> bool:
    return Reason.TIME_FREE_TEXT not in read_time(cell).reasons or not any(c.isdigit() for c in cell_text(cell))


def _clock(reading: DateReading, time_cell: Cell) -> Reading[time]:
    """Combine the time beside the date with the time cell; two that differ are ambiguous."""
    beside = read_time(reading.rest) if reading.rest else None
    if beside is None and reading.clock is not None:
        beside = read_time(reading.clock)
    if _blank(time_cell):
        if beside is not None:
            return beside
        return Reading() if reading.day is None else Reading(None, (Reason.MISSING_DATETIME,))
    own = read_time(time_cell)
    if beside is None or beside.value == own.value:
        return own
    unreadable = Reason.TIME_FREE_TEXT in beside.reasons
    return Reading(own.value, (*own.reasons, Reason.DATE_AMBIGUOUS if unreadable else Reason.TIME_AMBIGUOUS))
