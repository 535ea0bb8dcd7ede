"""The wire to Kafka: the state of a consumer group, its committed offsets and
the ends of its partitions.

Built on aiokafka's connections and protocol, not on its admin client or
consumer (0.14), because those
- swallow the cause when they cannot connect: a wrong password looks like a dead broker;
- fetch the metadata of every topic again and again, and create a topic whose name is asked for;
- answer end offsets of all partitions or of none, and read a wrong error code for committed ones;
- describe two groups at once wrongly, and let every call wait behind one lock for a frozen broker.
Works with a stopped group; needs DESCRIBE on the group and its topics, nothing more.
Never here: joining a group, committing, creating.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar

from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupIdNotFound,
    GroupLoadInProgressError,
    IncompatibleBrokerVersion,
    LeaderNotAvailableError,
    NotCoordinatorForGroupError,
    NotLeaderForPartitionError,
)
from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.offset import OffsetRequest

from service.clients import kafka_overview
from service.clients.kafka_cluster import Cluster, raise_for
from service.clients.kafka_overview import LogDirs, Overview
from service.clients.kafka_protocol import ConsumerGroupDescribeRequest
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason
from service.settings import KafkaSettings

T = TypeVar("T")
PAUSES_S = (0.2, 0.4)
_LATEST, _EARLIEST = -1, -2
DEAD = "Dead"
_GONE = (Reason.UNREACHABLE, Reason.CONNECTION_LOST, Reason.LATE)
_MOVED = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    LeaderNotAvailableError,
    NotCoordinatorForGroupError,
    NotLeaderForPartitionError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """One live consumer of a group; `partitions` are (topic, partition)."""

    id: str
    client_id: str
    host: str
    partitions: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class GroupState:
    """A group as its coordinator sees it. `state` of a group that does not exist is Dead."""

    state: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class PartitionOffsets:
    """`committed` is the next offset the group will read,
    None when it has never said; `end` the next written.

    `beginning` is the oldest offset that can still be read;
    it is asked for where nothing was committed.
    """

    committed: int | None
    end: int
    beginning: int | None = None


class KafkaClient:
    """Asks one cluster, over connections that are opened when first needed.
    Errors: Unavailable, Refused.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        if settings.bootstrap is None:
            raise BadConfig("kafka.bootstrap is not set")
        self._cluster = Cluster(settings)
        self.source = f"kafka at {settings.bootstrap}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._cluster.close()

    async def group(self, group: str, *, deadline: Deadline) -> GroupState:
        """State and members of one group; one group a request, see facts of aiokafka 0.14 above."""
        async with deadline.enforced(f"kafka group {group}"):
            return await self._again(lambda: self._group(group))

    async def offsets(
        self, group: str, topics: Sequence[str] | None, *, deadline: Deadline
    ) -> Mapping[tuple[str, int], PartitionOffsets]:
        """Offsets of every partition of `topics`, or of the topics that the group has committed on.

        Nothing committed and no topics named is an empty map; a named topic
        that does not exist is Refused(not_found). All partitions or an error:
        a lag without its furthest partition would look healthy.
        """
        async with deadline.enforced(f"kafka offsets of {group}"):
            return await self._again(lambda: self._offsets(group, topics))

    async def overview(self, *, deadline: Deadline) -> Overview:
        """The brokers that are in the cluster, and every topic with its replicas. Creates none."""
        async with deadline.enforced("kafka metadata"):
            return await self._again(lambda: kafka_overview.overview(self._cluster))

    async def ends(
        self, topics: Sequence[str], *, deadline: Deadline
    ) -> Mapping[tuple[str, int], int]:
        """The next offset to be written, of every partition of the topics
        that exist and has a leader.
        """
        async with deadline.enforced("kafka ends"):
            return await self._again(lambda: kafka_overview.ends(self._cluster, topics))

    async def newest(
        self, topics: Sequence[str], *, deadline: Deadline
    ) -> Mapping[tuple[str, int], datetime | None]:
        """The timestamp of each such partition's newest record, of an empty one None;
        records stay where they are.

        Empty as a whole where a broker is older than Kafka 3.0 and cannot tell.
        """
        async with deadline.enforced("kafka newest records"):
            return await self._again(lambda: kafka_overview.newest(self._cluster, topics))

    async def log_dirs(self, *, deadline: Deadline) -> LogDirs:
        """What every broker keeps on its disks; one that does not answer is named and not
        counted.
        """
        async with deadline.enforced("kafka log dirs"):
            return await self._again(lambda: kafka_overview.log_dirs(self._cluster))

    async def _again(self, ask: Callable[[], Awaitable[T]]) -> T:
        # Leaders and coordinators move: that needs fresh metadata and a moment. What fails while no
        # broker answers at all, or once more after the last pause, is an outage.
        for pause_s in (*PAUSES_S, None):
            try:
                return await self._cluster.guarded(ask)
            except Unavailable as error:
                some_answered = self._cluster.forget()
                gone = some_answered and error.reason in _GONE
                if pause_s is None or not (gone or isinstance(error.__cause__, _MOVED)):
                    raise
            await asyncio.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    async def _group(self, group: str) -> GroupState:
        node = await self._cluster.coordinator(group)
        answer = await self._cluster.ask(node, DescribeGroupsRequest([group]))
        error_code, _, state, protocol_type, _, members, *_ = answer.groups[0]
        raise_for(error_code, f"group {group}")
        if state == DEAD:
            return await self._newer_group(node, group)
        return GroupState(state, tuple(_member(m, protocol_type) for m in members))

    async def _newer_group(self, node: int, group: str) -> GroupState:
        """The group by the newer protocol, to which the older one says
        Dead; Dead when it really is.
        """
        try:
            answer = await self._cluster.ask(node, ConsumerGroupDescribeRequest([group]))
        except IncompatibleBrokerVersion:
            return GroupState(DEAD, ())
        error_code, _, _, state, _, _, _, members, *_ = answer.groups[0]
        if error_code == GroupIdNotFound.errno:
            return GroupState(DEAD, ())
        raise_for(error_code, f"group {group}")
        return GroupState(state, tuple(_newer_member(m) for m in members))

    async def _offsets(
        self, group: str, topics: Sequence[str] | None
    ) -> Mapping[tuple[str, int], PartitionOffsets]:
        node = await self._cluster.coordinator(group)
        if topics is None:
            committed = await self._committed(node, group, None)
            leaders = await self._cluster.leaders(
                sorted({t for t, _ in committed}), missing_ok=True
            )
        else:
            leaders = await self._cluster.leaders(topics)
            committed = await self._committed(node, group, list(leaders))
        uncommitted = {key: node for key, node in leaders.items() if key not in committed}
        # The beginnings first: a partition that is written to meanwhile may not
        # look longer than it is.
        beginnings = await self._listed(uncommitted, _EARLIEST)
        ends = await self._listed(leaders, _LATEST)
        return {
            key: PartitionOffsets(committed.get(key), ends[key], beginnings.get(key))
            for key in sorted(leaders)
        }

    async def _committed(
        self, node: int, group: str, partitions: list[tuple[str, int]] | None
    ) -> dict[tuple[str, int], int]:
        wanted = None if partitions is None else list(_by_topic(partitions).items())
        answer = await self._cluster.ask(node, OffsetFetchRequest(group, wanted))
        raise_for(getattr(answer, "error_code", 0), f"offsets of {group}")
        found: dict[tuple[str, int], int] = {}
        for topic, rows in answer.topics:
            for partition, offset, _, error_code in rows:
                raise_for(error_code, f"offset of {group} on {topic}/{partition}")
                if offset >= 0:
                    found[topic, partition] = offset
        return found

    async def _listed(
        self, leaders: Mapping[tuple[str, int], int], which: int
    ) -> dict[tuple[str, int], int]:
        """The first or the next offset of each partition, from its leader."""
        led: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
        for key, node in leaders.items():
            led[node].append(key)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._listed_by(node, keys, which)) for node, keys in led.items()
            ]
        return {key: offset for task in tasks for key, offset in task.result().items()}

    async def _listed_by(
        self, node: int, keys: list[tuple[str, int]], which: int
    ) -> dict[tuple[str, int], int]:
        wanted = [(t, [(p, which) for p in ps]) for t, ps in _by_topic(keys).items()]
        answer = await self._cluster.ask(node, OffsetRequest(-1, 0, wanted))
        found = {}
        for topic, rows in answer.topics:
            for partition, error_code, _, offset, *_ in rows:
                raise_for(error_code, f"offset of {topic}/{partition}")
                found[topic, partition] = offset
        if missing := set(keys) - set(found):
            detail = f"kafka: node {node} left out {len(missing)} partitions"
            raise Unavailable(Reason.WRONG_ANSWER, detail)
        return found


def _by_topic(keys: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    topics: defaultdict[str, list[int]] = defaultdict(list)
    for topic, partition in keys:
        topics[topic].append(partition)
    return topics


def _member(row: Any, protocol_type: str) -> Member:
    member_id, client_id, host, _, assignment = row
    partitions: tuple[tuple[str, int], ...] = ()
    if assignment and protocol_type == ConsumerProtocol.PROTOCOL_TYPE:
        given = ConsumerProtocol.ASSIGNMENT.decode(assignment).assignment
        partitions = tuple((topic, p) for topic, ps in given for p in ps)
    return Member(member_id, client_id, host.lstrip("/"), partitions)


def _newer_member(row: Any) -> Member:
    member_id, _, _, _, client_id, host, _, _, (topics, _), *_ = row
    partitions = tuple((topic, p) for _, _, topic, ps, _ in topics for p in ps)
    return Member(member_id, client_id, host.lstrip("/"), partitions)
