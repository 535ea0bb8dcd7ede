"""Chapter 3.1, high latency: Kafka lag, ClickHouse load, pods, usage and declared series at
once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.clickhouse_load import ClickHouseLoad, clickhouse_load
from service.diagnose.probes.kafka_lag import KafkaLag, Reset, kafka_lag
from service.diagnose.probes.series import Series, series
from service.diagnose.probes.usage import Usage, usage
from service.diagnose.probes.workload import Pods, workload
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class HighLatencyParameters:
    """A playbook's `with:` for this chapter."""

    consumer_group: str
    topics: tuple[str, ...] = ()  # without them those that the group has committed on
    # Seconds between the two readings of Kafka offsets: more than the consumers' commit interval,
    # or what they have read and not committed yet looks stuck.
    sample_s: float = 5.0
    reset: Reset | None = None  # from where the group reads partitions on which it never committed
    hot_share: float = 0.6  # of all lag: a partition that holds more is hot
    system_users: tuple[str, ...] = ("system",)  # whose ClickHouse queries are nobody's runaway
    series: Mapping[str, str] = field(default_factory=dict)  # name -> PromQL that gives one sample


@dataclass(frozen=True, slots=True)
class HighLatencyEvidence(Evidence):
    """What chapter 3.1 sees."""

    kafka: Reading[KafkaLag]
    clickhouse: Reading[ClickHouseLoad]
    pods: Reading[Pods]
    usage: Reading[Usage]
    series: Reading[Series]


async def high_latency(look: Look, params: HighLatencyParameters) -> HighLatencyEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline

    async def ask_kafka() -> KafkaLag:
        return await kafka_lag(
            configured(sources.kafka, "Kafka"),
            params.consumer_group,
            params.topics,
            params.sample_s,
            reset=params.reset,
            hot_share=params.hot_share,
            deadline=deadline,
            clock=look.clock,
        )

    async def ask_clickhouse() -> ClickHouseLoad:
        client = configured(sources.clickhouse, "ClickHouse")
        return await clickhouse_load(client, params.system_users, deadline=deadline)

    async def ask_pods() -> Pods:
        client = configured(sources.kubernetes, "Kubernetes")
        return await workload(client, target, deadline=deadline)

    async def ask_usage() -> Usage:
        client = configured(sources.kubernetes, "Kubernetes")
        return await usage(client, target, deadline=deadline)

    async def ask_series() -> Series:
        client = configured(sources.prometheus, "Prometheus")
        return await series(client, params.series, deadline=deadline)

    readings = await look.gather(
        {
            "kafka": Probe(sources.name_of("kafka"), ask_kafka),
            "clickhouse": Probe(sources.name_of("clickhouse"), ask_clickhouse),
            "pods": Probe(sources.name_of("kubernetes"), ask_pods),
            "usage": Probe("metrics.k8s.io", ask_usage),
            "series": Probe(sources.name_of("prometheus"), ask_series),
        }
    )
    return HighLatencyEvidence(**readings)


CHAPTER = Chapter("high_latency", HighLatencyParameters, HighLatencyEvidence, high_latency)
