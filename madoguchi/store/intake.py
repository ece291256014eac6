"""Rows of exports: which are known, staging new ones, and what they must be compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session, aliased

from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS, RequestStatus
from madoguchi.store.models import Booking, BookingRequest, Client, ExportFile

_CHUNK = 400
_READING: Final = "reading"
_READ: Final = "read"
_INTERRUPTED: Final = "interrupted"
_STARTS: Final = 32

_LETTER = {"accept": "a", "needs_review": "n", "reject": "r", "skip": "s"}
OUTCOME_OF_LETTER = {letter: outcome for outcome, letter in _LETTER.items()}
STAGED_LETTER: Final = "t"
"""Stands for a row whose outcome is not final: an earlier reading broke off."""


def known_digests(session: Session, office: str, source: str, form: str) -> dict[bytes, str]:
    """Return the outcomes of each raw record of a form, by digest: a letter for each time that it stands in the record.

    One string a digest, because a form's whole history is held in memory while its export is read again.
    """
    request = BookingRequest
    letter = case(
        (request.status == RequestStatus.STAGED.value, STAGED_LETTER),
        *((request.outcome == outcome, letter) for outcome, letter in _LETTER.items()),
    )
    # By file, which is nearly the order on the disk; any other index would fetch the rows one page at a time.
    files = select(ExportFile.id).where(
        ExportFile.office == office, ExportFile.source == source, ExportFile.form == form
    )
    here = request.file_id.in_(files)
    connection = session.connection()
    count = connection.scalar(select(func.count()).select_from(request).where(here))
    ours = select(request.digest, letter).where(here)
    with closing(connection.execute(ours)) as result:
        # The driver's own tuples: nothing is done a row.
        found: dict[bytes, str] = dict(cast("Iterable[tuple[bytes, str]]", result.cursor))
    if len(found) == count:
        return found
    found = {}
    for digest, outcome in connection.execute(ours.order_by(request.occurrence)):
        found[digest] = found.get(digest, "") + outcome
    return found


def is_any_known(session: Session, office: str, source: str, form: str, digests: Sequence[bytes]) -> bool:
    """Tell whether the record holds one of these raw records of a form."""
    statement = select(BookingRequest.id).where(
        BookingRequest.office == office, BookingRequest.source == source, BookingRequest.form == form
    )
    return any(
        session.execute(statement.where(BookingRequest.digest.in_(chunk)).limit(1)).first() is not None
        for chunk in _chunks(digests)
    )


def files_read(session: Session, office: str, source: str, form: str) -> list[ExportFile]:
    """Return the last files of a form that were read to their end, the newest first."""
    return list(
        session.scalars(
            select(ExportFile)
            .where(
                ExportFile.office == office,
                ExportFile.source == source,
                ExportFile.form == form,
                ExportFile.status == _READ,
            )
            .order_by(ExportFile.completed_at.desc(), ExportFile.id.desc())
            .limit(_STARTS)
        )
    )


def file_by_hash(session: Session, office: str, source: str, form: str, sha256: str) -> ExportFile | None:
    """Return the record of exactly these bytes, if they were read before."""
    return session.scalar(
        select(ExportFile).where(
            ExportFile.office == office,
            ExportFile.source == source,
            ExportFile.form == form,
            ExportFile.sha256 == sha256,
        )
    )


def register_file(
    session: Session, *, office: str, source: str, form: str, name: str, sha256: str, size: int, now: datetime
) -> ExportFile:
    """Record that a file is being read, or find the record of an earlier reading, finished or not."""
    row = file_by_hash(session, office, source, form, sha256)
    if row is None:
        row = ExportFile(
            office=office,
            source=source,
            form=form,
            name=name,
            sha256=sha256,
            size=size,
            status=_READING,
            counts={},
            first_read_at=now,
            completed_at=None,
        )
        session.add(row)
        session.flush()
    elif row.status == _INTERRUPTED:
        row.status = _READING
    return row


def complete_file(session: Session, file_id: str, counts: dict[str, int], now: datetime) -> None:
    """Record that every row of a file has its outcome.

    Readings of other files of the form that broke off before have nothing left to finish: their rows were finished
    with this one.
    """
    row = session.get_one(ExportFile, file_id)
    row.status, row.counts, row.completed_at = _READ, counts, now
    session.execute(
        update(ExportFile)
        .where(
            ExportFile.office == row.office,
            ExportFile.source == row.source,
            ExportFile.form == row.form,
            ExportFile.status == _READING,
            ExportFile.id != file_id,
        )
        .values(status=_INTERRUPTED)
    )


def refresh_statistics(session: Session) -> None:
    """Let PostgreSQL count the tables that grow while a big file is read; nothing on SQLite.

    Its own counting comes by the minute. Until then it takes the tables for small and walks through all rows of the
    office at every look-up.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("ANALYZE booking_request, client"))


