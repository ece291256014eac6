"""Lists of the day of a session, and what `show` adds from it: tasks, verdicts, evidence, how a person stands.

References, codes and times only. `listing` is where the commands ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import false, select
from sqlalchemy.orm import Session

from madoguchi.domain.office import JST, StandingPolicy
from madoguchi.domain.standing import standing
from madoguchi.domain.verdict import reason_ja
from madoguchi.store.models import Booking, Evidence, Restriction, StaffTask, VerdictRecord
from madoguchi.store.restrictions import Past, pasts_of, restrictions

KINDS = ("tasks", "verdicts", "evidence")


def listed(session: Session, office: str, kind: str, day: date | None, status: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of one of `KINDS`, the earliest first."""
    statement, shape = {"tasks": (_tasks, _task), "verdicts": (_verdicts, _verdict), "evidence": (_pieces, _piece)}[
        kind
    ]
    for row in session.execute(statement(office, day, status).execution_options(yield_per=1000)):
        yield shape(row)


def span(column: Any, day: date | None) -> list[Any]:
    """Return the conditions for a day in Asia/Tokyo; none without one."""
    if day is None:
        return []
    start = datetime(day.year, day.month, day.day, tzinfo=JST)
    return [column >= start, column < start + timedelta(days=1)]


def iso(moment: datetime | None) -> str | None:
    """Return a time as the contract writes it: ISO 8601 with Japan's offset."""
    return moment.astimezone(JST).isoformat() if moment else None


def _tasks(office: str, day: date | None, status: str | None) -> Any:
    task = StaffTask
    conditions = [task.office == office, *span(task.opened_at, day)]
    if status:
        conditions.append(
            {"open": task.closed_at.is_(None), "closed": task.closed_at.is_not(None)}.get(status, false())
        )
    return (
        select(task.kind, task.subject, task.reason, task.opened_at, task.closed_at, task.closed_by)
        .where(*conditions)
        .order_by(task.opened_at, task.id)
    )


def _task(row: Any) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "subject": row.subject,
        "reason": row.reason,
        "status": "closed" if row.closed_at else "open",
        "opened_at": iso(row.opened_at),
        "closed_at": iso(row.closed_at),
        "closed_by": row.closed_by,
    }


def _verdicts(office: str, day: date | None, status: str | None) -> Any:
    verdict = VerdictRecord
    conditions = [verdict.office == office, *span(verdict.judged_for, day)]
    if status:
        conditions.append(verdict.verdict == status)
    return (
        select(
            Booking.reference,
            verdict.number,
            verdict.verdict,
            verdict.reasons,
            verdict.rules,
            verdict.by_person,
            verdict.judged_for,
            verdict.happened_at,
            verdict.recorded_at,
            verdict.actor,
            verdict.evidence,
            verdict.duties,
        )
        .join(Booking, Booking.id == verdict.booking_id)
        .where(*conditions)
        .order_by(verdict.judged_for, Booking.reference, verdict.number)
    )


def _verdict(row: Any) -> dict[str, Any]:
    return {
        "booking": row.reference,
        "number": row.number,
        "verdict": row.verdict,
        "reasons": row.reasons,
        "rules": row.rules,
        "by_person": row.by_person,
        "judged_for": iso(row.judged_for),
        "happened_at": iso(row.happened_at),
        "recorded_at": iso(row.recorded_at),
    }


def _pieces(office: str, day: date | None, status: str | None) -> Any:
    piece = Evidence
    conditions = [piece.office == office, *span(piece.happened_at, day)]
    if status:
        conditions.append(piece.kind == status)
    return (
        select(
            piece.id,
            Booking.reference,
            piece.revision,
            piece.kind,
            piece.source,
            piece.happened_at,
            piece.recorded_at,
            piece.actor,
            piece.details,
        )
        .join(Booking, Booking.id == piece.booking_id)
        .where(*conditions)
        .order_by(piece.happened_at, piece.recorded_at, piece.id)
    )


