"""Lines of a text that may be wrapped: which line goes on with the sentence before it, and what joins the two.

A text is wrapped when some line breaks off in the middle of a sentence near the right margin. Then a line that was
filled goes on and one that was not ends a paragraph. Blank lines prove nothing by themselves: page breaks leave them
inside sentences, and some texts have one behind every line.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_LINE_ENDS: Final = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_BLANKS: Final = " \t\u3000\u00a0\u200b\ufeff"
_WORD: Final = "A-Za-z0-9Ａ-Ｚａ-ｚ０-９"
_SENTENCE_END: Final = re.compile(r"[。．！？!?][)）」』】\]]*$")
_UNIT: Final = re.compile(
    r"[（(「『【〔]*(?:[A-Za-z0-9]+|.)[、。，．）)」』】〕ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々・：；！？]*"
)
_MEETING: Final = re.compile(rf"(?<=[{_WORD}]) *(?=[^\s{_WORD}])|(?<=[^\s{_WORD}]) *(?=[{_WORD}])")
_LAST_RUN: Final = re.compile(rf"[{_WORD}]+$")
_FIRST_RUN: Final = re.compile(rf"^[{_WORD}]+")
_MARKDOWN_HEADING: Final = re.compile(r"#{1,6}[ 　]+(?=\S)")
_RULE: Final = re.compile(r"(?:-{3,}|\*{3,}|_{3,}|={3,})$")
_NEAR_MARGIN: Final = 0.8
_ENOUGH: Final = 8
"""Sentences broken without a blank line in between, from which on a blank line is taken for the end of a paragraph."""

_Habits = Counter[tuple[tuple[str, str], bool]]


@dataclass(frozen=True, slots=True)
class Line:
    """A line with words in it. `number`: counted from 1, blank lines too. `blanks`: how many stand before it.

    `is_indented`: it begins with an ideographic space. `is_trailing`: a blank stood behind its last word.
    `level`: of a Markdown heading, 0 for all others.
    """

    number: int
    text: str
    blanks: int
    is_indented: bool
    is_trailing: bool
    level: int = 0

    @property
    def ends_sentence(self) -> bool:
        """Whether a sentence ends where the line ends."""
        return bool(_SENTENCE_END.search(self.text))


def lines_of(text: str) -> tuple[Line, ...]:
    """Return the lines that say something, without blanks at either end and without Markdown's signs."""
    raw = _LINE_ENDS.split(text.removeprefix("\ufeff"))
    is_markdown = any(_MARKDOWN_HEADING.match(line) for line in raw)
    lines: list[Line] = []
    blanks = 0
    for number, line in enumerate(raw, 1):
        level = 0
        stripped = line.strip(_BLANKS)
        if is_markdown:
            stripped, level = _without_markdown(stripped)
        if not stripped:
            blanks += 1
            continue
        lines.append(Line(number, stripped, blanks, line.startswith("\u3000"), line[-1] in _BLANKS, level))
        blanks = 0
    return tuple(lines)


def _without_markdown(line: str) -> tuple[str, int]:
    if _RULE.match(line):
        return "", 0
    level = 0
    if heading := _MARKDOWN_HEADING.match(line):
        level = heading[0].count("#")
        line = re.sub(r"[ 　]+#+$", "", line[heading.end() :])
    line = re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", line)
    return re.sub(r"\\([\\`*_{}\[\]()#+.!-])", r"\1", line).removesuffix("\\").strip(_BLANKS), level


def width(text: str) -> int:
    """Return how many cells a text takes: two for a full-width character, one for others."""
    return sum(2 if unicodedata.east_asian_width(character) in "WFA" else 1 for character in text)


