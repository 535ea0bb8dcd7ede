"""Apache Kafka as two brokers, of which the second can be ended:
partitions then lack a replica or a leader.
"""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from rehearsal.servers import free_port, listens
from rehearsal.servers.process import Process
from tests.servers.kafka import JARS, ApacheKafka, apache_kafka

_FENCED_S = 2  # without a heartbeat for that long a broker is out of the cluster


class SecondBroker:
    """A broker without a controller, in the cluster of `first`."""

    def __init__(self, folder: Path, first: ApacheKafka) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        text = first.properties.read_text()
        (controllers,) = re.findall(r"controller\.quorum\.bootstrap\.servers=(\S+)", text)
        here = f"CLIENT://127.0.0.1:{self.port}"
        self.properties = folder / "server.properties"
        self.properties.write_text(f"""
process.roles=broker
node.id=2
controller.quorum.bootstrap.servers={controllers}
listeners={here}
advertised.listeners={here}
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT
log.dirs={folder / "data"}
broker.heartbeat.interval.ms=300
""")
        self._java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        self._java += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{JARS}/*"]
        self.process = Process(
            [*self._java, "kafka.Kafka", str(self.properties)], folder / "kafka.log"
        )

    async def start(self) -> "SecondBroker":
        tool = ["kafka.tools.StorageTool", "format", "-t", "A" * 22, "-c", str(self.properties)]
        done = await asyncio.to_thread(
            subprocess.run, [*self._java, *tool], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        await self.process.start(lambda: listens(self.port))
        return self


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[ApacheKafka, SecondBroker]]:
    """Two brokers in one cluster, or a skip. The first is the controller too and stays."""
    async with apache_kafka(folder / "first") as first:
        await first.process.kill()
        quick = f"broker.session.timeout.ms={_FENCED_S * 1000}\nbroker.heartbeat.interval.ms=300\n"
        first.properties.write_text(first.properties.read_text() + quick)
        await first.start()
        second = SecondBroker(folder / "second", first)
        try:
            await second.start()
            yield first, second
        finally:
            await second.process.kill()


async def create(bootstrap: str, topic: str, replicas: dict[int, list[int]]) -> None:
    """A topic whose partitions have these replicas: partition -> ids of brokers, the leader
    first.
    """
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap)  # Any: aiokafka has no types
    described: Any = NewTopic
    try:
        await admin.start()
        new = described(topic, -1, -1, replica_assignments=replicas)
        answer = await admin.create_topics([new])
        assert all(code == 0 for _, code, *_ in answer.topic_errors), answer
    finally:
        await admin.close()
