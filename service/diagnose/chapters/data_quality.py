"""Chapter 2.2, data quality: validation errors, the newest rows, the schemas,
and the logs of the connectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.endpoints import Endpoints, endpoints
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.schema_registry import SchemaRegistry, schema_registry
from service.diagnose.probes.series import Series, series
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.probes.table_quality import TableQuality, table_quality
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading
from service.model.target import Target, TargetKind


@dataclass(frozen=True)
class DataQualityParameters:
    """A playbook's `with:` for this chapter."""

    table: str  # database.table whose newest rows are looked at
    columns: tuple[str, ...] = ()  # whose nulls are counted; without any all of the table
    key: tuple[str, ...] = ()  # columns that tell a row from another; without any no duplicates
    sample_rows: int = 10_000
    subjects: tuple[str, ...] = ()  # of the Schema Registry
    connectors: str = "connector-registry"  # Deployment that runs the connectors
    endpoints: Mapping[str, str] = field(default_factory=dict)  # name -> URL of /metrics
    metrics: tuple[str, ...] = ()  # names of metrics that are read there
    series: Mapping[str, str] = field(default_factory=dict)  # name -> PromQL that gives one sample


@dataclass(frozen=True, slots=True)
class DataQualityEvidence(Evidence):
    """What chapter 2.2 sees."""

    logs: Reading[Logs]
    connectors: Reading[Logs]
    rows: Reading[TableQuality]
    registry: Reading[SchemaRegistry]
    metrics: Reading[Endpoints]
    series: Reading[Series]


async def data_quality(look: Look, params: DataQualityParameters) -> DataQualityEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline, now = look.sources, look.target, look.deadline, look.clock.now()
    cluster = sources.name_of("kubernetes")

    async def ask_rows() -> TableQuality:
        client, p = configured(sources.clickhouse, "ClickHouse"), params
        return await table_quality(
            client, p.table, p.columns, p.key, p.sample_rows, deadline=deadline
        )

    async def ask_registry() -> SchemaRegistry:
        client = configured(sources.schema_registry, "the Schema Registry")
        return await schema_registry(client, params.subjects, deadline=deadline)

    async def ask_series() -> Series:
        client = configured(sources.prometheus, "Prometheus")
        return await series(client, params.series, deadline=deadline)

    connectors = Target(TargetKind.DEPLOYMENT, target.namespace, params.connectors)
    async with (
        Snapshot(sources, target, deadline) as of_target,
        Snapshot(sources, connectors, deadline) as of_connectors,
    ):
        readings = await look.gather(
            {
                "logs": Probe(cluster, lambda: logs(of_target, now)),
                "connectors": Probe(cluster, lambda: logs(of_connectors, now)),
                "rows": Probe(sources.name_of("clickhouse"), ask_rows),
                "registry": Probe(sources.name_of("schema_registry"), ask_registry),
                "metrics": Probe(
                    "endpoints",
                    lambda: endpoints(params.endpoints, params.metrics, deadline=deadline),
                ),
                "series": Probe(sources.name_of("prometheus"), ask_series),
            }
        )
    return DataQualityEvidence(**readings)


CHAPTER = Chapter("data_quality", DataQualityParameters, DataQualityEvidence, data_quality)
