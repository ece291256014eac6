"""What sentences cite, as it is written: `第12 条(3)`, `前項`, `(2)の`, `民法第548条の４`. Pure; resolves nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from madoguchi.domain.terms_marks import ARTICLE_NUMBER, article_number
from madoguchi.domain.terms_numbers import CIRCLED, NUMERAL, circled_number, number_of

_B: Final = "[ 　\t]?"
_NUMBER: Final = rf"第{_B}({NUMERAL}){_B}"
# 条例, 条件, 項目, 号室, 第１号様式 are words of their own.
_ARTICLE_END: Final = "(?![例約件文理])"
_PARAGRAPH: Final = rf"{_NUMBER}項(?!目)"
_ITEM: Final = rf"{_NUMBER}号(?![様書機館室車店線議])"
_IN_BRACKETS: Final = rf"[(（]{_B}({NUMERAL}){_B}[)）]"
_WHOLE: Final = re.compile(
    rf"(?P<article>{ARTICLE_NUMBER}{_ARTICLE_END})"
    rf"|(?P<near>(?P<which>前|次|同|本)(?P<count>{NUMERAL})?(?P<level>条{_ARTICLE_END}|項(?!目)|号(?![様書機館室車店線議])))"
    rf"|(?P<paragraph>{_PARAGRAPH})|(?P<item>{_ITEM})"
    rf"|(?P<each>(?:前|次の|以下の|下記の|左の|次に掲げる)?各号)"
    rf"|(?P<bracket>{_IN_BRACKETS})|(?P<circled>[{CIRCLED}])"
)
_TAIL: Final = re.compile(
    rf"{_PARAGRAPH}|(?P<item>{_ITEM})|(?P<bracket>{_IN_BRACKETS})|(?P<circled>[{CIRCLED}])|(?P<each>各号)"
)
# A number in brackets is a citation only where the sentence goes on as behind one.
_BEHIND_MARK: Final = re.compile(
    rf"の|に(?:規定|定め|掲げ|該当|基づ|よ|おい|つい|係)|から|まで|及び|又は|若しくは|並びに|、(?:{_IN_BRACKETS}|[{CIRCLED}])"
)
_LINK: Final = re.compile(r"(?:及び|又は|若しくは|並びに|、|から|～|〜|と|や|・)+")
_UNTIL: Final = re.compile(r"から|～|〜|乃至|ないし")
_LAW: Final = re.compile(
    r"(?P<name>(?:[一-鿿々ァ-ヶー・]+(?:の|に関する|に係る|及び|並びに|等の))*[一-鿿々ァ-ヶーA-Za-z]*"
    r"(?:法律|法|政令|省令|令|施行規則|規則|条例|条約|規程|要綱|要領|指針|約款|規約|協定|契約))"
    r"(?:（[^（）]*）|\([^()]*\))?[ 　]?$"
)
_OWN: Final = re.compile(r"(?:本|この|当|同|当該|利用|サービス|本利用|この利用)*規約$")
_NO_LAW: Final = ("方法", "手法", "用法", "作法", "寸法", "技法", "命令", "指令", "辞令")
_NUMBER_OF_LAW: Final = re.compile(r"(?:法律|政令|省令|府令|規則|条例|告示|訓令|通達|通知|基発|職発|議案)$")


class Step(StrEnum):
    """What one step of a citation names."""

    ARTICLE = "article"
    PARAGRAPH = "paragraph"
    ITEM = "item"
    MARK = "mark"
    """`(3)`: a paragraph or an item, as that article has it."""
    CIRCLED = "circled"
    EACH = "each"
    EACH_BEFORE = "each_before"
    BEFORE = "before"
    NEXT = "next"
    SAME = "same"
    OWN = "own"


Stride = tuple[Step, tuple[int, ...], str]
"""What is named, its number, and the level of 前, 次, 同 and 本: (Step.BEFORE, (2,), "条") is 前二条."""

_NUMBERED: Final = (("paragraph", Step.PARAGRAPH), ("item", Step.ITEM), ("bracket", Step.MARK))


@dataclass(frozen=True, slots=True)
class Cited:
    """A citation as written.

    `law`: whose article it is; empty for the terms' own. `steps`: from outside to inside. `until`: the last of a range
    (`第３条から第５条まで`). `is_linked`: only a word such as 及び stands between it and the citation before.
    """

    words: str
    start: int
    end: int
    steps: tuple[Stride, ...]
    law: str = ""
    until: tuple[Stride, ...] = ()
    is_linked: bool = False


def cited_in(text: str) -> tuple[Cited, ...]:
    """Return what a sentence cites, from left to right; ranges are one citation."""
    found: list[Cited] = []
    at = 0
    while match := _WHOLE.search(text, at):
        cited = _cited(text, match, found[-1] if found else None)
        at = cited.end if cited else match.end()
        if cited is None:
            continue
        last = found[-1] if found else None
        if last and not last.until and last.law == cited.law and _UNTIL.fullmatch(text[last.end : cited.start]):
            whole = text[last.start : cited.end]
            found[-1] = Cited(whole, last.start, cited.end, last.steps, last.law, cited.steps, last.is_linked)
        else:
            found.append(cited)
    return tuple(found)


def _cited(text: str, match: re.Match[str], last: Cited | None) -> Cited | None:
    steps = _first_steps(text, match)
    if not steps:
        return None
    end = match.end()
    while tail := _TAIL.match(text, end):
        steps.append(_tail_step(tail))
        end = tail.end()
    is_linked = last is not None and bool(_LINK.fullmatch(text[last.end : match.start()]))
    is_mark = len(steps) == 1 and steps[0][0] in {Step.MARK, Step.CIRCLED}
    if is_mark and not is_linked and not _BEHIND_MARK.match(text, end):
        return None
    law = _law(text, match, last, is_linked=is_linked)
    return Cited(text[match.start() : end], match.start(), end, tuple(steps), law, (), is_linked)


def _first_steps(text: str, match: re.Match[str]) -> list[Stride]:
    if match["article"]:
        number = article_number(match, match.re.groupindex["article"] + 1)
        return [(Step.ARTICLE, number, "")] if number else []
    if match["near"]:
        return _near(text, match)
    if match["each"]:
        return [(Step.EACH_BEFORE if match["each"].startswith("前") else Step.EACH, (), "")]
    if match["circled"]:
        return [(Step.CIRCLED, (circled_number(match["circled"]) or 0,), "")]
    if match["item"] and _NUMBER_OF_LAW.search(text, 0, match.start()):
        return []
    name, step = next(pair for pair in _NUMBERED if match[pair[0]])
    return [(step, (number_of(match[match.re.groupindex[name] + 1]) or 0,), "")]


def _near(text: str, match: re.Match[str]) -> list[Stride]:
    # 以前条, 当該同項 do not exist; 基本項, 日本号 do: a kanji before 本 makes another word.
    before = text[match.start() - 1 : match.start()] if match.start() else ""
    if match["which"] == "本" and re.match("[一-鿿]", before):
        return []
    count = number_of(match["count"]) if match["count"] else 1
    step = {"前": Step.BEFORE, "次": Step.NEXT, "同": Step.SAME, "本": Step.OWN}[match["which"]]
    return [(step, (count or 1,), match["level"])]


def _tail_step(match: re.Match[str]) -> Stride:
    if match["each"]:
        return Step.EACH, (), ""
    if match["circled"]:
        return Step.CIRCLED, (circled_number(match["circled"]) or 0,), ""
    if match["item"] or match["bracket"]:
        name, step = ("item", Step.ITEM) if match["item"] else ("bracket", Step.MARK)
        return step, (number_of(match[match.re.groupindex[name] + 1]) or 0,), ""
    return Step.PARAGRAPH, (number_of(match[1]) or 0,), ""


def _law(text: str, match: re.Match[str], last: Cited | None, *, is_linked: bool) -> str:
    """Return the law that a citation is of: named before it, or carried over from the citation that it is linked to."""
    before = text[: match.start()]
    if match["article"]:
        named = _LAW.search(before[-80:])
        if named and not named["name"].endswith(_NO_LAW):
            return _law_name(named["name"], last)
        if before.endswith("附則"):
            return "附則"
    if last and last.law and (is_linked or (match["near"] and match["which"] == "同")):
        return last.law
    return ""


def _law_name(name: str, last: Cited | None) -> str:
    if _OWN.fullmatch(name):
        return ""
    if name.startswith("同") and last and last.law:
        return last.law
    # Only the long names hold particles: 個人情報の保護に関する法律; before others they are of the sentence.
    if not name.endswith("法律") or "関する" not in name:
        name = re.split("の|に関する|に係る|及び|並びに", name)[-1]
    return name.removeprefix("当該").removeprefix("また").lstrip("・")
