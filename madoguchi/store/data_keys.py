"""Generations of data keys: a new one begins each month, an old one ends when nothing sealed with it is left.

What this protects against and what it does not is in docs/privacy.md.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import LargeBinary, func, select
from sqlalchemy.orm import Session

from madoguchi.domain.office import JST
from madoguchi.store.audit import Act, audit_row, write_audit
from madoguchi.store.models import Base, DataKey, Deletion
from madoguchi.store.vault import MasterKey, VaultError, unwrap, wrap

GRACE: Final = timedelta(hours=48)
"""A key is destroyed this long after a newer one began at the earliest: by then every process seals with that one."""
_PREFIX = 5


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What may be shown of a data key. `wrapped_by`: id of the master key; `in_use`: seals what is written now."""

    id: int
    purpose: str
    generation: int
    wrapped_by: str
    created_at: datetime
    destroyed_at: datetime | None
    in_use: bool


def list_keys(session: Session) -> list[KeyRow]:
    """Return every key, the oldest first; no secrets."""
    rows = session.scalars(select(DataKey).order_by(DataKey.id)).all()
    newest = {row.purpose: row.id for row in sorted(rows, key=lambda r: r.generation) if row.destroyed_at is None}
    return [
        KeyRow(
            row.id, row.purpose, row.generation, row.wrapped_by, row.created_at, row.destroyed_at,
            newest.get(row.purpose) == row.id,
        )
        for row in rows
    ]  # fmt: skip


def begin_generation(session: Session, masters: Sequence[MasterKey], act: Act, *, monthly: bool) -> int | None:
    """Begin a new data key and return its id; the caller commits.

    `monthly`: only when the newest is of an earlier month (Japan) than `act.recorded_at`; None otherwise. It is wrapped
    by the master key that wraps the present one, so that processes with yesterday's settings can read it as well.
    """
    newest = session.scalars(
        select(DataKey).where(DataKey.purpose == "data").order_by(DataKey.generation.desc()).limit(1).with_for_update()
    ).one()
    if monthly and _month(newest.created_at) >= _month(act.recorded_at):
        return None
    known = {master.id: master for master in masters}
    unwrap(known, newest)
    fresh = newest.generation + 1
    row = DataKey(
        purpose="data",
        generation=fresh,
        created_at=act.recorded_at,
        **wrap(known[newest.wrapped_by], "data", fresh, os.urandom(32)),
    )
    session.add(row)
    session.flush()
    write_audit(session, [audit_row(act, "data_key", str(row.id), "begun", new="in_use")])
    return row.id


def _month(at: datetime) -> tuple[int, int]:
    local = at.astimezone(JST)
    return local.year, local.month


def superseded(session: Session, now: datetime) -> list[int]:
    """Return the ids of living data keys after which a newer one has been there for GRACE."""
    rows = session.scalars(
        select(DataKey).where(DataKey.purpose == "data", DataKey.destroyed_at.is_(None)).order_by(DataKey.generation)
    ).all()
    return [row.id for row, newer in itertools.pairwise(rows) if newer.created_at + GRACE <= now]


def keys_in_use(session: Session) -> set[int]:
    """Return the ids of the keys with which anything in any table is sealed; reads prefixes only."""
    found: set[int] = set()
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if column.name.startswith("sealed_"):
                head = func.substr(column, 1, _PREFIX, type_=LargeBinary())
                heads = session.scalars(select(head).where(column.is_not(None)).distinct())
                found |= {int.from_bytes(one[1:], "big") for one in map(bytes, heads) if len(one) == _PREFIX}
    return found


def destroy(session: Session, act: Act, key_id: int, kept: Collection[int] = ()) -> bool:
    """Empty a superseded key that nothing needs any more, with its rows of deletion and audit; tell whether it went.

    `kept`: keys that something outside the record still needs. VaultError for the key that seals now.
    """
    row = session.scalars(select(DataKey).where(DataKey.id == key_id).with_for_update()).one()
    if row.destroyed_at is not None or key_id in kept:
        return False
    if key_id not in superseded(session, act.recorded_at):
        raise VaultError(f"data key {key_id} still seals, or did until just now: it cannot be destroyed")
    if key_id in keys_in_use(session):
        return False
    row.wrapped, row.destroyed_at = b"", act.recorded_at
    session.add(
        Deletion(
            office=act.office,
            record_class="data_key",
            row_id=str(key_id),
            reference=None,
            action="destroyed",
            days=0,
            due_on=act.recorded_at.astimezone(JST).date(),
            run=act.run,
            happened_at=act.happened_at,
        )
    )
    write_audit(session, [audit_row(act, "data_key", str(key_id), "destroyed", old="in_use", new="destroyed")])
    return True
