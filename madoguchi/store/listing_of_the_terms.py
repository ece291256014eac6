"""Which terms a session is under: the version its consent names, the one that governs it, and whether its client knows.

References, codes and times only. `listing` and `day_list` are where others ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.domain.amendment import NoticePurpose
from madoguchi.domain.notice_proof import NoticeClass
from madoguchi.store.listing_of_the_day import iso
from madoguchi.store.models import Booking, Consent, TermsVersion
from madoguchi.store.proof import proof_of
from madoguchi.store.terms import SERVICE_TERMS, amendments_to, governing

_TOLD = {NoticeClass.TOLD: "told", NoticeClass.TOLD_OTHERWISE: "told_by_other_means"}


def consented_versions(session: Session, request_ids: Sequence[str]) -> dict[str, TermsVersion]:
    """Return by application the version of the service's terms that its consent names; without one it is left out."""
    rows = session.execute(
        select(Consent.request_id, TermsVersion)
        .join(TermsVersion, TermsVersion.id == Consent.terms_id)
        .where(Consent.request_id.in_(request_ids), Consent.document == SERVICE_TERMS)
    )
    return {row.request_id: row.TermsVersion for row in rows}


def terms_of_booking(session: Session, booking: Booking) -> dict[str, Any]:
    """Return `consented_terms`, `governing_terms`, `terms_differ` and `told_of_terms` of a session.

    `told_of_terms`: None where the governing version came without an amendment, or its client need not be told of it;
    else `state` (told, told_by_other_means, not_yet) and `at`, the time in Japan or None.
    """
    consented = consented_versions(session, [booking.request_id]).get(booking.request_id)
    holds = governing(session, booking.office, booking.start_at)
    return {
        "consented_terms": consented.code if consented else None,
        "governing_terms": holds.code if holds else None,
        "terms_differ": consented is not None and holds is not None and consented.id != holds.id,
        "told_of_terms": _told(session, booking, holds) if holds else None,
    }


def _told(session: Session, booking: Booking, version: TermsVersion) -> dict[str, Any] | None:
    amendment = amendments_to(session, [version]).get(version.id)
    if amendment is None:
        return None
    row = proof_of(session, booking.office, amendment.id, NoticePurpose.ANNOUNCED, booking.client_id)
    if row is None:
        return None
    state = _TOLD.get(NoticeClass(row.notice_class), "not_yet")
    at = {"told": row.sent_at, "told_by_other_means": row.told_at or row.changed_at}.get(state)
    return {"state": state, "at": iso(at)}
