"""Who was told of an amendment, in one statement a question; nothing here commits. Rows hold references and codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, select
from sqlalchemy.orm import Session

from madoguchi.domain.amendment import AmendmentStatus, NoticePurpose, NoticeRoute
from madoguchi.domain.bounce import CAME_BACK
from madoguchi.domain.message import MessageStatus
from madoguchi.domain.notice_proof import MUST_BE_TOLD, TOLD_BY_TELEPHONE, NoticeClass
from madoguchi.store.models import (
    Amendment,
    BookingRequest,
    Bounce,
    Client,
    Notice,
    NoticeSignOff,
    OutboxMessage,
)
from madoguchi.store.vault import Vault, VaultError

_AT_ONCE = 1000


def amendment_codes(session: Session, office: str) -> list[str]:
    """Return the codes of all amendments, the newest first."""
    return list(
        session.scalars(select(Amendment.code).where(Amendment.office == office).order_by(Amendment.approved_at.desc()))
    )


def living_amendments(session: Session, office: str, since: datetime) -> list[str]:
    """Return the ids of amendments that were published since an instant: who is told of them still changes."""
    return list(
        session.scalars(
            select(Amendment.id)
            .where(Amendment.office == office, Amendment.published_at >= since)
            .order_by(Amendment.id)
        )
    )


def _came_back(column: Any) -> Select[Any]:
    """Select something of the notifications that say that the mail of a notice came back.

    One look into an index for each row, whatever the planner believes: joined as a whole, PostgreSQL compared a hundred
    thousand rows with thousands while it had no statistics yet, which is right after an announcement.
    """
    return select(column).where(Bounce.message_id == Notice.message_id, Bounce.action.in_(CAME_BACK))


def _class(came_back: ColumnElement[bool]) -> ColumnElement[str]:
    """Say `domain.notice_proof.notice_class` in SQL, rule by rule."""
    status = OutboxMessage.status
    left = (MessageStatus.SENT.value, MessageStatus.SENDING.value, MessageStatus.UNCERTAIN.value)
    under_way = (MessageStatus.QUEUED.value, MessageStatus.RETRYING.value, MessageStatus.SENDING.value)
    told_by_telephone = and_(status == MessageStatus.FAILED.value, OutboxMessage.reason == TOLD_BY_TELEPHONE)
    return case(
        (Notice.told_at.is_not(None), NoticeClass.TOLD_OTHERWISE.value),
        (Notice.route == NoticeRoute.OTHER.value, NoticeClass.NO_ADDRESS.value),
        (status.is_(None), NoticeClass.WAITING.value),
        (and_(status.in_(left), came_back), NoticeClass.BOUNCED.value),
        (status.in_(under_way), NoticeClass.WAITING.value),
        (told_by_telephone, NoticeClass.TOLD_OTHERWISE.value),
        (status == MessageStatus.SENT.value, NoticeClass.TOLD.value),
        (status == MessageStatus.UNCERTAIN.value, NoticeClass.UNCERTAIN.value),
        else_=NoticeClass.NOT_SENT.value,
    )


def _statement(office: str, amendment_id: str, purpose: NoticePurpose) -> tuple[Select[Any], ColumnElement[str]]:
    where = _class(_came_back(Bounce.id).exists())
    statement = (
        select(
            Notice.id,
            Notice.reference,
            Notice.route,
            Notice.client_id,
            where.label("notice_class"),
            Notice.message_id,
            Notice.told_how,
            Notice.told_by,
            Notice.told_at,
            OutboxMessage.status,
            OutboxMessage.sent_at,
            OutboxMessage.changed_at,
            _came_back(func.min(Bounce.arrived_at)).scalar_subquery().label("bounced_at"),
            # The least word is the worst kind: hard, policy, soft, unknown stand in the order of the alphabet.
            _came_back(func.min(Bounce.kind)).scalar_subquery().label("bounce_kind"),
        )
        .join(OutboxMessage, OutboxMessage.id == Notice.message_id, isouter=True)
        .where(Notice.office == office, Notice.amendment_id == amendment_id, Notice.purpose == purpose.value)
    )
    return statement, where


def proof_rows(
    session: Session,
    office: str,
    amendment_id: str,
    purpose: NoticePurpose,
    classes: Collection[NoticeClass] = frozenset(NoticeClass),
    limit: int | None = None,
) -> Iterator[Row[Any]]:
    """Give everybody of some classes by reference, a thousand rows in memory at a time; one consistent statement."""
    statement, where = _statement(office, amendment_id, purpose)
    if set(classes) != set(NoticeClass):
        statement = statement.where(where.in_([each.value for each in classes]))
    statement = statement.order_by(Notice.reference, Notice.id).limit(limit)
    yield from session.execute(statement.execution_options(yield_per=_AT_ONCE))


def proof_of(session: Session, office: str, amendment_id: str, purpose: NoticePurpose, client_id: str) -> Any:
    """Return how one person stands, or None for somebody who need not be told."""
    statement, _ = _statement(office, amendment_id, purpose)
    return session.execute(statement.where(Notice.client_id == client_id)).one_or_none()


def totals(session: Session, office: str, amendment_id: str, purpose: NoticePurpose) -> dict[NoticeClass, int]:
    """Count everybody by class, classes without anybody included."""
    statement, where = _statement(office, amendment_id, purpose)
    counted = statement.with_only_columns(where.label("notice_class"), func.count()).group_by(where)
    found: Counter[str] = Counter({row[0]: row[1] for row in session.execute(counted)})
    return {each: found[each.value] for each in NoticeClass}


def people_left(session: Session, amendment: Amendment) -> int:
    """Count those who must be told by other means. Of what was withdrawn nobody needs to be told any more."""
    purposes = [NoticePurpose.WITHDRAWN] if amendment.status == AmendmentStatus.WITHDRAWN.value else list(NoticePurpose)
    found = [totals(session, amendment.office, amendment.id, purpose) for purpose in purposes]
    return sum(counted[each] for counted in found for each in MUST_BE_TOLD)


def notice_of(session: Session, notice_id: str) -> Notice:
    """Return a notice, locked until the transaction ends."""
    return session.scalars(
        select(Notice).where(Notice.id == notice_id).with_for_update().execution_options(populate_existing=True)
    ).one()


def sign_offs(session: Session, amendment_id: str, purpose: NoticePurpose) -> list[NoticeSignOff]:
    """Return who vouched for the totals of a notice, the oldest first."""
    return list(
        session.scalars(
            select(NoticeSignOff)
            .where(NoticeSignOff.amendment_id == amendment_id, NoticeSignOff.purpose == purpose.value)
            .order_by(NoticeSignOff.signed_at, NoticeSignOff.id)
        )
    )


def names_and_telephones(session: Session, vault: Vault, client_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return name and telephone of people, from the newest application of each; the caller leaves an audit row."""
    found: dict[str, tuple[str, str]] = {}
    for client in session.scalars(select(Client).where(Client.id.in_(list(client_ids)))):
        personal = _opened(vault, client.sealed_personal, f"client.sealed_personal.{client.id}")
        found[client.id] = (str(personal.get("name") or ""), "")
    requests = session.execute(
        select(BookingRequest.id, BookingRequest.client_id, BookingRequest.sealed_values)
        .where(BookingRequest.client_id.in_(list(client_ids)))
        .order_by(BookingRequest.recorded_at, BookingRequest.id)
    )
    for row in requests:
        values = _opened(vault, row.sealed_values, f"booking_request.sealed_values.{row.id}").get("application") or {}
        name, telephone = found[row.client_id]
        # The newest wins; an application that gives no number takes none away.
        found[row.client_id] = (str(values.get("name") or name), str(values.get("phone") or telephone))
    return found


def _opened(vault: Vault, sealed: bytes, place: str) -> dict[str, Any]:
    """Return what is sealed; nothing where it is damaged: the list of the others must not fail for it."""
    try:
        opened: dict[str, Any] = vault.open_json(sealed, place)
    except (VaultError, ValueError):
        return {}
    return opened
