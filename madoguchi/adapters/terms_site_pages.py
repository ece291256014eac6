"""The pages of the public site of the terms, as bytes: the same content gives the same bytes. Writes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError
from markupsafe import Markup, escape

from madoguchi.adapters.terms_site_text import full_text
from madoguchi.domain.office import JST
from madoguchi.domain.terms_publication import (
    GROUND_SENTENCES,
    PublishedAmendment,
    SiteContent,
    VersionState,
    amendment_url,
    day_of,
    last_day_before,
)
from madoguchi.domain.wording import long_date

STYLE: Final = "style.css"
NOT_FOUND: Final = "404.html"
FEED: Final = "feed.atom"
_FOLDER: Final = Path("web", "terms")
_STYLES: Final = ("style.css", "_comparison.css")
# Neither HTML nor XML may hold these; the bidirectional ones let a line read differently from what it says.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
    + "]"
)


class SiteTemplateError(Exception):
    """A template of the site is missing or wrong; the text names it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of the feed."""

    id: str
    url: str
    title: str
    summary: str
    published: datetime
    updated: datetime


def render_site(content: SiteContent, templates_dir: Path) -> dict[str, bytes]:
    """Return every file of the site by its path below the root, `versions/2026-10-01/index.html`.

    `templates_dir`: the folder with `web/terms/` in it. Raises SiteTemplateError; nothing of the content goes into it.
    """
    folder = templates_dir / _FOLDER
    templates = _environment(folder)
    current = content.in_force()
    files = {STYLE: _style(folder)}

    def add(path: str, template: str, **values: Any) -> None:
        root = "../" * path.count("/") or "./"
        files[f"{path}index.html"] = _render(templates, template, content, path=path, root=root, **values)

    add(
        "",
        "index.html",
        version=current,
        text=full_text(current.terms) if current else None,
        ends_at=content.ends_at(current) if current else None,
        brought_by=content.amendment_of(current) if current else None,
        upcoming=[one for one in _by_effect(content) if _is_ahead(content, one) and one.withdrawn_at is None],
        withdrawn=[one for one in _by_effect(content) if _is_ahead(content, one) and one.withdrawn_at is not None],
    )
    versions = content.newest_first()
    add("versions/", "versions.html", versions=[(v, content.state(v), _ends_at(content, v)) for v in versions])
    for version in versions:
        add(
            f"versions/{version.code}/",
            "version.html",
            version=version,
            text=full_text(version.terms),
            state=content.state(version),
            ends_at=_ends_at(content, version),
            brought_by=content.amendment_of(version),
        )
    states = {one.code: content.state(content.version(one.code)) for one in content.amendments}
    add("amendments/", "amendments.html", amendments=content.announced(), states=states)
    for one in content.amendments:
        add(
            f"amendments/{one.code}/",
            "amendment.html",
            one=one,
            state=states[one.code],
            ground=GROUND_SENTENCES[one.ground],
            new=content.version(one.code),
            old=content.version(one.old_code),
        )
    # A page that stands for any address cannot know how deep it lies: its links begin at the host.
    public = urlsplit(content.base_url).path.rstrip("/")
    files[NOT_FOUND] = _render(templates, "404.html", content, path=None, root=f"{public}/")
    files[FEED] = _feed(templates, content)
    return files


def _style(folder: Path) -> bytes:
    try:
        return "\n".join((folder / name).read_text(encoding="utf-8").strip() for name in _STYLES).encode() + b"\n"
    except (OSError, UnicodeDecodeError) as error:
        raise SiteTemplateError(f"the styles of the site cannot be read: {type(error).__name__}") from None


def _render(templates: Environment, name: str, content: SiteContent, **values: Any) -> bytes:
    base = content.base_url.rstrip("/")
    try:
        text = templates.get_template(name).render(site=content, base=base, updated=content.updated_at(), **values)
    except TemplateError as error:
        raise SiteTemplateError(f"{name}: {type(error).__name__}: {error.message}") from None
    return (re.sub(r"\n{2,}", "\n", text).strip() + "\n").encode()


def _feed(templates: Environment, content: SiteContent) -> bytes:
    entries = sorted(_entries(content), key=lambda entry: (entry.updated, entry.id), reverse=True)
    earliest = min((version.effective_at for version in content.versions), default=content.as_of)
    return _render(
        templates, FEED, content, path=FEED, root="./", entries=entries, feed_updated=content.updated_at() or earliest
    )


def _entries(content: SiteContent) -> Iterable[_Entry]:
    """One entry an amendment and one a withdrawal; ids are addresses that stay."""
    for one in content.amendments:
        url = amendment_url(content.base_url, one.code)
        day = day_of(one.effective_at)
        withdrawn = one.withdrawn_at
        yield _Entry(
            id=url,
            url=url,
            title=f"{'【取りやめ】' if withdrawn else ''}{day}から利用規約が変わります",
            summary=f"{'この変更は取りやめました。' if withdrawn else ''}{one.summary}\n{one.reason}",
            published=one.published_at,
            updated=withdrawn or one.published_at,
        )
        if withdrawn:
            yield _Entry(
                id=f"{url}#withdrawn",
                url=url,
                title=f"{day}からの利用規約の変更を取りやめました",
                summary=one.withdrawal_reason or "規約は変わりません。",
                published=withdrawn,
                updated=withdrawn,
            )


def _by_effect(content: SiteContent) -> Sequence[PublishedAmendment]:
    return sorted(content.amendments, key=lambda one: (one.effective_at, one.code))


def _is_ahead(content: SiteContent, one: PublishedAmendment) -> bool:
    return one.effective_at > content.as_of


def _ends_at(content: SiteContent, version: Any) -> datetime | None:
    return None if content.state(version) is VersionState.WITHDRAWN else content.ends_at(version)


def _environment(folder: Path) -> Environment:
    templates = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    filters: dict[str, Callable[..., Any]] = {
        "day": day_of,
        "when": lambda moment, after="": _time(_instant(moment), day_of(moment), after),
        "until": lambda moment, after="": _time(_instant(moment), last_day_before(moment), after),
        "date": lambda day: _time(day.isoformat(), long_date(day)),
        "calendar_day": _calendar_day,
        "instant": _instant,
        "dialled": lambda number: re.sub(r"[^0-9+]", "", number),
        "paragraphs": _paragraphs,
    }
    templates.filters.update(filters)
    return templates


def _instant(moment: datetime) -> str:
    return moment.astimezone(JST).isoformat(timespec="seconds")


def _calendar_day(moment: datetime, after: str = "") -> Markup:
    day = moment.astimezone(JST).date()
    return _time(day.isoformat(), long_date(day), after)


def _time(machine: str, words: str, after: str = "") -> Markup:
    """Return a time that breaks after its year only; `after` clings to its end, as `から` does."""
    year, mark, rest = words.partition("年）")
    inner = Markup('<span class="nb">{}</span><span class="nb">{}</span>').format(year + mark, rest + after)
    return Markup('<time datetime="{}">{}</time>').format(machine, inner)


def _printable(value: Any) -> Any:
    if isinstance(value, Markup):
        return Markup(_UNPRINTABLE.sub("", value))  # noqa: S704 — markup already, only shortened
    return _UNPRINTABLE.sub("", value) if isinstance(value, str) else value


def _paragraphs(text: str) -> Markup:
    """Return one paragraph a line, escaped."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Markup("\n").join(Markup("<p>{}</p>").format(escape(line)) for line in lines)
