"""Amendments of the terms: what is proposed, what stands against it, what a person approved, what is taken back.

Nothing is in the record before the approval. What was approved is recorded in one transaction with its version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from madoguchi.adapters.terms_files import canonical_text
from madoguchi.adapters.terms_source import TermsSourceError, read_terms_source
from madoguchi.domain import amendment_rules as rules
from madoguchi.domain.amendment import GROUND_WORDS, AmendmentGround, AmendmentStatus, NoticeContent, NoticePurpose
from madoguchi.domain.amendment_rules import KnownVersion, Proposal
from madoguchi.domain.office import JST
from madoguchi.domain.terms_citations import check_citations, citation_notes, citations_left_behind
from madoguchi.domain.terms_comparison import Comparison, compare
from madoguchi.domain.terms_comparison_text import changed_articles_text, comparison_text
from madoguchi.domain.terms_publication import amendment_url, version_url
from madoguchi.domain.terms_reading import TermsTextError, parse_terms
from madoguchi.domain.terms_structure import Terms
from madoguchi.store import amendments as store
from madoguchi.store.audit import Act
from madoguchi.store.models import Amendment, TermsVersion
from madoguchi.store.terms import SERVICE_TERMS
from tasks.publishing import require_site, site_folder, words
from tasks.staff import Refused, staff_run
from tasks.wiring import Run, Services

AMENDMENT_WITHDRAWN: Final = "AMENDMENT_WITHDRAWN"
_PRESENT: Final = timedelta(minutes=1)
Ground: TypeAlias = Literal["13(1)", "13(2)"]
GROUNDS: Final = {words: ground.value for ground, words in GROUND_WORDS.items()}


@dataclass(frozen=True, slots=True)
class Announcement:
    """The form `announce-amendment` as it was filled in. `ground`: words of GROUND_WORDS; words are public."""

    file: str
    ground: str
    reason: str
    effective_date: date
    approver: str
    summary: str | None = None
    code: str | None = None
    short_notice_reason: str | None = None


@dataclass(frozen=True, slots=True)
class TakingBack:
    """The form `withdraw-amendment` as it was filled in."""

    code: str
    reason: str
    approver: str


@dataclass(frozen=True, slots=True)
class Proposed:
    """A proposal that nothing stands against. `resumes`: it is approved already and only has to be finished.

    `content`: what its mails will say; `text`: the new text as it will be kept. `warnings`: for the approver's eyes.
    """

    proposal: Proposal
    content: NoticeContent
    text: str
    old: Terms
    new: Terms
    comparison: Comparison
    warnings: tuple[str, ...] = ()
    resumes: bool = False

    @property
    def code(self) -> str:
        """The code of the version that it brings."""
        return self.proposal.code

    @property
    def digest(self) -> str:
        """What the approval is bound to."""
        return self.proposal.digest()


@dataclass(frozen=True, slots=True)
class ProposedWithdrawal:
    """A withdrawal that nothing stands against. `resumes`: it is in the record, and not everybody has been told."""

    code: str
    reason: str
    content: NoticeContent
    digest: str
    resumes: bool = False


def propose(services: Services, run: Run, form: Announcement) -> Proposed:
    """Read the new text, compare it with the version before it, and apply the rules of Art. 13. Changes nothing.

    Raises Refused with the sentence for the clerk. An amendment of that code that is approved, is the same to the
    letter and is not finished is not refused: it `resumes`.
    """
    by = staff_run(run, form.approver)
    _require_present(services, run)
    site_folder(services)
    code, reason, summary, short = _checked_words(form)
    effective_at = rules.effective_at_of(form.effective_date)
    text, new = _read(form.file)
    with services.database.read() as session:
        standing = store.amendment_by_code(session, services.office.code, code)
        versions = store.service_versions(session, services.office.code, SERVICE_TERMS)
        base = _base(versions, effective_at, standing)
        unpublished = store.unpublished_codes(session, services.office.code)
        old = words(session, [base])[base.sha256]
    comparison = compare(old, new)
    proposal = Proposal(
        code=code,
        old_code=base.code,
        old_sha256=base.sha256,
        new_sha256=hashlib.sha256(text.encode()).hexdigest(),
        ground=AmendmentGround(GROUNDS[form.ground]),
        reason=reason,
        summary=summary or rules.default_summary(rules.changed_labels(comparison)),
        effective_at=effective_at,
        short_notice_reason=short or None,
    )
    content = _content(services, proposal, new, comparison)
    at = by.at(services.clock())
    if standing is not None and standing.status != AmendmentStatus.WITHDRAWN:
        _require_unfinished(services, standing, proposal)
        return Proposed(proposal, content, text, old, new, comparison, resumes=True)
    _refuse(rules.why_not_timed(effective_at, at))
    _refuse(rules.why_not_after(unpublished))
    _refuse(rules.why_not_changed(old, new, comparison))
    _require_allowed(services, proposal, old, new, [_known(version) for version in versions], at)
    # A law that was renumbered since is named to the approver; the terms say what they say.
    notes = [note.sentence for note in citation_notes(new)]
    warnings = (*rules.warnings_about(old, new, effective_at), *notes)
    return Proposed(proposal, content, text, old, new, comparison, warnings)


def approve(services: Services, run: Run, form: Announcement, proposed: Proposed) -> str:
    """Record the new version and its amendment as approved by the form's approver, and return its code.

    One transaction. Raises Refused when somebody else has changed in the meantime what the approval is about.
    """
    by, proposal = staff_run(run, form.approver), proposed.proposal
    try:
        with services.database.write() as session:
            act = by.act(services)
            versions = store.service_versions(session, act.office, SERVICE_TERMS, lock=True)
            known = [_known(version) for version in versions]
            _refuse(rules.why_not_timed(proposal.effective_at, act.happened_at))
            _refuse(rules.why_not_new(proposal.code, proposal.new_sha256, proposal.effective_at, known))
            _refuse(rules.why_not_after(store.unpublished_codes(session, act.office)))
            base = _base(versions, proposal.effective_at, None)
            if (base.code, base.sha256) != (proposal.old_code, proposal.old_sha256):
                raise Refused(rules.CHANGED_SINCE)
            number = max((version.number or 0 for version in versions), default=0) + 1
            store.record_amendment(session, act, _new_amendment(proposed, base, number, act))
    except IntegrityError:
        raise Refused(f"{proposal.code} という版が、たった今ほかの実行で記録されました。確かめてください。") from None
    return proposal.code


def propose_withdrawal(services: Services, run: Run, form: TakingBack) -> ProposedWithdrawal:
    """Look whether an amendment can be taken back. Changes nothing; Refused with the sentence for the clerk.

    One that was withdrawn with the same words is not refused: it `resumes`, and what is left is done.
    """
    by, reason = staff_run(run, form.approver), rules.public_words(form.reason)
    _refuse(rules.why_not_worded(reason, "", ""))
    _require_present(services, run)
    with services.database.read() as session:
        amendment = store.amendment_by_code(session, services.office.code, form.code.strip())
        if amendment is None:
            raise Refused("その番号の変更は記録にありません。code（版の番号）を確かめてください。")
        proposed = ProposedWithdrawal(
            code=amendment.code,
            reason=reason,
            content=_withdrawal_content(amendment, reason),
            digest=_withdrawal_digest(amendment, reason),
            resumes=amendment.status == AmendmentStatus.WITHDRAWN,
        )
        if proposed.resumes and amendment.withdrawal_reason == reason:
            return proposed
        _require_withdrawable(session, services, amendment, by.at(services.clock()))
    return proposed


def withdraw(services: Services, run: Run, form: TakingBack, proposed: ProposedWithdrawal) -> str:
    """Take an amendment and its version back, in one transaction, and return the code. Tells nobody yet.

    Its unsent mails are not sent from now on: delivery reads the state again before each. Raises Refused.
    """
    by = staff_run(run, form.approver)
    with services.database.write() as session:
        act = by.act(services)
        amendment = store.amendment_by_code(session, act.office, proposed.code, lock=True)
        if amendment is None:
            raise Refused(rules.CHANGED_SINCE)
        _require_withdrawable(session, services, amendment, act.happened_at)
        amendment.withdrawal_reason = proposed.reason
        amendment.withdrawal_content = proposed.content.to_json()
        store.move_amendment(session, act, amendment, AmendmentStatus.WITHDRAWN)
    return proposed.code


# --- what stands against it


def _require_present(services: Services, run: Run) -> None:
    """Refuse a business time that is not now, in life: an instant of the past would let a change hold unpublished."""
    if services.is_live and abs(run.as_of - run.started_at) > _PRESENT:
        raise Refused("as_of は空のままにしてください。規約の公表と取下げは、実際の日時で記録します（民法548条の4）。")


def _checked_words(form: Announcement) -> tuple[str, str, str, str]:
    """Return code, reason, summary and reason for a short notice as they will be kept."""
    code = (form.code or "").strip() or form.effective_date.isoformat()
    reason, summary, short = (
        rules.public_words(text) for text in (form.reason, form.summary, form.short_notice_reason)
    )
    _refuse(rules.why_not_worded(reason, summary, short))
    _refuse(rules.why_not_coded(code))
    return code, reason, summary, short


def _require_allowed(
    services: Services, proposal: Proposal, old: Terms, new: Terms, known: Sequence[KnownVersion], at: datetime
) -> None:
    effective_at = proposal.effective_at
    _refuse(rules.why_not_new(proposal.code, proposal.new_sha256, effective_at, known))
    problems = (*check_citations(new), *citations_left_behind(old, new))
    _refuse(rules.why_not_cited([problem.sentence for problem in problems]))
    policy = services.office.terms
    _refuse(rules.why_not_early_enough(effective_at, at, policy, proposal.short_notice_reason))
    require_site(services, at)


def _require_unfinished(services: Services, standing: Amendment, proposal: Proposal) -> None:
    if standing.digest != proposal.digest():
        raise Refused(
            f"{standing.code} の変更は承認済みですが、今回の内容（ファイルや理由など）と違います。続きを行うときは"
            "承認したときと同じ内容で実行してください。やり直すときは、先に取り下げてください（withdraw-amendment）。"
        )
    if standing.status == AmendmentStatus.ANNOUNCED:
        with services.database.read() as session:
            totals = store.notice_totals(session, standing.id, NoticePurpose.ANNOUNCED)
        if not totals.unsent:
            raise Refused(
                f"{standing.code} の変更は、すでに公表し、お知らせも済んでいます（対象 {totals.persons}名）。"
            )


def _require_withdrawable(session: Session, services: Services, amendment: Amendment, at: datetime) -> None:
    versions = store.service_versions(session, services.office.code, SERVICE_TERMS)
    later = [v.code for v in versions if v.effective_at > amendment.effective_at and v.withdrawn_at is None]
    _refuse(rules.why_not_withdrawn(AmendmentStatus(amendment.status), amendment.effective_at, at, later))


def _refuse(sentence: str | None) -> None:
    if sentence:
        raise Refused(sentence)


# --- what it is made of


def _read(file: str) -> tuple[str, Terms]:
    """Return the canonical text of a file and its structure."""
    try:
        text = canonical_text(read_terms_source(Path(file).expanduser()))
    except TermsSourceError as error:
        raise Refused(f"新しい規約のファイルを読めません: {error}") from None
    try:
        return text, parse_terms(text)
    except TermsTextError as error:
        raise Refused(f"新しい規約の文を読み取れません: {error}") from None


def _base(versions: Sequence[TermsVersion], effective_at: datetime, standing: Amendment | None) -> TermsVersion:
    """Return the version that an amendment changes; one that is recorded keeps its own."""
    if standing is not None and standing.status != AmendmentStatus.WITHDRAWN:
        return next(version for version in versions if version.id == standing.old_id)
    found = rules.base_version([_known(version) for version in versions], effective_at)
    if found is None:
        raise Refused(
            "その日までに効力のある規約が記録にありません。規約のフォルダー（MADOGUCHI_TERMS_DIR）を確かめてください。"
        )
    return next(version for version in versions if version.code == found.code)


def _known(version: TermsVersion) -> KnownVersion:
    return KnownVersion(
        code=version.code,
        sha256=version.sha256,
        effective_at=version.effective_at,
        withdrawn=version.withdrawn_at is not None,
    )


def _content(services: Services, proposal: Proposal, new: Terms, comparison: Comparison) -> NoticeContent:
    base = services.office.terms_url
    return NoticeContent(
        code=proposal.code,
        old_code=proposal.old_code,
        ground=proposal.ground.value,
        summary=proposal.summary,
        reason=proposal.reason,
        effective_at=proposal.effective_at,
        enacted_on=new.closed_on,
        full_text_url=version_url(base, proposal.code),
        comparison_url=amendment_url(base, proposal.code),
        changed_text=changed_articles_text(comparison),
        comparison_text=comparison_text(comparison),
    )


def _withdrawal_content(amendment: Amendment, reason: str) -> NoticeContent:
    content = NoticeContent.from_json(amendment.content)
    # The words of a change that will not be are not repeated.
    return replace(content, reason=reason, changed_text="", comparison_text="", announced_at=amendment.published_at)


def _withdrawal_digest(amendment: Amendment, reason: str) -> str:
    return hashlib.sha256(f"withdraw\n{amendment.code}\n{amendment.digest}\n{reason}".encode()).hexdigest()


def _new_amendment(proposed: Proposed, base: TermsVersion, number: int, act: Act) -> store.NewAmendment:
    proposal, new = proposed.proposal, proposed.new
    return store.NewAmendment(
        code=proposal.code,
        document=SERVICE_TERMS,
        text=proposed.text,
        sha256=proposal.new_sha256,
        # A text without a date was enacted on the day on which it was approved.
        enacted_on=new.closed_on or act.happened_at.astimezone(JST).date(),
        signatory=new.signatory,
        url=proposed.content.full_text_url,
        number=number,
        old_id=base.id,
        ground=proposal.ground.value,
        summary=proposal.summary,
        reason=proposal.reason,
        effective_at=proposal.effective_at,
        short_notice_reason=proposal.short_notice_reason,
        digest=proposal.digest(),
        content=proposed.content.to_json(),
    )
