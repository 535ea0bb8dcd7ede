"""The clients that a diagnosis reads through. A backend that is not configured is None.

Never here: opening, closing, asking.
"""

from dataclasses import dataclass
from typing import TypeVar

from service.clients.clickhouse import ClickHouseClient
from service.clients.kafka import KafkaClient
from service.clients.kubernetes import KubernetesReader
from service.clients.prometheus import PrometheusClient
from service.clients.schema_registry import SchemaRegistryClient
from service.model.errors import Unavailable
from service.model.reasons import Reason

T = TypeVar("T")


@dataclass(frozen=True)
class Sources:
    """Read-only clients of every backend."""

    kubernetes: KubernetesReader | None = None
    kafka: KafkaClient | None = None
    clickhouse: ClickHouseClient | None = None
    prometheus: PrometheusClient | None = None
    schema_registry: SchemaRegistryClient | None = None

    def name_of(self, backend: str) -> str:
        """How readings name the backend: with its address where one is
        configured, never with credentials.
        """
        return str(getattr(getattr(self, backend), "source", backend))


def configured(client: T | None, name: str) -> T:
    """The client, or Unavailable(not_configured)."""
    if client is None:
        raise Unavailable(Reason.NOT_CONFIGURED, f"no address of {name} is configured")
    return client
