"""Where the journal is told outside. Each receiver is off until it is configured."""

from typing import Self

from pydantic import Field, model_validator

from service.settings.fields import File, Group


class PublishSettings(Group):
    """Receivers of the journal: Grafana annotations, Kubernetes Events, a Kafka topic."""

    incident_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s\"'<>]*\{incident\}[^\s\"'<>]*$",
        description="Link to an incident in what is published, with `{incident}` for its id: "
        "`https://paramedic.example/api/v1/incidents/{incident}`.",
    )
    grafana_url: str | None = Field(
        None, description="Base URL of Grafana. Without it no annotations are made."
    )
    grafana_token_file: File | None = Field(
        None, description="File with the token of a service account that may write annotations."
    )
    kubernetes_events: bool = Field(
        False, description="Write an Event on each object that an action has touched."
    )
    kafka_topic: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,249}$",
        description="Topic of its own for every step as a CloudEvent, on the brokers of "
        "`PARAMEDIC_KAFKA__BOOTSTRAP`. Without it none are sent.",
    )
    kafka_source: str = Field(
        "/paramedic",
        min_length=1,
        description="`source` of the CloudEvents: one for each store, as step numbers are its own.",
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.grafana_token_file and not self.grafana_url:
            raise ValueError("grafana_token_file needs grafana_url")
        return self
