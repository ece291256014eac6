"""What the public site of the terms says, and where: versions, amendments, their states at an instant. Pure.

Nothing here is about a person: who is told of an amendment stands elsewhere, and never on a public page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from madoguchi.domain.amendment import AmendmentGround
from madoguchi.domain.office import JST
from madoguchi.domain.terms_structure import Terms
from madoguchi.domain.wording import long_date, long_time

if TYPE_CHECKING:
    from madoguchi.domain.terms_comparison import Comparison

_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

GROUND_SENTENCES: Final[Mapping[AmendmentGround, str]] = {
    AmendmentGround.BENEFIT: "変更が、利用される方の一般の利益に適合するため（利用規約第13条(1)）",
    AmendmentGround.REASONABLE: "変更が、利用規約の目的に反せず、かつ、合理的なものであるため（利用規約第13条(2)）",
}
"""The ground of an amendment as the public reads it (Art. 13(1), (2))."""


class SiteContentError(ValueError):
    """What the site shall say cannot be said; the text names the version or amendment and the remedy."""


class VersionState(StrEnum):
    """How a version stands at an instant."""

    IN_FORCE = "in_force"
    FUTURE = "future"
    PAST = "past"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedVersion:
    """A version as the public sees it. `source_url`: where the office's own document lies, http or https."""

    code: str
    number: int | None
    terms: Terms
    sha256: str
    enacted_on: date | None
    effective_at: datetime
    signatory: str
    withdrawn_at: datetime | None = None
    source_url: str | None = None

    @property
    def name(self) -> str:
        """The version in words: `第2版`, or its code where it has no number."""
        return f"第{self.number}版" if self.number is not None else self.code


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAmendment:
    """An amendment that is public. `code`: of the version it brings; `old_code`: of the one it changes."""

    code: str
    old_code: str
    ground: AmendmentGround
    summary: str
    reason: str
    effective_at: datetime
    published_at: datetime
    comparison: Comparison
    withdrawn_at: datetime | None = None
    withdrawal_reason: str | None = None
    short_notice_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteContent:
    """Everything the site says. The same content gives the same site, byte for byte.

    `base_url`: where the public finds it, without a last slash. `as_of`: the instant whose states are shown; it counts
    only by the states it brings about. `new_first`: the changed text stands left of the old one. Raises
    SiteContentError when codes, addresses or instants cannot be used.
    """

    office_name: str
    telephone: str
    telephone_hours: str
    base_url: str
    as_of: datetime
    versions: tuple[PublishedVersion, ...]
    amendments: tuple[PublishedAmendment, ...] = ()
    new_first: bool = True

    def __post_init__(self) -> None:
        _check_base(self.base_url)
        _check_aware("as_of", self.as_of)
        _check_codes("version", [version.code for version in self.versions])
        _check_codes("amendment", [amendment.code for amendment in self.amendments])
        for version in self.versions:
            _check_aware(f"version {version.code}: effective_at", version.effective_at)
            if version.source_url is not None and not is_web_address(version.source_url):
                raise SiteContentError(f"version {version.code}: source_url is no http or https address; leave it out")
        known = {version.code: version for version in self.versions}
        for amendment in self.amendments:
            _check_amendment(amendment, known)

    def version(self, code: str) -> PublishedVersion:
        """Return the version of that code; KeyError when there is none."""
        for version in self.versions:
            if version.code == code:
                return version
        raise KeyError(code)

    def in_force(self) -> PublishedVersion | None:
        """Return the version in force at `as_of`; None before the first."""
        return in_force_at(self.versions, self.as_of)

    def newest_first(self) -> tuple[PublishedVersion, ...]:
        """Return the versions, the one that takes effect last first; withdrawn ones stand where they were planned."""
        return tuple(sorted(self.versions, key=_order, reverse=True))

    def announced(self) -> tuple[PublishedAmendment, ...]:
        """Return the amendments, the one published last first."""
        return tuple(sorted(self.amendments, key=lambda one: (one.published_at, one.code), reverse=True))

    def state(self, version: PublishedVersion) -> VersionState:
        """Return how a version stands at `as_of`."""
        return state_of(self.versions, version, self.as_of)

    def ends_at(self, version: PublishedVersion) -> datetime | None:
        """Return from when another version holds instead; None while none is announced."""
        return next((later.effective_at for later in _standing(self.versions) if _order(later) > _order(version)), None)

    def amendment_of(self, version: PublishedVersion) -> PublishedAmendment | None:
        """Return the amendment that brought a version; None for the first one, and for those before our record."""
        return next((one for one in self.amendments if one.code == version.code), None)

    def updated_at(self) -> datetime | None:
        """Return when something public last happened: publishing, withdrawal, or effect, up to `as_of`."""
        moments = [version.effective_at for version in _standing(self.versions)]
        for one in self.amendments:
            moments += [one.published_at, *([one.withdrawn_at] if one.withdrawn_at else [])]
        return max((moment for moment in moments if moment <= self.as_of), default=None)


