"""Where accepted webhooks, incidents and the ledger are kept, and for how long."""

from pydantic import Field

from service.settings.fields import Group


class StoreSettings(Group):
    """The store: SQLite in a file, or PostgreSQL."""

    url: str = Field(
        "sqlite:///var/paramedic.db",
        description="`sqlite:///PATH` or `postgresql://USER@HOST/DB` (needs the extra `postgres`).",
    )
    keep_days: float = Field(
        30.0,
        gt=0,
        description="Days that webhooks, ended alerts and the steps of closed incidents are kept; the ledger stays.",
    )
    keep_body_bytes: int = Field(
        2 * 2**30,
        gt=0,
        description="Bytes of webhook bodies kept; beyond it the oldest that are sorted go first.",
    )
