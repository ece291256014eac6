"""Versions of the terms, and which of them was in force."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from madoguchi.store.models import TermsVersion

SERVICE_TERMS = "service"
ZOOM_TERMS = "zoom"


class TermsChanged(Exception):  # noqa: N818 — the name says what happened
    """A version that consents already name came back with other words: give it another number instead."""


class NoTermsInForce(Exception):  # noqa: N818 — the name says what happened
    """No version of a document was in force at some instant, so no consent could be recorded."""


@dataclass(frozen=True, slots=True)
class TermsFacts:
    """What the record keeps of a version; the text itself stays the office's file."""

    document: str
    code: str
    sha256: str
    enacted_on: date
    effective_at: datetime
    url: str


def register_terms(session: Session, office: str, versions: Iterable[TermsFacts]) -> int:
    """Record versions that are not there yet and return how many; TermsChanged if a known one has another hash."""
    added = 0
    for facts in versions:
        row = session.scalar(
            select(TermsVersion).where(
                TermsVersion.office == office,
                TermsVersion.document == facts.document,
                TermsVersion.code == facts.code,
            )
        )
        if row is None:
            session.add(
                TermsVersion(
                    office=office,
                    document=facts.document,
                    code=facts.code,
                    sha256=facts.sha256,
                    enacted_on=facts.enacted_on,
                    effective_at=facts.effective_at,
                    url=facts.url,
                )
            )
            added += 1
        elif row.sha256 != facts.sha256:
            raise TermsChanged(f"terms {facts.document} {facts.code}: the recorded text had another hash")
    session.flush()
    return added


def versions_of(session: Session, office: str, document: str) -> list[TermsVersion]:
    """Return every version of `document`, the newest first by the instant from which it holds."""
    return list(
        session.scalars(
            select(TermsVersion)
            .where(TermsVersion.office == office, TermsVersion.document == document)
            .order_by(TermsVersion.effective_at.desc())
        )
    )


def in_force_at(versions: Iterable[TermsVersion], document: str, at: datetime) -> TermsVersion:
    """Return which of `versions_of` was in force at `at`; NoTermsInForce if none was."""
    for version in versions:
        if version.effective_at <= at:
            return version
    raise NoTermsInForce(f"no version of the {document} terms was in force at {at.isoformat()}")


def terms_since(session: Session, office: str) -> datetime | None:
    """Return the first instant at which versions of both documents are in force; None while one document has none."""
    firsts = [
        session.scalar(
            select(func.min(TermsVersion.effective_at)).where(
                TermsVersion.office == office, TermsVersion.document == document
            )
        )
        for document in (SERVICE_TERMS, ZOOM_TERMS)
    ]
    known = [first for first in firsts if first is not None]
    return max(known) if len(known) == len(firsts) else None


def terms_in_force(session: Session, office: str, document: str, at: datetime) -> TermsVersion:
    """Return the version of `document` that was in force at `at`; NoTermsInForce if none was."""
    return in_force_at(versions_of(session, office, document), document, at)
