"""Equal bodies once, sorting in parts with its attempts counted, and why an episode ended."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

AT = sa.BigInteger()


def upgrade() -> None:
    op.add_column("inbox", sa.Column("body_id", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE inbox SET body_id = id")
    op.drop_index("inbox_received_at", "inbox")
    op.create_index("inbox_received_at", "inbox", ["received_at", "body_id", "size"])
    repeats = sa.text("body_id <> id")
    op.create_index(
        "inbox_repeats", "inbox", ["body_id"], sqlite_where=repeats, postgresql_where=repeats
    )
    op.add_column("waiting", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
    op.add_column("waiting", sa.Column("done", sa.Integer, nullable=False, server_default="0"))
    op.add_column("waiting", sa.Column("owner", sa.Text))
    op.add_column("waiting", sa.Column("owned_until", AT))
    op.add_column("episodes", sa.Column("end_reason", sa.Text))
    op.create_index("episodes_ends_at", "episodes", ["fingerprint", "ends_at"])
    firing = sa.text("status = 'firing'")
    op.create_index(
        "episodes_firing", "episodes", ["fingerprint"], sqlite_where=firing, postgresql_where=firing
    )


def downgrade() -> None:
    op.drop_index("episodes_firing", "episodes")
    op.drop_index("episodes_ends_at", "episodes")
    op.drop_column("episodes", "end_reason")
    for column in ("owned_until", "owner", "done", "attempts"):
        op.drop_column("waiting", column)
    op.drop_index("inbox_repeats", "inbox")
    op.drop_index("inbox_received_at", "inbox")
    op.create_index("inbox_received_at", "inbox", ["received_at"])
    op.execute(
        "UPDATE inbox SET body = (SELECT b.body FROM inbox AS b WHERE b.id = inbox.body_id)"
        " WHERE body_id <> id"
    )
    op.drop_column("inbox", "body_id")
