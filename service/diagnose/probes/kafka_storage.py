"""What the brokers keep on their disks: sizes by topic and by broker,
and log dirs that a broker has given up.

Never here: how long records ought to be kept.
"""

from collections import Counter
from dataclasses import dataclass

from service.clients.kafka import KafkaClient
from service.clients.kafka_overview import LogDirs
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason

MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class TopicSize:
    """One topic on all brokers that told."""

    topic: str
    size_bytes: int  # of all replicas together
    partitions: int  # replicas of partitions


@dataclass(frozen=True, slots=True)
class KafkaStorage:
    """The log dirs of all brokers that told."""

    total_bytes: int  # of all replicas
    largest_topic: str  # "" when nothing is kept
    largest_topic_bytes: int
    largest_share: float  # 0.0 to 1.0, of total_bytes
    fullest_broker: int  # id of the one that keeps most; -1 when nothing is kept
    fullest_broker_bytes: int
    failed_dirs: tuple[str, ...]  # `broker: log dir` of those that a broker has given up
    silent: tuple[int, ...]  # brokers of the cluster that did not answer
    topics: tuple[TopicSize, ...]  # the largest first, at most MOST_SHOWN


async def kafka_storage(kafka: KafkaClient, *, deadline: Deadline) -> KafkaStorage:
    """The sizes now. Unavailable(no_data) where no broker knows the question (before Kafka 1.0)."""
    return summary(await kafka.log_dirs(deadline=deadline))


def summary(seen: LogDirs) -> KafkaStorage:
    """The same from the answers. Pure."""
    if seen.unable and not seen.kept and not seen.failed:
        raise Unavailable(Reason.NO_DATA, "the brokers do not tell their log dirs")
    by_topic: Counter[str] = Counter()
    by_broker: Counter[int] = Counter()
    replicas: Counter[str] = Counter()
    for one in seen.kept:
        by_topic[one.topic] += one.size_bytes
        by_broker[one.broker] += one.size_bytes
        replicas[one.topic] += 1
    topics = [TopicSize(t, size, replicas[t]) for t, size in by_topic.most_common(MOST_SHOWN)]
    total = sum(by_topic.values())
    broker, most = max(by_broker.items(), key=lambda i: (i[1], -i[0]), default=(-1, 0))
    return KafkaStorage(
        total_bytes=total,
        largest_topic=topics[0].topic if topics else "",
        largest_topic_bytes=topics[0].size_bytes if topics else 0,
        largest_share=topics[0].size_bytes / total if total else 0.0,
        fullest_broker=broker,
        fullest_broker_bytes=most,
        failed_dirs=seen.failed,
        silent=seen.silent,
        topics=tuple(topics),
    )
