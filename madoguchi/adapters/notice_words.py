"""What the templates may say of a notice about the terms: public words in lines for text, in paragraphs for HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, Final

from madoguchi.domain import wording
from madoguchi.domain.amendment import AmendedContext, WithdrawnContext
from madoguchi.domain.office import JST
from madoguchi.domain.terms_comparison_text import wrap

_LABEL: Final = re.compile(
    r"[●※・【〇○]|（略）|[（(]?[0-9０-９]{1,2}[）)．.]?[ 　]|[（(][0-9０-９ア-ン]{1,2}[）)]|[①-⑳]|[ア-ン][ 　]"
    r"|第[0-9０-９]+条"
)
_PAUSED: Final = frozenset("。．」）)")
_SIGNS: Final = re.compile("変わるところを(.) (.)で")


@dataclass(frozen=True, slots=True)
class Block:
    """One article: what it is called, and its paragraphs, each as pieces of text that are marked or not."""

    title: str
    paragraphs: tuple[tuple[tuple[str, bool], ...], ...]


def amended(context: AmendedContext) -> dict[str, Any]:
    """Return what is said of an amendment."""
    content = context.content
    local = content.effective_at.astimezone(JST)
    return {
        "ground": str(content.ground),
        "effective_on": wording.long_date(local.date()),
        "effective_short": _short(local.date()),
        # At midnight the day says all.
        "effective_time": "" if local.time() == time() else wording.long_time(local),
        "enacted_on": wording.long_date(content.enacted_on) if content.enacted_on else "",
        "summary": wrap(content.summary),
        "summary_paragraphs": _given_lines(content.summary),
        "reason": wrap(content.reason),
        "reason_paragraphs": _given_lines(content.reason),
        "full_text_url": content.full_text_url,
        "comparison_url": content.comparison_url,
        "changed_text": content.changed_text,
        "changed_blocks": blocks(content.changed_text),
        "comparison_text": content.comparison_text,
        "comparison_blocks": blocks(content.comparison_text),
    }


def withdrawn(context: WithdrawnContext) -> dict[str, Any]:
    """Return what is said of a withdrawal."""
    announced: datetime | None = context.content.announced_at
    return amended(context) | {
        "announced_on": wording.long_date(announced.astimezone(JST).date()) if announced else "",
    }


@lru_cache(maxsize=16)  # the same for everybody; putting long lines together again takes its time
def blocks(text: str) -> tuple[Block, ...]:
    """Return a text of `terms_comparison_text` article by article, its lines put together again.

    Lines of thirty characters that a telephone breaks once more are hard to read; HTML breaks lines itself. What stands
    in the signs that the first lines explain is marked. Empty for an empty text.
    """
    found = []
    for part in text.split("\n\n") if text else ():
        lines = list(paragraphs(part))
        title = lines.pop(0).removeprefix("●").strip() if lines[0].startswith("●") else ""
        found.append(Block(title, tuple(_pieces(line, _mark_signs(text)) for line in lines)))
    return tuple(found)


def paragraphs(text: str) -> Iterator[str]:
    """Undo `wrap`: join a line to the one before it where `wrap` would have broken exactly there."""
    whole, broken = "", [""]
    for line in text.split("\n"):
        joined = next(
            (each for each in _joined(whole, line) if whole and wrap(each).split("\n") == [*broken, line]), ""
        )
        begins_anew = _LABEL.match(line) and whole[-1:] in _PAUSED
        if joined and not begins_anew:
            whole, broken = joined, [*broken, line]
            continue
        if whole:
            yield whole
        whole, broken = line, [line]
    if whole:
        yield whole


def _joined(whole: str, line: str) -> tuple[str, str]:
    # A blank at which a line ended is gone.
    return whole + line, f"{whole} {line}"


def _given_lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _mark_signs(text: str) -> re.Pattern[str] | None:
    explained = _SIGNS.search(text)
    if explained is None:
        return None
    begin, end = (re.escape(sign) for sign in explained.groups())
    return re.compile(f"({begin}[^{end}]*{end})")


def _pieces(line: str, signs: re.Pattern[str] | None) -> tuple[tuple[str, bool], ...]:
    if signs is None:
        return ((line, False),)
    return tuple((piece, number % 2 == 1) for number, piece in enumerate(signs.split(line)) if piece)


def _short(day: date) -> str:
    return f"{wording.era_year(day)}{day.month}月{day.day}日"
