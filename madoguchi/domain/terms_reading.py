# ENGINEER A: the lead wrote this as a stopgap at 01:36 and so overwrote yours by mistake. Write your version over it.
"""Terms of use as text → their structure: tolerant of wrapping, of mixed digits and brackets, and of Markdown.

`(1)` is an item (号) under a paragraph that speaks before it, and a paragraph (項) in an article that says nothing
itself; so the same mark means both in one text. Headings are told from citations by what follows the mark (a blank, a
caption, or nothing) and by being the next number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from madoguchi.domain.terms_lines import Line, meant_lines
from madoguchi.domain.terms_numbers import DIGITS, KANJI_DIGITS, kana_number, number_of
from madoguchi.domain.terms_structure import Article, Part, PartKind, Terms

_NUMBER: Final = f"[{DIGITS}{KANJI_DIGITS}]+"
_ARTICLE: Final = re.compile(rf"(第\s*({_NUMBER})\s*条((?:の{_NUMBER})*))(?=[\s　（(]|$)[\s　]*(.*)", re.DOTALL)
_CAPTION: Final = re.compile(r"[（(]([^（）()]+)[）)][\s　]*(.*)", re.DOTALL)
_BRACKETED: Final = re.compile(
    rf"([(（]([{DIGITS}]{{1,3}})[)）])(?![のにはがをとで、及又並若から])[\s　]*(.+)", re.DOTALL
)
_CIRCLED: Final = re.compile(r"([①-⑳])[\s　]*(.+)", re.DOTALL)
_BULLET: Final = re.compile(r"([・●○◆▪‣•])[\s　]*(.+)", re.DOTALL)
_PARAGRAPH: Final = re.compile(rf"([{DIGITS}]{{1,2}})[\s　]+(.+)", re.DOTALL)
_KANJI_ITEM: Final = re.compile(r"([一二三四五六七八九十]{1,3})[\s　]+(.+)", re.DOTALL)
_KANA: Final = re.compile(r"([ア-ヲ])[\s　]+(.+)", re.DOTALL)
_SUPPLEMENT: Final = re.compile(r"附[\s　]*則[\s　]*(.*)", re.DOTALL)
_ERAS: Final = {"明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018}
_DATE: Final = re.compile(
    rf"(?:({'|'.join(_ERAS)})[\s　]*(元|[{DIGITS}]{{1,2}})|([{DIGITS}]{{4}}))[\s　]*年[\s　]*([{DIGITS}]{{1,2}})[\s　]*月"
    rf"[\s　]*([{DIGITS}]{{1,2}})[\s　]*日"
)
_CLOSING_LINES: Final = 4
_LONGEST: Final = 1_000_000


class TermsTextError(ValueError):
    """A text is no terms of use that can be read; the message names the line of the file and what to do."""


@dataclass(slots=True)
class _Open:
    """A part that may still get parts."""

    kind: PartKind
    label: str
    number: int | None
    text: str
    parts: list[_Open] = field(default_factory=list)

    def closed(self) -> Part:
        return Part(self.kind, self.label, self.number, self.text, tuple(part.closed() for part in self.parts))


@dataclass(slots=True)
class _OpenArticle:
    label: str
    number: tuple[int, ...]
    caption: str
    parts: list[_Open] = field(default_factory=list)


def parse_terms(text: str) -> Terms:
    """Return the structure of a text; TermsTextError names the line where it cannot be terms of use.

    Keeps every word and every mark as it is written; only line ends and blanks at them are layout.
    """
    if len(text) > _LONGEST:
        raise TermsTextError("the text is longer than a million characters: these are no terms of use")
    lines = meant_lines(_without_markdown(text))
    if not lines:
        raise TermsTextError("line 1: the text is empty; give the file that holds the terms")
    body, closing, closed_on, signatory = _cut_closing(lines)
    reader = _Reader()
    for at, line in enumerate(body):
        reader.take(line, body[at + 1] if at + 1 < len(body) else None)
    if not reader.articles:
        raise TermsTextError(
            f"line {lines[0].number}: no article found; articles begin a line as 第１条, followed by a blank or nothing"
        )
    title, preamble = _title_and_preamble(reader.head)
    return Terms(
        title=title,
        preamble=preamble,
        articles=tuple(
            Article(one.label, one.number, one.caption, tuple(part.closed() for part in one.parts))
            for one in reader.articles
        ),
        supplement=tuple(reader.supplement),
        closing=closing,
        closed_on=closed_on,
        signatory=signatory,
    )


def parse_date(text: str) -> date | None:
    """Return the day that `text` is, in the Japanese or the common era; None when it is none or more than that."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return None
    era, of_era, year, month, day = found.groups()
    whole = _ERAS[era] + (1 if of_era == "元" else number_of(of_era)) if era else number_of(year)
    try:
        return date(whole, number_of(month), number_of(day))
    except ValueError:
        return None


