"""Topics, records and committed offsets on a broker, for scenarios and tests.

Never here: traffic that goes on (traffic.py).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


@asynccontextmanager
async def admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that manages topics."""
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def create_topic(bootstrap: str, topic: str, partitions: int) -> None:
    """A topic with one replica. RuntimeError when the broker makes none."""
    async with admin(bootstrap) as client:
        answer = await client.create_topics([NewTopic(topic, partitions, 1)])
    if any(code != 0 for _, code, *_ in answer.topic_errors):  # type: ignore[attr-defined]
        raise RuntimeError(f"no topic {topic}: {answer}")


async def produce(bootstrap: str, topic: str, counts: Mapping[int, int]) -> None:
    """Writes `counts` messages, by partition."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for partition, count in counts.items():
            for n in range(count):
                await producer.send(topic, b"%d" % n, partition=partition)


async def commit(bootstrap: str, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
    """Commits for a group that then is stopped."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        where = {TopicPartition(*key): offset for key, offset in offsets.items()}
        consumer.assign(list(where))
        await consumer.commit(where)
    finally:
        await consumer.stop()
