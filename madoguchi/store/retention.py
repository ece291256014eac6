"""What the retention table asks of the record: what may be over, what hangs on it, and the erasing. Nothing commits.

Erasing replaces sealed columns by `vault.ERASED` and takes blind indexes away; states, times, codes and references
stay, and with them every statistic. `digest` and `occurrence` of an application stay too: without them the next
cumulative export would bring the row again as a new one. Each act is one row of `deletion` in the same transaction.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import BookingStatus, MeetingStatus, RequestStatus
from madoguchi.domain.message import MessageStatus
from madoguchi.domain.retention import Matter, Over, RecordClass
from madoguchi.store.audit import LOOKS, Act
from madoguchi.store.models import (
    Audit,
    Booking,
    BookingRequest,
    Client,
    Deletion,
    Evidence,
    Meeting,
    OutboxMessage,
    StaffTask,
)
from madoguchi.store.vault import ERASED

ERASE, REMOVE, PSEUDONYMISE = "erased", "removed", "pseudonymised"
_INDEX_BYTES = 16


@dataclass(frozen=True, slots=True)
class Part:
    """One row that holds something personal. `reference`: by which people know what it belongs to."""

    record_class: RecordClass
    row_id: str
    reference: str | None


@dataclass(slots=True)
class Found:
    """An application, what it is judged by, and what of it still holds something personal."""

    request_id: str
    reference: str
    client_id: str | None
    matter: Matter
    parts: list[Part] = field(default_factory=list)


def requests_to_judge(session: Session, office: str, before: Mapping[RecordClass, datetime]) -> list[str]:
    """Return the ids of applications of which something may be over: old enough by its first moment, not erased."""
    request, found = BookingRequest, set[str]()
    wanted: list[tuple[RecordClass, Any]] = [
        (RecordClass.REQUEST, select(request.id).where(request.erased_at.is_(None), *_old(request.recorded_at))),
        (
            RecordClass.BOOKING,
            select(Booking.request_id)
            .join(Meeting, Meeting.booking_id == Booking.id)
            .where(Meeting.erased_at.is_(None), *_old(Meeting.changed_at)),
        ),
        (
            RecordClass.MESSAGE,
            select(func.coalesce(OutboxMessage.request_id, Booking.request_id))
            .join(Booking, Booking.id == OutboxMessage.booking_id, isouter=True)
            .where(
                OutboxMessage.erased_at.is_(None),
                OutboxMessage.amendment_id.is_(None),
                *_old(OutboxMessage.changed_at),
            ),
        ),
        (
            RecordClass.EVIDENCE,
            select(Booking.request_id)
            .join(Evidence, Evidence.booking_id == Booking.id)
            .where(Evidence.sealed_note.is_not(None), Evidence.erased_at.is_(None), *_old(Evidence.recorded_at)),
        ),
    ]
    for record_class, statement in wanted:
        if record_class in before:
            moments = {"before": before[record_class]}
            found |= {row for row in session.scalars(statement.distinct(), moments) if row}
    mine = request.office == office
    ids = sorted(found)
    return [row for part in parts(ids) for row in session.scalars(select(request.id).where(request.id.in_(part), mine))]


def _old(column: Any) -> list[ColumnElement[bool]]:
    return [column < bindparam("before", type_=column.type)]


def lock_clients_of(session: Session, request_ids: Sequence[str]) -> None:
    """Let nobody set a hold on the people of these applications until the transaction ends."""
    people = select(BookingRequest.client_id).where(BookingRequest.id.in_(request_ids))
    session.execute(select(Client.id).where(Client.id.in_(people)).order_by(Client.id).with_for_update())


def load(session: Session, office: str, request_ids: Sequence[str]) -> list[Found]:
    """Return these applications with all that their end depends on, in a handful of statements."""
    return _Loading(session, office, request_ids).found()


class _Loading:
    """One batch. An application's siblings are those it relates to and those that relate to it, of the same person."""

    def __init__(self, session: Session, office: str, ids: Sequence[str]) -> None:
        self._session = session
        self._office = office
        request = BookingRequest
        columns = (
            request.id, request.reference, request.status, request.client_id, request.number_index, request.relates_to,
            request.submitted_at, request.recorded_at, request.erased_at,
        )  # fmt: skip
        self._own = session.execute(select(*columns).where(request.id.in_(ids)).with_for_update()).all()
        people = {row.client_id for row in self._own} - {None}
        numbers = {bytes(row.number_index) for row in self._own if row.number_index}
        related = {row.relates_to for row in self._own} - {None}
        near = [
            select(*columns).where(request.client_id.in_(people)),
            select(*columns).where(request.office == office, request.number_index.in_(numbers)),
            select(*columns).where(request.office == office, request.reference.in_(related)),
        ]
        self._by_reference: dict[str | None, list[Any]] = {}
        self._by_relation: dict[str | None, list[Any]] = defaultdict(list)
        for row in {row.id: row for statement in near for row in session.execute(statement)}.values():
            self._by_reference[row.reference] = [row]
            self._by_relation[row.relates_to].append(row)
        self._bookings: dict[str, list[Any]] = defaultdict(list)
        self._by_booking: dict[type, dict[str, list[Any]]] = {Meeting: {}, OutboxMessage: {}, Evidence: {}}
        self._mails: dict[str, list[Any]] = defaultdict(list)
        self._read(people)

    def _read(self, people: Collection[str]) -> None:
        bookings = self._session.execute(
            select(Booking.id, Booking.reference, Booking.request_id, Booking.status, Booking.end_at)
            .where(Booking.client_id.in_(people))
            .order_by(Booking.id)
        ).all()
        for booked in bookings:
            self._bookings[booked.request_id].append(booked)
        own = {row.id for row in self._own}
        wanted = [row.id for row in bookings if row.request_id in own]
        message, evidence = OutboxMessage, Evidence
        mail = (
            message.id,
            message.booking_id,
            message.request_id,
            message.status,
            message.changed_at,
            message.erased_at,
        )
        for table, columns in (
            (Meeting, (Meeting.id, Meeting.booking_id, Meeting.status, Meeting.changed_at, Meeting.erased_at)),
            (OutboxMessage, mail),
            (
                Evidence,
                (
                    evidence.id, evidence.booking_id, evidence.recorded_at, evidence.erased_at,
                    evidence.sealed_note.is_not(None).label("has_note"),
                ),
            ),
        ):  # fmt: skip
            for row in self._session.execute(select(*columns).where(table.booking_id.in_(wanted))):
                self._by_booking[table].setdefault(row.booking_id, []).append(row)
        for row in self._session.execute(
            select(*mail).where(
                message.booking_id.is_(None), message.request_id.is_not(None), message.request_id.in_(own)
            )
        ):
            self._mails[row.request_id].append(row)
        open_now = select(StaffTask.subject).where(StaffTask.office == self._office, StaffTask.closed_at.is_(None))
        self._open_tasks = set(self._session.scalars(open_now))
        references = [row.reference for row in self._own] + [row.reference for row in bookings]
        self._acts: dict[str, datetime] = {}
        for part in parts(references):
            acts = (
                select(Audit.subject, func.max(Audit.happened_at))
                .where(
                    Audit.office == self._office,
                    Audit.subject.in_(part),
                    Audit.action.not_in(LOOKS),
                    Audit.subject_kind != "hold",
                )
                .group_by(Audit.subject)
            )
            self._acts |= dict(self._session.execute(acts).tuples().all())

    def found(self) -> list[Found]:
        return [self._one(row) for row in self._own]

    def _siblings(self, own: Any) -> list[Any]:
        near = [*self._by_relation[own.reference], *self._by_reference.get(own.relates_to, ())]
        return list({row.id: row for row in near if row.id != own.id}.values())

    def _one(self, own: Any) -> Found:
        siblings, mine = self._siblings(own), self._bookings[own.id]
        bookings = [*mine, *(booking for row in siblings for booking in self._bookings[row.id])]
        meetings, mails, notes = (
            [row for booking in mine for row in self._by_booking[table].get(booking.id, [])]
            for table in (Meeting, OutboxMessage, Evidence)
        )
        mails += self._mails[own.id]
        subjects = {own.reference, *(row.reference for row in mine), *(row.id for row in mails)}
        moments = [row.recorded_at for row in (own, *siblings)]
        moments += [row.submitted_at for row in (own, *siblings) if row.submitted_at]
        moments += [row.end_at for row in bookings] + [row.changed_at for row in mails]
        moments += [row.recorded_at for row in notes]
        moments += [self._acts[name] for name in subjects if name in self._acts]
        found = Found(
            own.id,
            own.reference,
            own.client_id,
            Matter(
                moments,
                [RequestStatus(row.status) for row in (own, *siblings)],
                [BookingStatus(row.status) for row in bookings],
                [MeetingStatus(row.status) for row in meetings],
                [MessageStatus(row.status) for row in mails],
                not subjects.isdisjoint(self._open_tasks),
            ),
        )
        names = {row.id: row.reference for row in mine}
        if own.erased_at is None:
            found.parts.append(Part(RecordClass.REQUEST, own.id, own.reference))
        for record_class, rows in ((RecordClass.BOOKING, meetings), (RecordClass.MESSAGE, mails)):
            found.parts += [
                Part(record_class, row.id, names.get(row.booking_id, own.reference))
                for row in rows
                if row.erased_at is None
            ]
        found.parts += [
            Part(RecordClass.EVIDENCE, row.id, names[row.booking_id])
            for row in notes
            if row.has_note and row.erased_at is None
        ]
        return found


