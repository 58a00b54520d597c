"""Batches of many requests and many workers: open batches, shards, repeated requests, webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "idempotency_key",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("token", sa.Uuid(), nullable=False),
        sa.Column("running_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("response_headers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("response_body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("client_id", "key"),
    )
    op.create_index(op.f("ix_idempotency_key_created_at"), "idempotency_key", ["created_at"], unique=False)
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("catalog_id", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("secret_number", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["catalog_id"],
            ["catalog.id"],
        ),
        sa.ForeignKeyConstraint(["client_id"], ["client.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_webhook_endpoint_client_id"), "webhook_endpoint", ["client_id"], unique=False)
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("endpoint_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state_known"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["webhook_endpoint.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("job_id"),
    )
    op.create_index(
        "webhook_delivery_newest_first",
        "webhook_delivery",
        ["endpoint_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.add_column("batch", sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("batch", sa.Column("cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("batch", sa.Column("uncounted_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("batch", sa.Column("ended_before", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("batch", sa.Column("uploads_removed_at", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("batch", "job_id", existing_type=sa.UUID(), nullable=True)
    op.create_index(
        "batch_finished", "batch", ["finished_at"], unique=False, postgresql_where=sa.text("finished_at IS NOT NULL")
    )
    op.create_index(
        "batch_unfinished", "batch", ["client_id"], unique=False, postgresql_where=sa.text("finished_at IS NULL")
    )
    op.add_column("batch_item", sa.Column("url", sa.Text(), nullable=True))
    op.add_column("batch_item", sa.Column("same_as", sa.Integer(), nullable=True))
    op.create_index(
        "batch_item_same_as",
        "batch_item",
        ["batch_id", "same_as"],
        unique=False,
        postgresql_where=sa.text("same_as IS NOT NULL"),
    )
    op.add_column("job", sa.Column("client_id", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("batch_id", sa.Uuid(), nullable=True))
    op.add_column("job", sa.Column("first_position", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("last_position", sa.Integer(), nullable=True))
    op.add_column("job", sa.Column("turn", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_index(op.f("ix_job_batch_id"), "job", ["batch_id"], unique=False)
    op.create_index(
        "job_last_turn_of_client", "job", ["client_id", "kind", sa.literal_column("turn DESC")], unique=False
    )
    op.create_index(
        "job_newest_turn", "job", ["kind", "turn"], unique=False, postgresql_where=sa.text("started_at IS NOT NULL")
    )
    op.create_index(
        "job_unfinished",
        "job",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.execute("UPDATE batch SET cancel_requested = true FROM job WHERE job.id = batch.job_id AND job.cancel_requested")
    op.execute("UPDATE batch SET job_id = NULL WHERE job_id = id")  # what the downgrade made
    op.execute("DELETE FROM job USING batch WHERE job.id = batch.id")
    op.execute("UPDATE job SET batch_id = batch.id, client_id = batch.client_id FROM batch WHERE job.id = batch.job_id")


def downgrade() -> None:
    """The earlier code knows no shards and no open batches, so none may be left to do."""
    unfinished = op.get_bind().scalar(sa.text("SELECT count(*) FROM batch WHERE finished_at IS NULL"))
    if unfinished:
        raise RuntimeError(f"{unfinished} batches have not ended; let them end, or cancel them, and try again.")
    # Ended batches that never had a job, because they were cancelled while open, get one of the same id.
    op.execute(
        "WITH made AS (INSERT INTO job (id, kind, catalog_id, state, finished_at)"
        " SELECT id, 'classify', catalog_id, 'cancelled', finished_at FROM batch WHERE job_id IS NULL RETURNING id)"
        " UPDATE batch SET job_id = made.id FROM made WHERE batch.id = made.id"
    )
    op.drop_index("job_unfinished", table_name="job", postgresql_where=sa.text("state IN ('queued', 'running')"))
    op.drop_index("job_newest_turn", table_name="job", postgresql_where=sa.text("started_at IS NOT NULL"))
    op.drop_index("job_last_turn_of_client", table_name="job")
    op.drop_index(op.f("ix_job_batch_id"), table_name="job")
    op.drop_column("job", "turn")
    op.drop_column("job", "last_position")
    op.drop_column("job", "first_position")
    op.drop_column("job", "batch_id")
    op.drop_column("job", "client_id")
    op.drop_index("batch_item_same_as", table_name="batch_item", postgresql_where=sa.text("same_as IS NOT NULL"))
    op.drop_column("batch_item", "same_as")
    op.drop_column("batch_item", "url")
    op.drop_index("batch_unfinished", table_name="batch", postgresql_where=sa.text("finished_at IS NULL"))
    op.drop_index("batch_finished", table_name="batch", postgresql_where=sa.text("finished_at IS NOT NULL"))
    op.alter_column("batch", "job_id", existing_type=sa.UUID(), nullable=False)
    op.drop_column("batch", "uploads_removed_at")
    op.drop_column("batch", "ended_before")
    op.drop_column("batch", "uncounted_bytes")
    op.drop_column("batch", "cancel_requested")
    op.drop_column("batch", "revision")
    op.drop_index("webhook_delivery_newest_first", table_name="webhook_delivery")
    op.drop_table("webhook_delivery")
    op.drop_index(op.f("ix_webhook_endpoint_client_id"), table_name="webhook_endpoint")
    op.drop_table("webhook_endpoint")
    op.drop_index(op.f("ix_idempotency_key_created_at"), table_name="idempotency_key")
    op.drop_table("idempotency_key")
