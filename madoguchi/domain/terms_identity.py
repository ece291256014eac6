"""Which article or part of the new text is which one of the old, by the alignment that the comparison shows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from madoguchi.domain.terms_addresses import Address, TermsMap
from madoguchi.domain.terms_alignment import Level, Node, align, nodes_of

_SHORTEST: Final = 8
"""Characters of a part that is known again when it has gone to another article."""


class Identity:
    """The pairs of addresses of two texts, in both directions."""

    def __init__(self, old: TermsMap, new: TermsMap) -> None:
        self._heirs: dict[Address, list[Address]] = {}
        self._origins: dict[Address, list[Address]] = {}
        olds, news = _addressed(old), _addressed(new)
        self._pair(list(olds.values()), list(news.values()), _inverse(olds), _inverse(news))
        self._pair_moved(olds, news)

    def heirs(self, address: Address) -> tuple[Address, ...]:
        """Return where an article or part of the old text is in the new; empty when it is gone."""
        return tuple(self._heirs.get(address, ()))

    def origins(self, address: Address) -> tuple[Address, ...]:
        """Return what an article or part of the new text was in the old; empty when it is new."""
        return tuple(self._origins.get(address, ()))

    def _pair(
        self, olds: Sequence[Node], news: Sequence[Node], was: dict[int, Address], now: dict[int, Address]
    ) -> None:
        tops = [node for node in olds if len(was[id(node)]) == 1], [node for node in news if len(now[id(node)]) == 1]
        waiting = [tops]
        while waiting:
            left, right = waiting.pop()
            for match in align(left, right):
                for old in match.olds:
                    for new in match.news:
                        self._add(was[id(old)], now[id(new)])
                under = (
                    [child for old in match.olds for child in old.children],
                    [child for new in match.news for child in new.children],
                )
                if under[0] and under[1]:
                    waiting.append(under)

    def _pair_moved(self, olds: dict[Address, Node], news: dict[Address, Node]) -> None:
        """Pair what is left when its wording stands once elsewhere: a paragraph that went to another article."""
        free = {address: node for address, node in news.items() if address not in self._origins}
        for address, node in olds.items():
            if address in self._heirs or len(node.own) < _SHORTEST or node.level is Level.ARTICLE:
                continue
            same = [other for other, candidate in free.items() if candidate.own == node.own]
            if len(same) == 1:
                self._add(address, same[0])

    def _add(self, old: Address, new: Address) -> None:
        self._heirs.setdefault(old, []).append(new)
        self._origins.setdefault(new, []).append(old)


def _addressed(terms: TermsMap) -> dict[Address, Node]:
    """Return the nodes of the alignment by address; both go through the text from top to bottom."""
    articles = [node for node in nodes_of(terms.terms) if node.level is Level.ARTICLE]
    nodes = [line for article in articles for line in article.lines()]
    return dict(zip(terms.addresses(), nodes, strict=True))


def _inverse(nodes: dict[Address, Node]) -> dict[int, Address]:
    return {id(node): address for address, node in nodes.items()}
