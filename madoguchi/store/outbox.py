"""The outbox: queueing, claiming, the marks around the final dot, and what a dead runner left behind.

A message is claimed (owner and lease) while its status stays `queued` or `retrying`. It becomes `sending` in a
transaction of its own only when its body is about to be given to the relay. Whatever a crash leaves in `sending`
may have arrived, whatever it leaves merely claimed certainly has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, Row, and_, or_, select, text, update
from sqlalchemy.orm import Session

from madoguchi.domain.message import MailKind, MessageStatus, message_id, message_key
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Amendment, Booking, BookingRequest, MailTemplate, OutboxMessage
from madoguchi.store.types import new_id
from madoguchi.store.vault import Vault

LEASE = timedelta(minutes=5)
_LEFT = (MessageStatus.SENT.value, MessageStatus.SENDING.value, MessageStatus.UNCERTAIN.value)
_UNSENT = (MessageStatus.QUEUED.value, MessageStatus.RETRYING.value)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A mail to queue. `subject`: the reference of the booking or request it speaks of; `context` is personal.

    `status` and `reason`: for a mail that is not to leave any more, so that the history says why; as a rule `queued`.
    `lane` (`mail_lane.lane_of`) and `amendment_id`: for a notice to everybody about an amendment of the terms.
    """

    kind: MailKind
    subject: str
    revision: int
    recipient: str
    context: Mapping[str, Any]
    template_version: str
    due_at: datetime
    not_after: datetime | None = None
    client_id: str | None = None
    request_id: str | None = None
    booking_id: str | None = None
    status: MessageStatus = MessageStatus.QUEUED
    reason: str | None = None
    lane: str = ""
    amendment_id: str | None = None


def pin_template(session: Session, kind: MailKind, version: str, bundle: Mapping[str, str], now: datetime) -> None:
    """Keep the files of a template version, once."""
    if session.get(MailTemplate, (kind.value, version)) is None:
        session.add(MailTemplate(kind=kind.value, version=version, bundle=dict(bundle), recorded_at=now))
        session.flush()


def template_bundles(session: Session, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], dict[str, str]]:
    """Return the pinned files by (kind, version)."""
    return {key: session.get_one(MailTemplate, key).bundle for key in set(keys)}


def queue_messages(session: Session, vault: Vault, messages: Sequence[NewMessage], act: Act, mail_domain: str) -> int:
    """Queue mails in the caller's transaction and return how many are new: the same key is never queued twice."""
    by_key = {message_key(m.kind, m.subject, m.revision): m for m in messages}
    known: set[str] = set()
    keys = list(by_key)
    for at in range(0, len(keys), 500):
        known.update(
            session.scalars(
                select(OutboxMessage.dedupe_key).where(
                    OutboxMessage.office == act.office, OutboxMessage.dedupe_key.in_(keys[at : at + 500])
                )
            )
        )
    fresh = {key: message for key, message in by_key.items() if key not in known}
    rows = [_row(vault, key, message, act, mail_domain) for key, message in fresh.items()]
    if rows:
        session.bulk_insert_mappings(OutboxMessage, rows)
        queued = MessageStatus.QUEUED.value
        write_audit(
            session,
            [audit_row(act, "message", row["id"], "queued", new=queued, reason=row["kind"]) for row in rows]
            + [
                audit_row(act, "message", row["id"], "transition", old=queued, new=row["status"], reason=row["reason"])
                for row in rows
                if row["status"] != queued
            ],
        )
    return len(rows)


def _row(vault: Vault, key: str, message: NewMessage, act: Act, mail_domain: str) -> dict[str, Any]:
    row_id = new_id()
    sealed = {"to": message.recipient, "context": dict(message.context)}
    return {
        "id": row_id,
        "office": act.office,
        "dedupe_key": key,
        "kind": message.kind.value,
        "client_id": message.client_id,
        "request_id": message.request_id,
        "booking_id": message.booking_id,
        "revision": message.revision,
        "template_version": message.template_version,
        "sealed_context": vault.seal_json(sealed, f"outbox_message.sealed_context.{row_id}"),
        "lane": message.lane,
        "amendment_id": message.amendment_id,
        "status": message.status.value,
        "reason": message.reason,
        "due_at": message.due_at,
        "not_after": message.not_after,
        "attempts": 0,
        "message_id": message_id(row_id, mail_domain),
        "queued_at": act.happened_at,
        "changed_at": act.happened_at,
    }


