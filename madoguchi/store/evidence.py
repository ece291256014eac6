"""Evidence of sessions: added once however often it comes, read in bulk for verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from madoguchi.domain import evidence as domain
from madoguchi.domain.evidence import EvidenceKind, EvidenceSource
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Booking, Evidence, Meeting, ZoomEventRecord
from madoguchi.store.types import new_id

_AT_ONCE = 500


SESSION_START = "session_start"
"""The detail by which what people said is known to be about this time of a session, whatever its link."""


@dataclass(frozen=True)
class NewEvidence:
    """One piece of evidence to be kept. `happened_at` (aware): when it happened; the record adds when it was known.

    `dedupe_key` (at most 120 characters): the same for the same fact, however often and from wherever it comes again.
    `details`: codes only. `sealed_note`: sealed by the caller for `evidence.sealed_note.<id>`, which needs `id`.
    """

    booking_id: str
    revision: int
    kind: EvidenceKind
    source: EvidenceSource
    happened_at: datetime
    dedupe_key: str
    details: Mapping[str, Any] = field(default_factory=dict)
    sealed_note: bytes | None = None
    id: str | None = None


def add_evidence(session: Session, act: Act, items: Sequence[NewEvidence]) -> list[str]:
    """Keep what is not known yet, with one audit row each, and return the ids of the new rows.

    What has a known `dedupe_key` is passed over, also when another runner adds it in the same moment. Judges nothing.
    """
    rows = {item.dedupe_key: _row(act, item) for item in reversed(items)}
    new: list[str] = []
    # In one order everywhere: two runners with the same keys in different orders would wait for each other for ever.
    ordered = [rows[key] for key in sorted(rows)]
    make = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    for part in _parts(ordered):
        inserted = make(Evidence).on_conflict_do_nothing(index_elements=["office", "dedupe_key"])
        new += session.scalars(inserted.values(part).returning(Evidence.id))
    added = [row for row in ordered if row["id"] in set(new)]
    references = _references(session, {row["booking_id"] for row in added})
    write_audit(session, [_audit(act, references[row["booking_id"]], row) for row in added])
    return [row["id"] for row in added]


def _row(act: Act, item: NewEvidence) -> dict[str, Any]:
    return {
        "id": item.id or new_id(),
        "office": act.office,
        "booking_id": item.booking_id,
        "revision": item.revision,
        "kind": item.kind.value,
        "source": item.source.value,
        "happened_at": item.happened_at,
        "recorded_at": act.recorded_at,
        "actor": act.actor,
        "run": act.run,
        "dedupe_key": item.dedupe_key,
        "details": dict(item.details),
        "sealed_note": item.sealed_note,
    }


def _audit(act: Act, reference: str, row: Mapping[str, Any]) -> dict[str, Any]:
    details = {"id": row["id"], "source": row["source"], "happened_at": row["happened_at"].isoformat()}
    return audit_row(act, "booking", reference, "evidence", new=row["kind"], details=details)


def evidence_of(session: Session, bookings: Sequence[tuple[str, int]]) -> dict[str, list[domain.Evidence]]:
    """Return the evidence of each (booking id, revision), earliest first; an empty list where nothing is known.

    What people said holds on when only the link was replaced: a call before it was about the same session. What Zoom
    said belongs to the meeting that it spoke of.
    """
    wanted = set(bookings)
    found: dict[str, list[domain.Evidence]] = {booking_id: [] for booking_id, _ in bookings}
    for part in _parts(sorted(found)):
        said = _said_before(session, [booking_id for booking_id, revision in wanted if revision > 1], part)
        rows = session.execute(
            select(
                Evidence.booking_id,
                Evidence.revision,
                Evidence.kind,
                Evidence.source,
                Evidence.happened_at,
                Evidence.recorded_at,
                Evidence.id,
            )
            .where(Evidence.booking_id.in_(part))
            .order_by(Evidence.happened_at, Evidence.recorded_at, Evidence.id)
        )
        for booking_id, revision, kind, source, *rest in rows:
            if (booking_id, revision) in wanted or rest[-1] in said:
                found[booking_id].append(domain.Evidence(EvidenceKind(kind), EvidenceSource(source), *rest))
    return found


def _said_before(session: Session, changed: Sequence[str], part: Sequence[str]) -> set[str]:
    """Return the ids of what people said about an earlier meeting of these bookings for the very same time.

    That the link was told is left out: it was another link.
    """
    asked = sorted(set(changed) & set(part))
    if not asked:
        return set()
    rows = session.execute(
        select(Evidence.id, Evidence.details, Booking.start_at)
        .join(Booking, Booking.id == Evidence.booking_id)
        .where(
            Evidence.booking_id.in_(asked),
            Evidence.revision < Booking.revision,
            Evidence.kind != EvidenceKind.LINK_TOLD.value,
            Evidence.source.in_((EvidenceSource.STAFF.value, EvidenceSource.COUNSELLOR.value)),
        )
    ).tuples()
    return {row_id for row_id, details, start in rows if details.get(SESSION_START) == start.isoformat()}


def booking_of_meeting(session: Session, office: str, meeting_id: str) -> Row[Any] | None:
    """Return `booking_id`, `reference`, `status` of the booking, and of its meeting `revision`, `start_at`, `status`.

    The last is named `meeting_status`. The revision is the meeting's own: what happens in a meeting that was given up
    when its session was moved says nothing about the session that took its place.
    """
    return bookings_of_meetings(session, office, [meeting_id]).get(meeting_id)


def bookings_of_meetings(session: Session, office: str, meeting_ids: Sequence[str]) -> dict[str, Row[Any]]:
    """Return the same as `booking_of_meeting` for many, by meeting id; unknown ones are left out."""
    found: dict[str, Row[Any]] = {}
    for part in _parts(sorted(set(meeting_ids))):
        rows = session.execute(
            select(
                Meeting.meeting_id,
                Booking.id.label("booking_id"),
                Booking.reference,
                Booking.status,
                Meeting.revision,
                Meeting.start_at,
                Meeting.status.label("meeting_status"),
            )
            .join(Booking, Booking.id == Meeting.booking_id)
            .where(Meeting.office == office, Meeting.meeting_id.in_(part))
        )
        found |= {row.meeting_id: row for row in rows}
    return found


def newest_event_at(session: Session, office: str) -> datetime | None:
    """Return when the newest webhook came in (by the clock), whatever it was about; None when none ever came."""
    return session.scalar(select(func.max(ZoomEventRecord.received_at)).where(ZoomEventRecord.office == office))


def add_events(session: Session, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Keep webhooks, each a row of `zoom_event`, and return the keys of those that were not known yet."""
    ordered = sorted({row["dedupe_key"]: dict(row) for row in reversed(rows)}.values(), key=lambda r: r["dedupe_key"])
    make = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    new: set[str] = set()
    for part in _parts(ordered):
        inserted = make(ZoomEventRecord).on_conflict_do_nothing(index_elements=["office", "dedupe_key"])
        new |= set(session.scalars(inserted.values(part).returning(ZoomEventRecord.dedupe_key)))
    return new


def _references(session: Session, booking_ids: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _parts(sorted(booking_ids)):
        rows = session.execute(select(Booking.id, Booking.reference).where(Booking.id.in_(part)))
        found |= {row.id: row.reference for row in rows}
    return found


def _parts(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[at : at + _AT_ONCE] for at in range(0, len(items), _AT_ONCE)]