class Wrapping:
    """How a text was wrapped, learned from the text. `is_prose(at)`: line `at` can go on with the one before."""

    def __init__(self, lines: Sequence[Line], is_prose: Callable[[int], bool]) -> None:
        self._lines = lines
        self._widths = [width(line.text) for line in lines]
        self._is_markdown = any(line.level for line in lines)
        # A trailing blank says nothing about the words when every line has one.
        self._all_trailing = all(line.is_trailing for line in lines)
        widest = max(self._widths, default=0)
        sure = [
            at
            for at in range(1, len(lines))
            if is_prose(at) and not lines[at - 1].ends_sentence and self._filled(at) >= _NEAR_MARGIN * widest
        ]
        filled = [self._filled(at) for at in sure]
        trailing = {lines[at - 1].is_trailing for at in sure}
        self._keeps_blanks = trailing == {True, False}
        self._is_strict = all(cells > widest for cells in filled)
        self._margin = (widest + 1 if self._is_strict else min(filled)) if filled else 0
        self._blank_ends_paragraph = len(sure) >= _ENOUGH and not any(lines[at].blanks for at in sure)
        self._habits = _habits(line.text for line in lines)
        self._words = {word for line in lines for word in re.findall(r"[A-Za-z]+", line.text)}

    def _filled(self, at: int) -> int:
        """Return how wide the line before `at` would be with the next thing that cannot be divided."""
        unit = _UNIT.match(self._lines[at].text)
        return self._widths[at - 1] + width(unit[0] if unit else "")

    def is_full(self, at: int) -> bool:
        """Tell whether the line before `at` was filled up to the margin."""
        return self._margin > 0 and self._filled(at) >= self._margin

    def may_go_on(self, at: int) -> bool:
        """Tell whether the line before `at` was full and broke off in a sentence: a mark may be a citation."""
        return self.is_full(at) and not self._lines[at - 1].ends_sentence

    def starts_paragraph(self, at: int) -> bool:
        """Tell whether plain text at `at` begins a new paragraph instead of going on."""
        line, before = self._lines[at], self._lines[at - 1]
        if self._is_markdown and not line.blanks and not before.level:
            return False  # as Markdown itself has it
        if not self._margin or (line.blanks and self._blank_ends_paragraph and not self.may_go_on(at)):
            return True
        if before.ends_sentence:
            return line.is_indented or self._filled(at) < self._margin
        return self._filled(at) < (self._margin if self._is_strict else _NEAR_MARGIN * self._margin)

    def joined(self, lines: Sequence[Line]) -> str:
        """Return lines as one, with a blank between two only where the text elsewhere, or the line end, has one."""
        text = ""
        before: Line | None = None
        for line in lines:
            text += ("" if before is None else self._between(before, text, line.text)) + line.text
            before = line
        return text

    def _between(self, line: Line, left: str, right: str) -> str:
        left_run, right_run = _LAST_RUN.search(left[-30:]), _FIRST_RUN.search(right[:30])
        if left_run and right_run:
            return self._between_words(line, left_run[0], right_run[0])
        if not left_run and not right_run:
            return ""
        if line.is_trailing and not self._all_trailing:
            return " "
        for key in () if self._keeps_blanks else _keys(left, right):
            spaced, unspaced = self._habits[key, True], self._habits[key, False]
            if spaced != unspaced:
                return " " if spaced > unspaced else ""
        return ""

    def _between_words(self, line: Line, left: str, right: str) -> str:
        if left[-1].isdigit() and right[0].isdigit():
            return ""
        if line.is_trailing and not self._all_trailing:
            return " "
        return "" if self._keeps_blanks or left + right in self._words else " "


def _habits(texts: Iterable[str]) -> _Habits:
    """Count, where Latin and Japanese meet inside lines, whether a blank stands between them."""
    found: _Habits = Counter()
    for text in texts:
        for match in _MEETING.finditer(text):
            for key in _keys(text[: match.start()], text[match.end() :]):
                found[key, match.end() > match.start()] += 1
    return found


def _keys(left: str, right: str) -> list[tuple[str, str]]:
    """Return what a meeting of Latin and Japanese is like, from the word itself to the kind of both sides."""
    left_run, right_run = _LAST_RUN.search(left[-30:]), _FIRST_RUN.search(right[:30])
    before = left_run[0] if left_run else left[-1:]
    after = right_run[0] if right_run else right[:1]
    return [(before, after), (before, _kind(after)), (_kind(before), after), (_kind(before), _kind(after))]


def _kind(side: str) -> str:
    first = side[:1]
    if re.match(f"[{_WORD}]", first):
        # Full-width digits and letters are set like kanji, half-width ones often with a blank: 第９条, 第10 条.
        return ("<digits>" if first.isdigit() else "<latin>") if first.isascii() else "<wide>"
    # Beside brackets and stops nobody sets a blank, which says nothing about words.
    return "<word>" if first.isalnum() or first == "ー" else "<sign>"
