"""Japanese telephone numbers: digits only, with the leading zero that spreadsheets eat."""

from __future__ import annotations

import re
from typing import Final

from madoguchi.domain.application import Flag
from madoguchi.domain.form_values.text import Cell, Reading, cell_text, folded, says_nothing

_SEPARATORS: Final = re.compile(r"[/、,;\n]|または|又は")
_NOT_DIGIT: Final = re.compile(r"[^0-9]")
_ABROAD: Final = re.compile(r"^\+\s*81\s*(?:\(0\))?")


def read_telephone(cell: Cell) -> Reading[str]:
    """Read a number as digits from its leading zero. Says nothing about whether it is in service.

    Ten digits from 7, 8 or 9, and nine digits from 1 to 9, written without any separator, lost their zero in a
    spreadsheet. Of several numbers the first readable one is taken.
    """
    text = folded(cell_text(cell))
    if says_nothing(text):
        return Reading()
    for part in (text, *_SEPARATORS.split(text)):
        number, restored = _digits(part.strip())
        if number:
            return Reading(number, (), (Flag.PHONE_ZERO_RESTORED,) if restored else ())
    return Reading(None, (), (Flag.PHONE_UNREADABLE,))


def _digits(text: str) -> tuple[str | None, bool]:
    text = _ABROAD.sub("0", text, count=1)
    digits = _NOT_DIGIT.sub("", text)
    if digits.startswith("0") and len(digits) in {10, 11}:
        return digits, False
    if digits == text and (re.fullmatch(r"[789][0-9]{9}", digits) or re.fullmatch(r"[1-9][0-9]{8}", digits)):
        return "0" + digits, True
    return None, False
