"""Chapter 3, latency and throughput: Kafka lag, ClickHouse load, pods, usage and declared series at once.

Called by: the pipeline and verify, through `service.diagnose.DIAGNOSES`. Never here: what follows from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.eyes import Eyes, configured
from service.diagnose.gather import Observe, Probe, gather
from service.diagnose.probes.clickhouse_load import clickhouse_load
from service.diagnose.probes.kafka_lag import kafka_lag
from service.diagnose.probes.series import series
from service.diagnose.probes.usage import usage
from service.diagnose.probes.workload import workload
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.evidence import (
    ClickHouseLoad,
    KafkaLag,
    PerformanceEvidence,
    Pods,
    Series,
    Usage,
)
from service.model.target import Target


@dataclass(frozen=True)
class PerformanceParams:
    """A playbook's `with:` for this diagnosis."""

    consumer_group: str
    topics: tuple[str, ...] = ()  # without them those that the group has committed on
    sample_s: float = 5.0  # seconds between the two readings of Kafka offsets
    system_users: tuple[str, ...] = (
        "system",
    )  # ClickHouse users whose queries are nobody's runaway
    series: Mapping[str, str] = field(default_factory=dict)  # name -> PromQL that gives one sample


async def performance(
    eyes: Eyes,
    target: Target,
    params: PerformanceParams,
    *,
    deadline: Deadline,
    clock: Clock,
    observe: Observe,
) -> PerformanceEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""

    async def ask_kafka() -> KafkaLag:
        client = configured(eyes.kafka, "Kafka")
        return await kafka_lag(
            client,
            params.consumer_group,
            params.topics,
            params.sample_s,
            deadline=deadline,
            clock=clock,
        )

    async def ask_clickhouse() -> ClickHouseLoad:
        client = configured(eyes.clickhouse, "ClickHouse")
        return await clickhouse_load(client, params.system_users, deadline=deadline)

    async def ask_pods() -> Pods:
        return await workload(configured(eyes.kubernetes, "Kubernetes"), target, deadline=deadline)

    async def ask_usage() -> Usage:
        return await usage(configured(eyes.kubernetes, "Kubernetes"), target, deadline=deadline)

    async def ask_series() -> Series:
        client = configured(eyes.prometheus, "Prometheus")
        return await series(client, params.series, deadline=deadline)

    readings = await gather(
        {
            "kafka": Probe(_source(eyes.kafka, "kafka"), ask_kafka),
            "clickhouse": Probe(_source(eyes.clickhouse, "clickhouse"), ask_clickhouse),
            "pods": Probe(_source(eyes.kubernetes, "kubernetes"), ask_pods),
            "usage": Probe("metrics.k8s.io", ask_usage),
            "series": Probe(_source(eyes.prometheus, "prometheus"), ask_series),
        },
        deadline=deadline,
        clock=clock,
        observe=observe,
    )
    return PerformanceEvidence(**readings)


def _source(client: object, name: str) -> str:
    return str(getattr(client, "source", name))
