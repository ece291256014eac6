"""What the day list shows: the sessions of one day with all that hangs on them, read in a handful of statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from madoguchi.domain.lifecycle import LIVE_MEETINGS, BookingStatus
from madoguchi.domain.message import MailKind
from madoguchi.domain.office import JST
from madoguchi.domain.retention import ERASED_JA
from madoguchi.store.listing_of_the_terms import consented_versions
from madoguchi.store.models import (
    Booking,
    BookingRequest,
    Meeting,
    OutboxMessage,
    Restriction,
    StaffTask,
    TermsVersion,
)
from madoguchi.store.terms import SERVICE_TERMS, versions_of
from madoguchi.store.vault import Erased, Vault

_SHOWN = frozenset(BookingStatus) - {BookingStatus.RELEASED}
_MAILS = (MailKind.CONFIRMED, MailKind.CHANGED, MailKind.REMINDER_DAY, MailKind.REMINDER_HOUR)
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail about a session. `at` (aware): when it left; None while it has not."""

    kind: MailKind
    status: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class DaySession:
    """One session without anything that tells who it is. `flags`: of the application, as intake found them.

    `changed_terms`: code of the version that governs it, where its consent names another; empty otherwise.
    `mails`: the newest of each kind about the present revision, or about the one before where this one has none.
    """

    booking_id: str
    reference: str
    request: str
    client_id: str
    start: datetime
    end: datetime
    counsellor: str
    host: str
    status: BookingStatus
    flags: frozenset[str]
    mails: tuple[Mail, ...] = ()
    changed_terms: str = ""


@dataclass(frozen=True, slots=True)
class Personal:
    """What only staff see, opened from the sealed columns; stays out of `repr`."""

    name: str = field(repr=False)
    kana: str = field(repr=False)
    companion: str = field(repr=False)
    registration: str = field(repr=False)
    meeting_id: str = field(default="", repr=False)
    passcode: str = field(default="", repr=False)
    join_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class History:
    """What came before, of one client. `attended`: sessions held; `no_show_days`: days (Japan) that stand as no-shows.

    `restrictions`: from and until of those that nobody lifted.
    """

    attended: int = 0
    no_show_days: tuple[date, ...] = ()
    restrictions: tuple[tuple[datetime, datetime | None], ...] = ()


def sessions_of_day(session: Session, office: str, day: date) -> list[DaySession]:
    """Return the sessions that start on a day in Japan, by start, counsellor and reference; given-up holds left out."""
    since = datetime(day.year, day.month, day.day, tzinfo=JST)
    rows = session.execute(
        select(
            Booking.id,
            Booking.reference,
            BookingRequest.reference.label("request"),
            Booking.client_id,
            Booking.start_at,
            Booking.end_at,
            Booking.counsellor,
            Booking.host,
            Booking.status,
            Booking.revision,
            Booking.request_id,
            BookingRequest.flags,
        )
        .join(BookingRequest, BookingRequest.id == Booking.request_id)
        .where(
            Booking.office == office,
            Booking.start_at >= since,
            Booking.start_at < since + timedelta(days=1),
            Booking.status.in_([status.value for status in _SHOWN]),
        )
        .order_by(Booking.start_at, Booking.counsellor, Booking.reference)
    ).all()
    mails = _mails(session, {row.id: row.revision for row in rows})
    terms = _changed_terms(session, office, rows)
    return [
        DaySession(
            row.id, row.reference, row.request, row.client_id, row.start_at, row.end_at, row.counsellor, row.host,
            BookingStatus(row.status), frozenset(row.flags), tuple(mails[row.id].values()), terms.get(row.id, ""),
        )
        for row in rows
    ]  # fmt: skip


def _changed_terms(session: Session, office: str, rows: Sequence[Row[Any]]) -> dict[str, str]:
    """Return by session the code of the version that governs it, where the consent names another."""
    versions = versions_of(session, office, SERVICE_TERMS)
    consented: dict[str, TermsVersion] = {}
    # As long as there was one version only, nothing can differ.
    for part in _parts([row.request_id for row in rows]) if len(versions) > 1 else []:
        consented |= consented_versions(session, part)
    found = {}
    for row in rows:
        holds = next((version for version in versions if version.effective_at <= row.start_at), None)
        was = consented.get(row.request_id)
        if holds is not None and was is not None and was.id != holds.id:
            found[row.id] = holds.code
    return found


def _mails(session: Session, revisions: dict[str, int]) -> dict[str, dict[MailKind, Mail]]:
    found: dict[str, dict[MailKind, Mail]] = {booking_id: {} for booking_id in revisions}
    message = OutboxMessage
    for part in _parts(list(revisions)):
        rows = session.execute(
            select(message.booking_id, message.kind, message.revision, message.status, message.sent_at)
            .where(message.booking_id.in_(part), message.kind.in_([kind.value for kind in _MAILS]))
            .order_by(message.revision, message.queued_at, message.id)
        )
        for row in rows:
            # Void because the session was moved says nothing about the session as it is now.
            if row.revision == revisions[row.booking_id] or row.status == "sent":
                kind = MailKind(row.kind)
                found[row.booking_id][kind] = Mail(kind, row.status, row.sent_at)
    return found


