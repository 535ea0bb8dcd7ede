"""The first schema. Written out, not taken from schema.py: a migration must stay what it was."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
AT = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=False),
        sa.Column("received_at", AT, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("inbox_received_at", "inbox", ["received_at"])
    op.create_table(
        "waiting",
        sa.Column(
            "inbox_id",
            sa.BigInteger,
            sa.ForeignKey("inbox.id"),
            primary_key=True,
            autoincrement=False,
        ),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("received_at", AT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("playbook", sa.Text, nullable=False),
        sa.Column("target_kind", sa.Text, nullable=False),
        sa.Column("target_namespace", sa.Text, nullable=False),
        sa.Column("target_name", sa.Text, nullable=False),
        sa.Column("target_key", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("opened_at", AT, nullable=False),
        sa.Column("due_at", AT),
        sa.Column("closed_at", AT),
    )
    still_open = sa.text("state <> 'closed'")
    op.create_index("incidents_due", "incidents", ["due_at"])
    op.create_index("incidents_opened_at", "incidents", ["opened_at"])
    op.create_index("incidents_closed_at", "incidents", ["closed_at"])
    op.create_index(
        "incidents_one_open",
        "incidents",
        ["playbook", "target_key"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_table(
        "episodes",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        sa.Column("starts_at", AT, primary_key=True),
        sa.Column("ends_at", AT),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("annotations", sa.JSON, nullable=False),
        sa.Column("generator_url", sa.Text, nullable=False),
        sa.Column("deliveries", sa.Integer, nullable=False),
        sa.Column("first_seen_at", AT, nullable=False),
        sa.Column("last_seen_at", AT, nullable=False),
        sa.Column("resolved_seen_at", AT),
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id")),
        sa.Column("unrouted", sa.Text),
    )
    op.create_index("episodes_incident", "episodes", ["incident_id"])
    op.create_index("episodes_last_seen_at", "episodes", ["last_seen_at"])
    op.create_table(
        "locks",
        sa.Column("target_key", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until", AT, nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("action_id", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("playbook", sa.Text, nullable=False),
        sa.Column("target_key", sa.Text, nullable=False),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("rung", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("intended_at", AT, nullable=False),
        sa.Column("before", sa.JSON),
        sa.Column("applied", sa.Text),
        sa.Column("applied_reason", sa.Text),
        sa.Column("applied_detail", sa.Text),
        sa.Column("applied_at", AT),
        sa.Column("outcome", sa.Text),
        sa.Column("outcome_reason", sa.Text),
        sa.Column("outcome_detail", sa.Text),
        sa.Column("settled_at", AT),
    )
    op.create_index("ledger_incident", "ledger", ["incident_id"])
    op.create_index("ledger_target", "ledger", ["target_key", "intended_at"])
    op.create_index("ledger_playbook", "ledger", ["playbook", "intended_at"])
    op.create_index("ledger_intended_at", "ledger", ["intended_at"])
    op.create_table(
        "steps",
        sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
    )
    op.create_index("steps_incident", "steps", ["incident_id", "id"])


def downgrade() -> None:
    for table in (
        "steps",
        "ledger",
        "locks",
        "episodes",
        "incidents",
        "dead_letters",
        "waiting",
        "inbox",
    ):
        op.drop_table(table)
