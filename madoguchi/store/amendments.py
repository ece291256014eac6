"""Amendments in the record: their states, whom they concern, who still has to be told, what came of it.

Whom an amendment concerns is asked in the order of client ids, so that a broken run goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Row, and_, exists, func, insert, literal_column, or_, select, update
from sqlalchemy.orm import Session, aliased

from madoguchi.domain.amendment import AMENDMENT_ARROWS, AmendmentStatus, NoticePurpose, NoticeRoute
from madoguchi.domain.lifecycle import BookingStatus, RequestStatus, require_arrow
from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import (
    Amendment,
    Booking,
    BookingRequest,
    Client,
    Notice,
    OutboxMessage,
    RunRecord,
    TermsText,
    TermsVersion,
)
from madoguchi.store.types import new_id

_OPEN_REQUESTS: Final = tuple(
    status.value
    for status in (RequestStatus.RECEIVED, RequestStatus.WAITING, RequestStatus.IN_REVIEW, RequestStatus.TO_OFFER)
)
_UNSENT: Final = (MessageStatus.QUEUED.value, MessageStatus.RETRYING.value)
_MAY_HAVE_LEFT: Final = (MessageStatus.SENT.value, MessageStatus.SENDING.value, MessageStatus.UNCERTAIN.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAmendment:
    """A change of the service's terms that a person approved, with the version that it brings."""

    code: str
    document: str
    text: str
    sha256: str
    enacted_on: date
    signatory: str
    url: str
    number: int
    old_id: str
    ground: str
    summary: str
    reason: str
    effective_at: datetime
    short_notice_reason: str | None
    digest: str
    content: Mapping[str, Any]


def record_amendment(session: Session, act: Act, new: NewAmendment) -> Amendment:
    """Record the new version, its words, and its amendment as approved by the act's actor.

    IntegrityError when a version of that code is there already, for instance by another run just now.
    """
    version = TermsVersion(
        office=act.office,
        document=new.document,
        code=new.code,
        sha256=new.sha256,
        enacted_on=new.enacted_on,
        effective_at=new.effective_at,
        url=new.url,
        number=new.number,
        signatory=new.signatory or None,
        withdrawn_at=None,
    )
    session.add(version)
    if session.get(TermsText, new.sha256) is None:
        session.add(TermsText(sha256=new.sha256, text=new.text, recorded_at=act.recorded_at))
    session.flush()
    amendment = Amendment(
        office=act.office,
        code=new.code,
        old_id=new.old_id,
        new_id=version.id,
        ground=new.ground,
        summary=new.summary,
        reason=new.reason,
        effective_at=new.effective_at,
        short_notice_reason=new.short_notice_reason,
        digest=new.digest,
        status=AmendmentStatus.APPROVED.value,
        approved_by=act.actor,
        approved_at=act.happened_at,
        published_at=None,
        announced_at=None,
        withdrawn_at=None,
        withdrawn_by=None,
        withdrawal_reason=None,
        content=dict(new.content),
        withdrawal_content={},
    )
    session.add(amendment)
    session.flush()
    details = {"ground": new.ground, "sha256": new.sha256, "digest": new.digest}
    if new.short_notice_reason:
        details["short_notice"] = "yes"
    approved = AmendmentStatus.APPROVED.value
    write_audit(session, [audit_row(act, "amendment", new.code, "approved", new=approved, details=details)])
    return amendment


def amendments_of(session: Session, office: str) -> list[Amendment]:
    """Return every amendment of an office, the one that takes effect first first."""
    return list(
        session.scalars(
            select(Amendment).where(Amendment.office == office).order_by(Amendment.effective_at, Amendment.approved_at)
        )
    )


def unpublished_codes(session: Session, office: str) -> list[str]:
    """Return the codes of amendments that somebody approved and that never became public, nor were taken back."""
    query = select(Amendment.code).where(
        Amendment.office == office, Amendment.status == AmendmentStatus.APPROVED.value, Amendment.published_at.is_(None)
    )
    return list(session.scalars(query.order_by(Amendment.effective_at)))


def amendment_by_code(session: Session, office: str, code: str, *, lock: bool = False) -> Amendment | None:
    """Return the amendment that brings the version `code`; with `lock` held until the transaction ends."""
    query = select(Amendment).where(Amendment.office == office, Amendment.code == code)
    return session.scalar(query.with_for_update() if lock else query)


def service_versions(session: Session, office: str, document: str, *, lock: bool = False) -> list[TermsVersion]:
    """Return every version of a document, withdrawn ones too, the one that takes effect first first.

    `lock`: held until the transaction ends, so that of two approvals at once the second sees the first.
    """
    query = (
        select(TermsVersion)
        .where(TermsVersion.office == office, TermsVersion.document == document)
        .order_by(TermsVersion.effective_at, TermsVersion.code)
    )
    if lock:
        session.execute(query.with_only_columns(TermsVersion.id).with_for_update())
    # Read after the lock: what was waited for is there only now.
    return list(session.scalars(query))


