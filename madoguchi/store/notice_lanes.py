"""Notices to everybody in the outbox: how many wait in which lane, who is at it, what all of them have in common."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from madoguchi.domain.message import MailKind, MessageStatus
from madoguchi.store.models import Amendment, OutboxMessage

_CLAIMING_NOTICES = 7_410_011
_UNSETTLED = (MessageStatus.QUEUED.value, MessageStatus.RETRYING.value, MessageStatus.SENDING.value)


def await_turn_to_claim(session: Session) -> None:
    """Let runners claim notices one after the other, until the caller's transaction ends: who looks sees who holds."""
    # On SQLite whoever writes is alone anyway.
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_CLAIMING_NOTICES)))


def owners_in_lane(session: Session, office: str, lane: str) -> list[str]:
    """Return everybody who holds a claim on a notice of a lane that is not settled."""
    return list(
        session.scalars(
            select(OutboxMessage.claim_owner)
            .where(
                OutboxMessage.office == office,
                OutboxMessage.claim_owner.is_not(None),
                OutboxMessage.status.in_(_UNSETTLED),
                OutboxMessage.lane == lane,
            )
            .distinct()
        )
    )


def waiting_lanes(
    session: Session, office: str, as_of: datetime, amendment_id: str | None = None
) -> dict[str, tuple[int, int]]:
    """Return the notices to everybody that are due and not settled: by lane how many, and how many of them are held."""
    rows = session.execute(
        select(OutboxMessage.lane, func.count(), func.count(OutboxMessage.claim_owner))
        .where(
            OutboxMessage.office == office,
            OutboxMessage.lane > "",
            text("outbox_message.status IN ('queued', 'retrying')"),
            OutboxMessage.due_at <= as_of,
            *(() if amendment_id is None else (OutboxMessage.amendment_id == amendment_id,)),
        )
        .group_by(OutboxMessage.lane)
        .order_by(OutboxMessage.lane)
    )
    return {lane: (count, held) for lane, count, held in rows}


def notice_contents(session: Session, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what all mails of a kind about an amendment have in common, by (kind, id of the amendment)."""
    found = {}
    for kind, amendment_id in set(keys):
        amendment = session.get(Amendment, amendment_id)
        if amendment is not None:
            withdrawn = kind == MailKind.TERMS_WITHDRAWN
            found[kind, amendment_id] = amendment.withdrawal_content if withdrawn else amendment.content
    return found
