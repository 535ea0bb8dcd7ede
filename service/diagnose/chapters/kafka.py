"""Chapter 4.1, Kafka: brokers and partitions, their pods and claims, ZooKeeper,
and what the log dirs hold.
"""

from dataclasses import dataclass

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.claims import Claims, claims
from service.diagnose.probes.kafka_brokers import KafkaBrokers, kafka_brokers
from service.diagnose.probes.kafka_storage import KafkaStorage, kafka_storage
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.operator import Operator, operator
from service.diagnose.probes.selected_pods import SelectedPods, selected_pods
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.sources import configured
from service.model.errors import Unavailable
from service.model.evidence import Evidence, Reading
from service.model.reasons import Reason
from service.model.target import Target, TargetKind


@dataclass(frozen=True)
class KafkaParameters:
    """A playbook's `with:` for this chapter."""

    broker_pods: str  # Kind/name of the brokers' workload, or a label selector of their pods
    zookeeper_pods: str = ""  # likewise; "" for a cluster without ZooKeeper (KRaft)
    kafka: str = "kafka"  # the StatefulSet, or under Strimzi the name of the cluster
    claims: str = "data-kafka-"  # beginning of the names of the brokers' volume claims


@dataclass(frozen=True, slots=True)
class KafkaEvidence(Evidence):
    """What chapter 4.1 sees."""

    brokers: Reading[KafkaBrokers]
    storage: Reading[KafkaStorage]
    pods: Reading[SelectedPods]
    zookeeper: Reading[SelectedPods]
    claims: Reading[Claims]
    operator: Reading[Operator]
    logs: Reading[Logs]


async def kafka(look: Look, params: KafkaParameters) -> KafkaEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline, now = look.sources, look.target, look.deadline, look.clock.now()
    cluster, brokers = sources.name_of("kubernetes"), sources.name_of("kafka")

    async def ask_pods(which: str) -> SelectedPods:
        if not which:
            raise Unavailable(Reason.NOT_CONFIGURED, "no workload of these pods is given")
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        return await selected_pods(kubernetes, target.namespace, which, now, deadline=deadline)

    async def ask_claims() -> Claims:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        return await claims(
            kubernetes, sources.prometheus, target.namespace, params.claims, deadline=deadline
        )

    async def ask_operator() -> Operator:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        of = Target(TargetKind.STATEFULSET, target.namespace, params.kafka)
        return await operator(kubernetes, of, deadline=deadline)

    async def ask_brokers() -> KafkaBrokers:
        return await kafka_brokers(configured(sources.kafka, "Kafka"), deadline=deadline)

    async def ask_storage() -> KafkaStorage:
        return await kafka_storage(configured(sources.kafka, "Kafka"), deadline=deadline)

    async with Snapshot(sources, target, deadline) as snapshot:
        readings = await look.gather(
            {
                "brokers": Probe(brokers, ask_brokers),
                "storage": Probe(brokers, ask_storage),
                "pods": Probe(cluster, lambda: ask_pods(params.broker_pods)),
                "zookeeper": Probe(cluster, lambda: ask_pods(params.zookeeper_pods)),
                "claims": Probe(cluster, ask_claims),
                "operator": Probe(cluster, ask_operator),
                "logs": Probe(cluster, lambda: logs(snapshot, now)),
            }
        )
    return KafkaEvidence(**readings)


CHAPTER = Chapter("kafka", KafkaParameters, KafkaEvidence, kafka, stateful=True)
