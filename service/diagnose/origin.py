"""Which system a reading comes from, by the type of its value:
what agrees from two of them is not one's mistake.

A new probe that asks anything but the Kubernetes API has its line here;
a test runs every chapter and compares.
Never here: a probe.
"""

from collections.abc import Mapping
from typing import Any

from service.diagnose.probes.backups import Backups
from service.diagnose.probes.certificates import Certificates
from service.diagnose.probes.clickhouse_answer import ClickHouseAnswer
from service.diagnose.probes.clickhouse_disks import Disks
from service.diagnose.probes.clickhouse_errors import ClickHouseErrors
from service.diagnose.probes.clickhouse_load import ClickHouseLoad
from service.diagnose.probes.clickhouse_memory import ClickHouseMemory
from service.diagnose.probes.clickhouse_parts import Parts
from service.diagnose.probes.clickhouse_replicas import Replicas
from service.diagnose.probes.clickhouse_tables import Tables
from service.diagnose.probes.clickhouse_work import BackgroundWork
from service.diagnose.probes.database_rows import DatabaseRows
from service.diagnose.probes.endpoints import Endpoints
from service.diagnose.probes.kafka_brokers import KafkaBrokers
from service.diagnose.probes.kafka_lag import KafkaLag
from service.diagnose.probes.kafka_storage import KafkaStorage
from service.diagnose.probes.kafka_topics import KafkaTopics
from service.diagnose.probes.paths import NetworkPaths
from service.diagnose.probes.prometheus_state import PrometheusState
from service.diagnose.probes.schema_registry import SchemaRegistry
from service.diagnose.probes.several import GroupLags
from service.diagnose.probes.table_quality import TableQuality
from service.diagnose.probes.targets import ScrapeTargets
from service.diagnose.probes.usage import Usage
from service.model import evidence as model
from service.model.evidence import Evidence

KUBERNETES = "kubernetes"
ORIGINS: Mapping[Any, str] = {  # Any: a type hint
    Backups: "clickhouse",
    BackgroundWork: "clickhouse",
    ClickHouseAnswer: "clickhouse",
    ClickHouseErrors: "clickhouse",
    ClickHouseMemory: "clickhouse",
    DatabaseRows: "clickhouse",
    Disks: "clickhouse",
    Parts: "clickhouse",
    ClickHouseLoad: "clickhouse",
    Replicas: "clickhouse",
    TableQuality: "clickhouse",
    Tables: "clickhouse",
    Endpoints: "endpoints",
    GroupLags: "kafka",
    KafkaBrokers: "kafka",
    KafkaLag: "kafka",
    KafkaStorage: "kafka",
    KafkaTopics: "kafka",
    NetworkPaths: "network",
    PrometheusState: "prometheus",
    ScrapeTargets: "prometheus",
    SchemaRegistry: "schema_registry",
    Certificates: "prometheus",
    Usage: "metrics.k8s.io",
}


def origins(evidence: type[Evidence]) -> Mapping[str, str]:
    """The system behind each reading, by the reading's name."""
    return {name: _origin(name, hint) for name, hint in model.shapes(evidence).items()}


def _origin(name: str, hint: Any) -> str:
    return "prometheus" if name == model.SERIES else ORIGINS.get(hint, KUBERNETES)
