"""Courses: runs of several actions in a written order, with who asked for one and who approved
it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "courses",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.Text, sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("rung", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("steps", sa.JSON, nullable=False),
        sa.Column("at", sa.Integer, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("uids", sa.JSON, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False, server_default=""),
        sa.Column("asked_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("approved_by", sa.Text, nullable=False, server_default=""),
        sa.Column("approved_at", sa.BigInteger),
        sa.Column("stop_by", sa.Text, nullable=False, server_default=""),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text, nullable=False, server_default=""),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
    )
    op.create_index("courses_incident", "courses", ["incident_id"])
    op.create_index("courses_began_at", "courses", ["began_at"])
    op.add_column("incidents", sa.Column("course_id", sa.Text))
