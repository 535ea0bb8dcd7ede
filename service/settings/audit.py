"""The audit chain: its key, and the second place of its checkpoints."""

from pathlib import Path

from pydantic import Field

from service.settings.fields import File, Group


class AuditSettings(Group):
    """Without a key file the journal is not chained."""

    key_file: File | None = Field(
        None,
        description="File with the audit key, a secret of 32 characters or more a line, the newest first. With it"
        " every step is chained by HMAC-SHA256; keep it outside the store.",
    )
    checkpoint_file: Path | None = Field(
        None,
        description="File, on another volume, that a checkpoint of the audit chain is appended to every minute.",
    )
