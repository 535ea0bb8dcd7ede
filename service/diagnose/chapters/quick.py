"""Chapter 0, quick diagnostics: everything of a namespace at a glance, for a person.
Nothing follows by itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from pydantic import Field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.clickhouse_load import ClickHouseLoad, clickhouse_load
from service.diagnose.probes.endpoints import Endpoints, endpoints
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
from service.diagnose.probes.several import GroupLags, SeveralLogs, kafka_lags, several_logs
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.probes.volumes import Volumes, volumes
from service.diagnose.sources import configured
from service.model.errors import Unavailable
from service.model.evidence import Evidence, Reading
from service.model.reasons import Reason
from service.model.target import Target, TargetKind

# Kind/name of what has pods that one selector finds.
Workload: TypeAlias = Annotated[
    str, Field(pattern=r"^(Deployment|StatefulSet)/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
]


@dataclass(frozen=True)
class QuickParameters:
    """What to look at beside the namespace itself."""

    consumer_groups: tuple[str, ...] = ()  # () leaves Kafka out
    sample_s: Annotated[float, Field(gt=0, le=60)] = (
        2.0  # seconds between the two readings of Kafka offsets
    )
    logs_of: tuple[Workload, ...] = ()  # () for those of the target
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
    logs: Reading[SeveralLogs]  # of the worst pods of each
    health: Reading[Endpoints]
    metrics: Reading[Endpoints]
    kafka: Reading[GroupLags]
    clickhouse: Reading[ClickHouseLoad]


async def quick(look: Look, params: QuickParameters) -> QuickEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, namespace, deadline = look.sources, look.target.namespace, look.deadline
    cluster = sources.name_of("kubernetes")

    async def ask_kafka() -> GroupLags:
        groups, sample_s = params.consumer_groups, params.sample_s
        kafka = configured(sources.kafka if groups else None, "Kafka")
        return await kafka_lags(kafka, groups, sample_s, deadline=deadline, clock=look.clock)

    async def ask_logs() -> SeveralLogs:
        configured(sources.kubernetes, "Kubernetes")
        named = [one.split("/") for one in params.logs_of]
        of = [Target(TargetKind(kind), namespace, name) for kind, name in named]
        if not of and look.target.workload is None:
            raise Unavailable(Reason.NOT_CONFIGURED, "no workload is named whose logs are read")
        return await several_logs(sources, of or [look.target], deadline=deadline, clock=look.clock)

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
                "logs": Probe(cluster, ask_logs),
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
