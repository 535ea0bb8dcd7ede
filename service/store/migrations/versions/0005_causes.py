"""What is open in a namespace is found by an index: an effect asks for its
causes each time it would act.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    still_open = sa.text("state <> 'closed'")
    op.create_index(
        "incidents_open_in",
        "incidents",
        ["target_namespace", "playbook"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
