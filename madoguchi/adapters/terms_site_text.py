"""Terms as their page shows them: an anchor for all that can be cited, and citations as links to their target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from madoguchi.domain.terms_structure import Article, Part, PartKind, Terms

_LETTERS: Final = {PartKind.PARAGRAPH: "p", PartKind.ITEM: "i", PartKind.SUBITEM: "s"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a sentence; `target`: the anchor it leads to, empty for plain words."""

    text: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of an article. `anchor` is empty for bullets: nothing can cite them."""

    anchor: str
    label: str
    segments: tuple[Segment, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbours of one kind. `is_list`: they carry marks and stand as a list."""

    kind: str
    is_list: bool
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ArticleText:
    """An article."""

    anchor: str
    label: str
    caption: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the table of contents."""

    anchor: str
    label: str
    caption: str


@dataclass(frozen=True, slots=True)
class FullText:
    """A whole text, ready to be shown."""

    title: str
    preamble: tuple[tuple[Segment, ...], ...]
    articles: tuple[ArticleText, ...]
    supplement: tuple[tuple[Segment, ...], ...]
    closing: str
    signatory: str
    toc: tuple[Entry, ...]


def article_anchor(number: Sequence[int]) -> str:
    """Return the anchor of an article: `a12`, and `a5_2` for 第５条の２."""
    return "a" + "_".join(map(str, number))


def full_text(terms: Terms) -> FullText:
    """Return `terms` with anchors. One that would stand twice is left out the second time: the first is meant."""
    used: set[str] = set()
    articles = tuple(_article(article, used) for article in terms.articles)
    toc = [Entry(article.anchor, article.label, article.caption) for article in articles if article.anchor]
    if terms.supplement:
        toc.append(Entry("supplement", "附則", ""))
    return FullText(
        title=terms.title,
        preamble=tuple(_segments(text) for text in terms.preamble),
        articles=articles,
        supplement=tuple(_segments(text) for text in terms.supplement),
        closing=terms.closing,
        signatory=terms.signatory,
        toc=tuple(toc),
    )


def _article(article: Article, used: set[str]) -> ArticleText:
    anchor = _unused(article_anchor(article.number), used)
    return ArticleText(anchor, article.label, article.caption, _groups(article.parts, anchor, used))


def _groups(parts: Sequence[Part], above: str, used: set[str]) -> tuple[Group, ...]:
    return tuple(
        Group(kind.value, is_list, tuple(_block(part, above, used) for part in neighbours))
        for (kind, is_list), neighbours in groupby(parts, key=lambda part: (part.kind, bool(part.label)))
    )


def _block(part: Part, above: str, used: set[str]) -> Block:
    letter = _LETTERS.get(part.kind)
    anchor = _unused(f"{above}{letter}{part.number}", used) if letter and part.number is not None and above else ""
    return Block(anchor, part.label, _segments(part.text), _groups(part.parts, anchor or above, used))


def _segments(text: str) -> tuple[Segment, ...]:
    return (Segment(text),)


def _unused(anchor: str, used: set[str]) -> str:
    if anchor in used:
        return ""
    used.add(anchor)
    return anchor
