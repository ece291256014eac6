"""The marks that parts begin with: `第10 条`, `(4）`, `①`, `・`, `二　`. What a line may be, not what it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from madoguchi.domain.terms_numbers import AIUEO, CIRCLED, IROHA, NUMERAL, circled_number, find_dates, number_of

_B: Final = "[ 　\t]"
# What follows の in these is no number of an inserted article: 第五条の二分の一, 第三条の一般的な.
_NO_BRANCH: Final = "(?![般部定方切時回度人名者つ種週年月日件個分])"
ARTICLE_NUMBER: Final = rf"第{_B}?({NUMERAL}){_B}?条((?:{_B}?の{_B}?{NUMERAL}{_NO_BRANCH})*)"
_ARTICLE: Final = re.compile(ARTICLE_NUMBER)
_BRANCH: Final = re.compile(rf"の{_B}?({NUMERAL})")
_DELETED_RANGE: Final = re.compile(
    rf"({ARTICLE_NUMBER}{_B}?(?:から|及び|乃至|[～〜]){_B}?{ARTICLE_NUMBER}(?:まで)?)(?={_B}+削{_B}?除$)"
)
CAPTION: Final = re.compile(
    rf"{_B}*(?:（([^（）]*(?:（[^（）]*）[^（）]*)*)）|\(([^()]*)\)|【([^【】]*)】|〔([^〔〕]*)〕)"
)
_HEADING: Final = re.compile(rf"第{_B}?{NUMERAL}{_B}?(?:編|章|節|款)(?:の{NUMERAL})?(?:{_B}+\S.*)?")
_SUPPLEMENT: Final = re.compile(rf"附{_B}*則(?:{_B}*[（(].*[）)])?")
_PAREN: Final = re.compile(rf"[(（]{_B}?({NUMERAL}){_B}?[)）]")
_PAREN_KANA: Final = re.compile(r"[(（]([ア-ン])[)）]")
_CIRCLED: Final = re.compile(f"[{CIRCLED}]")
_DOTTED: Final = re.compile(r"([0-9０-９]{1,3})[.．、)）](?![0-9０-９])")
_BARE: Final = re.compile(rf"([0-9０-９]{{1,2}})(?={_B}+\S)")
_KANJI: Final = re.compile(rf"([一二三四五六七八九十]{{1,4}})(?:(?={_B}+\S)|[、．.])")
_KANA: Final = re.compile(rf"([ア-ン])(?={_B}+\S)")
_BULLET: Final = re.compile(rf"[・･•●◆■□◇▪◦‣]|[-*+](?={_B}+\S)")
_TAIL_DATE: Final = re.compile(
    rf"{_B}*(?:[（(]?(?:から)?(?:制定|施行|改正|改定|改訂|一部改正|最終改正|適用|発効|公布)[）)]?{_B}*)?"
)
_TAIL_BEFORE: Final = re.compile(
    rf"(?:以{_B}*上{_B}*)?[（(]?(?:(?:制定|施行|改正|改定|改訂|適用|公布)(?:日)?[:：]?{_B}*)?"
)

CITING: Final = re.compile(
    r"の|に|を|は|が|と|で|も|へ|や|及|又|若|並|から|まで|、|。|，|．|[）)」』]|各号|第|前段|後段|本文|ただし書|[(（]"
)
"""What a sentence goes on with behind a number that it cites."""

SURELY_CITING: Final = re.compile("の|に規定|に定め|に掲げ|に該当|に基づ|及び|又は|若しくは|並びに|から")
"""The same, where no word of another sense begins so."""


class Family(StrEnum):
    """A row of marks that count together."""

    BARE = "bare"
    DOTTED = "dotted"
    PAREN = "paren"
    KANJI = "kanji"
    CIRCLED = "circled"
    KANA = "kana"
    PAREN_KANA = "paren_kana"
    BULLET = "bullet"


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark at the beginning of a line.

    `numbers`: what it counts as, in each order that it may belong to (イ: 1 of イロハ, 2 of アイウ; 0: in none).
    """

    family: Family
    label: str
    numbers: tuple[int, ...]
    gap: str
    rest: str


