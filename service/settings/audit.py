"""The audit chain: its key, and the second places of its checkpoints."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

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
    checkpoint_topic: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Kafka topic of its own, on the brokers of `PARAMEDIC_KAFKA__BOOTSTRAP`, that a checkpoint of the"
        " audit chain is sent to every minute. One partition, kept for ever (`retention.ms=-1`).",
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.checkpoint_topic and not self.key_file:
            raise ValueError("checkpoint_topic needs key_file")
        return self