def personal_of(session: Session, vault: Vault, sessions: Sequence[DaySession]) -> dict[str, Personal]:
    """Return by booking what the sealed columns say; the caller leaves an audit row of having looked."""
    access = _access(session, vault, [one.booking_id for one in sessions])
    found = {}
    for part in _parts([one.booking_id for one in sessions]):
        rows = session.execute(
            select(Booking.id, BookingRequest.id.label("request_id"), BookingRequest.sealed_values)
            .join(BookingRequest, BookingRequest.id == Booking.request_id)
            .where(Booking.id.in_(part))
        )
        for row in rows:
            place = f"booking_request.sealed_values.{row.request_id}"
            try:
                values = vault.open_json(row.sealed_values, place)["application"]
            except Erased:
                values = {"name": ERASED_JA}
            texts = {key: str(values.get(key) or "") for key in ("name", "kana", "companion", "registration")}
            found[row.id] = Personal(**texts, **access.get(row.id, {}))
    return found


def _access(session: Session, vault: Vault, booking_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for part in _parts(booking_ids):
        rows = session.scalars(
            select(Meeting)
            .where(Meeting.booking_id.in_(part), Meeting.status.in_([status.value for status in LIVE_MEETINGS]))
            .order_by(Meeting.revision)
        )
        for meeting in rows:
            if meeting.sealed_access is None:
                continue
            access = vault.open_json(meeting.sealed_access, f"meeting.sealed_access.{meeting.id}")
            if meeting.meeting_id and access.get("join_url"):
                found[meeting.booking_id] = {
                    "meeting_id": meeting.meeting_id,
                    "passcode": str(access.get("passcode", "")),
                    "join_url": str(access["join_url"]),
                }
    return found


def histories(session: Session, client_ids: Collection[str], before: datetime) -> dict[str, History]:
    """Return by client what came before an instant (aware); somebody who is new has an empty one."""
    attended: dict[str, int] = defaultdict(int)
    no_shows: dict[str, list[date]] = defaultdict(list)
    restricted: dict[str, list[tuple[datetime, datetime | None]]] = defaultdict(list)
    for part in _parts(sorted(client_ids)):
        rows = session.execute(
            select(Booking.client_id, Booking.status, Booking.start_at).where(
                Booking.client_id.in_(part),
                Booking.status.in_([BookingStatus.ATTENDED.value, BookingStatus.NO_SHOW.value]),
                Booking.start_at < before,
            )
        )
        for client_id, status, start in rows:
            if status == BookingStatus.ATTENDED.value:
                attended[client_id] += 1
            else:
                no_shows[client_id].append(start.astimezone(JST).date())
        limits = select(Restriction.client_id, Restriction.starts_at, Restriction.until).where(
            Restriction.client_id.in_(part), Restriction.lifted_at.is_(None)
        )
        for client_id, since, until in session.execute(limits):
            restricted[client_id].append((since, until))
    return {
        client_id: History(attended[client_id], tuple(sorted(no_shows[client_id])), tuple(restricted[client_id]))
        for client_id in client_ids
    }


@dataclass(frozen=True, slots=True)
class OpenTask:
    """Something that waits for a person. `reference`: what staff type into a form; of a message that of its booking.

    `message_id`: the message itself, where the task is about one; empty otherwise.
    """

    kind: str
    reference: str
    message_id: str
    reason: str
    opened_at: datetime


def tasks_waiting(session: Session, office: str, limit: int) -> tuple[int, list[OpenTask]]:
    """Return how many matters wait for a person, and the `limit` oldest of them."""
    open_now = (StaffTask.office == office, StaffTask.closed_at.is_(None))
    count = session.scalar(select(func.count()).select_from(StaffTask).where(*open_now)) or 0
    tasks = list(
        session.scalars(select(StaffTask).where(*open_now).order_by(StaffTask.opened_at, StaffTask.id).limit(limit))
    )
    about = _messages(session, [task.subject for task in tasks])
    return count, [
        OpenTask(
            task.kind,
            (about[task.subject].booking or about[task.subject].request or "")
            if task.subject in about
            else task.subject,
            task.subject if task.subject in about else "",
            task.reason or "",
            task.opened_at,
        )
        for task in tasks
    ]


def _messages(session: Session, ids: Sequence[str]) -> dict[str, Row[Any]]:
    found: dict[str, Row[Any]] = {}
    message = OutboxMessage
    for part in _parts(ids):
        rows = session.execute(
            select(message.id, Booking.reference.label("booking"), BookingRequest.reference.label("request"))
            .join(Booking, Booking.id == message.booking_id, isouter=True)
            .join(BookingRequest, BookingRequest.id == message.request_id, isouter=True)
            .where(message.id.in_(part))
        )
        found |= {row.id: row for row in rows}
    return found


def _parts(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE)]
