"""Actions without an outcome, and those of a namespace, are found by an index;
trips of the circuit breaker.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

Instant = sa.BigInteger  # microseconds since 1970


def upgrade() -> None:
    unsettled = sa.text("settled_at IS NULL")
    op.create_index(
        "ledger_open",
        "ledger",
        ["target_key"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )
    op.create_index("ledger_namespace", "ledger", ["namespace", "intended_at"])
    op.create_table(
        "breaker_trips",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("tripped_at", Instant, nullable=False),
        sa.Column("until_at", Instant, nullable=False),
        sa.Column("opened", sa.Integer, nullable=False),
        sa.Column("lifted_at", Instant),
        sa.Column("lifted_by", sa.Text),
        sa.Column("why", sa.Text),
    )
