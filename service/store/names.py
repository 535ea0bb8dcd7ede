"""Names of incidents and actions."""

import secrets
from datetime import datetime


def new_id(prefix: str, now: datetime) -> str:
    """A name that sorts by time and that a person can read out: `inc-20261123-203412-9f3a1c07`."""
    return f"{prefix}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
