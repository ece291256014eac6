"""Dates as people write them. Never guessed: what can be read in two ways goes to a person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final

from madoguchi.domain.application import Flag, Reason
from madoguchi.domain.form_values.text import DASHES, Cell, as_tildes, cell_text, folded
from madoguchi.domain.office import JST

_ERAS: Final = {
    "令和": (date(2019, 5, 1), date.max),
    "R": (date(2019, 5, 1), date.max),
    "平成": (date(1989, 1, 8), date(2019, 4, 30)),
    "H": (date(1989, 1, 8), date(2019, 4, 30)),
    "昭和": (date(1926, 12, 25), date(1989, 1, 7)),
    "S": (date(1926, 12, 25), date(1989, 1, 7)),
}
_SEP: Final = r"\s*[./-]\s*"
_FULL: Final = re.compile(
    r"(?P<era>令和|平成|昭和|[RHS])?\.?\s*(?P<year>[0-9]{1,4}|元)\s*[年./-]\s*"
    r"(?P<month>[0-9]{1,2})\s*[月./-]\s*(?P<day>[0-9]{1,2})\s*日?(?![0-9])",
    re.IGNORECASE,
)
_COMPACT: Final = re.compile(r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})(?![0-9.])")
_NO_YEAR: Final = re.compile(r"(?P<month>[0-9]{1,2})\s*[月/-]\s*(?P<day>[0-9]{1,2})\s*日?(?![0-9])")
_UNSURE_ORDER: Final = re.compile(
    rf"[0-9]{{1,2}}{_SEP}[0-9]{{1,2}}{_SEP}[0-9]{{1,4}}|[0-9]{{1,3}}年|[0-9]{{1,2}}\.[0-9]{{1,2}}$|[0-9]{{3,7}}$"
)
_SERIAL: Final = re.compile(r"[0-9]{5}(?:\.[0-9]+)?")
_BETWEEN_DIGITS: Final = re.compile(rf"(?<=[0-9])\s*[{re.escape(DASHES)}]\s*(?=[0-9])")
_WEEKDAY: Final = re.compile(
    r"\s*(?:\(\s*(?P<one>[月火水木金土日])(?:曜日?)?\s*(?:[・･,、]?\s*祝日?)?\s*\)|(?P<two>[月火水木金土日])曜日?"
    r"|\(?(?P<en>Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*\.?\)?)",
    re.IGNORECASE,
)
_ANOTHER_DATE: Final = re.compile(r"[0-9]\s*[/月]\s*[0-9]|[0-9]\s*日")
_KANJI_DAYS: Final = "月火水木金土日"
_ENGLISH_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SERIAL_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 — a spreadsheet's serial has no zone
_SERIALS: Final = (36_526, 73_050)  # 2000 to 2099
_YEARS: Final = (1000, 2999)  # beyond them arithmetic with time zones overflows
_MIDNIGHT: Final = time(0)


@dataclass(frozen=True, slots=True)
class DateReading:
    """A date, what is wrong with it, and what stood beside it: a clock time of a typed cell, or further text."""

    day: date | None = None
    reasons: tuple[Reason, ...] = ()
    flags: tuple[Flag, ...] = ()
    clock: time | None = None
    rest: str = ""


def read_date(cell: Cell, *, reference: date, year_guess_days: int) -> DateReading:
    """Read the date at the start of a cell.

    A date without a year is the first such day on or after `reference` (the day of submission in Asia/Tokyo); one
    more than `year_guess_days` ahead is reported as YEAR_AMBIGUOUS. Knows Western and Japanese years, spreadsheet
    serials, typed cells, a weekday beside it. Does not judge whether the office is open that day. Never raises.
    """
    if isinstance(cell, datetime):
        local = cell.astimezone(JST) if cell.tzinfo and _YEARS[0] <= cell.year <= _YEARS[1] else cell
        clock = local.time().replace(tzinfo=None)
        return _dated(local.year, local.month, local.day, clock=clock if clock != _MIDNIGHT else None)
    if isinstance(cell, date):
        return _dated(cell.year, cell.month, cell.day)
    text = _BETWEEN_DIGITS.sub("-", as_tildes(folded(cell_text(cell))))
    if _SERIAL.fullmatch(text):
        return _from_serial(float(text))
    return _with_rest(text, _first_date(text, reference, year_guess_days))


def from_serial(number: float) -> datetime | None:
    """Return the naive instant of a spreadsheet serial, to the second; None outside the years 2000 to 2099."""
    if not _SERIALS[0] <= number < _SERIALS[1]:
        return None
    return _SERIAL_EPOCH + timedelta(seconds=round(number * 86_400))


def _from_serial(number: float) -> DateReading:
    instant = from_serial(number)
    if instant is None:
        return DateReading(reasons=(Reason.DATE_AMBIGUOUS,))
    clock = instant.time() if number % 1 else None
    return DateReading(instant.date(), (), (Flag.SERIAL_DATE,), clock)


def _first_date(text: str, reference: date, year_guess_days: int) -> tuple[DateReading, int]:
    """Return the reading and where the date ends in the text."""
    match = _COMPACT.match(text) or _FULL.match(text)
    if match is not None and (match.re is _COMPACT or match["era"] or len(match["year"]) == 4):
        era = match["era"] if match.re is _FULL else None
        return _with_year(era, match["year"], int(match["month"]), int(match["day"])), match.end()
    if _UNSURE_ORDER.match(text):
        return DateReading(reasons=(Reason.DATE_AMBIGUOUS,)), len(text)
    match = _NO_YEAR.match(text)
    if match is not None:
        return _guessed(int(match["month"]), int(match["day"]), reference, year_guess_days), match.end()
    return DateReading(reasons=(Reason.DATE_INCOMPLETE,)), len(text)


def _with_year(era: str | None, year: str, month: int, day: int) -> DateReading:
    if era is None:
        return _dated(int(year), month, day)
    if len(year) > 2:
        return DateReading(reasons=(Reason.DATE_AMBIGUOUS,))
    first, last = _ERAS[era.upper()]
    number = 1 if year == "元" else int(year)
    reading = _dated(first.year + number - 1, month, day)
    if number == 0:
        return DateReading(reasons=(Reason.INVALID_DATE,))
    if reading.day is not None and not first.replace(month=1, day=1) <= reading.day <= last:
        return DateReading(reasons=(Reason.DATE_AMBIGUOUS,))
    return reading


def _dated(year: int, month: int, day: int, *, clock: time | None = None) -> DateReading:
    found = _date_or_none(year, month, day) if _YEARS[0] <= year <= _YEARS[1] else None
    return DateReading(found, (), (), clock) if found else DateReading(reasons=(Reason.INVALID_DATE,))


def _guessed(month: int, day: int, reference: date, year_guess_days: int) -> DateReading:
    for year in range(reference.year, reference.year + 9):  # nine years: 29 February comes again within eight
        found = _date_or_none(year, month, day)
        if found is not None and found >= reference:
            far = (found - reference).days > year_guess_days
            return DateReading(found, (Reason.YEAR_AMBIGUOUS,) if far else ())
    return DateReading(reasons=(Reason.INVALID_DATE,))


def _date_or_none(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _with_rest(text: str, found: tuple[DateReading, int]) -> DateReading:
    reading, end = found
    if end == len(text):
        return reading
    reasons = list(reading.reasons)
    weekday = _WEEKDAY.match(text, end)
    if weekday is not None:
        end = weekday.end()
        if reading.day is not None and reading.day.weekday() != _weekday_number(weekday):
            reasons.append(Reason.WEEKDAY_MISMATCH)
    rest = text[end:].lstrip(" \tT、,の")
    if _ANOTHER_DATE.search(rest):
        return DateReading(reading.day, (*reasons, Reason.DATE_AMBIGUOUS), reading.flags)
    return DateReading(reading.day, tuple(reasons), reading.flags, None, rest.strip())


def _weekday_number(match: re.Match[str]) -> int:
    kanji = match["one"] or match["two"]
    return _KANJI_DAYS.index(kanji) if kanji else _ENGLISH_DAYS.index(match["en"].lower())