@dataclass(frozen=True, slots=True)
class ArticleMark:
    """`第５条の２` at the beginning of a line. `last`: its number, or the last one of a range that was deleted."""

    label: str
    number: tuple[int, ...]
    last: tuple[int, ...]
    rest: str


def article_number(match: re.Match[str], first: int = 1) -> tuple[int, ...] | None:
    """Return the number in a match of ARTICLE_NUMBER whose groups begin at `first`; None when it is no number."""
    found = [number_of(match[first]), *(number_of(branch) for branch in _BRANCH.findall(match[first + 1]))]
    numbers = tuple(number for number in found if number is not None)
    return numbers if len(numbers) == len(found) else None


def article_mark(line: str) -> ArticleMark | None:
    """Return the article label a line begins with, whether it is a heading or a citation."""
    if deleted := _DELETED_RANGE.match(line):
        first, last = article_number(deleted, 2), article_number(deleted, 4)
        if first and last:
            return ArticleMark(deleted[1], first, last, line[deleted.end() :])
    match = _ARTICLE.match(line)
    number = article_number(match) if match else None
    return ArticleMark(match[0], number, number, line[match.end() :]) if match and number else None


def last_number(label: str) -> tuple[int, ...] | None:
    """Return the last article number in a label: of `第５条から第７条まで` (deleted) it is (7,)."""
    found = [article_number(match) for match in _ARTICLE.finditer(label)]
    return found[-1] if found else None


def mark_of(line: str) -> Mark | None:
    """Return the mark of a paragraph, item, sub-item or bullet that a line begins with."""
    for family, pattern in _PATTERNS:
        if match := pattern.match(line):
            numbers = _numbers(family, match)
            if any(numbers) or family is Family.BULLET:
                rest = line[match.end() :]
                text = rest.lstrip(" 　\t")
                return Mark(family, match[0], numbers, rest[: len(rest) - len(text)], text)
    return None


def _numbers(family: Family, match: re.Match[str]) -> tuple[int, ...]:
    if family is Family.BULLET:
        return ()
    if family is Family.CIRCLED:
        found = [circled_number(match[0])]
    elif family in {Family.KANA, Family.PAREN_KANA}:
        found = [order.find(match[1]) + 1 or None for order in (IROHA, AIUEO)]
    else:
        found = [number_of(match[1])]
    return tuple(number or 0 for number in found)


_PATTERNS: Final = (
    (Family.PAREN, _PAREN),
    (Family.PAREN_KANA, _PAREN_KANA),
    (Family.CIRCLED, _CIRCLED),
    (Family.DOTTED, _DOTTED),
    (Family.BARE, _BARE),
    (Family.KANJI, _KANJI),
    (Family.KANA, _KANA),
    (Family.BULLET, _BULLET),
)


def is_caption(line: str) -> bool:
    """Tell whether a line is nothing but words in brackets, as the caption above an article is."""
    match = CAPTION.fullmatch(line)
    text = next((group for group in match.groups() if group), "") if match else ""
    return is_caption_text(text)


def is_caption_text(text: str) -> bool:
    """Tell whether what stands in brackets can be a caption: `(2)` and `（以下同じ。）` are none."""
    return bool(text) and number_of(text.strip(" 　\t")) is None and not text.endswith("。")


def is_heading(line: str) -> bool:
    """Tell whether a line has the form of a chapter or section heading."""
    return bool(_HEADING.fullmatch(line)) and not line.endswith("。")


def is_supplement(line: str) -> bool:
    """Tell whether a line is the heading 附則."""
    return bool(_SUPPLEMENT.fullmatch(line))


def dated_part(line: str) -> int:
    """Return how far a line is nothing but dates and what they are of (`令和７年６月１６日 制定`); 0 when it is not."""
    at = 0
    for start, end, _ in find_dates(line):
        if not _TAIL_BEFORE.fullmatch(line[at:start]):
            break
        after = _TAIL_DATE.match(line, end)
        at = after.end() if after else end
    return at