_VALUES: Final[Mapping[RecordClass, tuple[type, dict[str, Any]]]] = {
    RecordClass.REQUEST: (
        BookingRequest,
        {
            "sealed_raw": ERASED, "sealed_values": ERASED, "number_index": None, "name_index": None,
            "contact_index": None, "row_key": "", "values_digest": b"",
        },
    ),
    RecordClass.BOOKING: (Meeting, {"sealed_access": ERASED, "meeting_id": None}),
    RecordClass.MESSAGE: (OutboxMessage, {"sealed_context": ERASED}),
    RecordClass.EVIDENCE: (Evidence, {"sealed_note": ERASED}),
}  # fmt: skip


def erase(session: Session, act: Act, due: Iterable[tuple[Part, Over]]) -> int:
    """Take what is personal out of rows and log each; returns how many rows."""
    rows = list(due)
    for record_class, (table, values) in _VALUES.items():
        ids = [part.row_id for part, _ in rows if part.record_class == record_class]
        for some in parts(ids):
            session.execute(
                update(table)
                .where(table.id.in_(some))  # type: ignore[attr-defined] # all four have one
                .values(**values, erased_at=act.happened_at)
                .execution_options(synchronize_session=False)
            )
    log_deletions(session, act, [(part, over, ERASE) for part, over in rows])
    return len(rows)


