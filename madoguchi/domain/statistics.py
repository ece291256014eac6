"""Counts that may be published: small ones hidden, and so that nobody can compute them (Art. 7(2)). Pure.

A count below `SMALLEST` could point at one person. Hiding it alone is not enough: with the total and the other counts
known it is a subtraction. So further counts are held back until every value from 1 to `SMALLEST` - 1 stays possible for
each hidden one. The reader is taken to know the total, and that a count held back is not small. Zero points at nobody
and is shown, but not under a total that is small itself: "nobody of so few" would be told of each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

SMALLEST: Final = 5
"""The least number of people that a published count may speak of; below it stands 「5未満」."""
REST: Final = "rest"
"""The key of what `fold` puts together."""


class Mark(StrEnum):
    """What may be said of a count. The value is the word for it where no number stands."""

    SHOWN = ""
    SMALL = "5未満"
    """From 1 to `SMALLEST` - 1."""
    HELD = "非公表"
    """Held back because a small count could be computed from it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One count under its key (a day, a state). `count` is None unless it is shown."""

    key: str
    count: int | None
    mark: Mark = Mark.SHOWN

    @property
    def text(self) -> str:
        """What stands in a table: the number with separators, or the mark's word."""
        return f"{self.count:,}" if self.count is not None else self.mark.value


@dataclass(frozen=True, slots=True)
class Table:
    """A total and the counts it falls into, fit to be published together. Cells in the order they were given in."""

    total: Cell
    cells: tuple[Cell, ...]

    def cell(self, key: str) -> Cell:
        """Return the count under a key; KeyError if there is none."""
        for cell in self.cells:
            if cell.key == key:
                return cell
        raise KeyError(key)

    @property
    def hides(self) -> bool:
        """Tell whether something is hidden."""
        return any(cell.count is None for cell in (self.total, *self.cells))

    def share(self, key: str, of: Sequence[str]) -> float | None:
        """Return one count as a part of several (itself among them); None if any is hidden or they sum up to nothing.

        A rate of hidden counts would be another way to compute them.
        """
        counts = [self.cell(name).count for name in of]
        if key not in of or None in counts:
            return None
        whole = sum(count for count in counts if count is not None)
        part = self.cell(key).count
        return part / whole if whole and part is not None else None


def published(key: str, count: int) -> Cell:
    """Return one count that stands alone, hidden if it is small."""
    return Cell(key, None, Mark.SMALL) if 0 < count < SMALLEST else Cell(key, count)


def protect(counts: Mapping[str, int]) -> Table:
    """Return counts that together make up one total, with nothing in them that gives a small one away.

    The keys must be fixed by the question (days of a month, states), never by what was found; for open lists of codes
    there is `fold`. What has to be held back is taken from the end: give the most important key first. Not by size,
    which would tell something about it.
    """
    total = sum(counts.values())
    if 0 < total < SMALLEST:
        return _withheld(published("total", total), counts)
    small = {key for key, count in counts.items() if 0 < count < SMALLEST}
    held = _held_back(counts, small)
    if held is None:
        # Too little to hide behind: the breakdown is not given at all, and which of it is small is not said either.
        return _withheld(Cell("total", total), counts)
    return Table(Cell("total", total), tuple(_cell(key, count, small, held) for key, count in counts.items()))


def _withheld(total: Cell, counts: Mapping[str, int]) -> Table:
    return Table(total, tuple(Cell(key, None, Mark.HELD) for key in counts))


def _cell(key: str, count: int, small: set[str], held: set[str]) -> Cell:
    if key in small:
        return Cell(key, None, Mark.SMALL)
    return Cell(key, None, Mark.HELD) if key in held else Cell(key, count)


def _held_back(counts: Mapping[str, int], small: set[str]) -> set[str] | None:
    """Return what is held back besides the small ones; None if all of it is not enough."""
    if not small:
        return set()
    hidden = sum(counts[key] for key in small)
    held: set[str] = set()
    rest = [key for key, count in counts.items() if count >= SMALLEST]
    while not _is_open(hidden, len(small), len(held)):
        if not rest:
            return None
        key = rest.pop()
        held.add(key)
        hidden += counts[key]
    return held


