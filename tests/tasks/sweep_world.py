"""Sessions straight in the record as their tenth minute finds them: confirmed, told, reminded, with what Zoom said."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from madoguchi.domain.application import Application
from madoguchi.domain.calendar import SESSION
from madoguchi.domain.evidence import EvidenceKind as Kind
from madoguchi.domain.evidence import EvidenceSource as Source
from madoguchi.domain.evidence import Verdict
from madoguchi.domain.message import MailKind
from madoguchi.store.bookings import cells
from madoguchi.store.evidence import NewEvidence, add_evidence
from madoguchi.store.models import (
    Booking,
    BookingRequest,
    Client,
    ExportFile,
    Meeting,
    Occupancy,
    OutboxMessage,
    VerdictRecord,
)
from madoguchi.store.outbox import pin_template
from madoguchi.store.types import new_id
from madoguchi.store.verdicts import no_show_days
from tasks.verdicts import SweepReport, judge_due, reconsider, settle_by_person, sweep
from tasks.wiring import Run, Services
from tests.world import World, jst

START = jst("2026-09-24 11:00")
TENTH = START + timedelta(minutes=10)
LONG_AGO = jst("2026-09-01 09:00")
_numbers = itertools.count(1)

CAME = ((Kind.HOST_JOINED, -2, Source.WEBHOOK), (Kind.GUEST_JOINED, 1, Source.WEBHOOK))
ONLY_EVENTS = ((Kind.MEETING_STARTED, -2, Source.WEBHOOK), (Kind.HOST_JOINED, -2, Source.WEBHOOK))
NOBODY = (*ONLY_EVENTS, (Kind.MEETING_STARTED, 10, Source.STATUS))
CALLED = ((Kind.CONTACT, 5, Source.STAFF),)
SHUT = ((Kind.STILL_WAITING, 10, Source.STATUS),)
NOTHING: tuple[tuple[Kind, float, Source], ...] = ()
"""Kind, minutes after the start, source."""


def minute(count: float, start: datetime = START) -> datetime:
    return start + timedelta(minutes=count)


def put_sessions(
    services: Services,
    count: int = 1,
    start: datetime = START,
    *,
    confirmed: datetime = LONG_AGO,
    email: str | None = "nanami{number}@example.jp",
    client: str | None = None,
    link: str = "sent",
    reminder: str = "sent",
) -> list[str]:
    """Put confirmed sessions into the record, `link` and `reminder` as statuses of their mails; return references."""
    office, rows = services.office.code, {table: [] for table in _TABLES}
    with services.database.write() as session:
        file = _file(session, office)
        for kind in ("confirmed", "reminder_hour"):
            pin_template(session, MailKind(kind), "t1", {}, confirmed)
        for _ in range(count):
            number = next(_numbers)
            _one(services, rows, number, start, confirmed, file, email, client, (link, reminder))
        for table in _TABLES:
            for at in range(0, len(rows[table]), 1000):
                session.execute(insert(table), rows[table][at : at + 1000])
    return [row["reference"] for row in rows[Booking]]


_TABLES: tuple[type, ...] = (Client, BookingRequest, Booking, Occupancy, Meeting, OutboxMessage)


def _file(session: Any, office: str) -> str:
    found = session.scalar(select(ExportFile.id).where(ExportFile.sha256 == "1" * 64))
    if found:
        return str(found)
    file = ExportFile(office=office, source="google", form="f", name="answers.csv", sha256="1" * 64, size=1,
                      status="read", counts={"in": 0}, first_read_at=LONG_AGO, completed_at=LONG_AGO)  # fmt: skip
    session.add(file)
    session.flush()
    return file.id


def _one(services, rows, number, start, confirmed, file, email, client, told):
    common = {"office": services.office.code}
    person, request, booking, meeting = (new_id() for _ in range(4))
    wrote = Application(name="架空 七海", email=email.format(number=number) if email else None, wishes=(start,))
    sealed = services.vault.seal_json(
        {"application": wrote.to_json(), "findings": []}, f"booking_request.sealed_values.{request}"
    )
    if client is None:
        rows[Client].append({"id": person, "number_index": b"s" + number.to_bytes(7, "big"), "sealed_personal": b"",
                             "created_at": confirmed} | common)  # fmt: skip
    rows[BookingRequest].append({
        "id": request, "reference": f"R-S{number:06d}", "source": "google", "form": "f", "file_id": file,
        "row_number": number, "row_key": f"s-{number}", "digest": number.to_bytes(8, "big"), "occurrence": 1,
        "outcome": "accept", "reason": None, "flags": [], "status": "booked", "client_id": client or person,
        "values_digest": b"", "wishes": [], "submitted_at": confirmed, "recorded_at": confirmed, "sealed_raw": b"",
        "sealed_values": sealed,
    } | common)  # fmt: skip
    rows[Booking].append({
        "id": booking, "reference": f"M-S{number:06d}", "request_id": request, "client_id": client or person,
        "start_at": start, "end_at": start + SESSION, "counsellor": f"c-{number}", "host": f"h-{number}",
        "status": "confirmed", "revision": 1, "held_at": confirmed, "confirmed_at": confirmed,
    } | common)  # fmt: skip
    rows[Occupancy] += [
        {"resource": f"{what}-{number}", "cell_at": cell, "booking_id": booking} | common
        for what in ("counsellor:c", "host:h")
        for cell in cells(start, start + SESSION)
    ]
    rows[Meeting].append({
        "id": meeting, "booking_id": booking, "revision": 1, "token": f"M-S{number:06d}", "host": f"h-{number}",
        "status": "verified", "meeting_id": str(82_000_000_000 + number), "start_at": start, "attempts": 1,
        "sealed_access": None, "changed_at": confirmed,
    } | common)  # fmt: skip
    due = {"confirmed": confirmed, "reminder_hour": start - timedelta(hours=1)}
    for kind, status in zip(due, told, strict=True):
        if status:
            rows[OutboxMessage].append({
                "id": (row := new_id()), "dedupe_key": f"{kind}:M-S{number:06d}:1", "kind": kind,
                "client_id": client or person, "request_id": request, "booking_id": booking, "revision": 1,
                "template_version": "t1", "sealed_context": b"", "status": status, "reason": None, "due_at": due[kind],
                "attempts": 1, "message_id": f"<{row}@madoguchi.example.jp>", "queued_at": due[kind],
                "sent_at": due[kind] if status == "sent" else None, "changed_at": due[kind],
            } | common)  # fmt: skip


def put_evidence(
    services: Services, references: Sequence[str], pieces: Sequence[tuple[Kind, float, Source]], recorded: datetime
) -> None:
    """Record evidence about sessions, minutes counted from their start."""
    with services.database.write() as session:
        act = Run("test", recorded, services.clock(), actor="test").act(services)
        found = []
        for at in range(0, len(references), 500):
            query = select(Booking.id, Booking.start_at, Booking.revision)
            for row in session.execute(query.where(Booking.reference.in_(references[at : at + 500]))):
                found += [
                    NewEvidence(row.id, row.revision, kind, source, minute(after, row.start_at),
                                f"t:{row.id}:{kind}:{after}")
                    for kind, after, source in pieces
                ]  # fmt: skip
        add_evidence(session, act, found)


class SweepWorld(World):
    """A world with short words for the tenth minute."""

    def session(self, *pieces: tuple[Kind, float, Source], **how: Any) -> str:
        [reference] = put_sessions(self.services, 1, **how)
        put_evidence(self.services, [reference], pieces, TENTH)
        return reference

    def learn(self, reference: str, *pieces: tuple[Kind, float, Source], at: datetime = TENTH) -> None:
        put_evidence(self.services, [reference], pieces, at)

    def sweep(self, at: datetime = TENTH, services: Services | None = None) -> SweepReport:
        return judge_due(services or self.services, self.run(at))

    def whole_sweep(self, at: datetime = TENTH, services: Services | None = None) -> SweepReport:
        return sweep(services or self.services, self.run(at))

    def reconsider(self, *references: str, at: datetime = TENTH) -> list[tuple[str, str, str]]:
        return reconsider(self.services, self.run(at), references)

    def booking(self, reference: str) -> Booking:
        return self.rows(Booking, reference=reference)[0]

    def state(self, reference: str) -> str:
        return self.booking(reference).status

    def meeting(self, reference: str) -> Meeting:
        return self.rows(Meeting, booking_id=self.booking(reference).id)[0]

    def verdicts(self, reference: str) -> list[VerdictRecord]:
        return sorted(self.rows(VerdictRecord, booking_id=self.booking(reference).id), key=lambda row: row.number)

    def mails(self, reference: str) -> list[tuple[str, str, str | None]]:
        """The mails about the verdict: kind, status, reason."""
        found = self.rows(OutboxMessage, booking_id=self.booking(reference).id)
        about = sorted((m for m in found if m.kind not in {"confirmed", "reminder_hour"}), key=lambda m: m.id)
        return [(m.kind, m.status, m.reason) for m in about]

    def tasks_of(self, reference: str) -> list[str]:
        """The kinds of the staff tasks about a booking that are open."""
        return sorted(kind for kind, subject, _ in self.staff() if subject == reference)

    def days(self, reference: str) -> list[Any]:
        """The days of the person's no-shows that stand."""
        with self.database.read() as session:
            return no_show_days(session, self.office.code, self.booking(reference).client_id)

    def settle(self, reference: str, verdict: str | None, *, at: datetime, confirm_no_show: bool = False) -> None:
        """What the form of staff does in its transaction."""
        with self.database.write() as session:
            booking = session.scalars(select(Booking).where(Booking.reference == reference).with_for_update()).one()
            act = replace(self.run(at), actor="staff:松戸").act(self.services)
            settle_by_person(session, self.services, act, booking, Verdict(verdict) if verdict else None, "TELEPHONE",
                             as_of=at, confirm_no_show=confirm_no_show)  # fmt: skip
