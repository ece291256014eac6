"""Which part of a new text of the terms comes from which part of the old one. Pure.

Both texts become trees of nodes; among the children of two nodes that belong together the same is asked again. Numbers
help, but content decides: an article keeps its identity when another one is put in before it. All of it gives the same
pairs when old and new change places, so that what was added in one direction was removed in the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import chain, count
from typing import Final

from madoguchi.domain.terms_structure import Article, Part, PartKind, Terms
from madoguchi.domain.terms_underline import folded

DELETED: Final = "削除"
"""The whole text of an article that is gone while its number stays."""

WIDE: Final = str.maketrans("0123456789", "０１２３４５６７８９")

_STRONG: Final = 0.6
_OUT_OF_ORDER: Final = 0.75
_WEAK: Final = 0.4
_HALF: Final = 0.6
_SHORTEST_HALF: Final = 6


class Level(StrEnum):
    """What a line of the terms is."""

    TITLE = "title"
    PREAMBLE = "preamble"
    CHAPTER = "chapter"
    ARTICLE = "article"
    PARAGRAPH = "paragraph"
    ITEM = "item"
    SUBITEM = "subitem"
    BULLET = "bullet"
    SUPPLEMENT = "supplement"
    CLOSING = "closing"
    SIGNATORY = "signatory"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A line of the terms with what is set under it.

    `mark`: as written, `第10 条`, `(4）`, empty where there is none. `text`: of the line itself; of an article, its
    caption. `place`: how clerks cite it, `第６条(1)①`. `name`: the end of that, as a list of omitted parts says it.
    `position`: of the line in the whole text. `key`: the wording of the line and all under it, without its own mark.
    """

    level: Level
    depth: int
    mark: str
    number: tuple[int, ...] | None
    text: str
    place: str
    name: str
    position: int
    children: tuple[Node, ...] = ()
    article: Article | None = None
    key: str = ""
    own: str = ""
    grams: Counter[str] = field(default_factory=Counter)
    own_grams: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[Node]:
        """Go through this line and all under it, from top to bottom."""
        yield self
        for child in self.children:
            yield from child.lines()


@dataclass(frozen=True, slots=True)
class Match:
    """Old nodes and the new ones they became. One of the sides may be empty; two on one side: split or joined.

    `is_moved`: it stands in another order among its neighbours than before.
    """

    olds: tuple[Node, ...]
    news: tuple[Node, ...]
    is_moved: bool = False


def nodes_of(terms: Terms) -> tuple[Node, ...]:
    """Return the terms as nodes, from title to signatory; what is empty is left out."""
    at = count()
    plain = chain(
        [(Level.TITLE, "題名", terms.title)],
        _numbered(Level.PREAMBLE, "前文", "段", terms.preamble),
    )
    last = chain(
        _numbered(Level.SUPPLEMENT, "附則", "項", terms.supplement),
        [(Level.CLOSING, "日付", terms.closing), (Level.SIGNATORY, "署名", terms.signatory)],
    )
    nodes = [_line(level, name, text, next(at)) for level, name, text in plain if text]
    for article in terms.articles:
        nodes += [_line(Level.CHAPTER, text.split()[0], text, next(at)) for text in article.headings if text.strip()]
        nodes.append(_article(article, at))
    return (*nodes, *(_line(level, name, text, next(at)) for level, name, text in last if text))


def likeness(old: Node, new: Node) -> float:
    """Return how much two nodes have in common, 0 to 1; 1 only for the same wording."""
    if old.key == new.key:
        return 1.0
    body = _dice(old.grams, new.grams)
    if old.level is Level.ARTICLE:
        named = 0.4 if old.own and old.own == new.own else 0.0
        return min(0.99, max(body, 0.5 * body + named + (0.1 if old.number == new.number else 0.0)))
    return min(0.99, max(body, 0.9 * _dice(old.own_grams, new.own_grams)))


def align(olds: Sequence[Node], news: Sequence[Node]) -> tuple[Match, ...]:
    """Return every node of both rows once: pairs in the order of the new row, removed ones where they stood before."""
    # One direction is worked out, the other is its mirror.
    if [(node.key, node.mark) for node in olds] <= [(node.key, node.mark) for node in news]:
        pairs = _Aligner(olds, news).pairs()
    else:
        mirrored = _Aligner(news, olds).pairs()
        pairs = [(tuple_of_olds, tuple_of_news, moved) for tuple_of_news, tuple_of_olds, moved in mirrored]
    matches = [
        Match(tuple(olds[i] for i in left), tuple(news[j] for j in right), moved) for left, right, moved in pairs
    ]
    return tuple(_in_order(_with_swaps(matches)))


