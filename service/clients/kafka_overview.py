"""What a Kafka cluster is made of: brokers, topics with their replicas, end offsets,
newest records, log dirs.

Never here: consumer groups (kafka.py); what any of it means.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka import errors as kafka
from aiokafka.protocol.offset import OffsetRequest

from service.clients.kafka_cluster import Cluster, raise_for
from service.clients.kafka_requests import LogDirsRequest, NewestRequest
from service.model.errors import Unavailable
from service.model.reasons import Reason

_LATEST = -1
_SILENT = (kafka.KafkaError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as the metadata has it. Replicas are ids of brokers."""

    topic: str
    partition: int
    leader: int  # -1 for none: nobody can read or write it
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The cluster as one broker sees it."""

    brokers: tuple[int, ...]  # ids of those that are in the cluster now
    controller: int  # -1 while there is none
    topics: tuple[str, ...]  # all of them, internal ones too
    internal: tuple[str, ...]  # of these, Kafka's own
    partitions: tuple[Partition, ...]  # of all topics


@dataclass(frozen=True, slots=True)
class KeptPartition:
    """One replica of one partition on one broker's disk."""

    broker: int
    log_dir: str
    topic: str
    partition: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LogDirs:
    """What the brokers keep."""

    kept: tuple[KeptPartition, ...]
    failed: tuple[str, ...]  # `broker: log dir` of those that the broker has given up
    silent: tuple[int, ...]  # brokers of the cluster that did not answer
    unable: tuple[int, ...]  # brokers that do not know the question


async def overview(cluster: Cluster) -> Overview:
    """Raises errors of aiokafka, which the client translates."""
    answer = await cluster.metadata(None)
    topics, internal, partitions = [], [], []
    for error_code, topic, is_internal, rows in answer.topics:
        if kafka.for_code(error_code) is kafka.TopicAuthorizationFailedError:
            continue  # not ours to see
        topics.append(str(topic))
        if is_internal:
            internal.append(str(topic))
        for _, partition, leader, replicas, in_sync, *_ in rows:
            partitions.append(
                Partition(str(topic), partition, leader, tuple(replicas), tuple(in_sync))
            )
    return Overview(
        brokers=tuple(sorted(node for node, *_ in answer.brokers)),
        controller=int(answer.controller_id),
        topics=tuple(sorted(topics)),
        internal=tuple(sorted(internal)),
        partitions=tuple(sorted(partitions, key=lambda p: (p.topic, p.partition))),
    )


async def ends(cluster: Cluster, topics: Sequence[str]) -> Mapping[tuple[str, int], int]:
    """Raises errors of aiokafka."""

    async def of(node: int, led: dict[str, list[int]]) -> dict[tuple[str, int], int]:
        wanted = [(topic, [(p, _LATEST) for p in ps]) for topic, ps in led.items()]
        answer = await cluster.ask(node, OffsetRequest(-1, 0, wanted))
        found = {}
        for topic, rows in answer.topics:
            for partition, error_code, _, offset, *_ in rows:
                raise_for(error_code, f"end of {topic}/{partition}")
                found[str(topic), int(partition)] = int(offset)
        return found

    return await _of_leaders(cluster, topics, of)


async def newest(
    cluster: Cluster, topics: Sequence[str]
) -> Mapping[tuple[str, int], datetime | None]:
    """Raises errors of aiokafka."""

    async def of(node: int, led: dict[str, list[int]]) -> dict[tuple[str, int], datetime | None]:
        answer = await cluster.ask(node, NewestRequest(led))
        found = {}
        for topic, rows, _ in answer.topics:
            for partition, error_code, timestamp, *_ in rows:
                raise_for(error_code, f"newest record of {topic}/{partition}")
                at = datetime.fromtimestamp(timestamp / 1000, UTC) if timestamp >= 0 else None
                found[str(topic), int(partition)] = at
        return found

    try:
        return await _of_leaders(cluster, topics, of)
    except* (NotImplementedError, kafka.IncompatibleBrokerVersion):
        pass
    return {}


async def log_dirs(cluster: Cluster) -> LogDirs:
    """Raises errors of aiokafka only where no broker at all can be asked."""
    answer = await cluster.metadata([])
    nodes = sorted(int(node) for node, *_ in answer.brokers)
    told = await asyncio.gather(*(_log_dirs_of(cluster, node) for node in nodes))
    pairs = list(zip(nodes, told, strict=True))
    silent = tuple(node for node, found in pairs if found is None)
    if len(silent) == len(nodes):
        raise Unavailable(Reason.LATE, "kafka: no broker tells its log dirs")
    kept, failed = [], []
    for node, found in pairs:
        for error_code, log_dir, topics in (found or (None, ()))[1]:
            if error_code:
                failed.append(f"{node}: {log_dir}")
            for topic, rows in topics:
                kept += [
                    KeptPartition(node, str(log_dir), str(topic), int(partition), int(size))
                    for partition, size, *_ in rows
                ]
    unable = tuple(node for node, found in pairs if found is not None and not found[0])
    return LogDirs(tuple(kept), tuple(failed), silent, unable)


async def _log_dirs_of(cluster: Cluster, node: int) -> tuple[bool, Any] | None:
    """(it knows the question, its rows), or None without an answer."""
    try:
        answer = await cluster.ask(node, LogDirsRequest())
    except (kafka.IncompatibleBrokerVersion, NotImplementedError):
        return False, ()
    except _SILENT as error:
        if isinstance(error, kafka.ClusterAuthorizationFailedError):
            raise
        return None
    rows = answer.results
    for error_code, *_ in rows:
        if kafka.for_code(error_code) is kafka.ClusterAuthorizationFailedError:
            raise_for(error_code, "log dirs")
    return True, rows


async def _of_leaders(cluster: Cluster, topics: Sequence[str], of: Any) -> dict[Any, Any]:
    # Any: `of` is one of the two questions above, each with an answer of its own.
    answer = await cluster.metadata(list(topics)) if topics else None
    led: defaultdict[int, dict[str, list[int]]] = defaultdict(dict)
    for error_code, topic, _, rows in answer.topics if answer else ():
        if kafka.for_code(error_code) is kafka.UnknownTopicOrPartitionError:
            continue
        raise_for(error_code, f"topic {topic}")
        for _, partition, leader, *_ in rows:
            if leader >= 0:
                led[leader].setdefault(str(topic), []).append(int(partition))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(of(node, topics_led)) for node, topics_led in led.items()]
    return {key: value for task in tasks for key, value in task.result().items()}
