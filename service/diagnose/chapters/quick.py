"""Chapter 0, quick diagnostics: everything of a namespace at a glance, for a person. Nothing follows by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.clickhouse_load import ClickHouseLoad, clickhouse_load
from service.diagnose.probes.endpoints import Endpoints, endpoints
from service.diagnose.probes.kafka_lag import KafkaLag, kafka_lag
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.overview import (
    Nodes,
    PodsOverview,
    Warnings,
    Workloads,
    all_pods,
    nodes,
    warnings,
    workloads,
)
from service.diagnose.probes.services import Services, services
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.probes.volumes import Volumes, volumes
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class QuickParameters:
    """What to look at beside the namespace itself."""

    consumer_group: str = ""  # "" leaves Kafka out
    sample_s: float = 2.0  # seconds between the two readings of Kafka offsets
    system_users: tuple[str, ...] = ("system",)  # whose ClickHouse queries are nobody's runaway
    health: Mapping[str, str] = field(default_factory=dict)  # name -> URL
    metrics: Mapping[str, str] = field(default_factory=dict)  # name -> URL of /metrics
    names: tuple[str, ...] = ()  # metrics whose values are shown


@dataclass(frozen=True, slots=True)
class QuickEvidence(Evidence):
    """What chapter 0 sees."""

    workloads: Reading[Workloads]
    pods: Reading[PodsOverview]
    services: Reading[Services]
    events: Reading[Warnings]
    nodes: Reading[Nodes]
    volumes: Reading[Volumes]
    logs: Reading[Logs]  # of the target's worst pods
    health: Reading[Endpoints]
    metrics: Reading[Endpoints]
    kafka: Reading[KafkaLag]
    clickhouse: Reading[ClickHouseLoad]


async def quick(look: Look, params: QuickParameters) -> QuickEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, namespace, deadline = look.sources, look.target.namespace, look.deadline
    cluster = sources.name_of("kubernetes")

    async def ask_kafka() -> KafkaLag:
        kafka = configured(sources.kafka if params.consumer_group else None, "Kafka")
        group, sample_s = params.consumer_group, params.sample_s
        return await kafka_lag(kafka, group, (), sample_s, deadline=deadline, clock=look.clock)

    async def ask_clickhouse() -> ClickHouseLoad:
        clickhouse = configured(sources.clickhouse, "ClickHouse")
        return await clickhouse_load(clickhouse, params.system_users, deadline=deadline)

    async with Snapshot(sources, look.target, deadline) as snapshot:
        readings = await look.gather(
            {
                "workloads": Probe(
                    cluster, lambda: workloads(snapshot.kubernetes, namespace, deadline=deadline)
                ),
                "pods": Probe(
                    cluster, lambda: all_pods(snapshot.kubernetes, namespace, deadline=deadline)
                ),
                "services": Probe(
                    cluster, lambda: services(snapshot.kubernetes, namespace, deadline=deadline)
                ),
                "events": Probe(
                    cluster, lambda: warnings(snapshot.kubernetes, namespace, deadline=deadline)
                ),
                "nodes": Probe(cluster, lambda: nodes(snapshot.kubernetes, deadline=deadline)),
                "volumes": Probe(
                    cluster,
                    lambda: volumes(
                        snapshot.kubernetes, sources.prometheus, namespace, deadline=deadline
                    ),
                ),
                "logs": Probe(cluster, lambda: logs(snapshot, look.clock.now())),
                "health": Probe("endpoints", lambda: endpoints(params.health, deadline=deadline)),
                "metrics": Probe(
                    "endpoints", lambda: endpoints(params.metrics, params.names, deadline=deadline)
                ),
                "kafka": Probe(sources.name_of("kafka"), ask_kafka),
                "clickhouse": Probe(sources.name_of("clickhouse"), ask_clickhouse),
            }
        )
    return QuickEvidence(**readings)


CHAPTER = Chapter("quick", QuickParameters, QuickEvidence, quick)