def _with_swaps(matches: list[Match]) -> list[Match]:
    """Say of both that they moved when two changed numbers with each other; by the order alone one of them stayed."""
    numbers = {(m.olds[0].number, m.news[0].number) for m in matches if m.is_moved}
    swapped = {(new, old) for old, new in numbers if old is not None and old != new}
    return [
        replace(m, is_moved=True) if m.olds and m.news and (m.olds[0].number, m.news[0].number) in swapped else m
        for m in matches
    ]


def _in_order(matches: list[Match]) -> list[Match]:
    ordered = sorted((match for match in matches if match.news), key=lambda match: match.news[0].position)
    for match in sorted((match for match in matches if not match.news), key=lambda match: match.olds[0].position):
        here = match.olds[0].position
        after = [n for n, m in enumerate(ordered) if m.olds and not m.is_moved and m.olds[0].position < here]
        ordered.insert(after[-1] + 1 if after else 0, match)
    return ordered


class _Aligner:
    """The pairs of two rows of siblings, by index, in steps that only add."""

    def __init__(self, olds: Sequence[Node], news: Sequence[Node]) -> None:
        self._olds, self._news = olds, news
        self._pairs: dict[int, int] = {}
        self._moved: set[int] = set()
        self._more_olds: dict[int, list[int]] = {}
        self._more_news: dict[int, list[int]] = {}

    def pairs(self) -> list[tuple[tuple[int, ...], tuple[int, ...], bool]]:
        self._take_equal()
        self._take_alike()
        self._find_moved()
        self._fill_gaps(by_number=False)
        self._take_halves()
        self._fill_gaps(by_number=True)
        found = [
            (
                tuple(sorted([i, *self._more_olds.get(i, ())])),
                tuple(sorted([j, *self._more_news.get(i, ())])),
                i in self._moved,
            )
            for i, j in sorted(self._pairs.items())
        ]
        return [
            *found,
            *(((i,), (), False) for i in self._free_olds()),
            *(((), (j,), False) for j in self._free_news()),
        ]

    def _free_olds(self) -> list[int]:
        taken = {*self._pairs, *chain.from_iterable(self._more_olds.values())}
        return [i for i in range(len(self._olds)) if i not in taken]

    def _free_news(self) -> list[int]:
        taken = {*self._pairs.values(), *chain.from_iterable(self._more_news.values())}
        return [j for j in range(len(self._news)) if j not in taken]

    def _take_equal(self) -> None:
        matcher = SequenceMatcher(None, list(map(_identity, self._olds)), list(map(_identity, self._news)), False)
        for i, j, size in matcher.get_matching_blocks():
            self._pairs |= zip(range(i, i + size), range(j, j + size), strict=True)

    def _take_alike(self) -> None:
        candidates = sorted(
            (-score, abs(i - j), i, j)
            for i in self._free_olds()
            for j in self._free_news()
            if self._may_pair(i, j) and (score := likeness(self._olds[i], self._news[j])) >= _STRONG
        )
        for score, _, i, j in candidates:
            if i in self._pairs or j in self._pairs.values():
                continue
            if -score >= _OUT_OF_ORDER or all((a < i) == (b < j) for a, b in self._pairs.items()):
                self._pairs[i] = j

    def _find_moved(self) -> None:
        """Mark what has to be taken out so that the rest stands in one order: as little text as possible."""
        rows = sorted(self._pairs.items())
        best: list[tuple[int, int]] = []  # of the chain that ends here: its weight, the row before
        for here, (i, j) in enumerate(rows):
            before = max(((best[n][0], -n) for n in range(here) if rows[n][1] < j), default=(0, 1))
            best.append((before[0] + len(self._olds[i].key) + 1, -before[1]))
        at = max(range(len(rows)), key=lambda n: best[n][0], default=-1)
        kept = set()
        while at >= 0:
            kept.add(rows[at][0])
            at = best[at][1]
        self._moved = set(self._pairs) - kept

    def _fill_gaps(self, *, by_number: bool) -> None:
        candidates = []
        for i in self._free_olds():
            for j in self._free_news():
                if not self._may_pair(i, j):
                    continue
                old, new = self._olds[i], self._news[j]
                score = likeness(old, new)
                if score >= _WEAK or (by_number and _same_seat(old, new)):
                    seat = 0.15 if old.number is not None and old.number == new.number else 0.0
                    candidates.append((-score - seat, abs(i - j), i, j))
        for _, _, i, j in sorted(candidates):
            if i not in self._pairs and j not in self._pairs.values() and self._keeps_order(i, j):
                self._pairs[i] = j

    def _keeps_order(self, i: int, j: int) -> bool:
        return all((a < i) == (b < j) for a, b in self._pairs.items() if a not in self._moved)

    def _may_pair(self, i: int, j: int) -> bool:
        old, new = self._olds[i].level, self._news[j].level
        return old is new or (old in _PARTS and new in _PARTS)

    def _take_halves(self) -> None:
        for i, j in sorted(self._pairs.items()):
            if self._olds[i].level is Level.ARTICLE or self._olds[i].key == self._news[j].key:
                continue
            self._more_news[i] = _halves(self._olds[i], self._news, j, self._free_news())
            if not self._more_news[i]:
                self._more_olds[i] = _halves(self._news[j], self._olds, i, self._free_olds())


