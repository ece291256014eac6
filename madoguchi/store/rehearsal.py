"""The copy of the record that a rehearsal works on, and what is different in it afterwards. Codes and references only.

The copy is always SQLite, whatever the record is on. It is made from one consistent state and holds what the record
holds, sealed as it is there; whoever asks for it removes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Row, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from madoguchi.store.database import Database
from madoguchi.store.models import (
    Base,
    Booking,
    BookingRequest,
    ExportFile,
    Meeting,
    Notice,
    OutboxMessage,
    RunRecord,
    StaffTask,
    VerdictRecord,
)

_BATCH: Final = 5000
_BEFORE: Final[Mapping[str, str]] = {
    "outbox_message": "status",
    # A moved booking comes back to the same status.
    "booking": "status || '/' || revision",
    "booking_request": "status",
    "meeting": "status",
    "verdict": "verdict",
    "staff_task": "closed_at",
}
_SHOWN_OTHERWISE: Final = frozenset({*_BEFORE, "audit", "run_record", "occupancy", "consent", "mail_template"})


class NoCopy(Exception):  # noqa: N818 — named by what happened
    """The record could not be copied; the text says why, without a path or an address."""


def copy_record(database: Database, target: Path) -> Database:
    """Copy the record into the new SQLite file `target` (its mode is 0600) and open the copy; the caller closes it.

    The record is only read, in one consistent state, and nobody who writes waits for it on PostgreSQL or in WAL mode.
    NoCopy when the disk is full or the record does not answer.
    """
    target.touch(mode=0o600, exist_ok=False)
    copy = Database(f"sqlite:///{target}")
    try:
        if database.is_sqlite:
            _back_up(database, target)
        else:
            _copy_tables(database, copy)
        with copy.write() as session:
            _note_what_is(session)
    except (sqlite3.Error, OperationalError, OSError) as error:
        copy.close()
        reason = type(error.orig).__name__ if isinstance(error, OperationalError) else type(error).__name__
        raise NoCopy(f"the record could not be copied ({reason}): is the disk full, or the database down?") from None
    return copy


def _back_up(database: Database, target: Path) -> None:
    source = database.engine.raw_connection()
    try:
        into = sqlite3.connect(target)
        try:
            # The driver's own connection: SQLAlchemy's stands before it.
            source.driver_connection.backup(into)  # type: ignore[union-attr] # a connection just taken is there
        finally:
            into.close()
    finally:
        source.close()


def _copy_tables(database: Database, copy: Database) -> None:
    with copy.engine.execution_options(madoguchi_write=True).begin() as connection:
        Base.metadata.create_all(connection)
    snapshot = database.engine.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True, stream_results=True
    )
    with snapshot.connect() as source, copy.connect_for_writing() as into, into.begin():
        for table in Base.metadata.sorted_tables:
            rows = source.execution_options(yield_per=_BATCH).execute(select(table))
            for batch in rows.mappings().partitions():
                into.execute(table.insert(), [dict(row) for row in batch])


def _note_what_is(session: Session) -> None:
    """Remember what is, so that afterwards SQL can tell what is different. Table names are ours."""
    for name, value in _BEFORE.items():
        session.execute(text(f"CREATE TABLE before_{name} AS SELECT id, {value} AS was FROM {name}"))  # noqa: S608 — constants
        session.execute(text(f"CREATE INDEX ix_before_{name} ON before_{name} (id)"))
    session.execute(text("CREATE TABLE before_count (name TEXT, rows INTEGER)"))
    for name in _other_tables():
        session.execute(text(f"INSERT INTO before_count SELECT '{name}', count(*) FROM \"{name}\""))  # noqa: S608 — the same


def _other_tables() -> list[str]:
    return [table.name for table in Base.metadata.sorted_tables if table.name not in _SHOWN_OTHERWISE]


@dataclass(frozen=True, slots=True)
class Differences:
    """What a rehearsal changed in its copy, as rows that can be shown: words, references, instants (aware, UTC).

    A reference that the record does not know yet is not shown, since the real run draws another one: in its place
    stand the application's reference, or the file and row that it came in.
    """

    mails: list[dict[str, Any]]
    verdicts: list[dict[str, Any]]
    changes: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    rows: dict[str, int]
    """How many more, or fewer, rows other tables would have."""


def differences(session: Session) -> Differences:
    """Return what is different in a copy since it was made."""
    names = _Names(session)
    return Differences(
        mails=list(_mails(session, names)),
        verdicts=list(_verdicts(session, names)),
        changes=[*_requests(session, names), *_bookings(session, names)],
        tasks=list(_tasks(session, names)),
        rows=_counts(session),
    )


def run_of_copy(session: Session) -> RunRecord | None:
    """Return the run that was recorded last: in a copy, the rehearsed one."""
    return session.scalar(select(RunRecord).order_by(RunRecord.started_at.desc(), text("rowid DESC")).limit(1))


class _Names:
    """What a booking, request or message is called by people who have not seen the rehearsal."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, str] = {}

    def of(self, booking_id: str | None, request_id: str | None) -> str:
        """Return the reference that the record knows, else file and row; empty when there is neither."""
        key = booking_id or request_id or ""
        if key not in self._known:
            self._known[key] = self._find(booking_id, request_id)
        return self._known[key]

    def of_reference(self, reference: str) -> str:
        """Return what a reference of the copy is called."""
        booking = self._session.scalar(select(Booking.id).where(Booking.reference == reference))
        if booking:
            return self.of(booking, None)
        request = self._session.scalar(select(BookingRequest.id).where(BookingRequest.reference == reference))
        return self.of(None, request) if request else reference

    def of_token(self, agenda: str, meeting_id: str) -> str:
        """Return what a meeting at Zoom belongs to; empty when the record knows nothing of it."""
        token = agenda.partition("ref:")[2].split(" ")[0] if "ref:" in agenda else ""
        found = self._session.scalar(
            select(Meeting.booking_id).where((Meeting.meeting_id == meeting_id) | (Meeting.token == token))
        )
        return self.of(found, None) if found else ""

    def _find(self, booking_id: str | None, request_id: str | None) -> str:
        if booking_id:
            row = self._session.execute(
                select(Booking.reference, Booking.request_id).where(Booking.id == booking_id)
            ).one()
            if self._was_there("booking", booking_id):
                return str(row.reference)
            request_id = row.request_id
        if not request_id:
            return ""
        request = self._session.execute(
            select(BookingRequest.reference, BookingRequest.row_number, ExportFile.name)
            .join(ExportFile, ExportFile.id == BookingRequest.file_id)
            .where(BookingRequest.id == request_id)
        ).one()
        if self._was_there("booking_request", request_id):
            return str(request.reference)
        return f"{request.name}:{request.row_number}"

    def _was_there(self, table: str, row_id: str) -> bool:
        query = text(f"SELECT 1 FROM before_{table} WHERE id = :id")  # noqa: S608 — constants
        return self._session.execute(query, {"id": row_id}).first() is not None


