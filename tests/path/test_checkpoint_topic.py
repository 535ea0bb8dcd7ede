"""Checkpoints of the audit chain on a Kafka topic: they arrive, `verify` takes them as they are
consumed, and a broker that is away holds up nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from service.app import serving
from service.audit import checkpoints
from service.audit.chainer import Chainer, Place
from service.audit.topic import CheckpointTopic, source_of
from service.clients.kafka_write import KafkaPublisher
from service.kit.deadline import Deadline
from service.model.audit import Checkpoint
from service.model.errors import BadConfig, Unavailable
from service.model.journal import JournalEntry
from service.model.reasons import Reason
from service.settings import AuditSettings, KafkaSettings, PublishSettings
from service.store.audit import AuditStore
from tests.path.test_audit import (
    SECRET,
    Audited,
    audited,
    paramedic,
    truncate_with_the_cursor,
)
from tests.path.test_intake import settings_for
from tests.servers.kafka import Broker, create_topic, noida, topics

TOPIC = "checkpoints"
__all__ = ["audited"]  # the fixture


def settings_of(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap=broker.bootstrap)


@asynccontextmanager
async def chaining(
    audited: Audited, broker: Broker, *, file: bool = False
) -> AsyncIterator[Chainer]:
    """A process that keeps checkpoints on the topic, and in the file if wanted."""
    metrics = audited.metrics
    source = source_of("/paramedic")
    async with KafkaPublisher(settings_of(broker), TOPIC, source) as publisher:
        places: list[Place] = [CheckpointTopic(publisher)]
        if file:
            places.append(checkpoints.CheckpointFile(audited.file))
        made = Chainer(
            AuditStore(audited.database), audited.clock, "w1", audited.key_file, places,
            metrics.audited, metrics.checkpoint_kept, keep_within_s=3.0,
        )  # fmt: skip
        made.open()
        yield made


async def grown(audited: Audited, chainer: Chainer, count: int) -> None:
    """So many steps more, chained, a minute later."""
    audited.clock.advance(60)
    await audited.tell(count)
    while await chainer.chain():
        pass
    await chainer.checkpoint()


def tries(audited: Audited, result: str) -> float | None:
    labels = {"place": "topic", "result": result}
    return audited.metrics.registry.get_sample_value("paramedic_audit_checkpoints_total", labels)


async def started_anew(broker: Broker) -> None:
    """A broker that was killed may have lost the topic with the records that it had not kept."""
    await broker.start()
    if TOPIC not in await topics(broker.bootstrap):
        await create_topic(broker.bootstrap, TOPIC, 1)


async def consumed(broker: Broker, to: Path) -> list[int]:
    """What a console consumer writes: each value and an end of line; the counts in it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap)
    await consumer.start()
    try:
        place = TopicPartition(TOPIC, 0)
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        consumer.seek(place, 0)
        values = [(await consumer.getone(place)).value or b"" for _ in range(end)]
    finally:
        await consumer.stop()
    to.write_bytes(b"".join(value + b"\n" for value in values))
    return [seen.count for seen in checkpoints.read(to)]


async def verified(audited: Audited, seen: Path) -> tuple[int, str]:
    words = [
        "audit", "verify", "--store", audited.url, "--key-file", str(audited.key_file),
        "--checkpoint", str(seen),
    ]  # fmt: skip
    return await asyncio.to_thread(paramedic, *words)


async def test_checkpoints_arrive_and_find_a_truncation_also_across_a_restart(
    audited: Audited, tmp_path: Path
) -> None:
    seen = tmp_path / "consumed.jsonl"
    async with noida(tmp_path / "kafka") as broker:
        await create_topic(broker.bootstrap, TOPIC, 1)
        async with chaining(audited, broker) as chainer:
            await grown(audited, chainer, 4)
            await chainer.checkpoint()  # nothing new
            await grown(audited, chainer, 6)
        assert await consumed(broker, seen) == [4, 10]
        code, told = await verified(audited, seen)
        assert (code, "10 lines good" in told) == (0, True), told

        await audited.run(*truncate_with_the_cursor(await audited.lines()))
        code, told = await verified(audited, seen)
        assert (code, "line 5: truncated" in told) == (1, True), told
        async with chaining(audited, broker) as chainer:  # a new process knows of no checkpoint
            await grown(audited, chainer, 2)
        assert await consumed(broker, seen) == [4, 10, 6], "a length that was there is sent again"
        code, told = await verified(audited, seen)
        assert (code, "truncated" in told) == (1, True), told


