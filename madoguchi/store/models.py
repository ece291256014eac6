"""The record: every table. Personal columns are named `sealed_*` (see `vault`), blind indexes `*_index`.

Every row that belongs to an office carries its code. Instants are UTC. Nothing here decides anything.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Date,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from madoguchi.store.base import Base as Base  # noqa: PLC0414 — the metadata of all tables is asked of this module
from madoguchi.store.models_of_operation import Alarm as Alarm  # noqa: PLC0414 — the same
from madoguchi.store.models_of_operation import Deletion as Deletion  # noqa: PLC0414 — the same
from madoguchi.store.models_of_operation import Disclosure as Disclosure  # noqa: PLC0414 — the same
from madoguchi.store.models_of_operation import RecordHold as RecordHold  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_day import Evidence as Evidence  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_day import Restriction as Restriction  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_day import VerdictRecord as VerdictRecord  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_day import ZoomEventRecord as ZoomEventRecord  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_terms import Amendment as Amendment  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_terms import BlockedAddress as BlockedAddress  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_terms import Bounce as Bounce  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_terms import Notice as Notice  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_terms import NoticeSignOff as NoticeSignOff  # noqa: PLC0414 — the same
from madoguchi.store.models_of_the_terms import TermsText as TermsText  # noqa: PLC0414 — the same
from madoguchi.store.types import new_id

_ACTIVE = text("status IN ('held', 'confirmed')")
_LIVE_MEETING = text("status IN ('claimed', 'created', 'verified')")
_UNWANTED = text("status = 'unwanted'")
_CLAIMED = text("claim_owner IS NOT NULL")
_NO_SESSION = text("booking_id IS NULL AND request_id IS NOT NULL")
_UNSENT = text("status IN ('queued', 'retrying')")
_UNCERTAIN = text("status = 'uncertain'")


class DataKey(Base):
    """A key that encrypts columns or blind indexes, wrapped by a key of MADOGUCHI_ENCRYPTION_KEYS.

    `destroyed_at`: since when nothing is sealed with it any more and `wrapped` is empty.
    """

    __tablename__ = "data_key"
    __table_args__ = (UniqueConstraint("purpose", "generation"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    purpose: Mapped[str] = mapped_column(String(20))
    generation: Mapped[int]
    wrapped_by: Mapped[str] = mapped_column(String(16))
    wrapped: Mapped[bytes]
    created_at: Mapped[datetime]
    destroyed_at: Mapped[datetime | None]


class TermsVersion(Base):
    """A version of the office's terms or of Zoom's: what a consent names."""

    __tablename__ = "terms_version"
    __table_args__ = (UniqueConstraint("office", "document", "code"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    document: Mapped[str] = mapped_column(String(20))
    code: Mapped[str] = mapped_column(String(40))
    sha256: Mapped[str] = mapped_column(String(64))
    enacted_on: Mapped[date] = mapped_column(Date)
    effective_at: Mapped[datetime]
    url: Mapped[str] = mapped_column(String(400))
    number: Mapped[int | None]
    signatory: Mapped[str | None] = mapped_column(String(120))
    withdrawn_at: Mapped[datetime | None]


class ExportFile(Base):
    """One version of a form's export, by content."""

    __tablename__ = "export_file"
    __table_args__ = (UniqueConstraint("office", "source", "form", "sha256"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    source: Mapped[str] = mapped_column(String(20))
    form: Mapped[str] = mapped_column(String(60))
    name: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(20))
    counts: Mapped[dict[str, Any]]
    first_read_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]