def pseudonymise(session: Session, act: Act, client_id: str, over: Over) -> None:
    """Take number and name of a person away; what the person did stays countable under a number that says nothing.

    The index becomes random, since the record asks for one: a person who comes back is somebody new.
    """
    session.execute(
        update(Client)
        .where(Client.id == client_id)
        .values(sealed_personal=ERASED, number_index=os.urandom(_INDEX_BYTES), erased_at=act.happened_at)
        .execution_options(synchronize_session=False)
    )
    log_deletions(session, act, [(("client", client_id, None), over, PSEUDONYMISE)])


def remove(session: Session, act: Act, table: Any, due: Sequence[tuple[Part, Over]]) -> int:
    """Take whole rows out and log each; returns how many."""
    for some in parts([part.row_id for part, _ in due]):
        session.execute(delete(table).where(table.id.in_(some)).execution_options(synchronize_session=False))
    log_deletions(session, act, [(part, over, REMOVE) for part, over in due])
    return len(due)


def forget_addresses(session: Session, act: Act, table: Any, due: Sequence[tuple[Part, Over]]) -> int:
    """Take the blind index of the address out of rows and log each; returns how many."""
    for some in parts([part.row_id for part, _ in due]):
        statement = update(table).where(table.id.in_(some)).values(address_index=None)
        session.execute(statement.execution_options(synchronize_session=False))
    log_deletions(session, act, [(part, over, ERASE) for part, over in due])
    return len(due)


def log_deletions(
    session: Session, act: Act, rows: Sequence[tuple[Part | tuple[str, str, str | None], Over, str]]
) -> None:
    """Append rows to the log of deletions, in the caller's transaction."""
    values = []
    for what, over, action in rows:
        record_class, row_id, reference = (
            (what.record_class.value, what.row_id, what.reference) if isinstance(what, Part) else what
        )
        values.append(
            {
                "office": act.office, "record_class": record_class, "row_id": row_id, "reference": reference,
                "action": action, "days": over.days, "due_on": over.due_on, "run": act.run,
                "happened_at": act.happened_at,
            }
        )  # fmt: skip
    if values:
        session.execute(insert(Deletion), values)


def parts(items: Sequence[Any], size: int = 400) -> list[Sequence[Any]]:
    """Return the items in pieces that a statement can name."""
    return [items[at : at + size] for at in range(0, len(items), size)]
