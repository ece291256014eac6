"""Terms of use read from plain text: articles, paragraphs, items. Pure; tolerant of wrapping, strict about numbers.

What is a heading and what a citation that a line happens to begin with is told by the numbers that are due, by the
caption above, by the blank behind the label and by whether the line before was full.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from madoguchi.domain.terms_draft import ArticleDraft
from madoguchi.domain.terms_lines import Line, Wrapping, lines_of
from madoguchi.domain.terms_marks import (
    CAPTION,
    CITING,
    SURELY_CITING,
    ArticleMark,
    article_mark,
    dated_part,
    is_caption,
    is_caption_text,
    is_heading,
    is_supplement,
    mark_of,
)
from madoguchi.domain.terms_numbers import find_dates
from madoguchi.domain.terms_structure import Terms
from madoguchi.domain.terms_text_error import TermsTextError

__all__ = ["LARGEST", "TermsTextError", "parse_terms"]

_BLANKS: Final = " 　\t"
_SIGNATORY_LINES: Final = 6
LARGEST: Final = 1_000_000
"""Characters of a text; the terms of an office have some thousands."""


def parse_terms(text: str) -> Terms:
    """Return the structure of terms of use written as plain text or Markdown, wrapped or not.

    Words cut at line ends are joined again, without inventing or losing the blank between Latin and Japanese as far as
    the text itself shows it. Characters are never changed. TermsTextError (with line and remedy) when the text is no
    terms, or when numbers of articles, paragraphs or items jump or repeat; whether what is cited exists is the business
    of terms_citations. One thing a wrapped text does not show: a paragraph without number behind a line that was filled
    to the last cell is read as one with the paragraph before it, unless it is indented.
    """
    if len(text) > LARGEST:
        raise TermsTextError("TOO_LARGE")
    if "\x00" in text:
        raise TermsTextError("NOT_TEXT", text[: text.index("\x00")].count("\n") + 1)
    lines = lines_of(text)
    if not lines:
        raise TermsTextError("EMPTY")
    return _Reader(lines).terms()


@dataclass(frozen=True, slots=True)
class _Setting:
    """How a heading is set: its caption, the layout that prints it again, and what stands behind it on its line."""

    caption: str
    layout: str
    rest: str


class _Reader:
    """One pass over the lines, with what was read so far."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._marks = [article_mark(line.text) for line in lines]
        self._tail = _tail_start(lines)
        self._wrapping = Wrapping(lines[: self._tail], self._is_prose)
        self._last: tuple[int, ...] = ()
        self._drafts: list[ArticleDraft] = []
        self._titles: list[list[Line]] = []
        self._front: list[list[Line]] = []
        self._supplement: list[list[Line]] = []
        self._supplement_heading: str | None = None
        self._fresh = True

    def terms(self) -> Terms:
        at = 0
        while at < self._tail:
            at = self._take(at)
        if not self._drafts:
            raise TermsTextError("NO_ARTICLE")
        title, preamble = self._opening()
        closing, closed_on, signatory = self._closing()
        return Terms(
            title=title,
            preamble=preamble,
            articles=tuple(draft.article(self._wrapping) for draft in self._drafts),
            supplement=tuple(map(self._wrapping.joined, self._supplement)),
            closing=closing,
            closed_on=closed_on,
            signatory=signatory,
            supplement_heading="附則" if self._supplement_heading is None else self._supplement_heading,
        )

    def _is_prose(self, at: int) -> bool:
        """Tell whether this line and the one before can be of one sentence, as far as their form goes."""
        line, before, mark, mark_before = self._lines[at], self._lines[at - 1], self._marks[at], self._marks[at - 1]
        if line.level or before.level or _is_structural(line.text) or _is_structural(before.text):
            return False
        if mark_before and not mark_before.rest:
            return False
        if at == 1 and mark_before is None:
            return False  # the title may well be as long as the sentences under it
        if mark and _is_set_off(mark):
            return False
        begins = mark_of(line.text)
        return begins is None or (not begins.gap and bool(SURELY_CITING.match(begins.rest)))

    def _take(self, at: int) -> int:
        """Read what begins at this line and return the line behind it."""
        line = self._lines[at]
        if self._supplement_heading is None and (behind := self._take_article(at)):
            return behind
        goes_on = at > 0 and self._wrapping.may_go_on(at)
        # The word alone on its line is the heading even behind an item that fills its last line.
        if self._drafts and is_supplement(line.text) and (not goes_on or line.text.endswith("則")):
            self._begin_supplement(line)
        elif self._supplement_heading is not None:
            self._add_plain(self._supplement, at)
        elif self._drafts:
            self._drafts[-1].add(line, at, self._wrapping)
        elif line.level:
            self._titles.append([line])
        else:
            self._add_plain(self._front, at)
        return at + 1

    def _take_article(self, start: int) -> int:
        """Read chapter headings, caption and heading of an article; 0 when none begins here, else the line behind."""
        at = start
        headings: list[str] = []
        while at < self._tail and is_heading(self._lines[at].text) and not (at and self._wrapping.may_go_on(at)):
            headings.append(self._lines[at].text)
            at += 1
        caption, at = self._caption_at(at)
        if at >= self._tail:
            return 0
        mark = self._heading_at(at, has_caption=bool(caption))
        if mark is None:
            return 0
        line = self._lines[at]
        self._check_order(mark, line)
        setting = _setting(mark, caption)
        draft = ArticleDraft(line, mark, setting.caption, tuple(headings), setting.layout)
        if setting.rest:
            draft.begin(replace(line, text=setting.rest))
        self._drafts.append(draft)
        self._last = mark.last
        return at + 1

    def _caption_at(self, at: int) -> tuple[str, int]:
        """Return the caption that stands at this line above a heading, and the line of the heading."""
        for size in (1, 2):
            if at + size < self._tail and self._marks[at + size]:
                caption = self._wrapping.joined(self._lines[at : at + size])
                if is_caption(caption):
                    return caption, at + size
        return "", at

    def _heading_at(self, at: int, *, has_caption: bool) -> ArticleMark | None:
        """Return the article that begins at this line; None for a citation and for anything else."""
        mark = self._marks[at]
        if mark is None or self._lines[at].level or has_caption:
            return mark
        broken = at > 0 and self._wrapping.may_go_on(at)
        is_due = mark.number in _successors(self._last)
        if _is_set_off(mark):
            # Items need not end with a full stop; behind a full line, the number that is due makes the heading.
            return mark if not broken or (is_due and _has_heading_form(mark)) else None
        full = at > 0 and self._wrapping.is_full(at)
        return mark if is_due and not full and not CITING.match(mark.rest) else None

    def _check_order(self, mark: ArticleMark, line: Line) -> None:
        if not self._last:
            if mark.number != (1,):
                raise TermsTextError("FIRST_ARTICLE", line.number, mark.label)
        elif mark.number <= self._last:
            raise TermsTextError("ARTICLE_REPEATS", line.number, mark.label)
        elif mark.number not in _successors(self._last):
            raise TermsTextError("ARTICLE_JUMPS", line.number, mark.label)

    def _begin_supplement(self, line: Line) -> None:
        is_plain = line.text.endswith("則")
        if self._supplement_heading is None:
            self._supplement_heading = line.text if is_plain else ""
            is_kept = not is_plain
        else:
            is_kept = True
        if is_kept:
            self._supplement.append([line])
        self._fresh = True

    def _add_plain(self, pieces: list[list[Line]], at: int) -> None:
        """Add a line outside the articles: a new paragraph, or more of the one before."""
        line = self._lines[at]
        broken = at > 0 and self._wrapping.may_go_on(at)
        mark, article = mark_of(line.text), self._marks[at]
        is_marked = (mark is not None and bool(mark.gap)) or (article is not None and _is_set_off(article))
        is_marked = (is_marked or _is_structural(line.text)) and not broken
        if self._fresh or not pieces or is_marked or self._wrapping.starts_paragraph(at):
            pieces.append([line])
        else:
            pieces[-1].append(line)
        self._fresh = False

    def _opening(self) -> tuple[str, tuple[str, ...]]:
        front = list(map(self._wrapping.joined, self._front))
        if self._titles:
            return "".join(map(self._wrapping.joined, self._titles)), tuple(front)
        ends = [n for n, lines in enumerate(self._front) if lines[-1].ends_sentence]
        at = ends[0] if ends else len(front)
        return self._wrapping.joined([line for lines in self._front[:at] for line in lines]), tuple(front[at:])

    def _closing(self) -> tuple[str, date | None, str]:
        closing, signatory = "", ""
        for line in self._lines[self._tail :]:
            dated = dated_part(line.text)
            if dated == len(line.text) or not (dated or closing):
                closing += line.text
            else:
                closing += line.text[:dated]
                signatory += line.text[dated:]
        dates = find_dates(closing)
        return closing, dates[-1][2] if dates else None, signatory


