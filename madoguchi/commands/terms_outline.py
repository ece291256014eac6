"""The outline of terms for a terminal: article by article with caption and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from madoguchi.commands.columns import columns
from madoguchi.domain.terms_structure import Article, Part, PartKind, Terms

_KINDS = (PartKind.PARAGRAPH, PartKind.ITEM, PartKind.SUBITEM, PartKind.BULLET)
_HEAD = ("article", "caption", "paragraphs", "items", "sub-items", "bullets", "characters")


def outline(terms: Terms) -> dict[str, Any]:
    """Return title, articles with their counts, and what stands around them; `characters`: of the sentences."""
    return {
        "title": terms.title,
        "preamble_paragraphs": len(terms.preamble),
        "articles": [
            {
                "label": _label(article),
                "caption": article.caption,
                **{f"{kind.value}s": count for kind, count in _counts(article).items()},
                "characters": sum(len(part.text) for part in _parts(article.parts)),
            }
            for article in terms.articles
        ],
        "supplement_paragraphs": len(terms.supplement),
        "closed_on": terms.closed_on.isoformat() if terms.closed_on else None,
        "signatory": terms.signatory,
    }


def structure(terms: Terms) -> dict[str, Any]:
    """Return everything that the terms are made of, in the order of the text; kinds and dates as words."""
    return asdict(terms) | {"closed_on": terms.closed_on.isoformat() if terms.closed_on else None}


def summary(terms: Terms) -> str:
    """Return in one line what the terms are made of."""
    counts: Counter[PartKind] = Counter()
    for article in terms.articles:
        counts.update(_counts(article))
    words = {PartKind.SUBITEM: "sub-items"}
    parts = [f"{counts[kind]} {words.get(kind, f'{kind.value}s')}" for kind in _KINDS]
    return ", ".join([f"{len(terms.articles)} articles", *parts])


def outline_lines(terms: Terms) -> list[str]:
    """Return the outline as lines of a table; columns in which nothing stands are left out."""
    rows: list[Sequence[str]] = [_HEAD]
    for article in terms.articles:
        counts = _counts(article)
        rows.append(
            (
                _label(article),
                article.caption or "-",
                *(str(counts[kind] or "-") for kind in _KINDS),
                str(sum(len(part.text) for part in _parts(article.parts))),
            )
        )
    shown = [at for at in range(len(_HEAD)) if any(row[at] != "-" for row in rows[1:])]
    picked = [[row[at] for at in shown] for row in rows]
    numbers = frozenset(place for place, at in enumerate(shown) if at > 1)
    lines = [terms.title] if terms.title else []
    if terms.preamble:
        lines.append(f"preamble: {_paragraphs(len(terms.preamble))}")
    lines += columns(picked, right=numbers)
    if terms.supplement:
        lines.append(f"supplement: {_paragraphs(len(terms.supplement))}")
    if terms.closing:
        lines.append(f"closed: {terms.closed_on or terms.closing}  {terms.signatory}".rstrip())
    return lines


def _paragraphs(count: int) -> str:
    return f"{count} paragraph{'' if count == 1 else 's'}"


def _label(article: Article) -> str:
    return "".join(article.label.split())


def _counts(article: Article) -> dict[PartKind, int]:
    found = Counter(part.kind for part in _parts(article.parts))
    return {kind: found[kind] for kind in _KINDS}


def _parts(parts: Sequence[Part]) -> Iterator[Part]:
    for part in parts:
        yield part
        yield from _parts(part.parts)