def words_of(session: Session, hashes: Sequence[str]) -> dict[str, str]:
    """Return the recorded texts by hash; a hash whose words are not in the record is left out."""
    found = session.execute(select(TermsText.sha256, TermsText.text).where(TermsText.sha256.in_(set(hashes))))
    return {row.sha256: row.text for row in found}


def move_amendment(
    session: Session, act: Act, amendment: Amendment, new: AmendmentStatus, reason: str | None = None
) -> None:
    """Move an amendment along its arrows, with the instant of the new state; ForbiddenTransition otherwise.

    Withdrawing takes its version out of force as well, in the same transaction.
    """
    old = AmendmentStatus(amendment.status)
    require_arrow(f"amendment {amendment.code}", AMENDMENT_ARROWS, old, new)
    amendment.status = new.value
    if new == AmendmentStatus.PUBLISHED:
        amendment.published_at = act.happened_at
    elif new == AmendmentStatus.ANNOUNCED:
        amendment.announced_at = act.happened_at
    elif new == AmendmentStatus.WITHDRAWN:
        amendment.withdrawn_at, amendment.withdrawn_by = act.happened_at, act.actor
        session.get_one(TermsVersion, amendment.new_id).withdrawn_at = act.happened_at
    session.flush()
    write_audit(
        session,
        [audit_row(act, "amendment", amendment.code, "transition", old=old.value, new=new.value, reason=reason)],
    )


# --- whom it concerns


@dataclass(frozen=True, slots=True)
class Audience:
    """Whom an amendment concerns: sessions from `since` on, those ahead included, and open applications."""

    office: str
    since: datetime


def audience(
    session: Session, who: Audience, *, after: str, limit: int, untold_of: tuple[str, str] | None = None
) -> list[str]:
    """Return up to `limit` client ids above `after`, ascending.

    A session that was given up before anybody was told of it does not count. `untold_of`: (amendment id, purpose);
    leaves out who has a row in `notice` for these.
    """
    booked = exists().where(
        Booking.client_id == Client.id, Booking.start_at >= who.since, Booking.status != BookingStatus.RELEASED.value
    )
    waiting = exists().where(BookingRequest.client_id == Client.id, BookingRequest.status.in_(_OPEN_REQUESTS))
    query = select(Client.id).where(Client.office == who.office, Client.id > after, or_(booked, waiting))
    if untold_of is not None:
        query = query.where(~_noticed(*untold_of, Client.id))
    return list(session.scalars(query.order_by(Client.id).limit(limit)))


def told_of(session: Session, amendment_id: str, *, after: str, limit: int) -> list[str]:
    """Return client ids, ascending, who know of an amendment, or may, and have no notice of its withdrawal yet."""
    told = aliased(Notice)
    query = (
        select(told.client_id)
        .join(OutboxMessage, OutboxMessage.id == told.message_id, isouter=True)
        .where(
            told.amendment_id == amendment_id,
            told.purpose == NoticePurpose.ANNOUNCED.value,
            told.client_id > after,
            or_(OutboxMessage.status.in_(_MAY_HAVE_LEFT), told.told_at.is_not(None)),
            ~_noticed(amendment_id, NoticePurpose.WITHDRAWN.value, told.client_id),
        )
    )
    return list(session.scalars(query.order_by(told.client_id).limit(limit)))


def _noticed(amendment_id: str, purpose: str, client: Any) -> Any:
    return exists().where(Notice.amendment_id == amendment_id, Notice.purpose == purpose, Notice.client_id == client)


def newest_requests(session: Session, clients: Sequence[str]) -> list[Row[Any]]:
    """Return client_id, id, reference, flags and sealed_values of each client's newest application."""
    newest = (
        select(
            BookingRequest.id,
            func.row_number()
            .over(
                partition_by=BookingRequest.client_id,
                order_by=(BookingRequest.recorded_at.desc(), BookingRequest.submitted_at.desc(), BookingRequest.id),
            )
            .label("place"),
        )
        .where(BookingRequest.client_id.in_(clients), BookingRequest.status != RequestStatus.STAGED.value)
        .subquery()
    )
    request = BookingRequest
    return list(
        session.execute(
            select(request.client_id, request.id, request.reference, request.flags, request.sealed_values)
            .join(newest, newest.c.id == request.id)
            .where(newest.c.place == 1)
        )
    )


def latest_bookings(session: Session, clients: Sequence[str]) -> dict[str, str]:
    """Return the reference of each client's latest session, by client id; who had none is left out."""
    rows = session.execute(
        select(Booking.client_id, Booking.reference)
        .where(Booking.client_id.in_(clients), Booking.status != BookingStatus.RELEASED.value)
        .order_by(Booking.start_at, Booking.id)
    )
    return {row.client_id: row.reference for row in rows}


# --- telling them


