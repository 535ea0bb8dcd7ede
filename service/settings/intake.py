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
    tls_cert: File | None = Field(
        None, description="Server certificate (PEM). With it the port speaks TLS."
    )
    tls_key: File | None = Field(None, description="Its key (PEM).")
    tls_client_ca: File | None = Field(
        None,
        description="CA of client certificates (PEM). With it a certificate is demanded: mTLS.",
    )
    max_body_bytes: int = Field(32 * 2**20, gt=0, description="Largest webhook body.")
    read_timeout_s: float = Field(10.0, gt=0, description="Longest time a body may take to arrive.")
    max_waiting: int = Field(
        10_000,
        gt=0,
        description="Webhooks accepted but not yet sorted; at this many the answer is 503.",
    )
    max_dead_letters: int = Field(
        1_000, gt=0, description="Dead letters kept; the oldest go first."
    )

    repeat_interval_s: float = Field(
        14_400.0,
        gt=0,
        description="Alertmanager's longest `repeat_interval`; an alert is told again within it.",
    )
    slack_s: float = Field(
        3_600.0, ge=0, description="An alert not told of for this much longer is acted on no more."
    )

    @property
    def heard_within_s(self) -> float:
        """An alert that was not told of for longer is stale: nothing is done on it."""
        return self.repeat_interval_s + self.slack_s

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both or none")
        if self.tls_client_ca and not self.tls_cert:
            raise ValueError("tls_client_ca needs tls_cert and tls_key: mTLS is TLS")
        if (self.basic_user is None) != (self.basic_password_file is None):
            raise ValueError("basic_user and basic_password_file go together: set both or none")
        return self