def _changed(session: Session, table: str) -> Iterator[Row[Any]]:
    """Give id and old value of every row of a table that is new or has another value."""
    now = f"(SELECT id, rowid AS place, {_BEFORE[table]} AS is_now FROM {table})"  # noqa: S608 — constants
    query = text(
        f"SELECT now.id AS id, old.was AS was FROM {now} now LEFT JOIN before_{table} old ON old.id = now.id "  # noqa: S608 — constants
        "WHERE old.id IS NULL OR old.was IS NOT now.is_now ORDER BY now.place"
    )
    yield from session.execute(query).all()


def _mails(session: Session, names: _Names) -> Iterator[dict[str, Any]]:
    for change in _changed(session, "outbox_message"):
        row = session.get_one(OutboxMessage, change.id)
        name = names.of(row.booking_id, row.request_id) or _notice_name(session, row.id)
        when = row.sent_at if row.status == "sent" else row.due_at
        yield {"kind": row.kind, "reference": name, "when": when, "state": row.status, "reason": row.reason}
        session.expunge(row)


def _notice_name(session: Session, message_id: str) -> str:
    return session.scalar(select(Notice.reference).where(Notice.message_id == message_id)) or ""


def _verdicts(session: Session, names: _Names) -> Iterator[dict[str, Any]]:
    for change in _changed(session, "verdict"):
        row = session.get_one(VerdictRecord, change.id)
        yield {
            "reference": names.of(row.booking_id, None),
            "verdict": row.verdict,
            "reasons": list(row.reasons),
            "number": row.number,
        }


def _requests(session: Session, names: _Names) -> Iterator[dict[str, Any]]:
    for change in _changed(session, "booking_request"):
        row = session.get_one(BookingRequest, change.id)
        yield {"kind": "request", "reference": names.of(None, row.id), "old": change.was, "new": row.status}


def _bookings(session: Session, names: _Names) -> Iterator[dict[str, Any]]:
    for change in _changed(session, "booking"):
        row = session.get_one(Booking, change.id)
        old = change.was.partition("/")[0] if change.was else None
        name = names.of(row.id, None)
        yield {"kind": "booking", "reference": name, "old": old, "new": row.status, "start": row.start_at}


def _tasks(session: Session, names: _Names) -> Iterator[dict[str, Any]]:
    for change in _changed(session, "staff_task"):
        row = session.get_one(StaffTask, change.id)
        message = session.get(OutboxMessage, row.subject)
        subject = names.of(message.booking_id, message.request_id) if message else names.of_reference(row.subject)
        state = "opened" if row.closed_at is None else "closed"
        yield {"kind": row.kind, "reference": subject, "reason": row.reason, "state": state}


def _counts(session: Session) -> dict[str, int]:
    found = {}
    for row in session.execute(text("SELECT name, rows FROM before_count")).all():
        now = session.scalar(select(func.count()).select_from(Base.metadata.tables[row.name]))
        if now != row.rows:
            found[str(row.name)] = int(now or 0) - int(row.rows)
    return found


def name_of_meeting(session: Session, agenda: str, meeting_id: str) -> str:
    """Return what a meeting at Zoom belongs to, as `Differences` calls it; empty when the record does not know it."""
    return _Names(session).of_token(agenda, meeting_id)
