"""What people say about all actions, and proposals that wait for their word."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"

Instant = sa.BigInteger  # microseconds since 1970
Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    control = op.create_table(
        "control",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("ceiling", sa.JSON),
        sa.Column("pause", sa.JSON),
    )
    op.bulk_insert(control, [{"id": 1, "version": 0}])
    op.create_table(
        "windows",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("when", sa.JSON, nullable=False),
        sa.Column("matchers", sa.JSON, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", Instant, nullable=False),
        sa.Column("over_at", Instant),
        sa.Column("ended_by", sa.Text),
        sa.Column("ended_why", sa.Text),
        sa.Column("ended_at", Instant),
    )
    op.create_index("windows_over_at", "windows", ["over_at"])
    op.create_table(
        "control_log",
        sa.Column("id", Serial, primary_key=True, autoincrement=True),
        sa.Column("at", Instant, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("playbook", sa.Text, nullable=False),
        sa.Column("target_key", sa.Text, nullable=False),
        sa.Column("rung", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("uid", sa.Text),
        sa.Column("difference", sa.JSON, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("made_at", Instant, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("two_people", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text),
        sa.Column("by", sa.Text),
        sa.Column("why", sa.Text, nullable=False, server_default=""),
        sa.Column("answered_at", Instant),
        sa.Column("ended_at", Instant),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("action_id", sa.Text),
    )
    still_open = sa.text("state IN ('pending', 'approved')")
    op.create_index(
        "approvals_one_open",
        "approvals",
        ["incident_id"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index("approvals_made_at", "approvals", ["made_at"])
