"""Sinks follow the steps: a cursor each, and step numbers that are never given twice."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

Instant = sa.BigInteger  # microseconds since 1970


def upgrade() -> None:
    op.create_table(
        "sinks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("retry_at", Instant),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("claimed_until", Instant),
    )
    if op.get_bind().dialect.name == "sqlite":
        # Without AUTOINCREMENT SQLite gives the highest number again once its row is pruned,
        # and a cursor that has passed it would pass the new row over too.
        with op.batch_alter_table(
            "steps", recreate="always", table_kwargs={"sqlite_autoincrement": True}
        ):
            pass
