"""Waiting is a state with a due time: claims, ranks and progress stand in the rows;
the table of locks goes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

Instant = sa.BigInteger  # microseconds since 1970


def upgrade() -> None:
    for column in (
        sa.Column("rank", sa.Integer, nullable=False, server_default="0"),
        sa.Column("quiet", sa.Integer, nullable=False, server_default="0"),
        sa.Column("owner", sa.Text),
        sa.Column("claimed_until", Instant),
        sa.Column("claim", sa.BigInteger, nullable=False, server_default="0"),
    ):
        op.add_column("incidents", column)
    for column in (sa.Column("uids", sa.JSON), sa.Column("progress", sa.JSON)):
        op.add_column("ledger", column)
    op.drop_index("incidents_due", "incidents")
    op.create_index("incidents_due", "incidents", ["rank", "due_at"])
    op.create_index("incidents_next_due", "incidents", ["due_at"])
    op.create_index("incidents_claimed", "incidents", ["claimed_until"])
    op.drop_index("ledger_incident", "ledger")
    op.create_index("ledger_incident", "ledger", ["incident_id", "intended_at"])
    op.drop_table("locks")
    op.execute("UPDATE incidents SET state = 'escalated' WHERE state = 'handed_over'")
    # What was under way goes on as its own state: sent or not, the target is read back first.
    op.execute(
        "UPDATE incidents SET state = 'acting', due_at = opened_at WHERE state <> 'closed'"
        " AND id IN (SELECT incident_id FROM ledger WHERE settled_at IS NULL)"
    )
