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

_AUDIT_COLUMNS = tuple(column.name for column in Audit.__table__.columns if column.name != "id")


class _Prepared:
    """A statement compiled once, run on the driver's cursor.

    Core's way of running one takes more time than everything else about a mail together.
    """

    def __init__(self, database: Database, statement: Any) -> None:
        dialect = database.engine.dialect
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        # Values that are still to come are missing here on purpose.
        self._fixed = dict(compiled.construct_params(_check=False))
        self._is_positional = compiled.positiontup is not None
        self._names = list(compiled.positiontup or self._fixed)
        self._convert = {
            name: processor
            for name in self._names
            if (processor := compiled.binds[name].type._cached_bind_processor(dialect)) is not None  # noqa: SLF001 — the processor that Core would use
        }

    def run(self, cursor: Any, values: dict[str, Any]) -> int:
        """Run it and return how many rows it touched."""
        given = self._fixed | values
        converted = [self._convert[n](given[n]) if n in self._convert else given[n] for n in self._names]
        # A name may stand twice in a positional statement.
        parameters: Any = converted if self._is_positional else dict(zip(self._names, converted, strict=True))
        cursor.execute(self._sql, parameters)
        return int(cursor.rowcount)


class SendingMarks:
    """Writes the marks of one runner. Not shared between threads."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._owner = owner
        self._mark_sending = {kind: _Prepared(database, _sending_statement(kind)) for kind in MailKind}
        self._mark_sent = _Prepared(database, _sent_statement())
        self._audit = _Prepared(database, insert(Audit).values({name: bindparam(name) for name in _AUDIT_COLUMNS}))

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
            cursor = self._connection.connection.cursor()
            for row_id in sent:
                self._mark_sent.run(cursor, {"row": row_id, "owner": self._owner, "at": act.happened_at})
                audit.append(_audit(act, row_id, MessageStatus.SENDING, MessageStatus.SENT))
            if sending is not None:
                row_id, kind, old = sending
                values = {"row": row_id, "owner": self._owner, "at": act.happened_at, "now": act.recorded_at}
                allowed = self._mark_sending[kind].run(cursor, values) == 1
                if allowed:
                    audit.append(_audit(act, row_id, MessageStatus(old), MessageStatus.SENDING))
            for row in audit:
                self._audit.run(cursor, row)
            cursor.close()
        return allowed


def _audit(act: Act, row_id: str, old: MessageStatus, new: MessageStatus) -> dict[str, Any]:
    return audit_row(act, "message", row_id, "transition", old=old.value, new=new.value)


def _sending_statement(kind: MailKind) -> Any:
    rule = KINDS[kind]
    conditions = [
        OutboxMessage.id == bindparam("row"),
        OutboxMessage.claim_owner == bindparam("owner"),
        or_(*(OutboxMessage.status == s.value for s in (MessageStatus.QUEUED, MessageStatus.RETRYING))),
    ]
    if rule.needs_booking_status:
        conditions.append(
            or_(
                OutboxMessage.booking_id.is_(None),
                exists(
                    select(Booking.id).where(
                        Booking.id == OutboxMessage.booking_id,
                        or_(*(Booking.status == status for status in sorted(rule.needs_booking_status))),
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
