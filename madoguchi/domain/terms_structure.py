"""What terms of use are made of: articles, paragraphs, items, sub-items, bullets. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum


class PartKind(StrEnum):
    """What a numbered or marked part of an article is, by its mark."""

    PARAGRAPH = "paragraph"
    """A paragraph (項): unnumbered text, or `(1)` in an article that says nothing before it."""
    ITEM = "item"
    """An item (号): `(1)` under a paragraph that speaks before it."""
    SUBITEM = "subitem"
    """`①` under a paragraph or item."""
    BULLET = "bullet"
    """`・` under a paragraph, item or sub-item: has no number, so nothing can cite it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an article.

    `label`: the mark as it is written, mixed widths and all (`(4）`, `①`, `・`); empty where there is none.
    `number`: its value; None for bullets, and 1, 2, … for unnumbered paragraphs. `text`: its sentences in one line,
    unwrapped, without the mark. `parts`: what is set under it, in order. `gap`: the blank between mark and text as it
    is written, a line end where the text begins on the next line; it never makes two parts different.

    An unnumbered paragraph behind numbered ones has no number either: nobody can cite it.
    """

    kind: PartKind
    label: str
    number: int | None
    text: str
    parts: tuple[Part, ...] = ()
    gap: str = field(default=" ", compare=False)


@dataclass(frozen=True, slots=True)
class Article:
    """An article. `label`: as written (`第１条`, `第10 条`, `第５条の２`); `number`: (1,), (10,), (5, 2).

    `caption`: what stands in brackets before it, without the brackets; empty where there is none.
    `parts`: its paragraphs, in order; an article that was deleted but keeps its number has one that says so.
    `headings`: the chapter and section headings (`第２章　総則`) that stand before it, as written.
    `layout`: how label and caption are set, with `{label}` and `{caption}` in it, brackets and blanks as written; empty
    means caption, line end, label. It never makes two articles different.
    """

    label: str
    number: tuple[int, ...]
    caption: str
    parts: tuple[Part, ...]
    headings: tuple[str, ...] = ()
    layout: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Terms:
    """A whole text. `closed_on`: the date under it; None where it is none that can be read. `closing`: as written.

    `title`: the lines above the preamble as they are written, joined without the break. `supplement`: 附則, paragraph
    by paragraph, where there is any. `supplement_heading`: how the word 附則 is spaced; no difference in content.
    """

    title: str
    preamble: tuple[str, ...]
    articles: tuple[Article, ...]
    supplement: tuple[str, ...] = ()
    closing: str = ""
    closed_on: date | None = None
    signatory: str = ""
    supplement_heading: str = field(default="附則", compare=False)
