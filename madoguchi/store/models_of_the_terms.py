"""The record of the terms of use: texts, amendments, who was told of them, what came back. `models` names these too."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from madoguchi.store.base import Base
from madoguchi.store.types import new_id

_NOT_LIFTED = text("lifted_at IS NULL")
_BY_OTHER_MEANS = text("route = 'other'")


class TermsText(Base):
    """The words of a version, once, by the hash of their canonical form: what was announced can be shown for ever."""

    __tablename__ = "terms_text"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    recorded_at: Mapped[datetime]


class Amendment(Base):
    """A change from one version to the next that a person approved. `content`: what its mails have in common."""

    __tablename__ = "amendment"
    __table_args__ = (UniqueConstraint("office", "code"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    code: Mapped[str] = mapped_column(String(40))
    old_id: Mapped[str] = mapped_column(ForeignKey("terms_version.id"))
    new_id: Mapped[str] = mapped_column(ForeignKey("terms_version.id"))
    ground: Mapped[str] = mapped_column(String(20))
    summary: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    effective_at: Mapped[datetime]
    short_notice_reason: Mapped[str | None] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(20))
    approved_by: Mapped[str] = mapped_column(String(80))
    approved_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    announced_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None] = mapped_column(String(80))
    withdrawal_reason: Mapped[str | None] = mapped_column(Text)
    content: Mapped[dict[str, Any]]
    withdrawal_content: Mapped[dict[str, Any]]


class Notice(Base):
    """Somebody who has to be told of an amendment, or of its withdrawal: how, by which message, and what came of it."""

    __tablename__ = "notice"
    __table_args__ = (
        UniqueConstraint("amendment_id", "purpose", "client_id"),
        Index("ix_notice_message_id", "message_id"),
        Index("ix_notice_by_other_means", "amendment_id", "purpose",
              sqlite_where=_BY_OTHER_MEANS, postgresql_where=_BY_OTHER_MEANS),
    )  # fmt: skip
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    amendment_id: Mapped[str] = mapped_column(ForeignKey("amendment.id"))
    purpose: Mapped[str] = mapped_column(String(20))
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"))
    reference: Mapped[str] = mapped_column(String(12))
    route: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(60))
    message_id: Mapped[str | None] = mapped_column(ForeignKey("outbox_message.id"))
    told_at: Mapped[datetime | None]
    told_by: Mapped[str | None] = mapped_column(String(80))
    told_how: Mapped[str | None] = mapped_column(String(20))
    recorded_at: Mapped[datetime]


class NoticeSignOff(Base):
    """A person vouched for the totals of one notice. `sha256`: of the table that was signed off."""

    __tablename__ = "notice_sign_off"
    __table_args__ = (Index("ix_notice_sign_off_amendment_id", "amendment_id"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    amendment_id: Mapped[str] = mapped_column(ForeignKey("amendment.id"))
    purpose: Mapped[str] = mapped_column(String(20))
    totals: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64))
    signed_by: Mapped[str] = mapped_column(String(80))
    signed_at: Mapped[datetime]


class Bounce(Base):
    """A delivery status notification about one recipient (RFC 3464). Kept once, however often it is read."""

    __tablename__ = "bounce"
    __table_args__ = (
        UniqueConstraint("office", "dedupe_key"),
        Index("ix_bounce_message_id", "message_id"),
        Index("ix_bounce_address_index", "office", "address_index"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    dedupe_key: Mapped[str] = mapped_column(String(64))
    message_id: Mapped[str | None] = mapped_column(ForeignKey("outbox_message.id"))
    address_index: Mapped[bytes | None]
    kind: Mapped[str] = mapped_column(String(10))
    action: Mapped[str] = mapped_column(String(20))
    status_code: Mapped[str] = mapped_column(String(16))
    arrived_at: Mapped[datetime]
    recorded_at: Mapped[datetime]


class BlockedAddress(Base):
    """An address to which no mail goes any more, by blind index; until a person, or a new application, lifts that."""

    __tablename__ = "blocked_address"
    __table_args__ = (
        Index("uq_blocked_address_standing", "office", "address_index", unique=True,
              sqlite_where=_NOT_LIFTED, postgresql_where=_NOT_LIFTED),
    )  # fmt: skip
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    address_index: Mapped[bytes]
    reason: Mapped[str] = mapped_column(String(60))
    bounce_id: Mapped[str | None] = mapped_column(ForeignKey("bounce.id"))
    since: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str | None] = mapped_column(String(80))
