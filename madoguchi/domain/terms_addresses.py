"""Where each sentence of the terms stands, and how clerks say it: `第12条(3)`, `第４条第２項`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from madoguchi.domain.terms_marks import last_number
from madoguchi.domain.terms_structure import Article, Part, PartKind, Terms

Address = tuple[int, ...]
"""The index of the article, then of the part in it, and so on; empty outside the articles."""

_DELETED: Final = "削除"


@dataclass(frozen=True, slots=True)
class Where:
    """A text with its place. `place`: as clerks say it; `address`: of the part, empty outside the articles."""

    place: str
    address: Address
    text: str


class TermsMap:
    """The terms, to be looked into by address."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms

    def texts(self) -> Iterator[Where]:
        """Go through every sentence that may cite, from top to bottom."""
        for text in self.terms.preamble:
            yield Where("前文", (), text)
        for address in self.addresses():
            if len(address) > 1:
                yield Where(self.place(address), address, self.part(address).text)
        for text in self.terms.supplement:
            yield Where("附則", (), text)

    def addresses(self) -> Iterator[Address]:
        """Go through every article and part, from top to bottom."""
        for index in range(len(self.terms.articles)):
            yield (index,)
            yield from self._below((index,))

    def _below(self, address: Address) -> Iterator[Address]:
        for index in range(len(self.children(address))):
            yield (*address, index)
            yield from self._below((*address, index))

    def article(self, address: Address) -> Article:
        """Return the article that an address is in."""
        return self.terms.articles[address[0]]

    def part(self, address: Address) -> Part:
        """Return the part at an address."""
        part = self.article(address).parts[address[1]]
        for index in address[2:]:
            part = part.parts[index]
        return part

    def children(self, address: Address) -> tuple[Part, ...]:
        """Return what stands under an article or part."""
        return self.article(address).parts if len(address) == 1 else self.part(address).parts

    def find_article(self, number: tuple[int, ...]) -> Address | None:
        """Return where an article is; one of a range that was deleted together is where the range is."""
        for index, article in enumerate(self.terms.articles):
            if article.number == number or article.number < number <= (last_number(article.label) or article.number):
                return (index,)
        return None

    def is_deleted(self, address: Address) -> bool:
        """Tell whether the article's number is kept while its text is gone."""
        parts = self.article(address).parts
        return len(parts) == 1 and not parts[0].parts and "".join(parts[0].text.split()) == _DELETED

    def place(self, address: Address) -> str:
        """Return an address as clerks say it."""
        article = self.article(address)
        said = "".join(article.label.split())
        for depth in range(2, len(address) + 1):
            part = self.part(address[:depth])
            label = "".join(part.label.split())
            if part.kind is PartKind.BULLET:
                said += f"の{address[depth - 1] + 1}番目の「{label}」"
            elif label and not label[0].isdecimal():
                said += label
            elif part.number and (label or len(article.parts) > 1):
                said += f"第{part.number}項" if part.kind is PartKind.PARAGRAPH else f"第{part.number}号"
        return said

    def beginning(self, address: Address, length: int) -> str:
        """Return by what a person knows an article or part again: its caption, or how it begins."""
        if len(address) == 1 and self.article(address).caption:
            return self.article(address).caption
        texts = [self.part(address).text] if len(address) > 1 else []
        texts += [part.text for part in self.children(address)]
        text = next((text for text in texts if text), "")
        return text if len(text) <= length else f"{text[:length]}…"