def discard_staged(session: Session, file_id: str) -> None:
    """Forget what was staged of a file that turned out to be unreadable, and the file if nothing else came of it."""
    session.execute(
        delete(BookingRequest)
        .where(BookingRequest.file_id == file_id, BookingRequest.status == RequestStatus.STAGED.value)
        .execution_options(synchronize_session=False)
    )
    left = select(BookingRequest.id).where(BookingRequest.file_id == file_id).exists()
    session.execute(
        delete(ExportFile).where(ExportFile.id == file_id, ~left).execution_options(synchronize_session=False)
    )


def stage_rows(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert new rows as `staged`: nothing acts on them before their whole file is judged."""
    session.connection().execute(insert(BookingRequest), list(rows))


_COMPARED = (
    BookingRequest.id,
    BookingRequest.reference,
    BookingRequest.file_id,
    BookingRequest.row_number,
    BookingRequest.row_key,
    BookingRequest.digest,
    BookingRequest.submitted_at,
    BookingRequest.number_index,
    BookingRequest.name_index,
    BookingRequest.contact_index,
    BookingRequest.wishes,
    BookingRequest.values_digest,
    BookingRequest.outcome,
    BookingRequest.reason,
    BookingRequest.status,
)


def staged_ids(session: Session, office: str, source: str, form: str) -> list[str]:
    """Return the ids of every staged row of a form, whichever file staged it, in file order."""
    return list(session.connection().execute(_staged(select(BookingRequest.id), office, source, form)).scalars())


def _staged(statement: Select[Any], office: str, source: str, form: str) -> Select[Any]:
    return statement.where(
        BookingRequest.office == office,
        # An expression, so that no index of the form's whole history looks better than the one by status.
        BookingRequest.source.concat("") == source,
        BookingRequest.form.concat("") == form,
        BookingRequest.status == RequestStatus.STAGED.value,
        # Rows that an earlier, broken reading staged from another file come first.
    ).order_by(BookingRequest.file_id, BookingRequest.row_number, BookingRequest.id)


def _has_company() -> ColumnElement[bool]:
    """Hold for rows whose number or row key stands in another row too; the rest has nothing to be compared with."""
    other = aliased(BookingRequest)
    same_number = select(other.id).where(
        other.office == BookingRequest.office,
        other.number_index == BookingRequest.number_index,
        other.id != BookingRequest.id,
    )
    same_key = select(other.id).where(
        other.office == BookingRequest.office,
        other.source == BookingRequest.source,
        other.form == BookingRequest.form,
        other.row_key == BookingRequest.row_key,
        other.id != BookingRequest.id,
    )
    return or_(same_number.exists(), and_(BookingRequest.row_key != "", same_key.exists()))


def staged_rows_with_company(session: Session, office: str, source: str, form: str) -> Iterator[Row[Any]]:
    """Yield what comparing needs of the staged rows of a form that may mean something to another row, in file order."""
    statement = _staged(select(*_COMPARED), office, source, form).where(_has_company())
    yield from session.connection().execute(statement, execution_options={"yield_per": 2000})


def half_finished_rows_with_company(session: Session, office: str, source: str, form: str) -> Iterator[Row[Any]]:
    """Yield the same, and the sealed values, of finished rows of files whose reading broke off while finishing."""
    reading = select(ExportFile.id).where(
        ExportFile.office == office,
        ExportFile.source == source,
        ExportFile.form == form,
        ExportFile.status == _READING,
    )
    files = list(session.scalars(reading))
    finished = (BookingRequest.file_id.in_(files), BookingRequest.status != RequestStatus.STAGED.value)
    # Hardly ever are there any; PostgreSQL takes a second to compile the comparison for all rows of a file.
    if session.connection().execute(select(BookingRequest.id).where(*finished).limit(1)).first() is None:
        return
    yield from session.connection().execute(
        select(*_COMPARED, BookingRequest.sealed_values)
        .where(*finished, _has_company())
        .order_by(BookingRequest.file_id, BookingRequest.row_number, BookingRequest.id)
    )


def earlier_rows(
    session: Session, office: str, source: str, form: str, numbers: set[bytes], keys: set[str]
) -> list[Row[Any]]:
    """Return requests in the record with one of these people, or of this form with one of these row keys.

    Each comes with its booking's start if it has one.
    """
    statement = (
        select(*_COMPARED, BookingRequest.source, BookingRequest.form, Booking.start_at, Booking.end_at)
        .join(
            Booking,
            (Booking.request_id == BookingRequest.id) & Booking.status.in_([s.value for s in ACTIVE_BOOKINGS]),
            isouter=True,
        )
        .where(
            BookingRequest.office == office,
            BookingRequest.status.not_in((RequestStatus.STAGED.value, RequestStatus.SKIPPED.value)),
        )
    )
    found: dict[str, Row[Any]] = {}
    # Row keys are indexed within their form, and mean nothing in another.
    of_form = statement.where(BookingRequest.source == source, BookingRequest.form == form)
    for narrowed, column, values in (
        (statement, BookingRequest.number_index, sorted(numbers)),
        (of_form, BookingRequest.row_key, sorted(keys)),
    ):
        for chunk in _chunks(values):
            for row in session.connection().execute(narrowed.where(column.in_(chunk))):
                found[row.id] = row
    return sorted(found.values(), key=lambda row: row.id)


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for at in range(0, len(values), _CHUNK):
        yield values[at : at + _CHUNK]


def rows_to_finish(session: Session, ids: Sequence[str]) -> list[Row[Any]]:
    """Return what finishing staged rows needs, in the order of `ids`; rows that are no longer staged are left out."""
    found: dict[str, Any] = {
        row.id: row
        for row in session.connection().execute(
            select(
                BookingRequest.id,
                BookingRequest.reference,
                BookingRequest.source,
                BookingRequest.file_id,
                BookingRequest.digest,
                BookingRequest.occurrence,
                BookingRequest.number_index,
                BookingRequest.submitted_at,
                BookingRequest.outcome,
                BookingRequest.reason,
                BookingRequest.flags,
                BookingRequest.sealed_values,
            )
            .where(BookingRequest.id.in_(ids), BookingRequest.status == RequestStatus.STAGED.value)
            .with_for_update()
        )
    }
    return [found[row_id] for row_id in ids if row_id in found]


def finish_rows(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write outcome, reason, flags, status, relation and client of staged rows (`id` names the row)."""
    if rows:
        columns: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "id"}
        statement = update(BookingRequest).where(BookingRequest.id == bindparam("row_id")).values(columns)
        session.connection().execute(
            statement, [{"row_id": row["id"], **{name: row[name] for name in columns}} for row in rows]
        )