async def test_a_broker_that_is_away_holds_up_neither_the_chain_nor_the_file(
    audited: Audited, tmp_path: Path
) -> None:
    async with noida(tmp_path / "kafka") as broker:
        await create_topic(broker.bootstrap, TOPIC, 1)
        async with chaining(audited, broker, file=True) as chainer:
            await grown(audited, chainer, 1)
            await broker.process.kill()
            await grown(audited, chainer, 1)
            assert [seen.count for seen in checkpoints.read(audited.file)] == [1, 2]
            assert (tries(audited, "kept"), tries(audited, "failed")) == (1, 1)

            await started_anew(broker)
            audited.clock.advance(60)
            await chainer.checkpoint()  # nothing new, and the topic misses the last
            await chainer.checkpoint()
        assert (await consumed(broker, tmp_path / "consumed.jsonl"))[-1:] == [2]
        assert (tries(audited, "kept"), tries(audited, "failed")) == (2, 1)
        assert [seen.count for seen in checkpoints.read(audited.file)] == [1, 2]


class Stuck:
    """A place that never answers."""

    name = "stuck"

    def newest(self) -> Checkpoint | None:
        return None

    async def keep(self, made: Checkpoint, *, deadline: Deadline) -> None:
        await asyncio.Event().wait()


async def test_a_place_that_does_not_answer_holds_up_no_line(audited: Audited) -> None:
    metrics = audited.metrics
    made = Chainer(
        AuditStore(audited.database), audited.clock, "w1", audited.key_file, [Stuck()],
        metrics.audited, metrics.checkpoint_kept,
    )  # fmt: skip
    await audited.tell(1)
    assert await made.chain()
    task = asyncio.create_task(made.run())
    async with asyncio.timeout(20):
        while not metrics.registry.get_sample_value("paramedic_audit_chain_length"):
            await asyncio.sleep(0.01)
        await audited.tell(1)
        while len(await audited.lines()) < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Unreadable(AuditStore):
    """A store whose chain can be looked at, and whose journal cannot."""

    async def unread(self, after: int, limit: int) -> Sequence[JournalEntry]:
        raise Unavailable(Reason.STORE_DOWN, "no journal")


async def test_a_chain_that_stands_still_makes_no_checkpoint_that_would_hide_it(
    audited: Audited,
) -> None:
    await audited.tell(1)
    await audited.chain()
    value = audited.metrics.registry.get_sample_value
    before = value("paramedic_audit_checkpoint_timestamp_seconds")
    made = Chainer(
        Unreadable(audited.database), audited.clock, "w1", audited.key_file, (),
        audited.metrics.audited, audited.metrics.checkpoint_kept,
    )  # fmt: skip
    task, begun = asyncio.create_task(made.run()), audited.clock.monotonic()
    async with asyncio.timeout(20):
        while audited.clock.monotonic() < begun + 600:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert value("paramedic_audit_checkpoint_timestamp_seconds") == before


async def test_the_service_sends_checkpoints_and_starts_also_where_the_broker_is_away(
    store_url: str, tmp_path: Path, audited: Audited
) -> None:
    await audited.tell(3, kind="noted")
    await audited.chain()
    await audited.database.close()
    async with noida(tmp_path / "kafka") as broker:
        await create_topic(broker.bootstrap, TOPIC, 1)
        settings = settings_for(store_url).model_copy(
            update={
                "audit": AuditSettings(key_file=audited.key_file, checkpoint_topic=TOPIC),
                "kafka": settings_of(broker),
            }
        )

        async def until(result: str) -> None:
            labels = {"place": "topic", "result": result}
            async with serving(settings) as service, asyncio.timeout(40):
                value = service.metrics.registry.get_sample_value
                while not value("paramedic_audit_checkpoints_total", labels):
                    await asyncio.sleep(0.1)

        await broker.process.kill()
        await until("failed")
        await started_anew(broker)
        await until("kept")
        assert (await consumed(broker, tmp_path / "consumed.jsonl"))[0] >= 3
        code, told = await verified(audited, tmp_path / "consumed.jsonl")
        assert code == 0, told


@pytest.mark.parametrize(
    ("kafka", "published", "said"),
    [
        pytest.param(KafkaSettings(), None, "kafka.bootstrap is not", id="no broker"),
        pytest.param(
            KafkaSettings(bootstrap="k:9092"), TOPIC, "one of its own", id="the steps' topic"
        ),
    ],
)
async def test_a_topic_that_cannot_be_used_is_refused_at_the_start(
    kafka: KafkaSettings, published: str | None, said: str, store_url: str, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(SECRET)
    settings = settings_for(store_url).model_copy(
        update={
            "audit": AuditSettings(key_file=tmp_path / "key", checkpoint_topic=TOPIC),
            "kafka": kafka,
            "publish": PublishSettings(kafka_topic=published),
        }
    )
    with pytest.raises(BadConfig, match=said):
        async with serving(settings):
            pass


def test_checkpoints_without_a_chain_are_refused() -> None:
    with pytest.raises(ValueError, match="checkpoint_topic needs key_file"):
        AuditSettings(checkpoint_topic=TOPIC)
