"""What is looked at and acted on: Kubernetes, Kafka, ClickHouse, Prometheus, the Schema
Registry.
"""

import os

from pydantic import Field, field_validator

from service.settings.fields import File, Group


class KubernetesSettings(Group):
    """The cluster to look at and to act on."""

    kubeconfig: File | None = Field(
        None,
        description="A kubeconfig; without it the service account of the pod this runs in, if it does.",
    )
    context: str | None = Field(
        None, description="The kubeconfig's context; without it the current one."
    )
    act_kubeconfig: File | None = Field(
        None,
        description="A kubeconfig of the account that may write; without it the reading one is used.",
    )
    field_manager: str = Field(
        "paramedic",
        min_length=1,
        description="Who wrote a field, as managedFields of the API server name it; at most 128 bytes.",
    )

    secret_names: bool = Field(
        False,
        description="Read the names of Secrets, as metadata alone. The right for it, `list secrets`, would let the "
        "account read values too: Kubernetes has none for names only.",
    )

    @field_validator("field_manager")
    @classmethod
    def _fits(cls, name: str) -> str:
        if len(name.encode()) > 128 or not name.isprintable():
            raise ValueError("at most 128 bytes, and printable: the API server refuses all else")
        if name.startswith(("kubectl", "before-first-apply")):
            raise ValueError(
                "Flux takes fields of kubectl's managers over, and undoes what they wrote"
            )
        return name

    @property
    def configured(self) -> bool:
        """A kubeconfig is named, or this process runs in a pod."""
        return self.kubeconfig is not None or self.inside

    @property
    def inside(self) -> bool:
        """This process runs in a pod of a cluster."""
        return "KUBERNETES_SERVICE_HOST" in os.environ


class KafkaSettings(Group):
    """The brokers whose consumer groups are watched."""

    bootstrap: str | None = Field(
        None, description="`host:port[,host:port]`. Without it Kafka is not asked."
    )
    security_protocol: str = Field(
        "PLAINTEXT",
        pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$",
        description="As in Kafka clients.",
    )
    ca_file: File | None = Field(None, description="CA of the brokers' certificates (PEM).")
    sasl_mechanism: str | None = Field(None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    sasl_user: str | None = Field(None, description="SASL user name.")
    sasl_password_file: File | None = Field(None, description="File with the SASL password.")


class ClickHouseSettings(Group):
    """The database to look at, and to kill runaway queries in."""

    host: str | None = Field(None, description="Host name. Without it ClickHouse is not asked.")
    port: int = Field(9000, ge=1, le=65535, description="Native protocol port.")
    user: str = Field("default", description="User that reads system tables.")
    password_file: File | None = Field(None, description="File with its password.")
    act_user: str | None = Field(
        None, description="User that may KILL QUERY; without it `user` is used."
    )
    act_password_file: File | None = Field(None, description="File with its password.")
    secure: bool = Field(False, description="Speak TLS.")
    ca_file: File | None = Field(None, description="CA of the server's certificate (PEM).")


class PrometheusSettings(Group):
    """The Prometheus whose series are evidence."""

    url: str | None = Field(None, description="Base URL. Without it no series are asked for.")
    bearer_file: File | None = Field(None, description="File with a bearer token for it.")


class SchemaRegistrySettings(Group):
    """The Schema Registry whose subjects are evidence."""

    url: str | None = Field(
        None,
        description="Base URL, with its path if it has one (Apicurio: `/apis/ccompat/v7`). "
        "Without it the registry is not asked.",
    )
    user: str | None = Field(None, description="User for basic authentication.")
    password_file: File | None = Field(None, description="File with its password.")
