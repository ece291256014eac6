"""What each run of a flow did, and the list of what waits for a person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from madoguchi.store.audit import Act
from madoguchi.store.models import RunRecord, StaffTask


def start_run(session: Session, office: str, flow: str, prefect_run: str | None, as_of: datetime, now: datetime) -> str:
    """Record that a run has begun and return its id."""
    run = RunRecord(
        office=office,
        flow=flow,
        prefect_run=prefect_run,
        as_of=as_of,
        started_at=now,
        finished_at=None,
        state="running",
        message="",
        counts={},
        incomplete=[],
    )
    session.add(run)
    session.flush()
    return run.id


def finish_run(
    session: Session,
    run_id: str,
    *,
    state: str,
    message: str,
    counts: dict[str, Any],
    incomplete: list[dict[str, str]],
    now: datetime,
) -> None:
    """Record how a run ended."""
    run = session.get_one(RunRecord, run_id)
    run.state, run.message, run.counts, run.incomplete, run.finished_at = state, message, counts, incomplete, now


def run_of_prefect(session: Session, prefect_run: str) -> RunRecord | None:
    """Return the newest record of a Prefect flow run: a retry writes another one."""
    return session.scalar(
        select(RunRecord).where(RunRecord.prefect_run == prefect_run).order_by(RunRecord.started_at.desc()).limit(1)
    )


def open_staff_task(session: Session, act: Act, kind: str, subject: str, reason: str | None) -> bool:
    """Ask a person to look at something and tell whether that is new; asking twice changes nothing.

    A matter that was closed and comes back is opened again. One that is open takes the newest reason: what has to be
    told by telephone now is not what had to be told last week.
    """
    known = session.scalar(
        select(StaffTask).where(StaffTask.office == act.office, StaffTask.kind == kind, StaffTask.subject == subject)
    )
    if known is not None:
        if known.closed_at is None:
            known.reason = reason
            return False
        known.reason, known.opened_at, known.closed_at, known.closed_by = reason, act.happened_at, None, None
        return True
    session.add(
        StaffTask(
            office=act.office,
            kind=kind,
            subject=subject,
            reason=reason,
            opened_at=act.happened_at,
            closed_at=None,
            closed_by=None,
        )
    )
    session.flush()
    return True


def open_tasks(session: Session, office: str) -> list[StaffTask]:
    """Return everything that waits for a person, the oldest first."""
    return list(
        session.scalars(
            select(StaffTask)
            .where(StaffTask.office == office, StaffTask.closed_at.is_(None))
            .order_by(StaffTask.opened_at, StaffTask.id)
        )
    )


def close_staff_tasks(session: Session, act: Act, subject: str) -> None:
    """Close what waits for a person about a subject that has become pointless."""
    for task in session.scalars(
        select(StaffTask).where(
            StaffTask.office == act.office, StaffTask.subject == subject, StaffTask.closed_at.is_(None)
        )
    ):
        task.closed_at, task.closed_by = act.happened_at, act.actor
