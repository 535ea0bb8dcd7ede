"""The probes of a Kafka cluster on real brokers: topics and records,
replicas and leaders, log dirs.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.clients import kafka_overview
from service.clients.kafka import KafkaClient
from service.diagnose.probes.kafka_brokers import kafka_brokers
from service.diagnose.probes.kafka_storage import kafka_storage
from service.diagnose.probes.kafka_topics import kafka_topics
from service.kit.clock import SystemClock, VirtualClock
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.settings import KafkaSettings
from tests.servers import kafka, kafka_pair


def soon(seconds: float = 15.0) -> Deadline:
    return Deadline.after(seconds)


@pytest.fixture(params=["noida", "apache"])
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """`noida 127.0.0.1:9092`: which broker, and where."""
    maker = kafka.noida if request.param == "noida" else kafka.apache_kafka
    async with maker(tmp_path / "kafka") as started:
        yield f"{request.param} {started.bootstrap}"


def client(bootstrap: str) -> KafkaClient:
    return KafkaClient(KafkaSettings(bootstrap=bootstrap))


async def test_topics_that_move_and_stand_still_and_are_not_there(broker: str) -> None:
    bootstrap = broker.split()[1]
    await kafka.create_topic(bootstrap, "moving", 2)
    await kafka.create_topic(bootstrap, "still", 1)
    await kafka.create_topic(bootstrap, "empty", 1)
    await kafka.produce(bootstrap, "still", {0: 3})

    async def later() -> None:
        await asyncio.sleep(0.2)
        await kafka.produce(bootstrap, "moving", {0: 4, 1: 6})

    async with client(bootstrap) as asked:
        more = asyncio.create_task(later())
        seen = await kafka_topics(
            asked, ["moving", "still", "empty", "gone"], 1.5, deadline=soon(), clock=SystemClock()
        )
        await more
    assert seen.missing == ("gone",)
    assert (seen.moving, seen.all_moving, seen.still) == (True, False, ("still", "empty"))
    moving, still, empty = seen.named
    assert (moving.end, still.end, empty.end) == (10, 3, 0)
    assert 4.0 < moving.produced_per_s < 10.0
    assert set(seen.names) == {"moving", "still", "empty"}
    assert "gone" not in await kafka.topics(bootstrap)  # asking for it did not make it
    assert still.newest_age_s is not None
    assert still.newest_age_s < 60.0
    assert (empty.newest_at, empty.newest_age_s) == (None, None)
    assert seen.stalest == "still"


async def test_no_topics_named_is_no_movement(broker: str) -> None:
    async with client(broker.split()[1]) as asked:
        seen = await kafka_topics(asked, [], 0.0, deadline=soon(), clock=VirtualClock())
    assert (seen.moving, seen.named, seen.produced_per_s) == (False, (), 0.0)


async def test_one_healthy_broker(broker: str) -> None:
    bootstrap = broker.split()[1]
    await kafka.create_topic(bootstrap, "t", 3)
    async with client(bootstrap) as asked:
        seen = await kafka_brokers(asked, deadline=soon())
    assert (seen.count, seen.under_replicated, seen.offline, seen.suspect) == (1, 0, 0, -1)
    assert seen.partitions >= 3
    assert seen.healthy


async def test_sizes_by_topic(broker: str) -> None:
    bootstrap = broker.split()[1]
    for topic, count in (("small", 1), ("large", 2000)):
        await kafka.create_topic(bootstrap, topic, 1)
        await kafka.produce(bootstrap, topic, {0: count})
    async with client(bootstrap) as asked:
        seen = await kafka_storage(asked, deadline=soon())
    assert seen.largest_topic == "large"
    assert seen.total_bytes >= seen.largest_topic_bytes > 0
    assert seen.fullest_broker_bytes == seen.total_bytes
    assert (seen.failed_dirs, seen.silent) == ((), ())


async def test_a_lost_broker_leaves_partitions_short_of_a_replica_or_without_a_leader(
    tmp_path: Path,
) -> None:
    async with kafka_pair.pair(tmp_path) as (first, second):
        await kafka_pair.create(first.bootstrap, "both", {0: [1, 2], 1: [2, 1]})
        await kafka_pair.create(first.bootstrap, "second-only", {0: [2]})
        async with client(first.bootstrap) as asked:
            whole = await kafka_brokers(asked, deadline=soon())
            kept = await kafka_storage(asked, deadline=soon())
            while len({one.topic for one in kept.topics} & {"both", "second-only"}) < 2:
                await asyncio.sleep(0.2)  # a broker makes its logs after the topic is acknowledged
                kept = await kafka_storage(asked, deadline=soon())
            await second.process.kill()
            seen = await kafka_brokers(asked, deadline=soon())
            while seen.under_replicated < 2 or seen.offline < 1:
                await asyncio.sleep(0.2)
                seen = await kafka_brokers(asked, deadline=soon())
            alone = await kafka_storage(asked, deadline=soon())
            topics = await kafka_topics(
                asked, ["both", "second-only"], 0.0, deadline=soon(), clock=VirtualClock()
            )
    assert (whole.brokers, whole.healthy) == ((1, 2), True)
    assert seen.brokers == (1,)
    assert (seen.suspect, seen.suspect_share) == (2, 1.0)
    assert seen.only_copy == (1,)
    assert seen.offline_names == ("second-only/0",)
    assert set(seen.under_replicated_names) >= {"both/0", "both/1"}
    assert not seen.healthy
    assert alone.fullest_broker == 1
    # A partition without a leader has no end that anybody could tell:
    # it is left out, not counted as 0.
    assert [(t.topic, t.partitions) for t in topics.named] == [("both", 2), ("second-only", 0)]


async def test_no_broker_is_unavailable() -> None:
    async with client("127.0.0.1:1") as asked:
        for probe in (kafka_brokers, kafka_storage):
            with pytest.raises(Unavailable):
                await probe(asked, deadline=soon())


class BeforeKafka3:
    """A cluster whose brokers know ListOffsets up to version 5 only."""

    async def metadata(self, topics: list[str] | None) -> Any:
        assert topics is not None
        return SimpleNamespace(
            topics=[(0, topic, False, [(0, 0, 1, [1], [1])]) for topic in topics]
        )

    async def ask(self, node: int, request: Any) -> Any:
        return request.prepare({2: (0, 5)})


async def test_the_age_of_records_is_unknown_and_not_zero_before_kafka_3() -> None:
    old: Any = BeforeKafka3()
    assert await kafka_overview.newest(old, ["t"]) == {}


async def test_the_newest_record_is_told_by_its_own_timestamp(tmp_path: Path) -> None:
    async with kafka.apache_kafka(tmp_path / "kafka") as started:
        await kafka.create_topic(started.bootstrap, "t", 1)
        before = datetime.now(UTC)
        await kafka.produce(started.bootstrap, "t", {0: 2})
        async with client(started.bootstrap) as asked:
            found = await asked.newest(["t"], deadline=soon())
    at = found["t", 0]
    assert at is not None
    assert abs((at - before).total_seconds()) < 5.0
