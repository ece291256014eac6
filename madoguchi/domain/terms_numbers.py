# ENGINEER A: the lead wrote this as a stopgap at 01:36 and so overwrote yours by mistake. Write your version over it.
"""Numbers as terms of use write them: full-width, half-width, in kanji, circled, or by kana in one of two orders."""

from __future__ import annotations

import unicodedata
from typing import Final

DIGITS: Final = "0-9０-９"
KANJI_DIGITS: Final = "〇一二三四五六七八九十百"
_KANJI: Final = {character: value for value, character in enumerate("〇一二三四五六七八九")}
_UNITS: Final = {"十": 10, "百": 100}
IROHA: Final = "イロハニホヘトチリヌルヲワカヨタレソツネ"
AIUEO: Final = "アイウエオカキクケコサシスセソタチツテト"


def number_of(text: str) -> int:
    """Return the value of digits of whatever width, of kanji, or of a circled number; ValueError for anything else."""
    plain = unicodedata.normalize("NFKC", text.strip())
    if plain.isdecimal():
        return int(plain)
    total, digit = 0, 0
    if not plain:
        raise ValueError("no number")
    for character in plain:
        if character in _UNITS:
            total += (digit or 1) * _UNITS[character]
            digit = 0
        elif character in _KANJI:
            digit = digit * 10 + _KANJI[character]
        else:
            raise ValueError(f"{text!r}: no number")
    return total + digit


def kana_number(text: str, before: int | None) -> int | None:
    """Return the place of a kana mark in its list: `イ` is the first in one order and the second in the other.

    `before`: the number of the mark before it in the same list; None when it would be the first. None: no such mark.
    """
    wanted = (before or 0) + 1
    for order in (IROHA, AIUEO):
        if order.find(text) + 1 == wanted:
            return wanted
    return None
