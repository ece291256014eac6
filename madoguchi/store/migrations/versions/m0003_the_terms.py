"""The terms of use: texts, amendments, notices and their proof, bounces; a lane of its own for mails to everybody."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "terms_text",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_terms_text")),
    )
    op.create_table(
        "amendment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("old_id", sa.String(length=32), nullable=False),
        sa.Column("new_id", sa.String(length=32), nullable=False),
        sa.Column("ground", sa.String(length=20), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("short_notice_reason", sa.Text(), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("approved_by", sa.String(length=80), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_by", sa.String(length=80), nullable=True),
        sa.Column("withdrawal_reason", sa.Text(), nullable=True),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("withdrawal_content", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["new_id"], ["terms_version.id"], name=op.f("fk_amendment_new_id")),
        sa.ForeignKeyConstraint(["old_id"], ["terms_version.id"], name=op.f("fk_amendment_old_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_amendment")),
        sa.UniqueConstraint("office", "code", name=op.f("uq_amendment_office_code")),
    )
    op.create_table(
        "notice_sign_off",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("amendment_id", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("totals", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("signed_by", sa.String(length=80), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["amendment_id"], ["amendment.id"], name=op.f("fk_notice_sign_off_amendment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_sign_off")),
    )
    op.create_index("ix_notice_sign_off_amendment_id", "notice_sign_off", ["amendment_id"], unique=False)

    op.create_table(
        "bounce",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("dedupe_key", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=True),
        sa.Column("address_index", sa.LargeBinary(), nullable=True),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("status_code", sa.String(length=16), nullable=False),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["outbox_message.id"], name=op.f("fk_bounce_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bounce")),
        sa.UniqueConstraint("office", "dedupe_key", name=op.f("uq_bounce_office_dedupe_key")),
    )
    op.create_index("ix_bounce_address_index", "bounce", ["office", "address_index"], unique=False)
    op.create_index("ix_bounce_message_id", "bounce", ["message_id"], unique=False)

    op.create_table(
        "notice",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("amendment_id", sa.String(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("client_id", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=12), nullable=False),
        sa.Column("route", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=True),
        sa.Column("message_id", sa.String(length=32), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_by", sa.String(length=80), nullable=True),
        sa.Column("told_how", sa.String(length=20), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["amendment_id"], ["amendment.id"], name=op.f("fk_notice_amendment_id")),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_notice_client_id")),
        sa.ForeignKeyConstraint(["message_id"], ["outbox_message.id"], name=op.f("fk_notice_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint(
            "amendment_id", "purpose", "client_id", name=op.f("uq_notice_amendment_id_purpose_client_id")
        ),
    )
    op.create_index(
        "ix_notice_by_other_means",
        "notice",
        ["amendment_id", "purpose"],
        unique=False,
        sqlite_where=sa.text("route = 'other'"),
        postgresql_where=sa.text("route = 'other'"),
    )
    op.create_index("ix_notice_message_id", "notice", ["message_id"], unique=False)

    op.create_table(
        "blocked_address",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("address_index", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("bounce_id", sa.String(length=32), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(length=80), nullable=True),
        sa.ForeignKeyConstraint(["bounce_id"], ["bounce.id"], name=op.f("fk_blocked_address_bounce_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blocked_address")),
    )
    op.create_index(
        "uq_blocked_address_standing",
        "blocked_address",
        ["office", "address_index"],
        unique=True,
        sqlite_where=sa.text("lifted_at IS NULL"),
        postgresql_where=sa.text("lifted_at IS NULL"),
    )

    op.create_index("ix_booking_request_client_id", "booking_request", ["client_id", "recorded_at"], unique=False)

    op.add_column("outbox_message", sa.Column("lane", sa.String(length=40), server_default="", nullable=False))
    op.add_column("outbox_message", sa.Column("amendment_id", sa.String(length=32), nullable=True))
    op.drop_index("ix_outbox_message_due", table_name="outbox_message")
    op.create_index(
        "ix_outbox_message_due",
        "outbox_message",
        ["office", "lane", "due_at", "id"],
        unique=False,
        sqlite_where=sa.text("status IN ('queued', 'retrying')"),
        postgresql_where=sa.text("status IN ('queued', 'retrying')"),
    )

    op.add_column("terms_version", sa.Column("number", sa.Integer(), nullable=True))
    op.add_column("terms_version", sa.Column("signatory", sa.String(length=120), nullable=True))
    op.add_column("terms_version", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("the proof of who was told of the terms would be lost: restore a backup instead")