def owners_of_claims(session: Session, office: str) -> list[str]:
    """Return everybody who holds a claim on an unsettled message."""
    return list(
        session.scalars(
            select(OutboxMessage.claim_owner)
            .where(
                OutboxMessage.office == office,
                OutboxMessage.status.in_((*_UNSENT, MessageStatus.SENDING.value)),
                OutboxMessage.claim_owner.is_not(None),
            )
            .distinct()
        )
    )


def recover_stale(session: Session, act: Act, dead: Sequence[str]) -> list[str]:
    """Settle what runners that died, or let their lease run out, left behind; return the ids now uncertain.

    `sending` becomes `uncertain`, for the final dot may have been given; mere claims are lifted.
    """
    stale = and_(
        OutboxMessage.office == act.office,
        OutboxMessage.claim_owner.is_not(None),
        or_(OutboxMessage.claim_owner.in_(list(dead)), OutboxMessage.claim_until < act.recorded_at),
    )
    doubtful = list(
        session.scalars(select(OutboxMessage.id).where(stale, OutboxMessage.status == MessageStatus.SENDING.value))
    )
    if doubtful:
        settle(
            session,
            act,
            [Settled(row_id, MessageStatus.SENDING, MessageStatus.UNCERTAIN, "RUNNER_DIED") for row_id in doubtful],
        )
    session.execute(
        update(OutboxMessage)
        .where(stale, OutboxMessage.status.in_(_UNSENT))
        .values(claim_owner=None, claim_until=None)
        .execution_options(synchronize_session=False)
    )
    return doubtful


def claim_due(
    session: Session,
    office: str,
    owner: str,
    *,
    as_of: datetime,
    now: datetime,
    tried_before: datetime,
    limit: int,
    lane: str = "",
    amendment_id: str | None = None,
) -> list[Row[Any]]:
    """Claim up to `limit` messages of a lane that are due at `as_of` and nobody holds; return what sending them needs.

    The lease and `tried_before` go by the clock, not by business time: what was tried since is left for later.
    `amendment_id`: only what is about that amendment.
    """
    ids = list(
        session.scalars(
            select(OutboxMessage.id)
            .where(
                OutboxMessage.office == office,
                OutboxMessage.lane == lane,
                # Literals, not parameters: only so does the planner use the partial index.
                text("outbox_message.status IN ('queued', 'retrying')"),
                OutboxMessage.due_at <= as_of,
                OutboxMessage.claim_owner.is_(None),
                *(() if amendment_id is None else (OutboxMessage.amendment_id == amendment_id,)),
                or_(OutboxMessage.attempted_at.is_(None), OutboxMessage.attempted_at < tried_before),
            )
            .order_by(OutboxMessage.due_at, OutboxMessage.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )
    if not ids:
        return []
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.id.in_(ids))
        .values(claim_owner=owner, claim_until=now + LEASE)
        .execution_options(synchronize_session=False)
    )
    return list(session.execute(_for_sending().where(OutboxMessage.id.in_(ids))))


def claimed_message(session: Session, row_id: str, owner: str) -> Row[Any] | None:
    """Return what sending a message needs, read anew; None when `owner` holds it no longer, or it was begun."""
    still_ours = and_(OutboxMessage.id == row_id, OutboxMessage.claim_owner == owner, OutboxMessage.status.in_(_UNSENT))
    return session.execute(_for_sending().where(still_ours)).one_or_none()