@dataclass(frozen=True, slots=True)
class NewNotice:
    """Somebody who is to be told. `message_id`: of the mail that does it; None: by other means, for `reason`."""

    client_id: str
    reference: str
    message_id: str | None
    reason: str | None = None


def add_notices(
    session: Session, act: Act, amendment: Amendment, purpose: NoticePurpose, new: Sequence[NewNotice]
) -> None:
    """Record who is to be told, in the caller's transaction, with one audit row for all of them."""
    if not new:
        return
    session.execute(
        insert(Notice),
        [
            {
                "id": new_id(),
                "office": act.office,
                "amendment_id": amendment.id,
                "purpose": purpose.value,
                "client_id": notice.client_id,
                "reference": notice.reference,
                "route": (NoticeRoute.MAIL if notice.message_id else NoticeRoute.OTHER).value,
                "reason": notice.reason,
                "message_id": notice.message_id,
                "told_at": None,
                "told_by": None,
                "told_how": None,
                "recorded_at": act.happened_at,
            }
            for notice in new
        ],
    )
    by_mail = sum(1 for notice in new if notice.message_id)
    details = {"purpose": purpose.value, "mail": by_mail, "other": len(new) - by_mail}
    write_audit(session, [audit_row(act, "amendment", amendment.code, "notices", details=details)])


def message_ids(session: Session, office: str, keys: Sequence[str]) -> dict[str, str]:
    """Return the ids of queued messages by their unique keys."""
    found = session.execute(
        select(OutboxMessage.dedupe_key, OutboxMessage.id).where(
            OutboxMessage.office == office, OutboxMessage.dedupe_key.in_(keys)
        )
    )
    return {row.dedupe_key: row.id for row in found}


def suppress_unsent(session: Session, act: Act, amendment_id: str, reason: str, limit: int) -> int:
    """Give up to `limit` mails of a withdrawn amendment up that have not begun to leave; return how many."""
    message = OutboxMessage
    ids = list(
        session.execute(
            select(message.id, message.status)
            .where(
                message.amendment_id == amendment_id,
                message.kind == MailKind.TERMS_AMENDED.value,
                # A literal: the planner then knows the partial index.
                literal_column("outbox_message.status IN ('queued', 'retrying')"),
            )
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )
    if not ids:
        return 0
    suppressed = MessageStatus.SUPPRESSED.value
    session.execute(
        update(message)
        .where(message.id.in_([row.id for row in ids]), message.status.in_(_UNSENT))
        .values(status=suppressed, reason=reason, claim_owner=None, claim_until=None, changed_at=act.happened_at)
        .execution_options(synchronize_session=False)
    )
    write_audit(
        session,
        [audit_row(act, "message", row.id, "transition", old=row.status, new=suppressed, reason=reason) for row in ids],
    )
    return len(ids)


# --- what came of it


@dataclass(frozen=True, slots=True)
class NoticeTotals:
    """How many persons have to be told of one thing, and how that stands. `by_status`: of their mails."""

    persons: int
    other: int
    by_status: Mapping[str, int]

    def of(self, *statuses: MessageStatus) -> int:
        """Return how many mails stand so."""
        return sum(self.by_status.get(status.value, 0) for status in statuses)

    @property
    def sent(self) -> int:
        """Mails for which the relay took responsibility."""
        return self.of(MessageStatus.SENT)

    @property
    def unsent(self) -> int:
        """Mails that a later run still sends, or that somebody is sending now."""
        return self.of(MessageStatus.QUEUED, MessageStatus.RETRYING, MessageStatus.SENDING)


def notice_totals(session: Session, amendment_id: str, purpose: NoticePurpose) -> NoticeTotals:
    """Count the persons of a notice by the state of their mails."""
    rows = session.execute(
        select(OutboxMessage.status, func.count())
        .select_from(Notice)
        .join(OutboxMessage, OutboxMessage.id == Notice.message_id, isouter=True)
        .where(and_(Notice.amendment_id == amendment_id, Notice.purpose == purpose.value))
        .group_by(OutboxMessage.status)
    )
    counts = {status: int(count) for status, count in rows}
    other = counts.pop(None, 0)
    return NoticeTotals(other + sum(counts.values()), other, counts)


def mark_run(session: Session, run_id: str, state: str, message: str) -> None:
    """Note in a run's record that it waits, or goes on; it has not ended."""
    run = session.get_one(RunRecord, run_id)
    run.state, run.message = state, message


def end_waiting(session: Session, prefect_run: str | None, waiting: str, ended: str, now: datetime) -> None:
    """Close what earlier processes of the same run left `waiting`: a suspended run comes back with a record of its own.

    Nothing without a run of Prefect.
    """
    if prefect_run is None:
        return
    session.execute(
        update(RunRecord)
        .where(RunRecord.prefect_run == prefect_run, RunRecord.state == waiting)
        .values(state=ended, finished_at=now)
        .execution_options(synchronize_session=False)
    )
