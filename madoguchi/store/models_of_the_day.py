"""The record of the day of a session: evidence, webhooks, verdicts, restrictions. `models` names these tables too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from madoguchi.store.base import Base
from madoguchi.store.types import new_id

_NOT_LIFTED = text("lifted_at IS NULL")


class Evidence(Base):
    """One thing known about the session of one revision of a booking. `note` of staff is sealed; `details`: codes."""

    __tablename__ = "evidence"
    __table_args__ = (
        UniqueConstraint("office", "dedupe_key"),
        Index("ix_evidence_booking_id", "booking_id", "revision"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    booking_id: Mapped[str] = mapped_column(ForeignKey("booking.id"))
    revision: Mapped[int]
    kind: Mapped[str] = mapped_column(String(30))
    source: Mapped[str] = mapped_column(String(20))
    happened_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(80))
    run: Mapped[str | None] = mapped_column(String(40))
    dedupe_key: Mapped[str] = mapped_column(String(120))
    details: Mapped[dict[str, Any]]
    sealed_note: Mapped[bytes | None]
    erased_at: Mapped[datetime | None]


class ZoomEventRecord(Base):
    """A webhook as it came, body sealed; kept when it is unknown too. `outcome`: what became of it."""

    __tablename__ = "zoom_event"
    __table_args__ = (
        UniqueConstraint("office", "dedupe_key"),
        Index("ix_zoom_event_received_at", "office", "received_at"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    dedupe_key: Mapped[str] = mapped_column(String(120))
    event: Mapped[str] = mapped_column(String(80))
    meeting_id: Mapped[str | None] = mapped_column(String(20))
    happened_at: Mapped[datetime]
    received_at: Mapped[datetime]
    outcome: Mapped[str] = mapped_column(String(20))
    sealed_body: Mapped[bytes]


class VerdictRecord(Base):
    """The history of what was held true of a session: number 1 at the tenth minute, each correction one more.

    `evidence`: ids of the rows that it rests on; `duties`: the office's own; `rules`: the version of the rule.
    """

    __tablename__ = "verdict"
    __table_args__ = (UniqueConstraint("booking_id", "number"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    booking_id: Mapped[str] = mapped_column(ForeignKey("booking.id"))
    number: Mapped[int]
    verdict: Mapped[str] = mapped_column(String(20))
    reasons: Mapped[list[Any]]
    rules: Mapped[str] = mapped_column(String(16))
    judged_for: Mapped[datetime]
    evidence: Mapped[list[Any]]
    duties: Mapped[dict[str, Any]]
    by_person: Mapped[bool]
    actor: Mapped[str] = mapped_column(String(80))
    run: Mapped[str | None] = mapped_column(String(40))
    happened_at: Mapped[datetime]
    recorded_at: Mapped[datetime]


class Restriction(Base):
    """Future use is refused to a person: decided by staff, with ground and term; open-ended while `until` is empty."""

    __tablename__ = "restriction"
    __table_args__ = (
        UniqueConstraint("office", "reference"),
        Index("ix_restriction_client", "client_id", sqlite_where=_NOT_LIFTED, postgresql_where=_NOT_LIFTED),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    reference: Mapped[str] = mapped_column(String(12))
    office: Mapped[str] = mapped_column(String(40))
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"))
    ground: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(String(60))
    document: Mapped[str | None] = mapped_column(String(60))
    starts_at: Mapped[datetime]
    until: Mapped[datetime | None]
    decided_by: Mapped[str] = mapped_column(String(80))
    recorded_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None] = mapped_column(String(80))
    lift_reason: Mapped[str | None] = mapped_column(String(60))
