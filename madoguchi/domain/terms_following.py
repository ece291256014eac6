"""From a citation to what it means, from where it stands: 前項 is another one in every paragraph. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from madoguchi.domain.terms_addresses import Address, TermsMap
from madoguchi.domain.terms_citation_finding import Cited, Step, Stride
from madoguchi.domain.terms_numbers import circled_number
from madoguchi.domain.terms_structure import Part, PartKind

_NEAR: Final = frozenset({Step.BEFORE, Step.NEXT, Step.SAME, Step.OWN})


@dataclass(frozen=True, slots=True)
class Followed:
    """What a citation means; `trouble` is the code of why it means nothing."""

    addresses: tuple[Address, ...]
    trouble: str = ""


class _Nowhere(Exception):  # noqa: N818 — it is caught in this module and means that a citation leads nowhere
    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


def follow(terms: TermsMap, cited: Cited, stands_at: Address, last: Followed | None) -> Followed:
    """Return what a citation of the terms themselves means. `last`: what the one before it in the sentence meant."""
    antecedent = last.addresses[-1] if last and last.addresses else ()
    walk = _Walk(terms, stands_at, antecedent)
    try:
        found = walk.go(cited.steps, carried=antecedent if cited.is_linked else ())
        if cited.until:
            end = walk.go(cited.until, carried=found[0])
            found = _between(terms, found[0], end[-1])
    except _Nowhere as nowhere:
        return Followed((), nowhere.code)
    if len(found) == 1 and terms.is_deleted(found[0]) and found[0][:1] != stands_at[:1]:
        return Followed(found, "DELETED_ARTICLE")
    return Followed(found)


def _between(terms: TermsMap, first: Address, last: Address) -> tuple[Address, ...]:
    if first[:-1] != last[:-1] or first > last:
        raise _Nowhere("NO_SUCH_PART" if len(first) > 1 else "NO_SUCH_ARTICLE")
    found = tuple((*first[:-1], index) for index in range(first[-1], last[-1] + 1))
    return tuple(address for address in found if len(address) > 1 or not terms.is_deleted(address))


class _Walk:
    """The steps of one citation, taken from where it stands."""

    def __init__(self, terms: TermsMap, stands_at: Address, antecedent: Address) -> None:
        self._terms, self._here, self._antecedent = terms, stands_at, antecedent

    def go(self, steps: tuple[Stride, ...], carried: Address) -> tuple[Address, ...]:
        """Take all steps. `carried`: of `第３条第１項及び第３項` the 第３条 that the second one leaves out."""
        first = steps[0][0]
        if carried and first in {Step.PARAGRAPH, Step.ITEM, Step.MARK, Step.CIRCLED}:
            for end in range(len(carried) - 1, 0, -1):
                try:
                    return self._all(steps, carried[:end])
                except _Nowhere:
                    continue
        return self._all(steps, ())

    def _all(self, steps: tuple[Stride, ...], at: Address) -> tuple[Address, ...]:
        found: tuple[Address, ...] = (at,) if at else ()
        for stride in steps:
            found = self._one(stride, found[0] if found else ())
        return found

    def _one(self, stride: Stride, at: Address) -> tuple[Address, ...]:
        step, number, level = stride
        if step is Step.ARTICLE:
            article = self._terms.find_article(number)
            if article is None:
                raise _Nowhere("NO_SUCH_ARTICLE")
            return (article,)
        if step in _NEAR:
            return self._near(step, number[0], level)
        if step is Step.EACH:
            return self._each(at)
        if step is Step.EACH_BEFORE:
            item = self._own("号")
            return self._checked(tuple((*item[:-1], index) for index in range(item[-1])))
        if step is Step.PARAGRAPH:
            return self._paragraph(number[0], at)
        return self._marked(step, number[0], at)

    def _paragraph(self, number: int, at: Address) -> tuple[Address, ...]:
        article = (at or self._here)[:1]
        if not article:
            raise _Nowhere("NO_SUCH_PART")
        parts = self._terms.article(article).parts
        return self._checked(tuple((*article, n) for n, part in enumerate(parts) if part.number == number)[:1])

    def _marked(self, step: Step, number: int, at: Address) -> tuple[Address, ...]:
        """Follow `第２号`, `(2)` or `②`: under what was named, or else in what is nearest around the sentence."""
        fits = {Step.ITEM: _is_item, Step.MARK: _has_brackets, Step.CIRCLED: _is_circled}[step]
        if at:
            return self._checked(self._under(at, number, fits, deep=step is not Step.CIRCLED or len(at) == 1))
        for end in range(len(self._here), 0, -1):
            if found := self._under(self._here[:end], number, fits, deep=end == 1):
                return found
        raise _Nowhere("NO_SUCH_PART")

    def _under(self, at: Address, number: int, fits: Callable[[Part], bool], *, deep: bool) -> tuple[Address, ...]:
        children = self._terms.children(at)
        for index, part in enumerate(children):
            if part.number == number and fits(part):
                return ((*at, index),)
        if deep:
            for index in range(len(children)):
                if found := self._under((*at, index), number, fits, deep=True):
                    return found
        # Offices call (2) an item also where it is a paragraph.
        return self._under(at, number, _has_brackets, deep=False) if fits is _is_item else ()

    def _near(self, step: Step, count: int, level: str) -> tuple[Address, ...]:
        if step is Step.SAME:
            depth = {"条": 1, "項": 2, "号": 3}[level]
            if len(self._antecedent) < depth:
                raise _Nowhere("NO_ANTECEDENT")
            return (self._antecedent[:depth],)
        own = self._own(level)
        if step is Step.OWN:
            return (own,)
        siblings = len(self._terms.terms.articles) if level == "条" else len(self._terms.children(own[:-1]))
        wanted = range(own[-1] + 1, own[-1] + 1 + count) if step is Step.NEXT else range(own[-1] - count, own[-1])
        if not wanted or wanted[0] < 0 or wanted[-1] >= siblings:
            raise _Nowhere("NO_SUCH_ARTICLE" if level == "条" else "NO_SUCH_PART")
        return tuple((*own[:-1], index) for index in wanted)

    def _own(self, level: str) -> Address:
        """Return the article, paragraph or item that the sentence itself stands in."""
        code = "NO_SUCH_ARTICLE" if level == "条" else "NO_SUCH_PART"
        if not self._here:
            raise _Nowhere(code)
        if level == "条":
            return self._here[:1]
        if level == "項":
            return self._here[:2]
        for end in range(3, len(self._here) + 1):
            if self._terms.part(self._here[:end]).kind is not PartKind.BULLET:
                return self._here[:end]
        raise _Nowhere(code)

    def _each(self, at: Address) -> tuple[Address, ...]:
        if not at and not self._here:
            raise _Nowhere("NO_SUCH_PART")
        paragraph = at or self._here[:2]
        paragraphs = [paragraph]
        if len(paragraph) == 1:
            paragraphs = [(*paragraph, index) for index in range(len(self._terms.children(paragraph)))]
        return self._checked(
            tuple((*one, index) for one in paragraphs for index in range(len(self._terms.children(one))))
        )

    @staticmethod
    def _checked(found: tuple[Address, ...]) -> tuple[Address, ...]:
        if not found:
            raise _Nowhere("NO_SUCH_PART")
        return found


def _is_item(part: Part) -> bool:
    return part.kind is PartKind.ITEM


def _has_brackets(part: Part) -> bool:
    # Of a Markdown list, `2.` is what sentences call (2).
    return part.label[:1] in {"(", "（"} or part.label[-1:] in {".", "．"}


def _is_circled(part: Part) -> bool:
    return circled_number(part.label) is not None
