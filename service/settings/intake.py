"""Where webhooks come in, and who may send them."""

from typing import Self

from pydantic import Field, model_validator

from service.settings.fields import File, Group


class IntakeSettings(Group):
    """Where webhooks come in, and who may send them."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on. The container image sets 0.0.0.0."
    )
    port: int = Field(
        9095, ge=0, le=65535, description="Port of webhooks, API, probes and metrics."
    )
    plain_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="A second port without TLS or credentials, for probes and metrics only.",
    )
    bearer_file: File | None = Field(
        None, description="File with the bearer token senders must show."
    )
    basic_user: str | None = Field(None, description="User name of Basic credentials.")
    basic_password_file: File | None = Field(
        None, description="File with the password of Basic credentials."
    )
    people_file: File | None = Field(
        None,
        description="YAML file of the people who may read, operate and approve, each with a token.",
    )
    tls_cert: File | None = Field(
        None, description="Server certificate (PEM). With it the port speaks TLS."
    )
    tls_key: File | None = Field(None, description="Its key (PEM).")
    tls_client_ca: File | None = Field(
        None,
        description="CA of client certificates (PEM). With it a certificate is demanded: mTLS.",
    )
    max_body_bytes: int = Field(32 * 2**20, gt=0, description="Largest webhook body.")
    bytes_in_flight: int = Field(
        64 * 2**20,
        gt=0,
        description="Bytes of webhooks that are read, committed or sorted at one time; beyond it 503.",
    )
    read_timeout_s: float = Field(10.0, gt=0, description="Longest time a body may take to arrive.")
    header_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Longest time a connection may take to send its first request's head.",
    )
    keepalive_s: float = Field(
        75.0, gt=0, description="Longest time a connection may be idle between two requests."
    )
    max_connections: int = Field(
        1_000,
        gt=0,
        description="Open connections; beyond it the one that has been idle longest is closed.",
    )
    max_waiting: int = Field(
        10_000,
        gt=0,
        description="Webhooks accepted but not yet sorted; at this many the answer is 503.",
    )
    max_dead_letters: int = Field(
        1_000, gt=0, description="Dead letters kept; the oldest go first."
    )

    repeat_interval_s: float = Field(
        4 * 3600.0,
        gt=0,
        description="Alertmanager's longest `repeat_interval`: how often a firing alert is told again.",
    )
    slack_s: float = Field(
        3600.0, ge=0, description="Time on top of it for groups, retries and queues."
    )
    unheard_after_s: float = Field(
        86_400.0, gt=0, description="An alert that was not told of for this long has ended."
    )

    @property
    def heard_within_s(self) -> float:
        """An alert whose last word is older than this opens no incident."""
        return self.repeat_interval_s + self.slack_s

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both or none")
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError("tls_client_ca needs tls_cert and tls_key: mTLS is TLS")
        if (self.basic_user is None) != (self.basic_password_file is None):
            raise ValueError("basic_user and basic_password_file go together: set both or none")
        if self.bytes_in_flight < self.max_body_bytes:
            raise ValueError("bytes_in_flight has to be at least max_body_bytes")
        if self.unheard_after_s < self.heard_within_s:
            raise ValueError("unheard_after_s has to be at least repeat_interval_s + slack_s")
        return self
