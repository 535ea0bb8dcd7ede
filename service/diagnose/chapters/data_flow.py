"""Chapter 2.1, data does not flow: topics, group and tables, and the source,
registry and network that carry them.
"""

from dataclasses import dataclass
from pathlib import Path

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.clickhouse_tables import Tables, clickhouse_tables
from service.diagnose.probes.config import Config, config
from service.diagnose.probes.kafka_lag import KafkaLag, kafka_lag
from service.diagnose.probes.kafka_topics import KafkaTopics, kafka_topics
from service.diagnose.probes.known_good import Drift, known_good
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.paths import NetworkPaths, paths
from service.diagnose.probes.pods import PodDetails, pods
from service.diagnose.probes.schema_registry import SchemaRegistry, schema_registry
from service.diagnose.probes.selected_pods import SelectedPods, selected_pods
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.sources import configured
from service.model.errors import Unavailable
from service.model.evidence import Evidence, Reading
from service.model.reasons import Reason
from service.model.target import Target, TargetKind


@dataclass(frozen=True)
class DataFlowParameters:
    """A playbook's `with:` for this chapter."""

    topics: tuple[str, ...]  # that ought to move
    database: str = ""  # of ClickHouse; "" is not asked
    tables: tuple[str, ...] = ()  # of that database, that ought to grow
    consumer_group: str = ""  # of the target; "" for one that reads no topic
    sample_s: float = 5.0  # seconds between the two readings of offsets and rows
    subjects: tuple[str, ...] = ()  # of the Schema Registry, that ought to be there
    connectors: str = "connector-registry"  # Deployment that runs the connectors
    connectors_config: str = "connectors-config"  # ConfigMap with their configuration
    broker_pods: str = "StatefulSet/kafka"  # Kind/name, or a label selector
    destinations: tuple[str, ...] = ()  # host:port that the platform's parts need
    domain: str = ""  # put behind names without a dot: carbon-ingestion.svc
    known_good: str = ""  # folder of known-good NetworkPolicies; "" is not compared


@dataclass(frozen=True, slots=True)
class DataFlowEvidence(Evidence):
    """What chapter 2.1 sees."""

    topics: Reading[KafkaTopics]
    group: Reading[KafkaLag]
    tables: Reading[Tables]
    registry: Reading[SchemaRegistry]
    connectors: Reading[Logs]
    config: Reading[Config]
    pods: Reading[PodDetails]
    brokers: Reading[SelectedPods]
    paths: Reading[NetworkPaths]
    drift: Reading[Drift]


@dataclass(frozen=True, slots=True)
class _Questions:
    """The probes of this chapter, bound to one diagnosis."""

    look: Look
    params: DataFlowParameters

    async def topics(self) -> KafkaTopics:
        kafka, p = configured(self.look.sources.kafka, "Kafka"), self.params
        return await kafka_topics(
            kafka, p.topics, p.sample_s, deadline=self.look.deadline, clock=self.look.clock
        )

    async def group(self) -> KafkaLag:
        _wanted(self.params.consumer_group, "consumer group")
        kafka, p = configured(self.look.sources.kafka, "Kafka"), self.params
        return await kafka_lag(
            kafka, p.consumer_group, (), p.sample_s,
            deadline=self.look.deadline, clock=self.look.clock,
        )  # fmt: skip

    async def tables(self) -> Tables:
        _wanted(self.params.database, "database")
        clickhouse, p = configured(self.look.sources.clickhouse, "ClickHouse"), self.params
        return await clickhouse_tables(
            clickhouse, p.database, p.tables, p.sample_s,
            deadline=self.look.deadline, clock=self.look.clock,
        )  # fmt: skip

    async def registry(self) -> SchemaRegistry:
        client = configured(self.look.sources.schema_registry, "the Schema Registry")
        return await schema_registry(client, self.params.subjects, deadline=self.look.deadline)

    async def config(self) -> Config:
        kubernetes = configured(self.look.sources.kubernetes, "Kubernetes")
        namespace, maps = self.look.target.namespace, (self.params.connectors_config,)
        return await config(kubernetes, namespace, maps, deadline=self.look.deadline)

    async def brokers(self) -> SelectedPods:
        kubernetes = configured(self.look.sources.kubernetes, "Kubernetes")
        namespace, now = self.look.target.namespace, self.look.clock.now()
        return await selected_pods(
            kubernetes, namespace, self.params.broker_pods, now, deadline=self.look.deadline
        )

    async def paths(self) -> NetworkPaths:
        p = self.params
        return await paths(p.destinations, p.domain, deadline=self.look.deadline)

    async def drift(self) -> Drift:
        _wanted(self.params.known_good, "folder of known-good manifests")
        kubernetes = configured(self.look.sources.kubernetes, "Kubernetes")
        return await known_good(
            kubernetes, self.look.target.namespace, Path(self.params.known_good),
            ("NetworkPolicy",), deadline=self.look.deadline,
        )  # fmt: skip


async def data_flow(look: Look, params: DataFlowParameters) -> DataFlowEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, deadline, now = look.sources, look.deadline, look.clock.now()
    cluster, kafka = sources.name_of("kubernetes"), sources.name_of("kafka")
    connectors = Target(TargetKind.DEPLOYMENT, look.target.namespace, params.connectors)
    ask = _Questions(look, params)
    async with (
        Snapshot(sources, look.target, deadline) as of_target,
        Snapshot(sources, connectors, deadline) as of_connectors,
    ):
        readings = await look.gather(
            {
                "topics": Probe(kafka, ask.topics),
                "group": Probe(kafka, ask.group),
                "tables": Probe(sources.name_of("clickhouse"), ask.tables),
                "registry": Probe(sources.name_of("schema_registry"), ask.registry),
                "connectors": Probe(cluster, lambda: logs(of_connectors, now)),
                "config": Probe(cluster, ask.config),
                "pods": Probe(cluster, lambda: pods(of_target)),
                "brokers": Probe(cluster, ask.brokers),
                "paths": Probe("network", ask.paths),
                "drift": Probe(cluster, ask.drift),
            }
        )
    return DataFlowEvidence(**readings)


def _wanted(text: str, what: str) -> None:
    if not text:
        raise Unavailable(Reason.NOT_CONFIGURED, f"no {what} is given for this target")


CHAPTER = Chapter("data_flow", DataFlowParameters, DataFlowEvidence, data_flow)
