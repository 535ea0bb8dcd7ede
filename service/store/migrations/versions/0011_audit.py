"""The audit chain: a line for each step of the journal,
authenticated by a key that the store does not have.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

Instant = sa.BigInteger  # microseconds since 1970


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("step_id", sa.BigInteger),
        sa.Column("incident_id", sa.Text),
        sa.Column("at", Instant, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("data", sa.JSON),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("mac", sa.Text, nullable=False),
        sa.Column("unfinished", sa.Integer, nullable=False, server_default="0"),
        sa.Column("pruned", sa.BigInteger),
    )
    op.create_index("audit_step", "audit", ["step_id"])
    op.create_index(
        "audit_unfinished",
        "audit",
        ["incident_id"],
        sqlite_where=sa.text("unfinished = 1"),
        postgresql_where=sa.text("unfinished = 1"),
    )
