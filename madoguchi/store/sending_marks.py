"""The hot path of delivery: one short transaction a message, between the relay's 354 and the body.

It marks the previous message as sent and this one as `sending`, on one kept connection, with the business state
read again inside the same transaction. That is why at most one message a runner can be in doubt after a crash; two a
connection where two are marked at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any, Self

from sqlalchemy import bindparam, exists, insert, or_, select, update

from madoguchi.domain.amendment import AmendmentStatus
from madoguchi.domain.message import KINDS, MailKind, MessageStatus
from madoguchi.store.audit import Act, audit_row
from madoguchi.store.database import Database
from madoguchi.store.models import Amendment, Audit, Booking, OutboxMessage

SENDING_LEASE = timedelta(minutes=10)
"""The relay may take five minutes to answer the final dot (RFC 5321, 4.5.3.2.6); nobody else may judge it sooner."""

_AUDIT_OWN = tuple((f"subject_{n}", f"old_{n}", f"new_{n}") for n in range(4))
_AUDIT_COLUMNS = tuple(column.name for column in Audit.__table__.columns if column.name != "id")
_SENDING, _SENT = MessageStatus.SENDING.value, MessageStatus.SENT.value

log = logging.getLogger(__name__)


class _Prepared:
    """A statement compiled once, run on the driver's cursor with values that are converted already.

    Core's way of running one takes more time than everything else about a mail together.
    """

    def __init__(self, dialect: Any, statement: Any) -> None:
        compiled = statement.compile(dialect=dialect)
        self._sql = str(compiled)
        # Values that are still to come are missing here on purpose.
        fixed = compiled.construct_params(_check=False)
        self._fixed = {
            name: _converter(compiled.binds[name].type, dialect)(value)
            for name, value in fixed.items()
            if not compiled.binds[name].required
        }
        # A name may stand twice in a positional statement.
        self._order = itemgetter(*compiled.positiontup) if compiled.positiontup else None

    def run(self, cursor: Any, values: dict[str, Any]) -> int:
        """Run it and return how many rows it touched."""
        given = self._fixed | values
        cursor.execute(self._sql, self._order(given) if self._order else given)
        return int(cursor.rowcount)


def _converter(kind: Any, dialect: Any) -> Callable[[Any], Any]:
    """Return how Core would prepare a value of a column type for the driver."""
    found: Callable[[Any], Any] | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return found or (lambda value: value)


class SendingMarks:
    """Writes the marks of one runner. Not shared between threads."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._connection: Any = None
        self._cursor: Any = None
        dialect = database.engine.dialect
        self._instant = _converter(OutboxMessage.changed_at.type, dialect)
        self._details = _converter(Audit.details.type, dialect)({})
        self._mark_sending = {kind: _Prepared(dialect, _sending_statement(kind)) for kind in MailKind}
        self._mark_sent = _Prepared(dialect, _sent_statement())
        counts = range(1, len(_AUDIT_OWN) + 1)
        self._write_audit = {count: _Prepared(dialect, _audit_statement(count)) for count in counts}

    def __enter__(self) -> Self:
        self._connection = self._database.engine.raw_connection()
        self._cursor = self._connection.cursor()
        return self

    def __exit__(self, *_error: object) -> None:
        self._cursor.close()
        self._connection.close()

    def mark(self, act: Act, *, sent: Sequence[str], sending: Sequence[tuple[str, MailKind, str]]) -> int:
        """Commit: `sent` were accepted, `sending` (id, kind, old status) are about to be given, one after the other.

        Returns how many of `sending`, from the first on, may be given: the state of a booking or an amendment, time,
        or another runner forbids the next one, and nothing after it is looked at. The sent ones are recorded all the
        same; one that somebody else has meanwhile judged stays as it is.
        """
        happened, recorded = self._instant(act.happened_at), self._instant(act.recorded_at)
        values = {"owner": self._owner, "at": happened, "now": recorded}
        audit: list[tuple[str, str, str]] = []
        with self._database.one_writer():
            if self._database.is_sqlite:
                self._cursor.execute("BEGIN IMMEDIATE")
            try:
                for row_id in sent:
                    if self._mark_sent.run(self._cursor, values | {"row": row_id}):
                        audit.append((row_id, _SENDING, _SENT))
                    else:
                        log.error("message %s was accepted by the relay, but is no longer ours to settle", row_id)
                allowed = self._begin(act, values, sending)
                audit += [(row_id, old, _SENDING) for row_id, _, old in sending[:allowed]]
                self._audit(act, happened, recorded, audit)
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise
        return allowed

    def _begin(self, act: Act, values: dict[str, Any], sending: Sequence[tuple[str, MailKind, str]]) -> int:
        until = self._instant(act.recorded_at + SENDING_LEASE)
        for number, (row_id, kind, _) in enumerate(sending):
            if self._mark_sending[kind].run(self._cursor, values | {"row": row_id, "until": until}) != 1:
                return number
        return len(sending)

    def _audit(self, act: Act, happened: Any, recorded: Any, arrows: list[tuple[str, str, str]]) -> None:
        values = audit_row(act, "message", "", "transition")
        values |= {"happened_at": happened, "recorded_at": recorded, "details": self._details}
        for at in range(0, len(arrows), len(_AUDIT_OWN)):
            some = arrows[at : at + len(_AUDIT_OWN)]
            for names, arrow in zip(_AUDIT_OWN, some, strict=False):
                values.update(zip(names, arrow, strict=True))
            self._write_audit[len(some)].run(self._cursor, values)


def _audit_statement(count: int) -> Any:
    # What the rows have in common is given once.
    rows: list[dict[str, Any]] = []
    for own in _AUDIT_OWN[:count]:
        names = dict(zip(("subject", "old", "new"), own, strict=True))
        rows.append({name: bindparam(names.get(name, name)) for name in _AUDIT_COLUMNS})
    return insert(Audit).values(rows)


def _sending_statement(kind: MailKind) -> Any:
    rule = KINDS[kind]
    conditions = [
        OutboxMessage.id == bindparam("row"),
        OutboxMessage.claim_owner == bindparam("owner"),
        or_(*(OutboxMessage.status == s.value for s in (MessageStatus.QUEUED, MessageStatus.RETRYING))),
        or_(
            OutboxMessage.not_after.is_(None),
            OutboxMessage.not_after > bindparam("at", type_=OutboxMessage.not_after.type),
        ),
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
    if kind == MailKind.TERMS_AMENDED:
        withdrawn = exists().where(
            Amendment.id == OutboxMessage.amendment_id, Amendment.status == AmendmentStatus.WITHDRAWN.value
        )
        conditions.append(~withdrawn)
    return (
        update(OutboxMessage)
        .where(*conditions)
        .values(
            status=MessageStatus.SENDING.value,
            attempts=OutboxMessage.attempts + 1,
            attempted_at=bindparam("now", type_=OutboxMessage.attempted_at.type),
            changed_at=bindparam("at", type_=OutboxMessage.changed_at.type),
            claim_until=bindparam("until", type_=OutboxMessage.claim_until.type),
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