def clients_by_number(session: Session, office: str, numbers: Sequence[bytes]) -> dict[bytes, str]:
    """Return client ids by blind index of their number."""
    found: dict[bytes, str] = {}
    for chunk in _chunks(sorted(set(numbers))):
        for number, row_id in session.execute(
            select(Client.number_index, Client.id).where(Client.office == office, Client.number_index.in_(chunk))
        ).tuples():
            found[bytes(number)] = row_id
    return found


def add_clients(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert people."""
    if rows:
        session.connection().execute(insert(Client), list(rows))


def requests_by_reference(session: Session, office: str, references: Sequence[str]) -> list[BookingRequest]:
    """Return requests by reference."""
    found: list[BookingRequest] = []
    for chunk in _chunks(sorted(set(references))):
        found += session.scalars(
            select(BookingRequest).where(BookingRequest.office == office, BookingRequest.reference.in_(chunk))
        )
    return found


def taken_references(session: Session, office: str, references: Sequence[str]) -> set[str]:
    """Return which of these request references exist already."""
    found: set[str] = set()
    for chunk in _chunks(list(references)):
        found |= set(
            session.scalars(
                select(BookingRequest.reference).where(
                    BookingRequest.office == office, BookingRequest.reference.in_(chunk)
                )
            )
        )
    return found


def rows_to_look_at(session: Session, file_id: str, limit: int) -> list[tuple[int, str, str]]:
    """Return row number, outcome and reason of a file's own rows that were not simply accepted, the first `limit`."""
    rows = session.execute(
        select(BookingRequest.row_number, BookingRequest.outcome, BookingRequest.reason)
        .where(BookingRequest.file_id == file_id, BookingRequest.outcome.in_(("needs_review", "reject")))
        .order_by(BookingRequest.row_number)
        .limit(limit)
    ).tuples()
    return [(number, outcome, reason or "") for number, outcome, reason in rows]
