"""The audit: who did what, when it happened, when it was recorded, what was before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from madoguchi.store.models import Audit

LOOKS: Final = ("shown", "names_read", "disclosed")
"""Acts that showed personal data to somebody."""


@dataclass(frozen=True, slots=True)
class Act:
    """The circumstances of a change: by whom, in which run, when in business time, when by the clock."""

    office: str
    actor: str
    run: str | None
    happened_at: datetime
    recorded_at: datetime


def audit_row(
    act: Act,
    kind: str,
    subject: str,
    action: str,
    *,
    old: str | None = None,
    new: str | None = None,
    reason: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one row for `write_audit`. Codes and references only: personal data are the caller's bug."""
    return {
        "office": act.office,
        "subject_kind": kind,
        "subject": subject,
        "action": action,
        "old": old,
        "new": new,
        "reason": reason,
        "actor": act.actor,
        "run": act.run,
        "happened_at": act.happened_at,
        "recorded_at": act.recorded_at,
        "details": dict(details or {}),
    }


def write_audit(session: Session, rows: list[dict[str, Any]]) -> None:
    """Append rows in the caller's transaction."""
    if rows:
        session.execute(insert(Audit), rows)


def accesses(session: Session, office: str, since: datetime) -> list[Audit]:
    """Return every look at personal data since an instant by the clock, the oldest first."""
    return list(
        session.scalars(
            select(Audit)
            .where(Audit.office == office, Audit.action.in_(LOOKS), Audit.recorded_at >= since)
            .order_by(Audit.id)
        )
    )
