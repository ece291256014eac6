"""Columns for a terminal: Japanese characters take two places of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def width(text: str) -> int:
    """Return how many places of a terminal `text` takes."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in {"F", "W"} else 1
        for character in text
    )


def pad(text: str, places: int, *, right: bool = False) -> str:
    """Return `text` filled with blanks to so many places."""
    blanks = " " * max(0, places - width(text))
    return blanks + text if right else text + blanks


def columns(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Return aligned lines, two blanks between columns; `right`: columns of numbers. Every row has as many cells."""
    if not rows:
        return []
    widths = [max(width(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(pad(cell, widths[at], right=at in right) for at, cell in enumerate(row)).rstrip() for row in rows]
