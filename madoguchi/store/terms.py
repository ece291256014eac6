"""Versions of the terms with their words, which of them was in force when, and which was never announced.

A version counts from its effective instant, unless it was withdrawn or its amendment never became public: such a
change has no effect (Civil Code 548-4(3)), whatever its date says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from madoguchi.domain.terms_publication import SiteContentError, checked_code, is_web_address
from madoguchi.store.models import Amendment, Consent, TermsText, TermsVersion

SERVICE_TERMS = "service"
ZOOM_TERMS = "zoom"


class TermsChanged(Exception):  # noqa: N818 — the name says what happened
    """A version that consents already name came back with other words: give it another number instead."""


class TermsUnfit(Exception):  # noqa: N818 — as above
    """A new version has a code or an address with which no amendment could ever be published."""


class TermsUnannounced(Exception):  # noqa: N818 — as above
    """A new version lies in the folder while people have agreed to an earlier one, and nobody was told of it."""


class NoTermsInForce(Exception):  # noqa: N818 — the name says what happened
    """No version of a document was in force at some instant, so no consent could be recorded."""


@dataclass(frozen=True, slots=True)
class TermsFacts:
    """What is registered of a version. `text`: its canonical words, None where they are not ours to keep.

    `sha256`: of the text, or of the facts where there is none. `former_sha256`: by which an older record may know the
    same file. `number`: as the record counts where None.
    """

    document: str
    code: str
    sha256: str
    enacted_on: date
    effective_at: datetime
    url: str
    text: str | None = None
    signatory: str | None = None
    number: int | None = None
    former_sha256: str | None = None
    announced_elsewhere: bool = False
    """The office has told everybody without Madoguchi (Art. 13)."""


def register_terms(
    session: Session, office: str, versions: Iterable[TermsFacts], *, recorded_at: datetime | None = None
) -> int:
    """Record versions that are not there yet, with their words, and return how many.

    A version that is there keeps what is recorded of it; only words, number and signatory that an older record lacks
    are filled in, and an address that is none. Versions are numbered 1, 2, … a document, in the order in which they
    take effect; a number that was given stays. `recorded_at`: of the words (default: now). Raises TermsChanged if a
    known one has another hash, TermsUnfit where the public site could not show a new one (once consents name a code,
    nobody can correct it), and TermsUnannounced for a later version of the service's terms once somebody has agreed to
    an earlier one: a file in a folder changes nobody's terms.
    """
    added = 0
    at = recorded_at or datetime.now(UTC)
    for facts in versions:
        row = find_version(session, office, facts.code, facts.document)
        if row is None:
            _require_fit(facts)
            _require_announced(session, office, facts)
            row = TermsVersion(
                office=office,
                document=facts.document,
                code=facts.code,
                sha256=facts.sha256,
                enacted_on=facts.enacted_on,
                effective_at=facts.effective_at,
                url=facts.url,
                number=facts.number,
                signatory=facts.signatory,
                withdrawn_at=None,
            )
            session.add(row)
            added += 1
        elif row.sha256 not in {facts.sha256, facts.former_sha256}:
            raise TermsChanged(_changed(facts, row))
        row.signatory = row.signatory or facts.signatory
        if not is_web_address(row.url):
            # Recorded before addresses were looked at; the public site links there.
            row.url = facts.url
        if facts.text is not None and session.get(TermsText, row.sha256) is None:
            session.add(TermsText(sha256=row.sha256, text=facts.text, recorded_at=at))
        session.flush()
    for document in (SERVICE_TERMS, ZOOM_TERMS):
        _number(session, office, document)
    return added


def _require_announced(session: Session, office: str, facts: TermsFacts) -> None:
    if facts.document != SERVICE_TERMS or facts.announced_elsewhere:
        return
    earlier = select(TermsVersion.id).where(
        TermsVersion.office == office,
        TermsVersion.document == SERVICE_TERMS,
        TermsVersion.effective_at < facts.effective_at,
    )
    if session.scalar(select(exists().where(Consent.terms_id.in_(earlier)))):
        raise TermsUnannounced(
            f"terms {facts.document} {facts.code}: people have agreed to an earlier version and must be told first "
            "(Art. 13). Take its .toml out of the terms folder and run announce-amendment with its text; if everybody "
            "was told in another way, write announced_elsewhere = true into the .toml"
        )


def versions_of(session: Session, office: str, document: str) -> list[TermsVersion]:
    """Return the versions of `document` that count, the newest first by the instant from which they hold.

    Withdrawn ones do not count, nor those whose amendment is not public.
    """
    return list(
        session.scalars(
            select(TermsVersion)
            .where(TermsVersion.office == office, TermsVersion.document == document, *_counts())
            .order_by(TermsVersion.effective_at.desc(), TermsVersion.number.desc(), TermsVersion.code.desc())
        )
    )


def all_versions(session: Session, office: str) -> list[TermsVersion]:
    """Return every version of both documents, withdrawn ones too: the service's first, oldest first."""
    return list(
        session.scalars(
            select(TermsVersion)
            .where(TermsVersion.office == office)
            .order_by(TermsVersion.document, TermsVersion.effective_at, TermsVersion.number, TermsVersion.code)
        )
    )


