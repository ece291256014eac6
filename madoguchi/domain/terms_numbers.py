"""Numerals and dates as terms of use write them: half-width, full-width, kanji, circled, in the order of イロハ."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Final

DIGITS: Final = "0-9０-９"
KANJI_DIGITS: Final = "〇一二三四五六七八九十百千"
NUMERAL: Final = rf"(?:[{DIGITS}]+|[{KANJI_DIGITS}]+)"
IROHA: Final = "イロハニホヘトチリヌルヲワカヨタレソツネナラム"
AIUEO: Final = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨ"
CIRCLED: Final = "①-⑳㉑-㉟㊱-㊿"

_UNITS: Final = {"十": 10, "百": 100, "千": 1000}
_ONES: Final = {digit: value for value, digit in enumerate("〇一二三四五六七八九")}
_ERAS: Final = {"明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018, "西暦": 0}
_DATE: Final = re.compile(
    rf"(?P<era>明治|大正|昭和|平成|令和|西暦)?[ 　]*(?P<year>元|{NUMERAL})[ 　]*年"
    rf"[ 　]*(?P<month>{NUMERAL})[ 　]*月[ 　]*(?P<day>{NUMERAL})[ 　]*日"
    rf"|(?P<iso_year>[{DIGITS}]{{4}})(?P<mark>[-/.－／．])(?P<iso_month>[{DIGITS}]{{1,2}})"
    rf"(?P=mark)(?P<iso_day>[{DIGITS}]{{1,2}})"
)


def number_of(numeral: str) -> int | None:
    """Return the value of a numeral in digits of any width or in kanji (`１２`, `十二`, `一〇`), else None."""
    if numeral and all(character in _ONES or character in _UNITS for character in numeral):
        return _kanji_number(numeral)
    if re.fullmatch(rf"[{DIGITS}]{{1,9}}", numeral):
        return int(numeral)
    return None


def _kanji_number(numeral: str) -> int | None:
    if not any(character in _UNITS for character in numeral):
        return int("".join(str(_ONES[character]) for character in numeral))
    total, last_unit = 0, 10_000
    one: int | None = None
    for character in numeral:
        if character in _UNITS:
            unit = _UNITS[character]
            if unit >= last_unit:
                return None
            total, one, last_unit = total + (1 if one is None else one) * unit, None, unit
        elif one is not None:
            return None
        else:
            one = _ONES[character]
    return total + (one or 0)


def circled_number(mark: str) -> int | None:
    """Return 1 for ①, up to 50; None for anything else."""
    return int(unicodedata.numeric(mark)) if re.fullmatch(f"[{CIRCLED}]", mark) else None


def find_dates(text: str) -> list[tuple[int, int, date | None]]:
    """Return where dates stand (start, end) and which they are; None for one that no calendar has (2月30日)."""
    return [(*match.span(), _date(match)) for match in _DATE.finditer(text)]


def _date(match: re.Match[str]) -> date | None:
    if match["iso_year"]:
        year, month, day = (number_of(match[name]) for name in ("iso_year", "iso_month", "iso_day"))
    else:
        year = 1 if match["year"] == "元" else number_of(match["year"])
        month, day = number_of(match["month"]), number_of(match["day"])
        if year is not None and match["era"]:
            year += _ERAS[match["era"]]
    if year is None or month is None or day is None:
        return None
    try:
        return date(year, month, day)
    except ValueError:
        return None
