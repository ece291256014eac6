"""What a comparison of two texts of the terms (新旧対照表) is made of: groups, rows, cells, lines. Values only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from madoguchi.domain.terms_alignment import Level
from madoguchi.domain.terms_structure import Article
from madoguchi.domain.terms_underline import Run

NEW_HEADER: Final = "改正後"
OLD_HEADER: Final = "改正前"
REMARK_HEADER: Final = "備考"
ADDED_WORDS: Final = "（新設）"
REMOVED_WORDS: Final = "（削る）"
OMITTED_WORDS: Final = "（略）"


class RowKind(StrEnum):
    """What happened to what a row shows."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    RENUMBERED = "renumbered"
    OMITTED = "omitted"
    HEADING = "heading"
    """Number and caption of an article, unchanged, so that the reader knows where the rows below stand."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the terms. `mark`: its number or bullet; `runs`: its text; `note`: words of the table, `（略）`.

    `position`: of the line in its whole text; None for lines that only the table has.
    """

    level: Level
    depth: int
    mark: tuple[Run, ...]
    runs: tuple[Run, ...]
    note: str = ""
    position: int | None = None

    @property
    def text(self) -> str:
        """The line without what is underlined: mark and text as they stand in the terms."""
        return "".join(run.text for run in (*self.mark, *self.runs))

    @property
    def is_all_changed(self) -> bool:
        """Whether the whole line is underlined."""
        return bool(self.runs) and all(run.is_changed for run in (*self.mark, *self.runs))


@dataclass(frozen=True, slots=True)
class Cell:
    """One side of a row. `place`: how it is cited, `第６条(1)①`; empty where this side has nothing.

    `lines`: everything that stands there in the terms, also where the table says only （略）; `shown`: what it shows.
    """

    place: str
    lines: tuple[Line, ...]
    shown: tuple[Line, ...]

    @property
    def is_missing(self) -> bool:
        """Whether this side has no text: （新設） or （削る） stands in its place."""
        return not self.lines


@dataclass(frozen=True, slots=True)
class Row:
    """Old and new side by side. `remark`: what the last column says, often nothing.

    `is_heading`: it is the number and caption under which the rest of its group stands.
    """

    kind: RowKind
    new: Cell
    old: Cell
    remark: str = ""
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one article, or of what stands before and after the articles. `name`: `第６条（利用申込み等）`."""

    name: str
    rows: tuple[Row, ...]

    @property
    def is_omitted(self) -> bool:
        """Whether nothing in it changed."""
        return all(row.kind is RowKind.OMITTED for row in self.rows)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two texts side by side, in the order of the new one; what is gone stands where it was.

    `changed_articles`: of the new text, in full: those whose wording changed, and new ones; not those that only moved
    or got another number. `respelled`: lines that differ in nothing but spaces or widths.
    """

    groups: tuple[Group, ...]
    changed_articles: tuple[Article, ...]
    respelled: int

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows from top to bottom."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def is_unchanged(self) -> bool:
        """Whether both texts say the same."""
        return all(row.kind is RowKind.OMITTED for row in self.rows)

    @property
    def counts(self) -> dict[RowKind, int]:
        """How many rows there are of each kind, every kind named."""
        counted = Counter(row.kind for row in self.rows)
        return {kind: counted[kind] for kind in RowKind}