class Client(Base):
    """A person, known by job-seeker number. The number itself is only in the sealed column.

    `erased_at`, here and elsewhere: since when the personal columns hold nothing any more (docs/privacy.md).
    """

    __tablename__ = "client"
    __table_args__ = (UniqueConstraint("office", "number_index"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    number_index: Mapped[bytes]
    sealed_personal: Mapped[bytes]
    created_at: Mapped[datetime]
    erased_at: Mapped[datetime | None]


class BookingRequest(Base):
    """One data record of an export. `digest` and `occurrence` make reading the same record again harmless."""

    __tablename__ = "booking_request"
    __table_args__ = (
        UniqueConstraint("office", "source", "form", "digest", "occurrence"),
        UniqueConstraint("office", "reference"),
        Index("ix_booking_request_open", "office", "status", "submitted_at"),
        Index("ix_booking_request_number_index", "office", "number_index"),
        Index("ix_booking_request_row_key", "office", "source", "form", "row_key"),
        Index("ix_booking_request_file_id", "file_id", "row_number"),
        Index("ix_booking_request_client_id", "client_id", "recorded_at"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    reference: Mapped[str] = mapped_column(String(12))
    office: Mapped[str] = mapped_column(String(40))
    source: Mapped[str] = mapped_column(String(20))
    form: Mapped[str] = mapped_column(String(60))
    file_id: Mapped[str] = mapped_column(ForeignKey("export_file.id"))
    row_number: Mapped[int]
    row_key: Mapped[str] = mapped_column(String(80))
    digest: Mapped[bytes]
    occurrence: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(40))
    flags: Mapped[list[Any]]
    status: Mapped[str] = mapped_column(String(20))
    relates_to: Mapped[str | None] = mapped_column(String(12))
    client_id: Mapped[str | None] = mapped_column(ForeignKey("client.id"))
    number_index: Mapped[bytes | None]
    name_index: Mapped[bytes | None]
    contact_index: Mapped[bytes | None]
    values_digest: Mapped[bytes]
    wishes: Mapped[list[Any]]
    submitted_at: Mapped[datetime | None]
    recorded_at: Mapped[datetime]
    sealed_raw: Mapped[bytes]
    sealed_values: Mapped[bytes]
    erased_at: Mapped[datetime | None]


class Consent(Base):
    """Agreement to one version of one document by one application (preamble, Art. 4, Art. 6)."""

    __tablename__ = "consent"
    __table_args__ = (UniqueConstraint("request_id", "document"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    request_id: Mapped[str] = mapped_column(ForeignKey("booking_request.id"))
    document: Mapped[str] = mapped_column(String(20))
    terms_id: Mapped[str] = mapped_column(ForeignKey("terms_version.id"))
    basis: Mapped[str] = mapped_column(String(60))
    channel: Mapped[str] = mapped_column(String(40))
    consented_at: Mapped[datetime]
    recorded_at: Mapped[datetime]


class Booking(Base):
    """A session of one client with one counsellor under one Zoom host."""

    __tablename__ = "booking"
    __table_args__ = (
        UniqueConstraint("office", "reference"),
        Index("uq_booking_counsellor_start", "office", "counsellor", "start_at", unique=True,
              sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
        Index("uq_booking_host_start", "office", "host", "start_at", unique=True,
              sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
        Index("uq_booking_client_start", "office", "client_id", "start_at", unique=True,
              sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
        Index("uq_booking_request", "request_id", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
        Index("ix_booking_start_at", "office", "start_at"),
        Index("ix_booking_status", "office", "status", "start_at"),
        Index("ix_booking_client_id", "client_id", "status"),
    )  # fmt: skip
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    reference: Mapped[str] = mapped_column(String(12))
    office: Mapped[str] = mapped_column(String(40))
    request_id: Mapped[str] = mapped_column(ForeignKey("booking_request.id"))
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id"))
    start_at: Mapped[datetime]
    end_at: Mapped[datetime]
    counsellor: Mapped[str] = mapped_column(String(40))
    host: Mapped[str] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(20))
    revision: Mapped[int]
    held_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]


class Occupancy(Base):
    """A quarter of an hour of a counsellor or host, taken by an active booking.

    The primary key is the guard: it holds for starts off the grid too, where equal starts do not collide.
    """

    __tablename__ = "occupancy"
    office: Mapped[str] = mapped_column(String(40), primary_key=True)
    resource: Mapped[str] = mapped_column(String(60), primary_key=True)
    cell_at: Mapped[datetime] = mapped_column(primary_key=True)
    booking_id: Mapped[str] = mapped_column(ForeignKey("booking.id"), index=True)


class Meeting(Base):
    """A Zoom meeting of one revision of a booking. `token` is what its agenda carries at Zoom."""

    __tablename__ = "meeting"
    __table_args__ = (
        UniqueConstraint("booking_id", "revision"),
        UniqueConstraint("token"),
        UniqueConstraint("meeting_id"),
        Index("ix_meeting_unwanted", "office", sqlite_where=_UNWANTED, postgresql_where=_UNWANTED),
        Index("ix_meeting_unverified", "office", "status", sqlite_where=_LIVE_MEETING, postgresql_where=_LIVE_MEETING),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    booking_id: Mapped[str] = mapped_column(ForeignKey("booking.id"))
    revision: Mapped[int]
    token: Mapped[str] = mapped_column(String(40))
    host: Mapped[str] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(20))
    meeting_id: Mapped[str | None] = mapped_column(String(20))
    sealed_access: Mapped[bytes | None]
    start_at: Mapped[datetime]
    claim_owner: Mapped[str | None] = mapped_column(String(120))
    claim_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    last_code: Mapped[str | None] = mapped_column(String(60))
    changed_at: Mapped[datetime]
    erased_at: Mapped[datetime | None]


class HostBudget(Base):
    """Creations and changes that a host has used in one UTC day (Zoom allows 100)."""

    __tablename__ = "host_budget"
    office: Mapped[str] = mapped_column(String(40), primary_key=True)
    host: Mapped[str] = mapped_column(String(40), primary_key=True)
    utc_day: Mapped[date] = mapped_column(Date, primary_key=True)
    used: Mapped[int]


class MailTemplate(Base):
    """The files of one kind of mail as they were when a message was queued: a rerun sends what was meant."""

    __tablename__ = "mail_template"
    kind: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[str] = mapped_column(String(16), primary_key=True)
    bundle: Mapped[dict[str, Any]]
    recorded_at: Mapped[datetime]


class OutboxMessage(Base):
    """A mail to one person, as a row before it is mail. `dedupe_key` is why it cannot be queued twice.

    `lane`: empty for what is about one session; the rate limit's name (`gmail.com`, `other`) for a notice to everybody,
    which waits for nobody and for which nobody waits. `amendment_id`: what such a notice is about.
    """

    __tablename__ = "outbox_message"
    __table_args__ = (
        UniqueConstraint("office", "dedupe_key"),
        Index(
            "ix_outbox_message_due", "office", "lane", "due_at", "id", sqlite_where=_UNSENT, postgresql_where=_UNSENT
        ),
        # Only what somebody holds: an index over every status would be written twice a mail and read by nobody.
        Index("ix_outbox_message_claimed", "office", "claim_owner", sqlite_where=_CLAIMED, postgresql_where=_CLAIMED),
        # A handful at any time, asked for every ten minutes.
        Index("ix_outbox_message_uncertain", "office", sqlite_where=_UNCERTAIN, postgresql_where=_UNCERTAIN),
        Index("ix_outbox_message_booking_id", "booking_id"),
        # Mails about an application that has no session: few, and looked for one application at a time.
        Index("ix_outbox_message_request_id", "request_id", sqlite_where=_NO_SESSION, postgresql_where=_NO_SESSION),
    )  # fmt: skip
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    dedupe_key: Mapped[str] = mapped_column(String(120))
    kind: Mapped[str] = mapped_column(String(40))
    client_id: Mapped[str | None] = mapped_column(ForeignKey("client.id"))
    request_id: Mapped[str | None] = mapped_column(ForeignKey("booking_request.id"))
    booking_id: Mapped[str | None] = mapped_column(ForeignKey("booking.id"))
    revision: Mapped[int]
    template_version: Mapped[str] = mapped_column(String(16))
    sealed_context: Mapped[bytes]
    lane: Mapped[str] = mapped_column(String(40), default="", server_default="")
    amendment_id: Mapped[str | None] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(60))
    due_at: Mapped[datetime]
    not_after: Mapped[datetime | None]
    claim_owner: Mapped[str | None] = mapped_column(String(120))
    claim_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    attempted_at: Mapped[datetime | None]
    message_id: Mapped[str] = mapped_column(String(120))
    sent_at: Mapped[datetime | None]
    queued_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    erased_at: Mapped[datetime | None]


class StaffTask(Base):
    """Something that waits for a person. Open while `closed_at` is empty."""

    __tablename__ = "staff_task"
    __table_args__ = (
        UniqueConstraint("office", "kind", "subject"),
        Index("ix_staff_task_open", "office", "closed_at"),
    )
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str | None] = mapped_column(String(60))
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]
    closed_by: Mapped[str | None] = mapped_column(String(80))


class Audit(Base):
    """Append-only: a trigger refuses changes. Holds codes and references, never personal data."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_subject", "office", "subject"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    office: Mapped[str] = mapped_column(String(40))
    subject_kind: Mapped[str] = mapped_column(String(20))
    subject: Mapped[str] = mapped_column(String(40))
    action: Mapped[str] = mapped_column(String(40))
    old: Mapped[str | None] = mapped_column(String(40))
    new: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str | None] = mapped_column(String(60))
    actor: Mapped[str] = mapped_column(String(80))
    run: Mapped[str | None] = mapped_column(String(40))
    happened_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    details: Mapped[dict[str, Any]]


class RunRecord(Base):
    """What one run of a flow did: counts and references."""

    __tablename__ = "run_record"
    __table_args__ = (Index("ix_run_record_flow", "office", "flow", "started_at"),)
    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    office: Mapped[str] = mapped_column(String(40))
    flow: Mapped[str] = mapped_column(String(40))
    prefect_run: Mapped[str | None] = mapped_column(String(40), index=True)
    as_of: Mapped[datetime]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(20))
    message: Mapped[str] = mapped_column(Text)
    counts: Mapped[dict[str, Any]]
    incomplete: Mapped[list[Any]]
