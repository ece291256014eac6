"""Where the columns of a chart stand. `templates/charts/charts.html` draws them as SVG; next to it belongs a table.

Lengths are units of the drawing, 360 wide: on a telephone it fills the screen, on a desk three stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH, HEIGHT = 360.0, 190.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 6.0, 10.0, 24.0
_NICE: Final = (1, 2, 5)
UNKNOWN: Final = "unknown"
"""The look of what is not told: hatched, its height says nothing."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a column: how much, the class that colours it, and the words shown when it is pointed at."""

    value: float
    look: str
    words: str


@dataclass(frozen=True, slots=True)
class Column:
    """Pieces on top of each other, or side by side, under one label; an empty label leaves the place below blank."""

    label: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle to draw."""

    x: float
    y: float
    width: float
    height: float
    look: str
    words: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across the chart at a value, or a label below a column, with its text."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn. `title` says what it is, `summary` in a sentence what can be seen in it."""

    key: str
    title: str
    summary: str
    boxes: tuple[Box, ...]
    lines: tuple[Mark, ...]
    labels: tuple[Mark, ...]
    legend: tuple[tuple[str, str], ...]

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to draw."""
        return not self.boxes


def chart(
    key: str,
    title: str,
    summary: str,
    columns: Sequence[Column],
    *,
    legend: Sequence[tuple[str, str]] = (),
    side_by_side: bool = False,
) -> Chart:
    """Return the drawing of columns. `legend`: looks and words. An `unknown` piece of value 0 fills the height."""
    tallest = max((_tall(column, side_by_side=side_by_side) for column in columns), default=0.0)
    step = _step(tallest)
    top = step * max(1, -int(-tallest // step))
    floor = HEIGHT - _BOTTOM
    scale = (floor - _TOP) / top
    room = (WIDTH - _LEFT - _RIGHT) / max(1, len(columns))
    boxes: list[Box] = []
    for place, column in enumerate(columns):
        left = _LEFT + place * room + room * 0.12
        boxes += _boxes(column, left, room * 0.76, floor, scale, side_by_side=side_by_side)
    lines = tuple(
        Mark(round(floor - number * step * scale, 1), f"{number * step:g}") for number in range(round(top / step) + 1)
    )
    middles = [(round(_LEFT + (place + 0.5) * room, 1), column.label) for place, column in enumerate(columns)]
    labels = tuple(Mark(at, label) for at, label in middles if label)
    return Chart(key, title, summary, tuple(boxes), lines, labels, tuple(legend))


def _tall(column: Column, *, side_by_side: bool) -> float:
    values = [piece.value for piece in column.pieces]
    return max(values, default=0.0) if side_by_side else sum(values)


def _step(tallest: float) -> float:
    """Return the distance of the lines: 1, 2 or 5 times a power of ten, five lines at most, never below 1."""
    power = 1
    while True:
        for nice in _NICE:
            if tallest <= 4 * nice * power:
                return float(nice * power)
        power *= 10


def _boxes(column: Column, left: float, width: float, floor: float, scale: float, *, side_by_side: bool) -> list[Box]:
    found = []
    base = floor
    each = width / len(column.pieces) if side_by_side and column.pieces else width
    for place, piece in enumerate(column.pieces):
        height = piece.value * scale if piece.value else floor - _TOP
        if not piece.value and piece.look != UNKNOWN:
            continue
        x = left + place * each if side_by_side else left
        top = (floor if side_by_side else base) - height
        found.append(Box(round(x, 1), round(top, 1), round(each, 1), round(height, 1), piece.look, piece.words))
        base -= height
    return found
