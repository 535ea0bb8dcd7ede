"""Chapter 7.3, complete system recovery: what can be restored, and how many replicas run now.

A person starts it. Never here: the steps, and their order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.backups import Backups, backups
from service.diagnose.probes.database_rows import DatabaseRows, database_rows
from service.diagnose.probes.endpoints import Endpoints, endpoints
from service.diagnose.probes.overview import Workloads, workloads
from service.diagnose.probes.volumes import Volumes, volumes
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class RecoveryParameters:
    """A playbook's `with:` for this chapter."""

    database: str  # what would be restored
    disk: str = "backups"  # ClickHouse's name of the disk that backups lie on
    endpoints: Mapping[str, str] = field(default_factory=dict)  # name -> URL; "" is not asked


@dataclass(frozen=True, slots=True)
class RecoveryEvidence(Evidence):
    """What chapter 7.3 sees."""

    backups: Reading[Backups]
    data: Reading[DatabaseRows]  # what the database holds
    workloads: Reading[Workloads]  # the replica counts to come back to
    volumes: Reading[Volumes]
    health: Reading[Endpoints]


async def recovery(look: Look, params: RecoveryParameters) -> RecoveryEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline
    cluster = sources.name_of("kubernetes")

    async def ask_backups() -> Backups:
        clickhouse = configured(sources.clickhouse, "ClickHouse")
        return await backups(clickhouse, params.disk, look.clock.now(), deadline=deadline)

    async def ask_data() -> DatabaseRows:
        clickhouse = configured(sources.clickhouse, "ClickHouse")
        return await database_rows(clickhouse, params.database, deadline=deadline)

    async def ask_workloads() -> Workloads:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        return await workloads(kubernetes, target.namespace, deadline=deadline)

    async def ask_volumes() -> Volumes:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        return await volumes(kubernetes, sources.prometheus, target.namespace, deadline=deadline)

    readings = await look.gather(
        {
            "backups": Probe(sources.name_of("clickhouse"), ask_backups),
            "data": Probe(sources.name_of("clickhouse"), ask_data),
            "workloads": Probe(cluster, ask_workloads),
            "volumes": Probe(cluster, ask_volumes),
            "health": Probe("endpoints", lambda: endpoints(params.endpoints, deadline=deadline)),
        }
    )
    return RecoveryEvidence(**readings)


CHAPTER = Chapter("recovery", RecoveryParameters, RecoveryEvidence, recovery, stateful=True)