def in_force_at(versions: Sequence[PublishedVersion], at: datetime) -> PublishedVersion | None:
    """Return the version in force at an instant; None before the first. A withdrawn one never is."""
    return next((version for version in reversed(_standing(versions)) if version.effective_at <= at), None)


def state_of(versions: Sequence[PublishedVersion], version: PublishedVersion, at: datetime) -> VersionState:
    """Return how `version` stands among all `versions` at an instant."""
    if version.withdrawn_at is not None:
        return VersionState.WITHDRAWN
    if version.effective_at > at:
        return VersionState.FUTURE
    current = in_force_at(versions, at)
    return VersionState.IN_FORCE if current is not None and current.code == version.code else VersionState.PAST


def version_url(base: str, code: str) -> str:
    """Return the public address of a version's page. SiteContentError for a code that is no part of an address."""
    return f"{_base(base)}/versions/{checked_code('version', code)}/"


def amendment_url(base: str, code: str) -> str:
    """Return the public address of an amendment's page. SiteContentError as for `version_url`."""
    return f"{_base(base)}/amendments/{checked_code('amendment', code)}/"


def feed_url(base: str) -> str:
    """Return the public address of the Atom feed."""
    return f"{_base(base)}/feed.atom"


def day_of(moment: datetime) -> str:
    """Return the day in Japan, `令和8年（2026年）10月1日（木曜日）`, with the time where it is not midnight."""
    local = moment.astimezone(JST)
    return long_date(local.date()) + ("" if _is_midnight(local) else f"　{long_time(local)}")


def last_day_before(moment: datetime) -> str:
    """Return until when something holds that ends at `moment`: the day before for midnight, else the instant."""
    local = moment.astimezone(JST)
    return long_date(local.date() - timedelta(days=1)) if _is_midnight(local) else day_of(moment)


def checked_code(kind: str, code: str) -> str:
    """Return a code that is safe as a part of an address and a file name; SiteContentError otherwise."""
    # Beside the folders of versions lies their list, index.html.
    if not _CODE.fullmatch(code) or ".." in code or code.endswith(".") or code.casefold() == "index.html":
        raise SiteContentError(
            f"{kind} {code!r}: a code is part of an address; use up to 64 letters, digits, '-', '_' and single dots, "
            "such as 2026-10-01"
        )
    return code


def _check_codes(kind: str, codes: Sequence[str]) -> None:
    seen: set[str] = set()
    for code in codes:
        # Some file systems keep one file for both spellings.
        if checked_code(kind, code).casefold() in seen:
            raise SiteContentError(f"{kind} {code}: stands twice, or differs from another in case only; rename one")
        seen.add(code.casefold())


def _check_amendment(amendment: PublishedAmendment, known: Mapping[str, PublishedVersion]) -> None:
    for code in (amendment.code, amendment.old_code):
        if code not in known:
            raise SiteContentError(f"amendment {amendment.code}: version {code} is not among the versions; add it")
    if (amendment.withdrawn_at is None) != (known[amendment.code].withdrawn_at is None):
        raise SiteContentError(f"amendment {amendment.code}: it and its version must be withdrawn together")
    for name in ("effective_at", "published_at"):
        _check_aware(f"amendment {amendment.code}: {name}", getattr(amendment, name))


def _check_aware(name: str, moment: datetime) -> None:
    if moment.tzinfo is None:
        raise SiteContentError(f"{name}: has no zone; pass an aware datetime")


def _check_base(url: str) -> None:
    if not is_web_address(url) or urlsplit(url).query or urlsplit(url).fragment:
        raise SiteContentError("base_url: must be an http(s) address without ? and #; see terms_url in office.toml")


def is_web_address(url: str) -> bool:
    """Tell whether a link may lead there: http or https, a host, nothing that an address must not hold."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and re.fullmatch(r"[!-~]+", url) is not None
    except ValueError:
        return False


def _base(url: str) -> str:
    return url.rstrip("/")


def _is_midnight(local: datetime) -> bool:
    return (local.hour, local.minute) == (0, 0)


def _standing(versions: Sequence[PublishedVersion]) -> list[PublishedVersion]:
    return sorted((version for version in versions if version.withdrawn_at is None), key=_order)


def _order(version: PublishedVersion) -> tuple[datetime, int, str]:
    return version.effective_at, version.number or 0, version.code
