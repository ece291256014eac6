"""An article while it is being read: which mark opens, goes on with or closes which row of parts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from madoguchi.domain.terms_lines import Line, Wrapping
from madoguchi.domain.terms_marks import CITING, ArticleMark, Family, Mark, mark_of
from madoguchi.domain.terms_structure import Article, Part, PartKind
from madoguchi.domain.terms_text_error import TermsTextError

_STRONG: Final = frozenset({Family.PAREN, Family.PAREN_KANA, Family.CIRCLED, Family.DOTTED})
"""Marks that words do not look like; a bare `２ ` or `一 ` may also be the beginning of a sentence."""
_SUB: Final = frozenset({Family.CIRCLED, Family.KANA, Family.PAREN_KANA})


@dataclass(slots=True)
class _Row:
    """Parts that count together. `family`: None for paragraphs without marks; `sign`: of bullets, the sign itself."""

    kind: PartKind
    family: Family | None = None
    sign: str = ""
    numbers: tuple[int, ...] = ()


@dataclass(slots=True)
class _Piece:
    """A part with the lines of its own text. `depth`: 0 for paragraphs."""

    depth: int
    kind: PartKind
    label: str
    number: int | None
    gap: str
    line: int
    lines: list[Line] = field(default_factory=list)
    parts: list[_Piece] = field(default_factory=list)

    def part(self, wrapping: Wrapping) -> Part:
        text = wrapping.joined(self.lines)
        if not text and not self.parts:
            raise TermsTextError("EMPTY_PART", self.line, self.label)
        gap = self.gap if self.lines else " "
        return Part(self.kind, self.label, self.number, text, tuple(p.part(wrapping) for p in self.parts), gap)


class ArticleDraft:
    """An article that is being read, line by line."""

    def __init__(self, line: Line, mark: ArticleMark, caption: str, headings: tuple[str, ...], layout: str) -> None:
        self._line, self._mark = line, mark
        self._caption, self._headings, self._layout = caption, headings, layout
        self._paragraphs: list[_Piece] = []
        self._open: list[_Piece] = []
        self._rows: list[_Row] = []

    def begin(self, line: Line) -> None:
        """Take what stands on the line of the heading behind label and caption."""
        mark = mark_of(line.text)
        if mark and mark.family in _STRONG and mark.gap and 1 in mark.numbers:
            self._open_row(line, mark)
        else:
            self._add_paragraph(line)

    def add(self, line: Line, at: int, wrapping: Wrapping) -> None:
        """Take the next line: a part with a mark, a paragraph, or more of the sentence before."""
        mark = mark_of(line.text)
        if mark and self._take_mark(line, mark, at, wrapping):
            return
        if not self._paragraphs:
            self._add_paragraph(line)
        elif not self._open[-1].lines and self._open[-1].label:
            self._open[-1].lines.append(line)
        elif wrapping.starts_paragraph(at):
            self._add_paragraph(line)
        else:
            self._open[-1].lines.append(line)

    def article(self, wrapping: Wrapping) -> Article:
        """Return what was read. TermsTextError when there is no text in it."""
        if not self._paragraphs:
            raise TermsTextError("EMPTY_ARTICLE", self._line.number, self._mark.label)
        parts = tuple(paragraph.part(wrapping) for paragraph in self._paragraphs)
        return Article(self._mark.label, self._mark.number, self._caption, parts, self._headings, self._layout)

    def _take_mark(self, line: Line, mark: Mark, at: int, wrapping: Wrapping) -> bool:
        """Add the part that a mark begins; False for what only looks like one, TermsTextError when it counts wrong."""
        broken, full = wrapping.may_go_on(at), wrapping.is_full(at)
        has_gap = bool(mark.gap) or not mark.rest
        if mark.family is Family.BULLET:
            if has_gap or not broken:
                self._add_bullet(line, mark)
            return has_gap or not broken
        if self._is_sentence(mark, has_gap=has_gap, broken=broken, full=full):
            return False
        if self._take_next(line, mark):
            return True
        is_known = any(row.family is mark.family for row in self._rows)
        if not is_known and 1 in mark.numbers:
            self._open_row(line, mark)
            return True
        return self._refuse(line, mark, has_gap=has_gap, broken=broken, full=full, is_known=is_known)

    def _take_next(self, line: Line, mark: Mark) -> bool:
        """Add the part whose number is due in a row that is open; False when it is due in none."""
        for depth in range(len(self._rows) - 1, -1, -1):
            row = self._rows[depth]
            if row.family is mark.family and (numbers := _next(row.numbers, mark.numbers)):
                self._continue_row(depth, line, mark, numbers)
                return True
        if mark.family is Family.BARE and self._is_next_paragraph(mark):
            self._rows = [_Row(PartKind.PARAGRAPH, Family.BARE, "", mark.numbers)]
            self._add(0, line, mark, mark.numbers)
            return True
        return False

    def _is_sentence(self, mark: Mark, *, has_gap: bool, broken: bool, full: bool) -> bool:
        if broken and mark.family not in _STRONG:
            # Paragraphs end with a full stop; items in kanji numerals need not.
            return mark.family is Family.BARE or bool(CITING.match(mark.rest))
        return full and not has_gap and bool(CITING.match(mark.rest))

    def _refuse(self, line: Line, mark: Mark, *, has_gap: bool, broken: bool, full: bool, is_known: bool) -> bool:
        """Tell a sentence that begins with a number from a number that is wrong."""
        if broken or (not has_gap and (full or CITING.match(mark.rest) or mark_of(mark.rest))):
            return False
        counts = mark.family in {Family.PAREN, Family.CIRCLED} or is_known
        if mark.family is Family.BARE and not is_known:
            counts = mark.gap == "　" and self._rows[:1] != [] and 1 < mark.numbers[0] <= len(self._paragraphs) + 3
        if counts:
            raise TermsTextError("MARK_JUMPS", line.number, mark.label)
        return False

    def _is_next_paragraph(self, mark: Mark) -> bool:
        return (
            bool(self._rows)
            and self._rows[0].family is None
            and mark.numbers[0] == len(self._paragraphs) + 1
            and all(paragraph.number for paragraph in self._paragraphs)
        )

    def _open_row(self, line: Line, mark: Mark) -> None:
        numbers = tuple(number if number == 1 else 0 for number in mark.numbers)
        depth = len(self._rows)
        if depth == 0:
            kind = PartKind.PARAGRAPH
        elif self._rows[-1].kind is PartKind.PARAGRAPH and mark.family not in _SUB:
            kind = PartKind.ITEM
        else:
            kind = PartKind.SUBITEM
        self._rows.append(_Row(kind, mark.family, "", numbers))
        self._add(depth, line, mark, numbers)

    def _continue_row(self, depth: int, line: Line, mark: Mark, numbers: tuple[int, ...]) -> None:
        self._rows = self._rows[: depth + 1]
        self._rows[depth].numbers = numbers
        self._add(depth, line, mark, numbers)

    def _add_bullet(self, line: Line, mark: Mark) -> None:
        depth = next((n for n, row in enumerate(self._rows) if row.sign == mark.label), len(self._rows))
        if not self._rows:
            self._add_paragraph(None)
            depth = 1
        self._rows = [*self._rows[:depth], _Row(PartKind.BULLET, Family.BULLET, mark.label)]
        self._add(depth, line, mark, ())

    def _add_paragraph(self, line: Line | None) -> None:
        """Begin a paragraph without a mark; behind numbered ones it has no number."""
        is_free = all(not paragraph.label for paragraph in self._paragraphs)
        number = len(self._paragraphs) + 1 if is_free else None
        # Marks of the paragraphs go on counting behind it.
        keeps = bool(self._rows) and self._rows[0].family is not None
        self._rows = self._rows[:1] if keeps else [_Row(PartKind.PARAGRAPH)]
        piece = _Piece(0, PartKind.PARAGRAPH, "", number, " ", line.number if line else 0, [line] if line else [])
        self._paragraphs.append(piece)
        self._open = [piece]

    def _add(self, depth: int, line: Line, mark: Mark, numbers: tuple[int, ...]) -> None:
        number = next((number for number in numbers if number), None)
        gap = mark.gap if mark.rest else "\n"
        lines = [replace(line, text=mark.rest)] if mark.rest else []
        piece = _Piece(depth, self._rows[depth].kind, mark.label, number, gap, line.number, lines)
        if depth == 0:
            self._paragraphs.append(piece)
        else:
            self._open[depth - 1].parts.append(piece)
        self._open = [*self._open[:depth], piece]


def _next(before: tuple[int, ...], now: tuple[int, ...]) -> tuple[int, ...]:
    """Return the numbers of the orders in which `now` follows `before`; empty when it follows in none."""
    found = tuple(new if old and new == old + 1 else 0 for old, new in zip(before, now, strict=True))
    return found if any(found) else ()
