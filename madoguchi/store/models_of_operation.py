"""The record of running the office: alarms, holds, deletions, disclosures. `models` names these too."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Date, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from madoguchi.store.base import Base
from madoguchi.store.types import new_id

_OPEN = text("over_at IS NULL")
_STANDING = text("lifted_at IS NULL")


class Alarm(Base):
    """Something that `watch` found, from its first sight until it is over. Codes, counts and references only.

    One row a finding (`code` and `subject`) while it lasts; when it comes back after it was over, a new row.
    `raised_told_at`, `over_told_at`: when every channel had taken the news; empty while it has to be told.
    """

    __tablename__ = "alarm"
    __table_args__ = (
        Index("uq_alarm_open", "office", "code", "subject", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_alarm_first_seen_at", "office", "first_seen_at"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    code: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(80))
    severity: Mapped[str] = mapped_column(String(10))
    touched: Mapped[list[Any]]
    details: Mapped[dict[str, Any]]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    over_at: Mapped[datetime | None]
    raised_told_at: Mapped[datetime | None]
    over_told_at: Mapped[datetime | None]
    told: Mapped[dict[str, Any]]


class RecordHold(Base):
    """An order to keep what is known of one person beyond its time (Art. 7(2) proviso, a dispute, an audit)."""

    __tablename__ = "record_hold"
    __table_args__ = (
        Index(
            "uq_record_hold_standing", "office", "client_id", "paper", unique=True,
            sqlite_where=_STANDING, postgresql_where=_STANDING,
        ),
    )  # fmt: skip
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"))
    reason: Mapped[str] = mapped_column(String(40))
    paper: Mapped[str] = mapped_column(String(80))
    set_by: Mapped[str] = mapped_column(String(80))
    set_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None] = mapped_column(String(80))


class Deletion(Base):
    """That one row of the record lost its personal data, or was removed, and by which line of the retention table."""

    __tablename__ = "deletion"
    __table_args__ = (Index("ix_deletion_happened_at", "office", "happened_at"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    office: Mapped[str] = mapped_column(String(40))
    record_class: Mapped[str] = mapped_column(String(40))
    row_id: Mapped[str] = mapped_column(String(40))
    reference: Mapped[str | None] = mapped_column(String(40))
    action: Mapped[str] = mapped_column(String(20))
    days: Mapped[int]
    due_on: Mapped[date] = mapped_column(Date)
    run: Mapped[str | None] = mapped_column(String(40))
    happened_at: Mapped[datetime]


class Disclosure(Base):
    """One request under law for what is known of one person (Art. 7(2) proviso): who asked, decided, what was given.

    `sha256`: of the extract that was handed over; the extract itself is nowhere kept.
    """

    __tablename__ = "disclosure"
    __table_args__ = (UniqueConstraint("office", "reference"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    reference: Mapped[str] = mapped_column(String(12))
    client_id: Mapped[str | None] = mapped_column(ForeignKey("client.id"))
    authority: Mapped[str] = mapped_column(String(80))
    legal_basis: Mapped[str] = mapped_column(String(120))
    paper: Mapped[str] = mapped_column(String(80))
    scope: Mapped[list[Any]]
    decision: Mapped[str] = mapped_column(String(20))
    approver: Mapped[str] = mapped_column(String(80))
    decided_at: Mapped[datetime]
    given_at: Mapped[datetime | None]
    given_by: Mapped[str | None] = mapped_column(String(80))
    sha256: Mapped[str | None] = mapped_column(String(64))
    note: Mapped[str] = mapped_column(Text, default="")
