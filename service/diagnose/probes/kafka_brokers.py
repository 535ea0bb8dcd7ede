"""The brokers of a Kafka cluster, and whether every partition has its leader
and all of its replicas.

Never here: which broker should go.
"""

from collections import Counter
from dataclasses import dataclass

from service.clients.kafka import KafkaClient
from service.clients.kafka_overview import Overview, Partition
from service.kit.deadline import Deadline

MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class KafkaBrokers:
    """The cluster as its metadata has it. Partitions are named `topic/partition`."""

    count: int  # brokers in the cluster now
    brokers: tuple[int, ...]  # their ids
    controller: int  # -1 while there is none
    topics: int
    partitions: int
    under_replicated: int  # partitions with fewer in-sync replicas than replicas
    under_replicated_names: tuple[str, ...]  # at most MOST_SHOWN
    offline: int  # partitions without a leader: nobody can read or write them
    offline_names: tuple[str, ...]  # at most MOST_SHOWN
    absent: tuple[int, ...]  # ids that replicas name and that are not in the cluster
    # The broker that most under-replicated partitions miss; -1 when nothing is under-replicated.
    suspect: int
    suspect_share: float  # 0.0 to 1.0, of the under-replicated partitions
    only_copy: tuple[
        int, ...
    ]  # brokers that hold the only in-sync replica of a partition with several
    healthy: bool  # a controller, nothing offline, nothing under-replicated


async def kafka_brokers(kafka: KafkaClient, *, deadline: Deadline) -> KafkaBrokers:
    """The cluster now. Raises what the client raises."""
    return summary(await kafka.overview(deadline=deadline))


def summary(seen: Overview) -> KafkaBrokers:
    """The same from the metadata. Pure."""
    short = [p for p in seen.partitions if len(p.in_sync) < len(p.replicas)]
    offline = [p for p in seen.partitions if p.leader < 0]
    missing = Counter(node for p in short for node in set(p.replicas) - set(p.in_sync))
    suspect, times = max(missing.items(), key=lambda i: (i[1], -i[0]), default=(-1, 0))
    alone = {p.in_sync[0] for p in short if len(p.in_sync) == 1}
    named = {node for p in seen.partitions for node in p.replicas}
    return KafkaBrokers(
        count=len(seen.brokers),
        brokers=seen.brokers,
        controller=seen.controller,
        topics=len(seen.topics),
        partitions=len(seen.partitions),
        under_replicated=len(short),
        under_replicated_names=_names(short),
        offline=len(offline),
        offline_names=_names(offline),
        absent=tuple(sorted(named - set(seen.brokers))),
        suspect=suspect,
        suspect_share=times / len(short) if short else 0.0,
        only_copy=tuple(sorted(alone)),
        healthy=seen.controller >= 0 and not short and not offline,
    )


def _names(partitions: list[Partition]) -> tuple[str, ...]:
    return tuple(f"{p.topic}/{p.partition}" for p in partitions[:MOST_SHOWN])
