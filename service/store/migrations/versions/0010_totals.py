"""Totals that outlive the steps they were counted from, and an index for those of the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("labels", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    columns = ["playbook", "rung", "kind", "mode", "applied", "outcome", "target_key"]
    op.create_index("ledger_totals", "ledger", columns)