_PARTS: Final = frozenset({Level.PARAGRAPH, Level.ITEM, Level.SUBITEM, Level.BULLET})


def _halves(source: Node, row: Sequence[Node], known: int, free: list[int]) -> list[int]:
    """Return which neighbours of `row[known]` are, with it, what `source` was: each made of what the others leave."""
    rest = source.own_grams - row[known].own_grams
    found: list[int] = []
    for step in (1, -1):
        at = known + step
        while at in free and row[at].level is row[known].level and len(row[at].own) >= _SHORTEST_HALF:
            grams = row[at].own_grams
            if (grams & rest).total() < _HALF * grams.total():
                break
            rest = rest - grams
            found.append(at)
            at += step
    return found


def _identity(node: Node) -> tuple[str, str, tuple[int, ...] | None]:
    kind = "part" if node.level in _PARTS else node.level.value
    body = node.key
    # Two deleted articles are the same only by their number.
    return kind, body, node.number if body in {"", DELETED} else None


def _same_seat(old: Node, new: Node) -> bool:
    """Tell whether one stands where the other stood, whatever they say."""
    if old.level is Level.ARTICLE:
        return old.number == new.number and (is_deleted(old) or is_deleted(new))
    return old.level is new.level and old.number == new.number


def is_deleted(node: Node) -> bool:
    """Tell whether an article's number is kept while its text is gone (削除, not 削る)."""
    return node.level is Level.ARTICLE and "".join(child.key for child in node.children) == DELETED


def _dice(left: Counter[str], right: Counter[str]) -> float:
    total = left.total() + right.total()
    return 2 * (left & right).total() / total if total else 0.0


def _grams(text: str) -> Counter[str]:
    return (
        Counter(text[at : at + 2] for at in range(len(text) - 1)) if len(text) > 1 else Counter([text] if text else [])
    )


def _numbered(level: Level, name: str, unit: str, texts: tuple[str, ...]) -> Iterator[tuple[Level, str, str]]:
    for number, text in enumerate(texts, 1):
        yield level, f"{name}第{number}{unit}".translate(WIDE) if len(texts) > 1 else name, text


def _line(level: Level, name: str, text: str, position: int) -> Node:
    return _keyed(Node(level, 0, "", None, text, name, name, position), text)


def _article(article: Article, at: Iterator[int]) -> Node:
    label = "".join(article.label.split())
    position = next(at)
    several = len(article.parts) > 1
    children = tuple(
        _part(part, 0, label, f"第{part.number}項".translate(WIDE) if several and part.number else "", at)
        for part in article.parts
    )
    # The article's line is its number and caption; what its paragraphs say stands under it.
    node = Node(
        Level.ARTICLE, 0, article.label, article.number, article.caption, label, label, position, children, article
    )
    return _keyed(node, article.caption)


def _part(part: Part, depth: int, above: str, unnumbered: str, at: Iterator[int]) -> Node:
    mark = folded(part.label) and "".join(part.label.split())
    name = mark or unnumbered
    place = above + name
    position = next(at)
    children = tuple(_part(child, depth + 1, place, "", at) for child in part.parts)
    number = None if part.number is None or part.kind is PartKind.BULLET else (part.number,)
    return _keyed(
        Node(Level(part.kind.value), depth, part.label, number, part.text, place, name, position, children), part.text
    )


def _keyed(node: Node, text: str) -> Node:
    own = folded(text)
    below = [folded(child.mark) + child.key for child in node.children]
    # The grams of an article are of what it says: captions are compared as a whole.
    body = "".join(child.key for child in node.children) if node.level is Level.ARTICLE else "".join([own, *below])
    return replace(node, own=own, key="\n".join([own, *below]), grams=_grams(body), own_grams=_grams(own))