def _successors(last: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the numbers that may follow: behind (5, 2) come (5, 2, 2), (5, 3) and (6,)."""
    if not last:
        return ((1,),)
    return ((*last, 2), *((*last[:depth], last[depth] + 1) for depth in range(len(last))))


def _is_structural(text: str) -> bool:
    return is_caption(text) or is_heading(text) or is_supplement(text)


def _is_set_off(mark: ArticleMark) -> bool:
    """Tell whether an article label is followed by nothing, a blank or a caption, as in a heading."""
    if not mark.rest or mark.rest[0] in _BLANKS:
        return True
    caption = CAPTION.match(mark.rest)
    if caption is None or not is_caption_text(_group(caption)):
        return False
    return not CITING.match(mark.rest[caption.end() :])


def _has_heading_form(mark: ArticleMark) -> bool:
    """Tell whether what follows an article label is nothing that a sentence goes on with behind a citation."""
    rest = mark.rest.strip(_BLANKS)
    if caption := CAPTION.match(rest):
        behind = rest[caption.end() :]
        return not behind or behind[0] in _BLANKS
    return not CITING.match(rest)


def _group(caption: re.Match[str]) -> str:
    return next((group for group in caption.groups() if group), "")


def _setting(mark: ArticleMark, above: str) -> _Setting:
    """Take a heading apart, so that printing sets it again as it was."""
    if above:
        caption = CAPTION.fullmatch(above)
        text = _group(caption) if caption else ""
        rest = mark.rest.lstrip(_BLANKS)
        gap = mark.rest[: len(mark.rest) - len(rest)] if rest else "\n"
        return _Setting(text, above.replace(text, "{caption}") + "\n{label}" + gap, rest)
    caption = CAPTION.match(mark.rest)
    text = _group(caption) if caption else ""
    if caption and text and is_caption_text(text):
        behind = mark.rest[caption.end() :]
        rest = behind.lstrip(_BLANKS)
        if mark.rest[0] not in _BLANKS or not rest or behind != rest:
            gap = behind[: len(behind) - len(rest)] if rest else "\n"
            return _Setting(text, "{label}" + caption[0].replace(text, "{caption}") + gap, rest)
    rest = mark.rest.lstrip(_BLANKS)
    return _Setting("", "{label}" + (mark.rest[: len(mark.rest) - len(rest)] if rest else "\n"), rest)


def _tail_start(lines: Sequence[Line]) -> int:
    """Return where the date under the text begins, with who signed; the number of lines where there is none."""
    tail = len(lines)
    for at in range(len(lines) - 1, 0, -1):
        text = lines[at].text
        dated = dated_part(text)
        rest = text[dated:]
        if dated and (not rest or (text[dated - 1] in _BLANKS and not rest.endswith("。"))):
            tail = at
        elif tail < len(lines):
            break
        elif len(lines) - at > _SIGNATORY_LINES or lines[at].ends_sentence or _is_structural(text) or mark_of(text):
            return len(lines)
    if tail < len(lines) and "".join(lines[tail - 1].text.split()) == "以上":
        tail -= 1
    return tail
