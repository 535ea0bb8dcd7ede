"""Kafka brokers for tests: noida-db (15 ms) and Apache Kafka itself (3 s), and traffic for them."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from rehearsal.servers import free_port, listens
from rehearsal.servers.kafka import NoidaBroker
from rehearsal.servers.kafka import found as noida_found
from rehearsal.servers.process import Process
from rehearsal.servers.records import admin
from rehearsal.servers.records import commit as commit
from rehearsal.servers.records import create_topic as create_topic
from rehearsal.servers.records import produce as produce
from tests.servers import SERVERS, require

JARS = SERVERS / "kafka"
HINT = "run tests/servers/install.sh kafka (needs Java 17 and Maven)"


class Broker(Protocol):
    """What both brokers give."""

    process: Process

    @property
    def bootstrap(self) -> str: ...

    async def start(self) -> "Broker": ...


@asynccontextmanager
async def noida(folder: Path) -> AsyncIterator[NoidaBroker]:
    """A noida-db broker, or a skip."""
    require("noida-db", noida_found(), "pip install 'paramedic[demo]'")
    async with NoidaBroker(folder) as broker:
        yield broker


@asynccontextmanager
async def apache_kafka(
    folder: Path, *, users: Mapping[str, str] | None = None, advertised: int | None = None
) -> AsyncIterator["ApacheKafka"]:
    """One node of Apache Kafka (KRaft), or a skip. With `users` (name -> password)
    clients need SASL PLAIN.

    `advertised` is the port it tells its clients, of a proxy before it.
    """
    java = shutil.which("java")
    require("apache kafka", Path(java) if java and any(JARS.glob("kafka_*.jar")) else None, HINT)
    broker = ApacheKafka(folder, users or {}, advertised)
    try:
        yield await broker.start()
    finally:
        await broker.process.kill()


class ApacheKafka:
    """Broker and controller in one process on loopback ports; groups join without the usual 3 s."""

    def __init__(
        self, folder: Path, users: Mapping[str, str], advertised: int | None = None
    ) -> None:
        self.folder, self.port = folder, free_port()
        self.advertised = advertised or self.port
        folder.mkdir(parents=True, exist_ok=True)
        self.properties = folder / "server.properties"
        self.properties.write_text(self._properties(free_port(), users))
        self._java = [
            "java",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
        ]
        self._java += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{JARS}/*"]
        self.process = Process(
            [*self._java, "kafka.Kafka", str(self.properties)], folder / "kafka.log"
        )

    def _properties(self, controller_port: int, users: Mapping[str, str]) -> str:
        scheme = "SASL_PLAINTEXT" if users else "PLAINTEXT"
        here = f"CLIENT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller_port}"
        # The broker's own connections use the first listener, so it is one of the users itself.
        accounts = " ".join(
            f'user_{name}="{password}"' for name, password in {"broker": "b", **users}.items()
        )
        module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        sasl = f"""
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.client.plain.sasl.jaas.config={module} username="broker" password="b" {accounts};
"""
        return f"""
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners={here}
advertised.listeners={here.replace(str(self.port), str(self.advertised))}
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,CLIENT:{scheme}
log.dirs={self.folder / "data"}
num.partitions=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
{sasl if users else ""}
"""

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> "ApacheKafka":
        if not (self.folder / "data").exists():
            tool = [
                "kafka.tools.StorageTool",
                "format",
                "--standalone",
                "-t",
                "A" * 22,
                "-c",
                str(self.properties),
            ]
            done = await asyncio.to_thread(
                subprocess.run, [*self._java, *tool], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
        await self.process.start(lambda: listens(self.port))
        return self


async def topics(bootstrap: str) -> set[str]:
    async with admin(bootstrap) as client:
        return set(await client.list_topics())


async def records(bootstrap: str, topic: str) -> list[tuple[str, dict[str, str]]]:
    """Key and headers of every record, partition by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        places = [TopicPartition(topic, p) for p in await partitions_of(consumer, topic)]
        consumer.assign(places)
        found = []
        for place, end in (await consumer.end_offsets(places)).items():
            consumer.seek(place, 0)
            while await consumer.position(place) < end:
                record = await consumer.getone(place)
                headers = {name: value.decode() for name, value in record.headers}
                found.append(((record.key or b"").decode(), headers))
        return found
    finally:
        await consumer.stop()


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    consumer._client.add_topic(topic)
    await consumer._client.force_metadata_update()
    return sorted(consumer.partitions_for_topic(topic) or ())


@asynccontextmanager
async def consuming(bootstrap: str, group: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A live member of the group that has all partitions of the topic."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
