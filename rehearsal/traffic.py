"""Real messages: a producer that outruns its consumers, and one consumer a pod.

Never here: what the cluster thinks of a pod; it tells when one starts and stops.
"""

import asyncio
import time
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter, Histogram

from rehearsal.cluster.objects import Object

log = structlog.get_logger(__name__)

_TOGETHER_S = 0.3


@dataclass(frozen=True, slots=True)
class Load:
    """What flows, in messages a second."""

    topic: str = "ingestion.miso.raw.v1"
    group: str = "normalization-consumer"
    partitions: int = 12  # three, four or six consumers share them evenly
    produced_per_s: int = 850  # three consumers manage 750: lag grows by 100 a second
    consumed_per_s: int = 250  # by one consumer
    backlog: int = 600  # already waiting at the start


class Producer:
    """Sends at a steady rate, whatever the consumers do."""

    def __init__(self, bootstrap: str, load: Load) -> None:
        self._bootstrap, self._load = bootstrap, load
        self.sent = 0

    async def run(self) -> None:
        """Sends for ever."""
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap, linger_ms=5) as producer:
            await self._send(producer, self._load.backlog)
            began, base = time.monotonic(), self.sent
            while True:
                due = base + int((time.monotonic() - began) * self._load.produced_per_s)
                await self._send(producer, due - self.sent)
                await asyncio.sleep(0.05)

    async def _send(self, producer: AIOKafkaProducer, count: int) -> None:
        for _ in range(count):
            body = b'{"market": "MISO", "trade": %d}' % self.sent
            # The send future is not awaited: one that fails is seen by the flush
            # of the producer's end.
            await producer.send(self._load.topic, body, partition=self.sent % self._load.partitions)
            self.sent += 1


class Consumers:
    """The work behind the pods of one Deployment: the cluster's kubelet starts and
    stops one consumer a pod.

    `all_anew`: when a pod comes, every consumer leaves the group and all join together.
    noida 0.2.3 does not end the rebalance that a lone newcomer begins; Apache Kafka does,
    and there each consumer simply joins.
    """

    def __init__(self, bootstrap: str, load: Load, app: str, *, all_anew: bool) -> None:
        self._bootstrap, self._load, self._app = bootstrap, load, app
        self._all_anew = all_anew
        self._wanted: list[str] = []  # names of pods
        self._running: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._busy: dict[str, float] = {}
        self.registry = CollectorRegistry()  # what the services would export of themselves
        self._consumed = Counter("messages_processed", "Messages done.", registry=self.registry)
        self._seconds = Histogram(
            "processing_time_seconds", "Of one message.", registry=self.registry
        )

    @property
    def count(self) -> int:
        return len(self._running)

    def busy_share(self, pod: str) -> float | None:
        """How much of its time the pod's consumer works, 0.0 to 1.0; None for a pod without one."""
        return self._busy.get(pod) if pod in self._running else None

    async def start(self, pod: Object) -> None:
        """A pod of the Deployment begins to consume; other pods have no work here."""
        if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") == self._app:
            self._wanted.append(pod["metadata"]["name"])
            self._changed.set()

    async def stop(self, pod: Object) -> None:
        """The pod's consumer leaves its group."""
        if pod["metadata"]["name"] in self._wanted:
            self._wanted.remove(pod["metadata"]["name"])
            self._changed.set()

    async def run(self) -> None:
        """Follows the pods for ever; ended, every consumer leaves."""
        try:
            while True:
                await self._changed.wait()
                await asyncio.sleep(_TOGETHER_S)  # pods that come together join together
                self._changed.clear()
                await self._follow()
        finally:
            await self._end(list(self._running))

    async def _follow(self) -> None:
        wanted = set(self._wanted)
        newcomers = wanted - self._running.keys()
        leaving = self._running.keys() - wanted
        if newcomers and self._all_anew:
            newcomers, leaving = wanted, set(self._running)
        await self._end(sorted(leaving))
        for name in sorted(newcomers):
            self._running[name] = asyncio.create_task(self._consume(name), name=f"pod {name}")

    async def _end(self, names: list[str]) -> None:
        tasks = [self._running.pop(name) for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _consume(self, name: str) -> None:
        consumer = AIOKafkaConsumer(
            self._load.topic, bootstrap_servers=self._bootstrap, group_id=self._load.group, client_id=name,
            auto_offset_reset="earliest", enable_auto_commit=False, heartbeat_interval_ms=500,
            session_timeout_ms=6_000, max_poll_records=25,
        )  # fmt: skip
        try:
            await consumer.start()
            free_at = time.monotonic()
            while True:
                began, worked_s = time.monotonic(), max(0.0, free_at - time.monotonic())
                free_at = await self._batch(consumer, free_at)
                share = worked_s / max(0.001, time.monotonic() - began)
                self._busy[name] = 0.9 * self._busy.get(name, 0.0) + 0.1 * min(1.0, share)
        finally:
            await consumer.stop()

    async def _batch(self, consumer: AIOKafkaConsumer, free_at: float) -> float:
        """Takes a batch when the consumer is free; gives when it will be free again."""
        # What a real service does with a message is here only the time that it takes.
        await asyncio.sleep(max(0.0, free_at - time.monotonic()))
        fetched = await consumer.getmany(timeout_ms=200, max_records=25)
        records = [record for batch in fetched.values() for record in batch]
        if not records:
            return time.monotonic()
        # Counted from when it should have been free, so that a late wake-up costs no capacity.
        free_at = max(free_at, time.monotonic() - 1.0) + len(records) / self._load.consumed_per_s
        try:
            await consumer.commit()
        except (
            KafkaError
        ) as error:  # a rebalance took the partitions away: their new owner reads them again
            log.debug("commit refused", error=str(error))
            return free_at
        self._consumed.inc(len(records))
        for _ in records:
            self._seconds.observe(1 / self._load.consumed_per_s)
        return free_at