def _is_open(hidden: int, small: int, held: int) -> bool:
    """Tell whether every small count may still be anything from 1 to `SMALLEST` - 1.

    `hidden`: what all hidden counts sum up to, which a reader computes; `small` and `held`: how many they are.
    """
    most = SMALLEST - 1
    can_be_most = hidden - held * SMALLEST - (small - 1) >= most
    can_be_one = held > 0 or hidden - most * (small - 1) <= 1
    return can_be_most and can_be_one


def fold(counts: Mapping[str, int]) -> Table:
    """Return counts under an open list of codes: small ones are put together under `REST`, which is never small.

    Every number is shown and they sum up to the total. Which codes make up the rest is not said. The largest come
    first, `REST` last; a total that is small itself leaves nothing.
    """
    total = sum(counts.values())
    if total < SMALLEST:
        return Table(published("total", total), ())
    named = sorted(((key, count) for key, count in counts.items() if count >= SMALLEST), key=lambda one: (-one[1], one))
    rest = total - sum(count for _, count in named)
    while 0 < rest < SMALLEST and named:
        # The reader knows that what was added is not small: only the rest of it must stay open.
        rest += named.pop()[1]
    cells = [Cell(key, count) for key, count in named]
    return Table(Cell("total", total), (*cells, *([Cell(REST, rest)] if rest else [])))


def tree(counts: Mapping[tuple[str, str], int], parents: Sequence[str] | None = None) -> tuple[Table, dict[str, Table]]:
    """Return a table of the first half of each key, and under each shown one the table of the second halves.

    `parents`: the fixed keys of the first table, which is then protected; otherwise folded. What stands below a hidden
    count is not given: it would sum up to it.
    """
    above: dict[str, int] = dict.fromkeys(parents or (), 0)
    for (first, _), count in counts.items():
        above[first] = above.get(first, 0) + count
    top = protect(above) if parents is not None else fold(above)
    below = {
        cell.key: fold({second: count for (first, second), count in counts.items() if first == cell.key})
        for cell in top.cells
        if cell.count is not None and cell.key != REST
    }
    return top, below


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Median and 90th percentile of a time in seconds, each None while fewer than `SMALLEST` stand behind it."""

    median: float | None = None
    ninetieth: float | None = None


def quantiles(count: int, median: float, ninetieth: float) -> Quantiles:
    """Return the quantiles of so many times in seconds; nothing for fewer than `SMALLEST`, and none below zero."""
    return Quantiles(max(0.0, median), max(0.0, ninetieth)) if count >= SMALLEST else Quantiles()


def month_of(day: date) -> str:
    """Return `2026-09`."""
    return f"{day.year:04d}-{day.month:02d}"


def first_of(month: str) -> date:
    """Return the first day of `2026-09`; ValueError for anything else."""
    year, dash, number = month.partition("-")
    if not (dash and len(year) == 4 and len(number) == 2 and month.isascii() and (year + number).isdecimal()):
        raise ValueError("a month is written as 2026-09")
    return date(int(year), int(number), 1)


def following(month: str) -> str:
    """Return the month after a month."""
    return month_of(first_of(month) + timedelta(days=31))


def months_before(month: str, count: int) -> list[str]:
    """Return so many months before a month, the oldest first."""
    found = []
    for _ in range(count):
        month = month_of(first_of(month) - timedelta(days=1))
        found.append(month)
    return found[::-1]


def days_of(since: date, until: date) -> Iterator[date]:
    """Yield the days from `since` to the one before `until`."""
    while since < until:
        yield since
        since += timedelta(days=1)


def duration_ja(seconds: float) -> str:
    """Return a time for people: `40分`, `5時間`, `2.5日`; rounded, the more the longer it is."""
    minutes = seconds / 60
    if minutes < 90:
        return f"{max(1, round(minutes))}分"
    if minutes < 48 * 60:
        return f"{round(minutes / 60)}時間"
    return f"{minutes / 60 / 24:.1f}日"


def age_ja(since: datetime, now: datetime) -> str:
    """Return how long ago something was, roughly, both aware."""
    hours = (now - since).total_seconds() / 3600
    if hours < 1:
        return "1時間以内"
    return f"{int(hours)}時間前" if hours < 24 else f"{int(hours / 24)}日前"
