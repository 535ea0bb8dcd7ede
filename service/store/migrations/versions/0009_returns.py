"""A return is an action of its own that names what it takes back, and takes it back once."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("ledger", sa.Column("returns", sa.Text))
    some = sa.text("returns IS NOT NULL")
    op.create_index(
        "ledger_returns",
        "ledger",
        ["returns"],
        unique=True,
        sqlite_where=some,
        postgresql_where=some,
    )
