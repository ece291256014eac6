"""Zoom's webhooks from the spool into the record: kept whatever they are, and as evidence when they prove something."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import Session

from madoguchi.adapters.event_spool import EventSpool
from madoguchi.domain.evidence import EvidenceSource
from madoguchi.domain.zoom_event import ZoomEvent, read_event
from madoguchi.store.audit import Act
from madoguchi.store.evidence import NewEvidence, add_events, add_evidence, bookings_of_meetings
from madoguchi.store.types import new_id
from madoguchi.store.vault import Vault, VaultError
from tasks.wiring import Run, Services

log = logging.getLogger(__name__)

_AT_ONCE = 200
_MOST_ROUNDS = 500
_LONGEST_NAME = 80
_LONGEST_MEETING = 20


@dataclass
class DrainReport:
    """What taking in did. `taken`: webhooks read, repetitions included. `new`: pieces of evidence not known before.

    `references`: the bookings that the webhooks are about, known again or not, in the order of their references.
    `aside`: files that could not be opened or kept, by name; they lie in the spool's `aside/`.
    """

    taken: int = 0
    new: int = 0
    references: list[str] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Arrival:
    """One file of the spool, opened. `event` None: signed by Zoom, but no event that could be read."""

    name: str
    raw: bytes
    received_at: datetime
    event: ZoomEvent | None
    key: str


def seal_arrival(vault: Vault, name: str, raw: bytes, received_at: datetime) -> bytes:
    """Return a webhook's body sealed for the file `name` of the spool, with the time (aware) at which it came."""
    return vault.seal(received_at.isoformat().encode() + b"\n" + raw, _place(name))


def drain(
    services: Services, run: Run, spool: EventSpool, then: Callable[[Sequence[str]], object] | None = None
) -> DrainReport:
    """Take in everything that waits, a transaction for every 200 webhooks; two at once do no harm.

    `then` gets the references of each transaction before its files are removed: a process that dies in it, or an
    exception of it, leaves them there, and the next drain tells the same references again. Raises DBAPIError when the
    database cannot be written to; nothing is lost then.
    """
    report = DrainReport()
    for _ in range(_MOST_ROUNDS):
        names = spool.waiting(_AT_ONCE)
        if not names:
            break
        arrivals = _open(services, spool, names, report)
        touched, kept = _keep(services, run, spool, arrivals, report)
        if touched and then is not None:
            then(touched)
        spool.remove(arrival.name for arrival in kept)
        report.taken += len(kept)
        report.references = sorted({*report.references, *touched})
    if report.aside:
        log.error(
            "%d webhooks cannot be taken in; they lie in aside/ of the spool (docs/webhooks.md)", len(report.aside)
        )
    return report


def _open(services: Services, spool: EventSpool, names: Sequence[str], report: DrainReport) -> list[_Arrival]:
    arrivals = []
    for name in names:
        sealed = spool.read(name)
        if sealed is None:
            continue
        try:
            stamp, _, raw = services.vault.open(sealed, _place(name)).partition(b"\n")
            arrivals.append(_read(name, raw, datetime.fromisoformat(stamp.decode())))
        except (VaultError, ValueError) as error:
            _set_aside(spool, name, report, type(error).__name__)
    return arrivals


def _read(name: str, raw: bytes, received_at: datetime) -> _Arrival:
    try:
        event = read_event(json.loads(raw), received_at=received_at)
    except (ValueError, RecursionError):
        # Signed with our secret: it is Zoom's, and somebody will want to see it.
        return _Arrival(name, raw, received_at, None, hashlib.sha256(raw).hexdigest()[:40])
    return _Arrival(name, raw, received_at, event, event.key)


def _keep(
    services: Services, run: Run, spool: EventSpool, arrivals: list[_Arrival], report: DrainReport
) -> tuple[list[str], list[_Arrival]]:
    """Record them together; when the database refuses something in them, one by one, so that one stops nobody."""
    if not arrivals:
        return [], []
    try:
        new, touched = _record(services, run, arrivals)
    except (StatementError, ValueError) as error:
        # A database that is away, full or of another level says nothing about the contents.
        if isinstance(error, DBAPIError) and not isinstance(error, DataError | IntegrityError):
            raise
        if len(arrivals) == 1:
            _set_aside(spool, arrivals[0].name, report, type(error).__name__)
            return [], []
        apart = [_keep(services, run, spool, [arrival], report) for arrival in arrivals]
        return sorted({name for names, _ in apart for name in names}), [each for _, kept in apart for each in kept]
    report.new += new
    return touched, arrivals


def _record(services: Services, run: Run, arrivals: Sequence[_Arrival]) -> tuple[int, list[str]]:
    with services.database.write() as session:
        act = run.act(services)
        about = _bookings(session, act, arrivals)
        rows = [_event_row(services.vault, act, arrival, about) for arrival in arrivals]
        add_events(session, rows)
        evidence = {
            arrival.key: found
            for arrival in arrivals
            if (found := _evidence(arrival, about)) is not None
        }  # fmt: skip
        new = add_evidence(session, act, [item for item, _ in evidence.values()])
        return len(new), sorted({reference for _, reference in evidence.values()})


def _bookings(session: Session, act: Act, arrivals: Sequence[_Arrival]) -> Mapping[str, Row[Any]]:
    wanted = [meeting for arrival in arrivals if (meeting := _meeting(arrival)) is not None]
    return bookings_of_meetings(session, act.office, wanted)


def _evidence(arrival: _Arrival, about: Mapping[str, Row[Any]]) -> tuple[NewEvidence, str] | None:
    event, booking = arrival.event, about.get(_meeting(arrival) or "")
    if event is None or event.kind is None or booking is None:
        return None
    item = NewEvidence(
        booking_id=booking.booking_id,
        revision=booking.revision,
        kind=event.kind,
        source=EvidenceSource.WEBHOOK,
        happened_at=event.event_at,
        dedupe_key=f"zoom:{event.key}",
        details={"event": event.event},
    )
    return item, booking.reference


def _event_row(vault: Vault, act: Act, arrival: _Arrival, about: Mapping[str, Row[Any]]) -> dict[str, Any]:
    row_id, event, meeting = new_id(), arrival.event, _meeting(arrival)
    if event is None:
        outcome = "unreadable"
    elif event.kind is None:
        outcome = "unknown_event"
    else:
        outcome = "evidence" if meeting in about else "unknown_meeting"
    return {
        "id": row_id,
        "office": act.office,
        "dedupe_key": arrival.key,
        "event": _plain(event.event) if event else "?",
        "meeting_id": meeting,
        "happened_at": event.event_at if event else arrival.received_at,
        "received_at": arrival.received_at,
        "outcome": outcome,
        "sealed_body": vault.seal(arrival.raw, f"zoom_event.sealed_body.{row_id}"),
    }


def _meeting(arrival: _Arrival) -> str | None:
    # Other events carry other things under the same name, of any length.
    found = arrival.event.meeting_id if arrival.event else None
    return found if found and found.isascii() and found.isdigit() and len(found) <= _LONGEST_MEETING else None


def _plain(name: str) -> str:
    # JSON can hold NUL and halves of characters, which no database takes as text.
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:_LONGEST_NAME]


def _set_aside(spool: EventSpool, name: str, report: DrainReport, code: str) -> None:
    log.error("webhook %s is set aside: %s", name, code)
    spool.set_aside(name)
    report.aside.append(name)


def _place(name: str) -> str:
    return f"webhook.{name}"