def _without_markdown(text: str) -> str:
    if not re.search(r"^#{1,6}[ \t]", text, re.MULTILINE):
        return text
    text = re.sub(r"^#{1,6}[ \t]+", "", text, flags=re.MULTILINE)
    text = re.sub(r"^([ \t]*)[-*+][ \t]+", r"\1・", text, flags=re.MULTILINE)
    text = re.sub(r"^[ \t]*(\d{1,2})[.)][ \t]+", r"(\1) ", text, flags=re.MULTILINE)
    return re.sub(r"(\*\*|__)(.+?)\1", r"\2", text)


def _cut_closing(lines: Sequence[Line]) -> tuple[Sequence[Line], str, date | None, str]:
    """Take the date and the signatory off the end: a date alone on its line, then at most a few short lines."""
    for at in range(len(lines) - 1, max(-1, len(lines) - 1 - _CLOSING_LINES), -1):
        day = parse_date(lines[at].text)
        if day is not None:
            rest = [line.text for line in lines[at + 1 :]]
            if any(_SUPPLEMENT.fullmatch(one) or _ARTICLE.match(one) for one in rest):
                break
            return lines[:at], lines[at].text, day, "　".join(rest)
    return lines, "", None, ""


def _title_and_preamble(head: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    count = next((at for at, text in enumerate(head) if text.rstrip("）)").endswith("。")), len(head))
    return "".join(head[:count]), tuple(head[count:])


class _Reader:
    """Takes one line after the other and puts each where it belongs."""

    def __init__(self) -> None:
        self.head: list[str] = []
        self.articles: list[_OpenArticle] = []
        self.supplement: list[str] = []
        self._caption = ""
        self._in_supplement = False

    def take(self, line: Line, following: Line | None) -> None:
        text = line.text
        caption = _CAPTION.fullmatch(text)
        if caption and not caption[2] and following is not None and _ARTICLE.match(following.text):
            self._caption = caption[1]
            return
        article = None if self._in_supplement else _ARTICLE.fullmatch(text)
        if article is not None:
            self._begin_article(article, line.number)
            return
        supplement = _SUPPLEMENT.fullmatch(text)
        if supplement is not None and self.articles:
            self._in_supplement = True
            if supplement[1]:
                self.supplement.append(supplement[1])
        elif self._in_supplement:
            self.supplement.append(text)
        elif not self.articles:
            self.head.append(text)
        else:
            self._take_part(text)

    def _begin_article(self, found: re.Match[str], at: int) -> None:
        label, first, branches, rest = found[1], found[2], found[3], found[4].strip()
        number = (number_of(first), *(number_of(branch) for branch in branches.split("の") if branch))
        self._require_next(number, label, at)
        caption, self._caption = self._caption, ""
        inline = _CAPTION.fullmatch(rest) if not caption else None
        if inline is not None and "。" not in inline[1]:
            caption, rest = inline[1], inline[2].strip()
        self.articles.append(_OpenArticle(label, number, caption))
        if rest:
            self._take_part(rest)

    def _require_next(self, number: tuple[int, ...], label: str, at: int) -> None:
        last = self.articles[-1].number if self.articles else (0,)
        allowed = {(last[0] + 1,), (*last[:-1], last[-1] + 1), (*last, 2)}
        if self.articles and number not in allowed:
            raise TermsTextError(
                f"line {at}: {label} follows {self.articles[-1].label}; articles are numbered without gaps, a deleted "
                "one keeps its number (第５条　削除)"
            )
        if not self.articles and number != (1,):
            raise TermsTextError(f"line {at}: the first article is {label}; the text begins with 第１条")

    def _take_part(self, text: str) -> None:
        parts = self.articles[-1].parts
        paragraph = parts[-1] if parts else None
        for take in (self._bracketed, self._circled, self._bullet, self._numbered, self._kanji, self._kana):
            if take(text, parts, paragraph):
                return
        parts.append(_Open(PartKind.PARAGRAPH, "", len(parts) + 1, text))

    @staticmethod
    def _bracketed(text: str, parts: list[_Open], paragraph: _Open | None) -> bool:
        found = _BRACKETED.fullmatch(text)
        if found is None:
            return False
        number = number_of(found[2])
        if paragraph is None or (paragraph.label[:1] in "(（" and paragraph.label and number == len(parts) + 1):
            parts.append(_Open(PartKind.PARAGRAPH, found[1], number, found[3]))
        else:
            paragraph.parts.append(_Open(PartKind.ITEM, found[1], number, found[3]))
        return True

    @staticmethod
    def _circled(text: str, parts: list[_Open], paragraph: _Open | None) -> bool:
        del parts
        found = _CIRCLED.fullmatch(text)
        if found is None or paragraph is None:
            return False
        holder = _last(paragraph, PartKind.ITEM) or paragraph
        holder.parts.append(_Open(PartKind.SUBITEM, found[1], number_of(found[1]), found[2]))
        return True

    @staticmethod
    def _bullet(text: str, parts: list[_Open], paragraph: _Open | None) -> bool:
        found = _BULLET.fullmatch(text)
        if found is None:
            return False
        if paragraph is None:
            paragraph = _Open(PartKind.PARAGRAPH, "", 1, "")
            parts.append(paragraph)
        item = _last(paragraph, PartKind.ITEM) or paragraph
        (_last(item, PartKind.SUBITEM) or item).parts.append(_Open(PartKind.BULLET, found[1], None, found[2]))
        return True

    @staticmethod
    def _numbered(text: str, parts: list[_Open], paragraph: _Open | None) -> bool:
        del paragraph
        found = _PARAGRAPH.fullmatch(text)
        # The first paragraph has no number as a rule; a text that begins with a number has it by chance.
        if found is None or number_of(found[1]) != len(parts) + 1 or (len(parts) == 0 and number_of(found[1]) != 1):
            return False
        parts.append(_Open(PartKind.PARAGRAPH, found[1], number_of(found[1]), found[2]))
        return True

    @staticmethod
    def _kanji(text: str, parts: list[_Open], paragraph: _Open | None) -> bool:
        del parts
        found = _KANJI_ITEM.fullmatch(text)
        if found is None or paragraph is None:
            return False
        items = [part for part in paragraph.parts if part.kind is PartKind.ITEM]
        if number_of(found[1]) != (items[-1].number or 0 if items else 0) + 1:
            return False
        paragraph.parts.append(_Open(PartKind.ITEM, found[1], number_of(found[1]), found[2]))
        return True

    @staticmethod
    def _kana(text: str, parts: list[_Open], paragraph: _Open | None) -> bool:
        del parts
        found = _KANA.fullmatch(text)
        if found is None or paragraph is None:
            return False
        holder = _last(paragraph, PartKind.ITEM) or paragraph
        number = kana_number(found[1], holder.parts[-1].number if holder.parts else None)
        if number is None:
            return False
        holder.parts.append(_Open(PartKind.SUBITEM, found[1], number, found[2]))
        return True


def _last(holder: _Open, kind: PartKind) -> _Open | None:
    return holder.parts[-1] if holder.parts and holder.parts[-1].kind is kind else None
