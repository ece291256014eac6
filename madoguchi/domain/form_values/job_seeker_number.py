"""The job-seeker number: five digits, a hyphen, up to eight digits, kept as text."""

from __future__ import annotations

import re
from typing import Final

from madoguchi.domain.application import Flag, Reason
from madoguchi.domain.form_values.text import DASHES, Cell, Reading, cell_text, folded, says_nothing

_DASH: Final = f"[{re.escape(DASHES)}]"
_PAIR: Final = re.compile(rf"([0-9]+)(?:\s*{_DASH}\s*|\s+)([0-9]+)")
_EXPONENT: Final = re.compile(r"[0-9](?:\.[0-9]+)?[eE]\s*\+?\s*[0-9]+")
_RUN: Final = re.compile(r"[0-9]+")
_OPEN: Final = re.compile(rf"[0-9]\s*{_DASH}")


def read_job_seeker_number(cell: Cell) -> Reading[str]:
    """Read a number (Art. 6(1) ②). Its office part is checked against no list, and no check digit is known.

    Words around the number are dropped. Thirteen bare digits are five and eight; any other bare length goes to a
    person, since a leading zero may be lost. Zeros are neither added nor taken.
    """
    text = folded(cell_text(cell))
    if says_nothing(text):
        return Reading(None, (Reason.MISSING_NUMBER,))
    if _EXPONENT.search(text):
        return Reading(None, (Reason.NUMBER_PRECISION_LOST,))
    pair = _PAIR.search(text)
    if pair is not None:
        if _RUN.search(text, pair.end()):
            return Reading(None, (Reason.NUMBER_AMBIGUOUS,))
        return _split(pair.group(1), pair.group(2))
    runs = _RUN.findall(text)
    if len(runs) == 1 and not _OPEN.search(text):
        return _bare(runs[0])
    return Reading(None, (Reason.NUMBER_AMBIGUOUS if len(runs) > 1 else Reason.NUMBER_INVALID,))


def _split(office: str, own: str) -> Reading[str]:
    if len(office) != 5 or not 1 <= len(own) <= 8:
        return Reading(None, (Reason.NUMBER_INVALID,))
    return Reading(f"{office}-{own}", (), (Flag.NUMBER_SHORT,) if len(own) < 4 else ())


def _bare(digits: str) -> Reading[str]:
    if len(digits) == 13:
        return Reading(f"{digits[:5]}-{digits[5:]}")
    return Reading(None, (Reason.NUMBER_AMBIGUOUS if 6 <= len(digits) <= 12 else Reason.NUMBER_INVALID,))


def masked(number: str) -> str:
    """Return a number fit for lists and logs: the office part and at most the last four digits."""
    office, _, own = number.partition("-")
    return f"{office}-****{own[-4:] if len(own) > 4 else ''}"
