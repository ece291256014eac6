"""The hot path of delivery: one short transaction a message, between the relay's 354 and the body.

It marks the previous message as sent and this one as `sending`, on one kept connection, with the business state
read again inside the same transaction. That is why at most one message a runner can be in doubt after a crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from sqlalchemy import Connection, bindparam, exists, insert, or_, select, update

from madoguchi.domain.message import KINDS, MailKind, MessageStatus
from madoguchi.store.audit import Act, audit_row
from madoguchi.store.database import Database
from madoguchi.store.models import Audit, Booking, OutboxMessage


class SendingMarks:
    """Writes the marks of one runner. Not shared between threads."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._owner = owner
        self._mark_sending = {kind: _sending_statement(kind) for kind in MailKind}
        self._mark_sent = _sent_statement()

    def __enter__(self) -> Self:
        self._connection = self._database.connect_for_writing()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def mark(self, act: Act, *, sent: Sequence[str], sending: tuple[str, MailKind, str] | None) -> bool:
        """Commit: `sent` were accepted, `sending` (id, kind, old status) is about to be given.

        Returns False when the state of the booking, or another runner, forbids the sending; the sent ones are
        recorded all the same.
        """
        if self._connection is None:
            raise RuntimeError("used outside its with block")
        allowed = True
        audit: list[dict[str, Any]] = []
        with self._connection.begin():
            for row_id in sent:
                self._connection.execute(self._mark_sent, {"row": row_id, "owner": self._owner, "at": act.happened_at})
                audit.append(_audit(act, row_id, MessageStatus.SENDING, MessageStatus.SENT))
            if sending is not None:
                row_id, kind, old = sending
                result = self._connection.execute(
                    self._mark_sending[kind],
                    {"row": row_id, "owner": self._owner, "at": act.happened_at, "now": act.recorded_at},
                )
                allowed = result.rowcount == 1
                if allowed:
                    audit.append(_audit(act, row_id, MessageStatus(old), MessageStatus.SENDING))
            if audit:
                self._connection.execute(insert(Audit), audit)
        return allowed


def _audit(act: Act, row_id: str, old: MessageStatus, new: MessageStatus) -> dict[str, Any]:
    return audit_row(act, "message", row_id, "transition", old=old.value, new=new.value)


def _sending_statement(kind: MailKind) -> Any:
    rule = KINDS[kind]
    conditions = [
        OutboxMessage.id == bindparam("row"),
        OutboxMessage.claim_owner == bindparam("owner"),
        OutboxMessage.status.in_((MessageStatus.QUEUED.value, MessageStatus.RETRYING.value)),
    ]
    if rule.needs_booking_status:
        conditions.append(
            or_(
                OutboxMessage.booking_id.is_(None),
                exists(
                    select(Booking.id).where(
                        Booking.id == OutboxMessage.booking_id,
                        Booking.status.in_(sorted(rule.needs_booking_status)),
                        Booking.revision == OutboxMessage.revision,
                    )
                ),
            )
        )
    return (
        update(OutboxMessage)
        .where(*conditions)
        .values(
            status=MessageStatus.SENDING.value,
            attempts=OutboxMessage.attempts + 1,
            attempted_at=bindparam("now", type_=OutboxMessage.attempted_at.type),
            changed_at=bindparam("at", type_=OutboxMessage.changed_at.type),
        )
        .execution_options(synchronize_session=False)
    )


def _sent_statement() -> Any:
    at = bindparam("at", type_=OutboxMessage.changed_at.type)
    return (
        update(OutboxMessage)
        .where(
            OutboxMessage.id == bindparam("row"),
            OutboxMessage.claim_owner == bindparam("owner"),
            OutboxMessage.status == MessageStatus.SENDING.value,
        )
        .values(
            status=MessageStatus.SENT.value, reason=None, sent_at=at, changed_at=at, claim_owner=None, claim_until=None
        )
        .execution_options(synchronize_session=False)
    )
