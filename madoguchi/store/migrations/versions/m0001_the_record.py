"""The record: every table of the first version, and the triggers that keep `audit` append-only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


_SQLITE_GUARD = """
CREATE TRIGGER audit_refuses_{verb} BEFORE {verb} ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END
"""
_POSTGRESQL_GUARD = """
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'audit is append-only'; END $$;
CREATE TRIGGER audit_refuses_changes BEFORE UPDATE OR DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()
"""


def _guard_audit() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE_GUARD.format(verb=verb))
    else:
        op.execute(_POSTGRESQL_GUARD)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("subject_kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("old", sa.String(length=40), nullable=True),
        sa.Column("new", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.String(length=60), nullable=True),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=True),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index("ix_audit_subject", ["office", "subject"], unique=False)

    op.create_table(
        "client",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("number_index", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_personal", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_client")),
        sa.UniqueConstraint("office", "number_index", name=op.f("uq_client_office_number_index")),
    )
    op.create_table(
        "data_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("wrapped_by", sa.String(length=16), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_key")),
        sa.UniqueConstraint("purpose", "generation", name=op.f("uq_data_key_purpose_generation")),
    )
    op.create_table(
        "export_file",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("form", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("first_read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_file")),
        sa.UniqueConstraint(
            "office", "source", "form", "sha256", name=op.f("uq_export_file_office_source_form_sha256")
        ),
    )
    op.create_table(
        "host_budget",
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=40), nullable=False),
        sa.Column("utc_day", sa.Date(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("office", "host", "utc_day", name=op.f("pk_host_budget")),
    )
    op.create_table(
        "mail_template",
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=16), nullable=False),
        sa.Column("bundle", sa.JSON(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("kind", "version", name=op.f("pk_mail_template")),
    )
    op.create_table(
        "run_record",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("flow", sa.String(length=40), nullable=False),
        sa.Column("prefect_run", sa.String(length=40), nullable=True),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("incomplete", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_record")),
    )
    with op.batch_alter_table("run_record", schema=None) as batch_op:
        batch_op.create_index("ix_run_record_flow", ["office", "flow", "started_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_record_prefect_run"), ["prefect_run"], unique=False)

    op.create_table(
        "staff_task",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(length=80), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_task")),
        sa.UniqueConstraint("office", "kind", "subject", name=op.f("uq_staff_task_office_kind_subject")),
    )
    with op.batch_alter_table("staff_task", schema=None) as batch_op:
        batch_op.create_index("ix_staff_task_open", ["office", "closed_at"], unique=False)

    op.create_table(
        "terms_version",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("document", sa.String(length=20), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("enacted_on", sa.Date(), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("url", sa.String(length=400), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_terms_version")),
        sa.UniqueConstraint("office", "document", "code", name=op.f("uq_terms_version_office_document_code")),
    )
    op.create_table(
        "booking_request",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=12), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("form", sa.String(length=60), nullable=False),
        sa.Column("file_id", sa.String(length=32), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("row_key", sa.String(length=80), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("relates_to", sa.String(length=12), nullable=True),
        sa.Column("client_id", sa.String(length=32), nullable=True),
        sa.Column("number_index", sa.LargeBinary(), nullable=True),
        sa.Column("name_index", sa.LargeBinary(), nullable=True),
        sa.Column("contact_index", sa.LargeBinary(), nullable=True),
        sa.Column("values_digest", sa.LargeBinary(), nullable=False),
        sa.Column("wishes", sa.JSON(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed_raw", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_values", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_booking_request_client_id")),
        sa.ForeignKeyConstraint(["file_id"], ["export_file.id"], name=op.f("fk_booking_request_file_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_booking_request")),
        sa.UniqueConstraint("office", "reference", name=op.f("uq_booking_request_office_reference")),
        sa.UniqueConstraint(
            "office",
            "source",
            "form",
            "digest",
            "occurrence",
            name=op.f("uq_booking_request_office_source_form_digest_occurrence"),
        ),
    )
    with op.batch_alter_table("booking_request", schema=None) as batch_op:
        batch_op.create_index("ix_booking_request_file_id", ["file_id", "row_number"], unique=False)
        batch_op.create_index("ix_booking_request_number_index", ["office", "number_index"], unique=False)
        batch_op.create_index("ix_booking_request_open", ["office", "status", "submitted_at"], unique=False)
        batch_op.create_index("ix_booking_request_row_key", ["office", "source", "form", "row_key"], unique=False)

    op.create_table(
        "booking",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("reference", sa.String(length=12), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("client_id", sa.String(length=32), nullable=False),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("counsellor", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_booking_client_id")),
        sa.ForeignKeyConstraint(["request_id"], ["booking_request.id"], name=op.f("fk_booking_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_booking")),
        sa.UniqueConstraint("office", "reference", name=op.f("uq_booking_office_reference")),
    )
    with op.batch_alter_table("booking", schema=None) as batch_op:
        batch_op.create_index("ix_booking_start_at", ["office", "start_at"], unique=False)
        batch_op.create_index("ix_booking_status", ["office", "status", "start_at"], unique=False)
        batch_op.create_index(
            "uq_booking_client_start",
            ["office", "client_id", "start_at"],
            unique=True,
            sqlite_where=sa.text("status IN ('held', 'confirmed')"),
            postgresql_where=sa.text("status IN ('held', 'confirmed')"),
        )
        batch_op.create_index(
            "uq_booking_counsellor_start",
            ["office", "counsellor", "start_at"],
            unique=True,
            sqlite_where=sa.text("status IN ('held', 'confirmed')"),
            postgresql_where=sa.text("status IN ('held', 'confirmed')"),
        )
        batch_op.create_index(
            "uq_booking_host_start",
            ["office", "host", "start_at"],
            unique=True,
            sqlite_where=sa.text("status IN ('held', 'confirmed')"),
            postgresql_where=sa.text("status IN ('held', 'confirmed')"),
        )
        batch_op.create_index(
            "uq_booking_request",
            ["request_id"],
            unique=True,
            sqlite_where=sa.text("status IN ('held', 'confirmed')"),
            postgresql_where=sa.text("status IN ('held', 'confirmed')"),
        )

    op.create_table(
        "consent",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("document", sa.String(length=20), nullable=False),
        sa.Column("terms_id", sa.String(length=32), nullable=False),
        sa.Column("basis", sa.String(length=60), nullable=False),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("consented_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["request_id"], ["booking_request.id"], name=op.f("fk_consent_request_id")),
        sa.ForeignKeyConstraint(["terms_id"], ["terms_version.id"], name=op.f("fk_consent_terms_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent")),
        sa.UniqueConstraint("request_id", "document", name=op.f("uq_consent_request_id_document")),
    )
    op.create_table(
        "meeting",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("booking_id", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=40), nullable=False),
        sa.Column("host", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("meeting_id", sa.String(length=20), nullable=True),
        sa.Column("sealed_access", sa.LargeBinary(), nullable=True),
        sa.Column("start_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claim_owner", sa.String(length=120), nullable=True),
        sa.Column("claim_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_code", sa.String(length=60), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["booking_id"], ["booking.id"], name=op.f("fk_meeting_booking_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meeting")),
        sa.UniqueConstraint("booking_id", "revision", name=op.f("uq_meeting_booking_id_revision")),
        sa.UniqueConstraint("meeting_id", name=op.f("uq_meeting_meeting_id")),
        sa.UniqueConstraint("token", name=op.f("uq_meeting_token")),
    )
    with op.batch_alter_table("meeting", schema=None) as batch_op:
        batch_op.create_index(
            "ix_meeting_unverified",
            ["office", "status"],
            unique=False,
            sqlite_where=sa.text("status IN ('claimed', 'created', 'verified')"),
            postgresql_where=sa.text("status IN ('claimed', 'created', 'verified')"),
        )

    op.create_table(
        "occupancy",
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("resource", sa.String(length=60), nullable=False),
        sa.Column("cell_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("booking_id", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["booking_id"], ["booking.id"], name=op.f("fk_occupancy_booking_id")),
        sa.PrimaryKeyConstraint("office", "resource", "cell_at", name=op.f("pk_occupancy")),
    )
    with op.batch_alter_table("occupancy", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_occupancy_booking_id"), ["booking_id"], unique=False)

    op.create_table(
        "outbox_message",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("office", sa.String(length=40), nullable=False),
        sa.Column("dedupe_key", sa.String(length=120), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=32), nullable=True),
        sa.Column("request_id", sa.String(length=32), nullable=True),
        sa.Column("booking_id", sa.String(length=32), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("template_version", sa.String(length=16), nullable=False),
        sa.Column("sealed_context", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claim_owner", sa.String(length=120), nullable=True),
        sa.Column("claim_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message_id", sa.String(length=120), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["booking_id"], ["booking.id"], name=op.f("fk_outbox_message_booking_id")),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], name=op.f("fk_outbox_message_client_id")),
        sa.ForeignKeyConstraint(["request_id"], ["booking_request.id"], name=op.f("fk_outbox_message_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_message")),
        sa.UniqueConstraint("office", "dedupe_key", name=op.f("uq_outbox_message_office_dedupe_key")),
    )
    with op.batch_alter_table("outbox_message", schema=None) as batch_op:
        batch_op.create_index("ix_outbox_message_booking_id", ["booking_id"], unique=False)
        batch_op.create_index(
            "ix_outbox_message_claimed",
            ["office", "claim_owner"],
            unique=False,
            sqlite_where=sa.text("claim_owner IS NOT NULL"),
            postgresql_where=sa.text("claim_owner IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_outbox_message_due",
            ["office", "due_at", "id"],
            unique=False,
            sqlite_where=sa.text("status IN ('queued', 'retrying')"),
            postgresql_where=sa.text("status IN ('queued', 'retrying')"),
        )
    _guard_audit()


def downgrade() -> None:
    raise NotImplementedError("the first level has no earlier one: restore a backup instead")
