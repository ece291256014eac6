"""The public site of the terms, built from the record: what it says, and the publishing of an amendment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from madoguchi.adapters.terms_site import SiteFolderError, SiteReport, build_site
from madoguchi.domain.amendment import AmendmentGround, AmendmentStatus
from madoguchi.domain.terms_comparison import compare
from madoguchi.domain.terms_publication import PublishedAmendment, PublishedVersion, SiteContent, SiteContentError
from madoguchi.domain.terms_reading import TermsTextError, parse_terms
from madoguchi.domain.terms_structure import Terms
from madoguchi.store import amendments as store
from madoguchi.store.models import Amendment, TermsVersion
from madoguchi.store.terms import SERVICE_TERMS
from tasks.staff import Refused
from tasks.wiring import Run, Services

NOT_PUBLISHED_IN_TIME = "NOT_PUBLISHED_IN_TIME"


class PublishedTooLate(Exception):  # noqa: N818 — the name says what happened
    """An amendment was not public before its effect: it was withdrawn, nobody is told of it."""


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing came to. `published_at`: business time; `again`: it was public already."""

    code: str
    published_at: datetime
    again: bool = False


def site_content(
    services: Services, session: Session, as_of: datetime, publishing: Mapping[str, datetime] | None = None
) -> SiteContent:
    """Return what the public site says at `as_of`: every version, and every amendment that is public.

    `publishing`: codes of approved amendments that become public with this build, and when. Raises Refused when the
    words of a version are not in the record.
    """
    office = services.office
    now_public = publishing or {}
    rows = store.amendments_of(session, office.code)
    hidden = {
        row.new_id for row in rows if row.published_at is None and row.code not in now_public
    }  # fmt: skip
    versions = [row for row in store.service_versions(session, office.code, SERVICE_TERMS) if row.id not in hidden]
    texts = words(session, versions)
    by_id = {row.id: row for row in versions}
    public = [row for row in rows if row.new_id not in hidden]
    return SiteContent(
        office_name=office.name,
        telephone=office.telephone,
        telephone_hours=office.telephone_hours,
        base_url=office.terms_url,
        as_of=as_of,
        versions=tuple(_version(row, texts[row.sha256], public) for row in versions),
        amendments=tuple(
            _amendment(
                row,
                by_id[row.old_id],
                texts[by_id[row.old_id].sha256],
                texts[by_id[row.new_id].sha256],
                row.published_at or now_public[row.code],
            )
            for row in public
        ),
    )


def words(session: Session, versions: Sequence[TermsVersion]) -> dict[str, Terms]:
    """Return the structure of each version's text by its hash; Refused when one is not in the record."""
    texts = store.words_of(session, [row.sha256 for row in versions])
    for row in versions:
        if row.sha256 not in texts:
            raise Refused(
                f"{row.code} の版の文が記録にありません。規約のフォルダー（MADOGUCHI_TERMS_DIR）にその版の文を置いて、"
                "もう一度起動してください。"
            )
    return {sha256: parse_terms(text) for sha256, text in texts.items()}


def publish_site(services: Services, run: Run, publishing: Mapping[str, datetime] | None = None) -> SiteReport:
    """Bring the public site to what the record says now; nothing where it says so already.

    Refused when no folder is set for the site or the folder cannot be used.
    """
    folder = site_folder(services)
    # Read and built as one: a slower build must not bring back what the record said before a faster one.
    with services.database.exclusive("site"):
        with services.database.read() as session:
            content = site_content(services, session, run.at(services.clock()), publishing)
        try:
            return build_site(folder, content, services.templates_dir)
        except SiteFolderError as error:
            raise Refused(f"公開サイトのフォルダーを使えません: {error}") from None


def require_site(services: Services, at: datetime) -> None:
    """Refuse what the public site could not show once it is approved: then nobody could publish it any more."""
    try:
        with services.database.read() as session:
            site_content(services, session, at)
    except (SiteContentError, TermsTextError) as error:
        raise Refused(f"公開サイトを作れないため、公表できません: {error}") from None


def site_folder(services: Services) -> Path:
    """Return where the public site is built; Refused when the settings name no place."""
    if services.site_dir is None:
        raise Refused("公開サイトのフォルダーが決まっていません。MADOGUCHI_SITE_DIR を設定してください。")
    return services.site_dir


def publish_amendment(services: Services, run: Run, code: str) -> Published:
    """Let the public site show an approved amendment, then say in the record since when; again changes nothing.

    Raises PublishedTooLate when its effect came first: such an amendment must not hold (Civil Code 548-4(3)), it is
    withdrawn in the record. The instant of publishing is the one after the switch, never an earlier one.
    """
    with services.database.read() as session:
        amendment = _known(session, services, code)
    if amendment.status != AmendmentStatus.APPROVED or amendment.published_at is not None:
        publish_site(services, run)
        return Published(code, amendment.published_at or run.at(services.clock()), again=True)
    now = run.at(services.clock())
    if now < amendment.effective_at:
        publish_site(services, run, {code: now})
    with services.database.write() as session:
        act = run.act(services)
        amendment = _known(session, services, code, lock=True)
        if amendment.status == AmendmentStatus.APPROVED and act.happened_at < amendment.effective_at:
            store.move_amendment(session, act, amendment, AmendmentStatus.PUBLISHED)
        elif amendment.status == AmendmentStatus.APPROVED:
            store.move_amendment(session, act, amendment, AmendmentStatus.WITHDRAWN, NOT_PUBLISHED_IN_TIME)
        published_at = amendment.published_at
    # The page names the instant of the record, and is taken back when it came too late.
    publish_site(services, run)
    if published_at is None:
        raise PublishedTooLate(code)
    return Published(code, published_at)


def _known(session: Session, services: Services, code: str, *, lock: bool = False) -> Amendment:
    found = store.amendment_by_code(session, services.office.code, code, lock=lock)
    if found is None:
        raise Refused(f"{code} という変更は記録にありません。code（版の番号）を確かめてください。")
    return found


def _version(row: TermsVersion, terms: Terms, amendments: Sequence[Amendment]) -> PublishedVersion:
    brought = any(amendment.new_id == row.id for amendment in amendments)
    return PublishedVersion(
        code=row.code,
        number=row.number,
        terms=terms,
        sha256=row.sha256,
        enacted_on=row.enacted_on,
        effective_at=row.effective_at,
        signatory=row.signatory or terms.signatory,
        withdrawn_at=row.withdrawn_at,
        # A version that was announced here has no page elsewhere.
        source_url=None if brought else row.url,
    )


def _amendment(
    row: Amendment, old_version: TermsVersion, old: Terms, new: Terms, published_at: datetime
) -> PublishedAmendment:
    return PublishedAmendment(
        code=row.code,
        old_code=old_version.code,
        ground=AmendmentGround(row.ground),
        summary=row.summary,
        reason=row.reason,
        effective_at=row.effective_at,
        published_at=published_at,
        comparison=compare(old, new),
        withdrawn_at=row.withdrawn_at,
        withdrawal_reason=row.withdrawal_reason,
        short_notice_reason=row.short_notice_reason,
    )