def in_force_at(versions: Iterable[TermsVersion], document: str, at: datetime) -> TermsVersion:
    """Return which of `versions_of` was in force at `at`; NoTermsInForce if none was."""
    for version in versions:
        if version.effective_at <= at and version.withdrawn_at is None:
            return version
    raise NoTermsInForce(f"no version of the {document} terms was in force at {at.isoformat()}")


def terms_since(session: Session, office: str) -> datetime | None:
    """Return the first instant at which versions of both documents are in force; None while one document has none."""
    firsts = [
        session.scalar(
            select(func.min(TermsVersion.effective_at)).where(
                TermsVersion.office == office, TermsVersion.document == document, *_counts()
            )
        )
        for document in (SERVICE_TERMS, ZOOM_TERMS)
    ]
    known = [first for first in firsts if first is not None]
    return max(known) if len(known) == len(firsts) else None


def terms_in_force(session: Session, office: str, document: str, at: datetime) -> TermsVersion:
    """Return the version of `document` that was in force at `at`; NoTermsInForce if none was."""
    return in_force_at(versions_of(session, office, document), document, at)


def governing(session: Session, office: str, start_at: datetime) -> TermsVersion | None:
    """Return the version of the service's terms that governs a session starting then; None if none does.

    Whatever the consent names: a change under Art. 13 holds for everybody from its effect.
    """
    versions = versions_of(session, office, SERVICE_TERMS)
    return next((version for version in versions if version.effective_at <= start_at), None)


def find_version(session: Session, office: str, code: str, document: str = SERVICE_TERMS) -> TermsVersion | None:
    """Return the version of that code, withdrawn or not; None when the record has none."""
    return session.scalar(
        select(TermsVersion).where(
            TermsVersion.office == office, TermsVersion.document == document, TermsVersion.code == code
        )
    )


def text_of(session: Session, version: TermsVersion) -> str | None:
    """Return the recorded words of a version; None where they are not ours, or an older record never saw them."""
    found = session.get(TermsText, version.sha256)
    return found.text if found else None


def amendments_to(session: Session, versions: Sequence[TermsVersion]) -> dict[str, Amendment]:
    """Return by version id the amendment that brings it; versions without one are left out."""
    ids = [version.id for version in versions]
    return {row.new_id: row for row in session.scalars(select(Amendment).where(Amendment.new_id.in_(ids)))}


def never_announced(session: Session, office: str) -> list[TermsVersion]:
    """Return the service's versions that count, without an amendment, though somebody agreed to an earlier one.

    Oldest first. They came from the terms folder alone: whether those people were told, the record does not know
    (Art. 13). What a first installation brings of earlier years concerns nobody in the record, and is not named.
    """
    versions = versions_of(session, office, SERVICE_TERMS)
    announced = amendments_to(session, versions)
    consent = select(Consent.terms_id).where(Consent.office == office, Consent.document == SERVICE_TERMS)
    agreed = set(session.scalars(consent.distinct())) if len(versions) > 1 else set()
    found: list[TermsVersion] = []
    is_agreed = False
    for version in reversed(versions):
        if is_agreed and version.id not in announced:
            found.append(version)
        is_agreed = is_agreed or version.id in agreed
    return found


def _counts() -> tuple[ColumnElement[bool], ...]:
    hidden = exists().where(Amendment.new_id == TermsVersion.id, Amendment.published_at.is_(None))
    return TermsVersion.withdrawn_at.is_(None), ~hidden


def _require_fit(facts: TermsFacts) -> None:
    if facts.document != SERVICE_TERMS:
        return
    try:
        checked_code("version", facts.code)
    except SiteContentError as error:
        raise TermsUnfit(f"terms: {error}") from None
    if not is_web_address(facts.url):
        raise TermsUnfit(
            f"terms {facts.document} {facts.code}: url is no http or https address; write where the document lies, "
            f"such as https://example.jp/terms/{facts.code}"
        )


def _number(session: Session, office: str, document: str) -> None:
    rows = list(
        session.scalars(
            select(TermsVersion)
            .where(TermsVersion.office == office, TermsVersion.document == document)
            .order_by(TermsVersion.effective_at, TermsVersion.code)
        )
    )
    last = max((row.number for row in rows if row.number is not None), default=0)
    for row in rows:
        if row.number is None:
            last += 1
            row.number = last
    session.flush()


def _changed(facts: TermsFacts, row: TermsVersion) -> str:
    return (
        f"terms {facts.document} {facts.code}: the folder has other words than the record "
        f"(sha256 {facts.sha256[:12]}, recorded {row.sha256[:12]}), and consents name the recorded ones. Put them back "
        f"(`madoguchi terms show {facts.code} --text` prints them); announce new words under a code of their own: "
        "`madoguchi run announce-amendment`"
    )
