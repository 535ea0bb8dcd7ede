"""What was seen. A reading is Known or Unknown, and always says from where, when and how long it took.

Each chapter of the playbook has one evidence type: a dataclass whose fields are readings, one a probe. Its
field names, and those of the reading's value, are what conditions may name: `evidence.kafka.lag_total`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from service.model.reasons import Reason

V_co = TypeVar("V_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Known(Generic[V_co]):
    """A probe's answer: the value, the source it was read from, when it was read and how long that took."""

    value: V_co
    source: str
    at: datetime
    took_s: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, and why. It never argues for acting."""

    reason: Reason
    source: str
    at: datetime
    took_s: float
    detail: str = ""


Reading: TypeAlias = Known[V_co] | Unknown


@dataclass(frozen=True, slots=True)
class Evidence:
    """Base of the chapters' evidence types. Each field holds a `Reading`."""

    @classmethod
    def groups(cls) -> tuple[str, ...]:
        """Names of the readings, in the order in which they are shown."""
        return tuple(f.name for f in fields(cls))

    def readings(self) -> Mapping[str, Reading[object]]:
        """Every reading by its name."""
        return {name: getattr(self, name) for name in self.groups()}


@dataclass(frozen=True, slots=True)
class KafkaLag:
    """A consumer group as the brokers see it, sampled twice. Messages, and messages a second."""

    group: str
    state: str  # Stable, Empty, Dead, PreparingRebalance, CompletingRebalance
    members: int
    partitions: int  # of the topics that the group has committed on, or that were named
    lag_total: int
    lag_max: int  # of the partition that is furthest behind
    lag_growing: bool  # the second sample's total is above the first's
    produced_per_s: float
    consumed_per_s: float
    uncommitted_partitions: int  # no committed offset: their lag is not in lag_total
    lag_by_partition: Mapping[str, int]  # "topic/partition" -> lag


@dataclass(frozen=True, slots=True)
class ClickHouseLoad:
    """What the database is busy with. Seconds and bytes; the longest query is of a non-system user."""

    queries: int
    memory_bytes: int  # of all running queries together
    longest_query_s: float  # 0.0 when none runs
    longest_query_id: str
    longest_query_user: str
    longest_query_text: str  # bounded and redacted
    disk_free_ratio: (
        float | None
    )  # of the fullest disk, 0.0 to 1.0; None where the server cannot tell
    disk_fullest: str | None
    max_parts: int  # most active parts in one partition of one table
    merges: int


@dataclass(frozen=True, slots=True)
class Pods:
    """The workload and its pods."""

    desired: int
    ready: int
    updated: int
    available: int
    restarts: int  # of all containers of all present pods
    waiting: tuple[
        str, ...
    ]  # reasons of waiting containers: CrashLoopBackOff, ImagePullBackOff ...
    rollout_complete: bool
    paused: bool
    autoscaled: bool  # a HorizontalPodAutoscaler names this workload


@dataclass(frozen=True, slots=True)
class Usage:
    """What metrics.k8s.io says the workload's pods and the nodes use now."""

    cpu_cores: float  # of all pods of the workload
    memory_bytes: int
    cpu_of_limit: float | None  # share of the summed limits, None where one has no limit
    memory_of_limit: float | None
    node_cpu_max: float | None  # share of the busiest node's allocatable
    node_memory_max: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """The value of each declared Prometheus query, by the name that the playbook gives it under `with.series`."""

    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PerformanceEvidence(Evidence):
    """Chapter 3: latency and throughput."""

    kafka: Reading[KafkaLag]
    clickhouse: Reading[ClickHouseLoad]
    pods: Reading[Pods]
    usage: Reading[Usage]
    series: Reading[Series]


# A condition's view of the evidence: plain maps, with what is Unknown left out (see playbooks/conditions.py).
Facts: TypeAlias = Mapping[str, Any]  # Any: CEL takes any nesting of maps, lists and scalars


def facts(evidence: Evidence) -> Facts:
    """The evidence as conditions see it: Known fields only, so that naming an Unknown one is no answer.

    A value of None inside a Known reading is Unknown too, and left out as well.
    """
    seen: dict[str, Any] = {}
    for name, reading in evidence.readings().items():
        value = reading.value if isinstance(reading, Known) else None
        if value is None:
            seen[name] = {}
        elif isinstance(value, Series):
            seen[name] = dict(value.values)
        else:
            pairs = ((f.name, getattr(value, f.name)) for f in fields(value))  # type: ignore[arg-type]
            seen[name] = {key: _plain(v) for key, v in pairs if v is not None}
    return seen


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value
