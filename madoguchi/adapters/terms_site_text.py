"""Terms as their page shows them: an anchor for all that can be cited, and citations as links to their target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from madoguchi.domain.terms_addresses import Address
from madoguchi.domain.terms_citations import Citation, find_citations
from madoguchi.domain.terms_structure import Part, PartKind, Terms

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
    """Return `terms` with anchors and links. An anchor that would stand twice is left out: the first one is meant."""
    anchors = _anchors(terms)
    linking = _Linking(terms, anchors)
    articles = tuple(
        ArticleText(anchors[index,], article.label, article.caption, linking.groups(article.parts, (index,)))
        for index, article in enumerate(terms.articles)
    )
    toc = [Entry(article.anchor, article.label, article.caption) for article in articles if article.anchor]
    if terms.supplement:
        toc.append(Entry("supplement", "附則", ""))
    return FullText(
        title=terms.title,
        preamble=tuple(linking.segments(text, (), "前文") for text in terms.preamble),
        articles=articles,
        supplement=tuple(linking.segments(text, (), "附則") for text in terms.supplement),
        closing=terms.closing,
        signatory=terms.signatory,
        toc=tuple(toc),
    )


def _anchors(terms: Terms) -> dict[Address, str]:
    """Return the anchor of every article and part by where it stands; empty where nothing can cite it."""
    found: dict[Address, str] = {}
    used: set[str] = set()

    def below(parts: Sequence[Part], address: Address, above: str) -> None:
        for index, part in enumerate(parts):
            letter = _LETTERS.get(part.kind)
            anchor = f"{above}{letter}{part.number}" if letter and part.number is not None and above else ""
            found[*address, index] = _unused(anchor, used)
            below(part.parts, (*address, index), found[*address, index] or above)

    for index, article in enumerate(terms.articles):
        found[index,] = _unused(article_anchor(article.number), used)
        below(article.parts, (index,), found[index,])
    return found


class _Linking:
    """Cuts sentences at their citations. Those of one sentence are taken up in their order."""

    def __init__(self, terms: Terms, anchors: Mapping[Address, str]) -> None:
        self._anchors = anchors
        self._cited: dict[tuple[Address, str], list[Citation]] = defaultdict(list)
        for citation in find_citations(terms):
            self._cited[citation.stands_at, "" if citation.stands_at else citation.place].append(citation)

    def groups(self, parts: Sequence[Part], above: Address) -> tuple[Group, ...]:
        numbered = list(enumerate(parts))
        return tuple(
            Group(kind.value, is_list, tuple(self._block(part, (*above, index)) for index, part in neighbours))
            for (kind, is_list), neighbours in groupby(numbered, key=lambda one: (one[1].kind, bool(one[1].label)))
        )

    def _block(self, part: Part, address: Address) -> Block:
        return Block(
            self._anchors[address], part.label, self.segments(part.text, address), self.groups(part.parts, address)
        )

    def segments(self, text: str, stands_at: Address, place: str = "") -> tuple[Segment, ...]:
        found, done, looked = [], 0, 0
        cited = self._cited[stands_at, place]
        # The words of another law may hold those of a citation that comes later: none is looked for behind itself.
        while cited and (at := text.find(cited[0].cited, looked)) >= 0:
            citation = cited.pop(0)
            looked = at + len(citation.cited)
            target = self._target(citation)
            if target:
                found += [Segment(text[done:at]), Segment(citation.cited, target)]
                done = looked
        return tuple(segment for segment in (*found, Segment(text[done:])) if segment.text)

    def _target(self, citation: Citation) -> str:
        """Return where a citation leads; of several the first. Empty for other laws, and for what leads nowhere."""
        return next((self._anchors.get(address, "") for address in citation.addresses), "")


def _unused(anchor: str, used: set[str]) -> str:
    if anchor in used:
        return ""
    used.add(anchor)
    return anchor