def _piece(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "booking": row.reference,
        "revision": row.revision,
        "kind": row.kind,
        "source": row.source,
        "happened_at": iso(row.happened_at),
        "recorded_at": iso(row.recorded_at),
    }


# --- what `show` adds


def tasks_about(session: Session, office: str, subjects: Sequence[str]) -> list[dict[str, Any]]:
    """Return what waited or waits for a person about any of the subjects."""
    rows = session.execute(_tasks(office, None, None).where(StaffTask.subject.in_(subjects)))
    return [_task(row) for row in rows]


def verdicts_about(session: Session, booking_id: str) -> list[dict[str, Any]]:
    """Return the history of verdicts with all that each rests on: who, why in words, evidence, the office's duties."""
    query = select(Booking.office).where(Booking.id == booking_id)
    office = session.scalars(query).one()
    rows = session.execute(_verdicts(office, None, None).where(VerdictRecord.booking_id == booking_id))
    return [
        {
            **_verdict(row),
            "why": [reason_ja(code) or code for code in row.reasons],
            "actor": row.actor,
            "evidence": row.evidence,
            "duties": row.duties,
        }
        for row in rows
    ]


def evidence_about(session: Session, booking_id: str) -> list[dict[str, Any]]:
    """Return the evidence of every revision of a booking, with source, both times and who entered it."""
    query = select(Booking.office).where(Booking.id == booking_id)
    office = session.scalars(query).one()
    rows = session.execute(_pieces(office, None, None).where(Evidence.booking_id == booking_id))
    return [{**_piece(row), "actor": row.actor, "details": row.details} for row in rows]


def person(session: Session, office: str, client_id: str, at: datetime, policy: StandingPolicy) -> dict[str, Any]:
    """Return how a person stands at `at`, all sessions with the verdict that holds, and all restrictions."""
    past = pasts_of(session, office, [client_id]).get(client_id) or Past([], [])
    stands = standing(
        past.no_show_days,
        past.restrictions,
        as_of=at,
        counts_for_days=policy.counts_for_days,
        review_after=policy.review_after,
    )
    return {
        "no_shows": stands.no_shows,
        "needs_person": stands.needs_person,
        "reason": stands.reason,
        "restricted_until": stands.restricted_until.isoformat() if stands.restricted_until else None,
        "bookings": _sessions(session, office, client_id),
        "restrictions": [_restriction(each) for each in restrictions(session, office, client_id)],
    }


def _sessions(session: Session, office: str, client_id: str) -> list[dict[str, Any]]:
    rows = session.execute(
        select(Booking.id, Booking.reference, Booking.start_at, Booking.status)
        .where(Booking.office == office, Booking.client_id == client_id)
        .order_by(Booking.start_at, Booking.reference)
    ).all()
    reasons: dict[str, list[str]] = {}
    for record in session.scalars(
        select(VerdictRecord)
        .where(VerdictRecord.booking_id.in_([row.id for row in rows]))
        .order_by(VerdictRecord.number)
    ):
        reasons[record.booking_id] = list(record.reasons)
    return [
        {
            "reference": row.reference,
            "start": iso(row.start_at),
            "status": row.status,
            "reasons": reasons.get(row.id, []),
        }
        for row in rows
    ]


def _restriction(row: Restriction) -> dict[str, Any]:
    return {
        "reference": row.reference,
        "ground": row.ground,
        "reason": row.reason,
        "document": row.document,
        "starts_at": iso(row.starts_at),
        "until": iso(row.until),
        "decided_by": row.decided_by,
        "recorded_at": iso(row.recorded_at),
        "lifted_at": iso(row.lifted_at),
        "lifted_by": row.lifted_by,
        "lift_reason": row.lift_reason,
    }


def restriction(session: Session, office: str, reference: str) -> dict[str, Any] | None:
    """Return one restriction with the references of the person's sessions; None when there is none."""
    row = session.scalar(select(Restriction).where(Restriction.office == office, Restriction.reference == reference))
    if row is None:
        return None
    return {"kind": "restriction", **_restriction(row), "bookings": _sessions(session, office, row.client_id)}
