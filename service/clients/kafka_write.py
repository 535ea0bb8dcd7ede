"""The wire to Kafka, writing: numbered records to one topic, each once,
also across restarts of this process.

A producer that is idempotent repeats nothing while it lives. A new one looks first what
the topic's partitions end in: records go to a partition in the order of their numbers,
so that all up to the last one there are there.
Never here: what a record says.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from service.clients.kafka_cluster import Cluster, security
from service.kit.deadline import Deadline
from service.settings import KafkaSettings

_Producer: Any = AIOKafkaProducer  # typed by nobody
_Consumer: Any = AIOKafkaConsumer

_LOOK_BACK = 100  # records from a partition's end: the topic is our own, so one would do
_REQUEST_MS = 5_000
_STOP_S = 2.0
_PAUSE_MS = 200
_LINGER_MS = 25  # between two requests: records come one by one, and each request is a write


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `number` grows; `key` is what its partition is chosen by."""

    number: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class _Session:
    """A producer, and the highest number in each partition."""

    producer: Any  # AIOKafkaProducer, typed by nobody
    partitions: Sequence[int]
    last: dict[int, int] = field(default_factory=dict)


class KafkaPublisher:
    """Sends records of one source to one topic that exists. Errors: Unavailable, Refused."""

    def __init__(self, settings: KafkaSettings, topic: str, source: str) -> None:
        self._settings, self._topic = settings, topic
        self.source = source
        self._cluster = Cluster(settings)
        self._session: _Session | None = None
        self._choose: Any = DefaultPartitioner()  # murmur2 of the key, as every Kafka client has it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()
        await self._cluster.close()

    async def send(self, records: Sequence[Record], *, deadline: Deadline) -> None:
        """Sends in the order of their numbers what is not there yet;
        returns when all replicas have it.
        """

        async def ready() -> AsyncIterator[Record]:
            for record in records:
                yield record

        await self.stream(ready(), deadline=deadline)

    async def stream(self, records: AsyncIterable[Record], *, deadline: Deadline) -> None:
        """As `send`, of records that come one by one."""
        sent: list[asyncio.Future[Any]] = []  # Any: the library's answer
        try:
            async with deadline.enforced(f"kafka topic {self._topic}"):
                async for record in records:
                    sent += await self._cluster.guarded(partial(self._hand_over, record))
                await self._cluster.guarded(lambda: asyncio.gather(*sent))
        except BaseException:
            await self._end()  # what was on its way may have arrived: the next session looks
            raise

    async def _hand_over(self, record: Record) -> Sequence["asyncio.Future[Any]"]:
        """To the producer, which sends it with others; nothing when it is there already."""
        session = self._session
        if session is None:
            session = self._session = await self._begin()
        partition = self._choose(record.key, session.partitions, session.partitions)
        if record.number <= session.last.get(partition, -1):
            return ()
        future = await session.producer.send(
            self._topic,
            record.value,
            key=record.key,
            partition=partition,
            headers=list(record.headers),
        )
        session.last[partition] = record.number
        return (future,)

    async def _begin(self) -> _Session:
        # By a request that creates no topic; a producer's own would.
        partitions = sorted(p for _, p in await self._cluster.leaders([self._topic]))
        last = await self._numbers(partitions)
        producer = _Producer(
            bootstrap_servers=self._settings.bootstrap,
            enable_idempotence=True,
            request_timeout_ms=_REQUEST_MS,
            linger_ms=_LINGER_MS,
            **security(self._settings),
        )
        session = _Session(producer, partitions, last)
        try:
            await producer.start()
        except BaseException:
            await _stopped(producer)
            raise
        return session

    async def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await _stopped(session.producer)

    async def _numbers(self, partitions: Sequence[int]) -> dict[int, int]:
        """The highest number of ours near the end of each partition."""
        consumer = _Consumer(
            bootstrap_servers=self._settings.bootstrap,
            enable_auto_commit=False,
            request_timeout_ms=_REQUEST_MS,
            **security(self._settings),
        )
        try:
            await consumer.start()
            places = [TopicPartition(self._topic, p) for p in partitions]
            consumer.assign(places)
            first, ends = (
                await consumer.beginning_offsets(places),
                await consumer.end_offsets(places),
            )
            for place in places:
                consumer.seek(place, max(first[place], ends[place] - _LOOK_BACK))
            return await self._read(consumer, {p: e for p, e in ends.items() if e > first[p]})
        finally:
            await consumer.stop()

    async def _read(self, consumer: Any, ends: Mapping[Any, int]) -> dict[int, int]:
        found: dict[int, int] = {}
        left = dict(ends)
        while left:
            for place, records in (await consumer.getmany(*left, timeout_ms=_PAUSE_MS)).items():
                numbers = [n for r in records if (n := self._number(dict(r.headers))) is not None]
                found[place.partition] = max([*numbers, found.get(place.partition, -1)])
            for place in [*left]:
                if await consumer.position(place) >= left[place]:
                    del left[place]
        return found

    def _number(self, headers: Mapping[str, bytes]) -> int | None:
        if headers.get("ce_source") != self.source.encode():
            return None
        said = headers.get("ce_id", b"").decode(errors="replace")
        return int(said) if said.isdecimal() else None


async def _stopped(producer: Any) -> None:
    """Stops a producer also where its brokers are gone: it would wait for
    them to take what is left.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_STOP_S):
            await producer.stop()
            return
    await producer._sender.close()
    await producer.client.close()
