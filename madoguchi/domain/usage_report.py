"""The report of one month (Art. 7): tables of words and published numbers, and what its charts are drawn of. Values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from madoguchi.domain.statistics import Cell


@dataclass(frozen=True, slots=True)
class Section:
    """One table. `rows`: cells as texts, the first of each its head; `note`: what a reader has to know of it."""

    key: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Everything that may be said of a month (`2026-09`) outside the office. The same record gives the same report."""

    office: str
    month: str
    title: str
    sections: tuple[Section, ...]
    days: tuple[tuple[date, Cell], ...]
    hours: tuple[tuple[int, Cell], ...]

    @property
    def name(self) -> str:
        """The name of its files, without what stands behind the dot."""
        return f"usage-{self.month}"

    def section(self, key: str) -> Section:
        """Return a section; KeyError if there is none."""
        for section in self.sections:
            if section.key == key:
                return section
        raise KeyError(key)