def _for_sending() -> Any:
    message = OutboxMessage
    return (
        select(
            message.id,
            message.kind,
            message.revision,
            message.template_version,
            message.sealed_context,
            message.status,
            message.attempts,
            message.message_id,
            message.not_after,
            message.booking_id,
            message.lane,
            message.amendment_id,
            Amendment.status.label("amendment_status"),
            Booking.reference.label("booking"),
            Booking.status.label("booking_status"),
            Booking.revision.label("booking_revision"),
            BookingRequest.status.label("request_status"),
        )
        .join(BookingRequest, BookingRequest.id == message.request_id, isouter=True)
        .join(Booking, Booking.id == message.booking_id, isouter=True)
        .join(Amendment, Amendment.id == message.amendment_id, isouter=True)
        .order_by(message.due_at, message.id)
    )


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcome of one claimed message."""

    id: str
    old: MessageStatus
    new: MessageStatus
    reason: str | None = None
    attempted: bool = False


def settle(session: Session, act: Act, outcomes: Sequence[Settled], owner: str | None = None) -> int:
    """Record outcomes, lift the claims, write the audit; return how many rows changed.

    With `owner`, a message that somebody else has meanwhile taken over stays as it is.
    """
    changed = 0
    audit = []
    for outcome in outcomes:
        values: dict[str, Any] = {
            "status": outcome.new.value,
            "reason": outcome.reason,
            "claim_owner": None,
            "claim_until": None,
            "changed_at": act.happened_at,
        }
        if outcome.attempted:
            values["attempts"] = OutboxMessage.attempts + 1
            values["attempted_at"] = act.recorded_at
        if outcome.new == MessageStatus.SENT:
            values["sent_at"] = act.happened_at
        conditions = [OutboxMessage.id == outcome.id, OutboxMessage.status == outcome.old.value]
        if owner is not None:
            conditions.append(OutboxMessage.claim_owner == owner)
        result = cast(
            CursorResult[Any],
            session.execute(
                update(OutboxMessage).where(*conditions).values(**values).execution_options(synchronize_session=False)
            ),
        )
        if result.rowcount:
            changed += 1
            audit.append(
                audit_row(
                    act,
                    "message",
                    outcome.id,
                    "transition",
                    old=outcome.old.value,
                    new=outcome.new.value,
                    reason=outcome.reason,
                )
            )
    write_audit(session, audit)
    return changed


def release_claims(session: Session, office: str, owner: str) -> None:
    """Lift every claim of `owner` on messages that were not begun."""
    session.execute(
        update(OutboxMessage)
        .where(
            OutboxMessage.office == office,
            OutboxMessage.claim_owner == owner,
            OutboxMessage.status.in_(_UNSENT),
        )
        .values(claim_owner=None, claim_until=None)
        .execution_options(synchronize_session=False)
    )


def unsent_due(session: Session, office: str, as_of: datetime) -> list[Row[Any]]:
    """Return id, status, reason and claim of messages due at `as_of` that are not settled; no notices to everybody."""
    return list(
        session.execute(
            select(OutboxMessage.id, OutboxMessage.status, OutboxMessage.reason, OutboxMessage.claim_owner)
            .where(
                OutboxMessage.office == office,
                OutboxMessage.lane == "",
                # Two halves, each with its own partial index: the unsent ones, and what somebody is sending.
                or_(
                    text("outbox_message.status IN ('queued', 'retrying')"),
                    and_(OutboxMessage.claim_owner.is_not(None), OutboxMessage.status == MessageStatus.SENDING.value),
                ),
                OutboxMessage.due_at <= as_of,
            )
            .order_by(OutboxMessage.due_at, OutboxMessage.id)
        )
    )


def start_told(session: Session, booking_id: str, kinds: Sequence[MailKind]) -> datetime | None:
    """Return the start that the newest mail of these kinds told which has left or may have left; None without one.

    These mails are of no use after the start of which they speak: `not_after` is that start.
    """
    return session.scalar(
        select(OutboxMessage.not_after)
        .where(
            OutboxMessage.booking_id == booking_id,
            OutboxMessage.kind.in_([kind.value for kind in kinds]),
            OutboxMessage.status.in_(_LEFT),
        )
        .order_by(OutboxMessage.revision.desc())
        .limit(1)
    )
