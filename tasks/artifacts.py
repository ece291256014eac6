"""Artifacts of a run in the dashboard. In a rehearsal they are kept: it shows one of its own, and no false news."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from prefect.artifacts import acreate_markdown_artifact


@dataclass(frozen=True, slots=True)
class Page:
    """An artifact that a rehearsal did not publish."""

    key: str
    markdown: str


class PreviewShown(Exception):  # noqa: N818 — named by what happened
    """What follows begins with a person's answer: a rehearsal ends here."""


_kept: ContextVar[list[Page] | None] = ContextVar("kept_artifacts", default=None)


async def publish(key: str, markdown: str, description: str) -> None:
    """Publish an artifact under `key`; in a rehearsal keep it for the rehearsal's report."""
    pages = _kept.get()
    if pages is not None:
        pages.append(Page(key, markdown))
        return
    await acreate_markdown_artifact(key=key, markdown=markdown, description=description)


def are_kept() -> bool:
    """Tell whether artifacts are kept, because this is a rehearsal."""
    return _kept.get() is not None


@contextmanager
def kept_artifacts() -> Iterator[list[Page]]:
    """Keep the artifacts of what runs inside the block, and of nothing beside it."""
    pages: list[Page] = []
    token = _kept.set(pages)
    try:
        yield pages
    finally:
        _kept.reset(token)
