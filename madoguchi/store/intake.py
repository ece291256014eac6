"""Rows of exports: which are known, staging new ones, and what they must be compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import ACTIVE_BOOKINGS, RequestStatus
from madoguchi.store.models import Booking, BookingRequest, Client, ExportFile

_CHUNK = 400


_LETTER = {"accept": "a", "needs_review": "n", "reject": "r", "skip": "s"}
OUTCOME_OF_LETTER = {letter: outcome for outcome, letter in _LETTER.items()}


def known_digests(session: Session, office: str, source: str, form: str) -> dict[bytes, str]:
    """Return the outcomes of each raw record of a form, by digest: a letter for each time that it stands in the record.

    One string a digest, because a form's whole history is held in memory while its export is read again.
    """
    found: dict[bytes, str] = {}
    rows = session.connection().execute(
        select(BookingRequest.digest, BookingRequest.outcome)
        .where(BookingRequest.office == office, BookingRequest.source == source, BookingRequest.form == form)
        .order_by(BookingRequest.digest, BookingRequest.occurrence)
    )
    for digest, outcome in rows:
        letter = _LETTER[outcome]
        earlier = found.get(digest)
        found[digest] = letter if earlier is None else earlier + letter
    return found


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
    """Record that a file is being read, or find the record of an earlier, unfinished reading."""
    row = file_by_hash(session, office, source, form, sha256)
    if row is None:
        row = ExportFile(
            office=office,
            source=source,
            form=form,
            name=name,
            sha256=sha256,
            size=size,
            status="reading",
            counts={},
            first_read_at=now,
            completed_at=None,
        )
        session.add(row)
        session.flush()
    return row


def complete_file(session: Session, file_id: str, counts: dict[str, int], now: datetime) -> None:
    """Record that every row of a file has its outcome."""
    row = session.get_one(ExportFile, file_id)
    row.status, row.counts, row.completed_at = "read", counts, now


def stage_rows(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Insert new rows as `staged`: nothing acts on them before their whole file is judged."""
    session.execute(insert(BookingRequest), list(rows))


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


def staged_rows(session: Session, office: str, source: str, form: str) -> Iterable[Row[Any]]:
    """Yield what comparing needs of every staged row of a form, whichever file staged it, in file order."""
    return session.connection(execution_options={"yield_per": 2000}).execute(
        select(*_COMPARED)
        .where(
            BookingRequest.office == office,
            BookingRequest.source == source,
            BookingRequest.form == form,
            BookingRequest.status == RequestStatus.STAGED.value,
        )
        # Rows that an earlier, broken reading staged from another file come first.
        .order_by(BookingRequest.file_id, BookingRequest.row_number, BookingRequest.id)
    )


def earlier_rows(session: Session, office: str, numbers: set[bytes], keys: set[str]) -> list[Row[Any]]:
    """Return requests in the record with one of these people or row keys, with their booking's start if it has one."""
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
    for column, values in ((BookingRequest.number_index, sorted(numbers)), (BookingRequest.row_key, sorted(keys))):
        for chunk in _chunks(values):
            for row in session.connection().execute(statement.where(column.in_(chunk))):
                found[row.id] = row
    return sorted(found.values(), key=lambda row: row.id)


def _chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for at in range(0, len(values), _CHUNK):
        yield values[at : at + _CHUNK]


def rows_to_finish(session: Session, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Return what finishing staged rows needs, by id; rows that are no longer staged are left out."""
    return {
        row.id: row
        for row in session.connection().execute(
            select(
                BookingRequest.id,
                BookingRequest.reference,
                BookingRequest.source,
                BookingRequest.form,
                BookingRequest.number_index,
                BookingRequest.submitted_at,
                BookingRequest.flags,
                BookingRequest.sealed_values,
            )
            .where(BookingRequest.id.in_(ids), BookingRequest.status == RequestStatus.STAGED.value)
            .with_for_update()
        )
    }


def finish_rows(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write outcome, reason, flags, status, relation and client of staged rows (`id` names the row)."""
    if rows:
        session.execute(update(BookingRequest), list(rows))


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
        session.execute(insert(Client), list(rows))


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
