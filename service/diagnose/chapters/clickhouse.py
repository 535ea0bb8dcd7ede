"""Chapter 4.2, ClickHouse: its answer and its pods; memory, disks, parts,
merges, replicas and backups.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.clients.clickhouse import ClickHouseClient
from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.backups import Backups, backups
from service.diagnose.probes.clickhouse_answer import ClickHouseAnswer, clickhouse_answer
from service.diagnose.probes.clickhouse_disks import Disks, clickhouse_disks
from service.diagnose.probes.clickhouse_errors import ClickHouseErrors, clickhouse_errors
from service.diagnose.probes.clickhouse_memory import ClickHouseMemory, clickhouse_memory
from service.diagnose.probes.clickhouse_parts import Parts, clickhouse_parts
from service.diagnose.probes.clickhouse_replicas import Replicas, clickhouse_replicas
from service.diagnose.probes.clickhouse_work import BackgroundWork, clickhouse_work
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.operator import Operator, operator
from service.diagnose.probes.pods import PodDetails, pods
from service.diagnose.probes.series import Series, series
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class ClickHouseParameters:
    """A playbook's `with:` for this chapter."""

    system_users: tuple[str, ...] = ("system",)  # whose queries are nobody's memory hog
    droppable: tuple[str, ...] = ()  # database.table: tables whose old partitions may go
    retention_days: int = 90  # partitions of these that are wholly older are expired
    backup_disk: str = "backups"  # ClickHouse's name of the disk that backups go to
    series: Mapping[str, str] = field(default_factory=dict)  # name -> PromQL that gives one sample


@dataclass(frozen=True, slots=True)
class ClickHouseEvidence(Evidence):
    """What chapter 4.2 sees."""

    answer: Reading[ClickHouseAnswer]
    pods: Reading[PodDetails]
    logs: Reading[Logs]
    operator: Reading[Operator]
    memory: Reading[ClickHouseMemory]
    disks: Reading[Disks]
    parts: Reading[Parts]
    work: Reading[BackgroundWork]
    replicas: Reading[Replicas]
    errors: Reading[ClickHouseErrors]
    backups: Reading[Backups]
    series: Reading[Series]


async def clickhouse(look: Look, params: ClickHouseParameters) -> ClickHouseEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline, now = look.sources, look.target, look.deadline, look.clock.now()
    cluster, database = sources.name_of("kubernetes"), sources.name_of("clickhouse")

    def server() -> ClickHouseClient:
        return configured(sources.clickhouse, "ClickHouse")

    async def ask_parts() -> Parts:
        allowed, days = params.droppable, params.retention_days
        return await clickhouse_parts(server(), allowed, days, now, deadline=deadline)

    async def ask_memory() -> ClickHouseMemory:
        return await clickhouse_memory(server(), params.system_users, deadline=deadline)

    async def ask_operator() -> Operator:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        return await operator(kubernetes, target, deadline=deadline)

    async def ask_backups() -> Backups:
        return await backups(server(), params.backup_disk, now, deadline=deadline)

    async def ask_series() -> Series:
        client = configured(sources.prometheus, "Prometheus")
        return await series(client, params.series, deadline=deadline)

    async with Snapshot(sources, target, deadline) as snapshot:
        readings = await look.gather(
            {
                "answer": Probe(database, lambda: clickhouse_answer(server(), deadline=deadline)),
                "pods": Probe(cluster, lambda: pods(snapshot)),
                "logs": Probe(cluster, lambda: logs(snapshot, now)),
                "operator": Probe(cluster, ask_operator),
                "memory": Probe(database, ask_memory),
                "disks": Probe(database, lambda: clickhouse_disks(server(), deadline=deadline)),
                "parts": Probe(database, ask_parts),
                "work": Probe(database, lambda: clickhouse_work(server(), deadline=deadline)),
                "replicas": Probe(
                    database, lambda: clickhouse_replicas(server(), deadline=deadline)
                ),
                "errors": Probe(database, lambda: clickhouse_errors(server(), deadline=deadline)),
                "backups": Probe(database, ask_backups),
                "series": Probe(sources.name_of("prometheus"), ask_series),
            }
        )
    return ClickHouseEvidence(**readings)


CHAPTER = Chapter("clickhouse", ClickHouseParameters, ClickHouseEvidence, clickhouse, stateful=True)
