"""Made-up evidence of the chapters about data: everything well, and what a test changes."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, TypeVar

from service.diagnose.chapters.clickhouse import ClickHouseEvidence
from service.diagnose.chapters.data_flow import DataFlowEvidence
from service.diagnose.chapters.data_quality import DataQualityEvidence
from service.diagnose.chapters.kafka import KafkaEvidence
from service.diagnose.chapters.low_throughput import LowThroughputEvidence
from service.diagnose.probes.backups import Backups
from service.diagnose.probes.claims import Claims
from service.diagnose.probes.clickhouse_answer import ClickHouseAnswer
from service.diagnose.probes.clickhouse_disks import Disks
from service.diagnose.probes.clickhouse_errors import ClickHouseErrors
from service.diagnose.probes.clickhouse_memory import ClickHouseMemory
from service.diagnose.probes.clickhouse_parts import Partition, Parts
from service.diagnose.probes.clickhouse_replicas import Replicas
from service.diagnose.probes.clickhouse_tables import Tables
from service.diagnose.probes.clickhouse_work import BackgroundWork
from service.diagnose.probes.config import Config
from service.diagnose.probes.endpoints import Endpoints
from service.diagnose.probes.kafka_brokers import KafkaBrokers
from service.diagnose.probes.kafka_lag import KafkaLag
from service.diagnose.probes.kafka_storage import KafkaStorage
from service.diagnose.probes.kafka_topics import KafkaTopics, TopicState
from service.diagnose.probes.known_good import Drift
from service.diagnose.probes.logs import PATTERNS, Logs
from service.diagnose.probes.operator import NOBODY
from service.diagnose.probes.paths import NetworkPaths
from service.diagnose.probes.pods import PodDetails
from service.diagnose.probes.schema_registry import SchemaRegistry, Subject
from service.diagnose.probes.selected_pods import SelectedPods
from service.diagnose.probes.table_quality import TableQuality
from service.diagnose.probes.usage import Usage
from service.model.evidence import Evidence, Known, Unknown
from service.model.objects import Seen
from service.model.reasons import Reason
from tests.unit.made import KAFKA, T0, shipped

E_co = TypeVar("E_co", bound=Evidence)

GIB = 2**30
PODS = PodDetails(
    desired=3, total=3, ready=3, restarts=0, rollout_complete=True, paused=False, waiting=(), unschedulable="",
    unschedulable_pod="", not_ready=(), crash_looping=False, image_failing=False, waiting_container="",
    waiting_message="", oom_container="", oom_memory_limit="", limited_container="", limited_memory_limit="",
    killed_container="", killed_initial_delay_s=0, containers=(), pods=(),
)  # fmt: skip
LOGS = Logs(
    lines=100, errors=0, levels={"INFO": 100}, patterns=dict.fromkeys(PATTERNS, 0), validation_errors=0,
    batch_size_max=500, json_share=1.0, last_age_s=1.0, examples=(), silent=0, unreadable=0, logs=(),
)  # fmt: skip
SELECTED = SelectedPods(
    selector="app=kafka", total=3, ready=3, not_ready=(), stuck="", stuck_uid="", stuck_for_s=None, stuck_waiting="",
    unschedulable="", oom_killed=0, restarts=0, node_of_stuck="", pods=(),
)  # fmt: skip
STUCK = {
    "ready": 2, "not_ready": ("kafka-1",), "stuck": "kafka-1", "stuck_uid": "u1", "stuck_for_s": 600.0,
}  # fmt: skip
ANSWER = ClickHouseAnswer(True, 0.01, "25.8", 1000, "")
MEMORY = ClickHouseMemory(4 * GIB, 8 * GIB, 0.5, 1, GIB, "", "", 0.0, 0, 0.0, "")
DISKS = Disks((), "default", 0.5, 50 * GIB, 100 * GIB)
WORST = Partition("carbon_ingestion.bronze_raw_trades", "202601", "202601", 20, 10, GIB, T0)
PARTS = Parts(20, WORST, GIB, WORST.table, GIB, WORST, WORST, "", 0, 0, (), (WORST,))
WORK = BackgroundWork(1, 2.0, 0, 0, "", "", "", None, (), ())
REPLICAS = Replicas(0, 0, (), False, "", 0, ())
ERRORS = ClickHouseErrors(0, (), "", ())
BACKUPS = Backups(
    "backups", True, GIB, 0, 1, "Disk('backups', 'b1')", T0, 3600.0, GIB, 0, "", 0, ()
)
BROKERS = KafkaBrokers(3, (0, 1, 2), 0, 5, 30, 0, (), 0, (), (), -1, 0.0, (), True)
STORAGE = KafkaStorage(GIB, "ingestion.miso.raw.v1", GIB, 1.0, 0, GIB, (), (), ())
CLAIMS = Claims("data-kafka-", 3, (), "data-kafka-0", 0.5, GIB, None, ())
TOPIC = TopicState("ingestion.miso.raw.v1", 6, 100, 10.0, T0, 1.0)
TOPICS = KafkaTopics(5, (), (TOPIC,), (), True, True, 10.0, 1.0, TOPIC.topic, 1.0, (TOPIC.topic,))
GROUP: KafkaLag = replace(KAFKA, lag_growing=False, grows_evenly=False)
TABLES = Tables("carbon_ingestion", True, 5, (), True, 10.0, "bronze_raw_trades", 5.0, ())
SUBJECT = Subject("ingestion.miso.raw.v1-value", 1, 1, "BACKWARD")
REGISTRY = SchemaRegistry(True, 0.01, "", 5, "BACKWARD", (), (), (), (SUBJECT,), (SUBJECT.name,))
CONFIG = Config(
    (), {"carbon-ingestion-config": ("BATCH_SIZE", "PARALLELISM")}, {"BATCH_SIZE": "500", "PARALLELISM": "4"},
    "INFO", 4, 500,
)  # fmt: skip
PATHS = NetworkPaths((), (), (), "", True)
DRIFT = Drift(3, 3, (), (), (), True, "", "", "", "")
USAGE = Usage(0.5, GIB, 0.3, 0.3, 0.3, 0.3)
ROWS = TableQuality("carbon_ingestion.bronze_raw_trades", 10_000, 0.0, "id", 0.0, (), ())
ENDPOINTS = Endpoints(True, (), 0.01, (), {})

WELL: Mapping[type[Evidence], Mapping[str, Any]] = {
    ClickHouseEvidence: {
        "answer": ANSWER, "pods": PODS, "logs": LOGS, "operator": NOBODY, "memory": MEMORY, "disks": DISKS,
        "parts": PARTS, "work": WORK, "replicas": REPLICAS, "errors": ERRORS, "backups": BACKUPS,
        "series": {"volume_free_ratio": 0.5},
    },
    KafkaEvidence: {
        "brokers": BROKERS, "storage": STORAGE, "pods": SELECTED, "zookeeper": SELECTED, "claims": CLAIMS,
        "operator": NOBODY, "logs": LOGS,
    },
    DataFlowEvidence: {
        "topics": TOPICS, "group": GROUP, "tables": TABLES, "registry": REGISTRY, "connectors": LOGS,
        "config": CONFIG, "pods": PODS, "brokers": SELECTED, "paths": PATHS, "drift": DRIFT,
    },
    LowThroughputEvidence: {
        "group": GROUP, "config": CONFIG, "pods": PODS, "usage": USAGE, "logs": LOGS,
        "series": {"throughput": 500.0},
    },
    DataQualityEvidence: {
        "logs": LOGS, "connectors": LOGS, "rows": ROWS, "registry": REGISTRY, "metrics": ENDPOINTS,
        "series": {"error_ratio": 0.01, "quality_score": 0.95},
    },
}  # fmt: skip


def seen(
    kind: type[E_co],
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    unknown: Sequence[str] = (),
    at: datetime = T0,
) -> E_co:
    """Evidence in which all is well but for `changes`: reading -> field -> value."""
    values = {"target": Seen(uid="u", generation=1), **WELL[kind]}
    for name, changed in (changes or {}).items():
        old = values[name]
        values[name] = {**old, **changed} if isinstance(old, dict) else replace(old, **changed)
    readings: dict[str, Any] = {n: Known(v, n, at, 0.01) for n, v in values.items()}
    readings |= {n: Unknown(Reason.LATE, n, at, 1.0, "no answer in time") for n in unknown}
    assert readings.keys() == {f.name for f in fields(kind)}
    return kind(**readings)


playbook = shipped
