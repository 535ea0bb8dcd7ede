"""The platform under load: broker, database, cluster, traffic,
and the exporter that Prometheus would scrape.

Every wire is real; the cluster is an emulator that says so.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from asynch.connection import Connection
from asynch.errors import ServerException
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.aiohttp import make_aiohttp_handler

from rehearsal.cluster import Cluster, Delays, Object, carbon_ingestion
from rehearsal.servers import clickhouse as clickhouse_server
from rehearsal.servers.clickhouse import ClickHouseServer
from rehearsal.servers.kafka import NoidaBroker
from rehearsal.traffic import Consumers, Load, Producer
from service.kit.tasks import running

NAMESPACE = "carbon-ingestion"
WORKLOAD = "normalization-service"

RUNAWAY = (
    "SELECT sleepEachRow(1) FROM numbers(3600) "
    "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
)

log = structlog.get_logger(__name__)


class LagWatch:
    """Lag as an exporter reads it, by aiokafka's public calls:
    an eye of its own beside Paramedic's.
    """

    def __init__(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, load: Load) -> None:
        self._admin, self._consumer, self._load = admin, consumer, load
        self._partitions = [TopicPartition(load.topic, n) for n in range(load.partitions)]

    async def lag(self) -> dict[int, int]:
        """Messages by partition; -1 where nothing was committed yet, as kafka_exporter has it."""
        committed = await self._admin.list_consumer_group_offsets(
            self._load.group, partitions=self._partitions
        )
        ends = await self._consumer.end_offsets(self._partitions)
        lag: dict[int, int] = {}
        for partition in self._partitions:
            offset = committed[partition].offset if partition in committed else -1
            lag[partition.partition] = max(0, ends[partition] - offset) if offset >= 0 else -1
        return lag


class Meter:
    """What the metrics server would say: the consumers' measured share of their
    time, as CPU of one core.
    """

    def __init__(self, consumers: Consumers) -> None:
        self._consumers = consumers

    def of_pod(self, pod: Object) -> dict[str, dict[str, str]] | None:
        share = self._consumers.busy_share(pod["metadata"]["name"])
        if share is None:
            return None
        own_bytes = (
            int(Path("/proc/self/statm").read_text().split()[1])
            * 4096
            // max(1, self._consumers.count)
        )
        used = {"cpu": f"{share * 1000:.0f}m", "memory": f"{own_bytes // 2**20}Mi"}
        return {container["name"]: used for container in pod["spec"]["containers"][:1]}

    def of_node(self, node: Object) -> dict[str, str] | None:
        free = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        used_kib = int(free["MemTotal"].split()[0]) - int(free["MemAvailable"].split()[0])
        return {"cpu": f"{os.getloadavg()[0] * 1000:.0f}m", "memory": f"{used_kib}Ki"}


@dataclass(slots=True)
class Platform:
    """What runs, and where."""

    bootstrap: str
    cluster: Cluster
    kubeconfig: Path
    clickhouse: ClickHouseServer | None
    consumers: Consumers
    producer: Producer
    watch: LagWatch
    load: Load
    why_no_clickhouse: str = ""
    exporter: str = ""  # host:port

    async def lag_total(self) -> int:
        return sum(n for n in (await self.watch.lag()).values() if n > 0)

    def replicas(self) -> int:
        """What the Deployment's spec says now."""
        return int(self.cluster.get("deployments", NAMESPACE, WORKLOAD)["spec"]["replicas"])


@asynccontextmanager
async def platform(
    folder: Path, load: Load | None = None, *, bootstrap: str | None = None, database: bool = True
) -> AsyncIterator[Platform]:
    """Starts everything below `folder`. `bootstrap` names a broker that runs already,
    instead of one of its own.
    """
    load = load or Load()
    async with AsyncExitStack() as stack:
        own = bootstrap is None
        if bootstrap is None:
            broker = await stack.enter_async_context(NoidaBroker(folder / "kafka"))
            bootstrap = broker.bootstrap
        clickhouse, why_not = (
            await _database(folder / "clickhouse", stack) if database else (None, "not wanted")
        )
        watch = await _watch(bootstrap, load, stack)
        consumers = Consumers(bootstrap, load, WORKLOAD, all_anew=own)
        _ = await stack.enter_async_context(running("consumers", consumers.run(), _ended))
        cluster = await stack.enter_async_context(
            Cluster(
                objects=carbon_ingestion(),
                kubelet=consumers,
                usage=Meter(consumers),
                delays=Delays(start_s=0.3, ready_s=0.3),
            )
        )
        kubeconfig = folder / "kubeconfig"
        cluster.kubeconfig(kubeconfig)
        producer = Producer(bootstrap, load)
        _ = await stack.enter_async_context(running("producer", producer.run(), _ended))
        world = Platform(
            bootstrap, cluster, kubeconfig, clickhouse, consumers, producer, watch, load, why_not
        )
        world.exporter = await _exporter(world, stack)
        yield world


async def _database(folder: Path, stack: AsyncExitStack) -> tuple[ClickHouseServer | None, str]:
    if clickhouse_server.found() is None:
        return None, "chDB is not installed (npm was missing or could not fetch it)"
    try:
        server = await ClickHouseServer(folder).start()
    except (RuntimeError, OSError) as error:
        return None, str(error)
    stack.push_async_callback(server.stop)
    return server, ""


async def _watch(bootstrap: str, load: Load, stack: AsyncExitStack) -> LagWatch:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    await admin.start()
    stack.push_async_callback(admin.close)
    await admin.create_topics(
        [NewTopic(load.topic, num_partitions=load.partitions, replication_factor=1)]
    )
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
    await consumer.start()
    stack.push_async_callback(consumer.stop)
    return LagWatch(admin, consumer, load)


async def _exporter(world: Platform, stack: AsyncExitStack) -> str:
    """`/kafka` with the names of kafka_exporter, read at each scrape;
    `/services` with the services' own.
    """
    registry = CollectorRegistry()
    lag = Gauge(
        "kafka_consumergroup_lag", "Lag of a consumer group.", ["consumergroup", "topic", "partition"],
        registry=registry,
    )  # fmt: skip
    members = Gauge(
        "kafka_consumergroup_members",
        "Members of a consumer group.",
        ["consumergroup"],
        registry=registry,
    )
    scrape = make_aiohttp_handler(registry)

    async def kafka(request: web.Request) -> web.StreamResponse:
        for partition, messages in (await world.watch.lag()).items():
            lag.labels(world.load.group, world.load.topic, str(partition)).set(messages)
        members.labels(world.load.group).set(world.consumers.count)
        return await scrape(request)

    app = web.Application()
    services = make_aiohttp_handler(world.consumers.registry)
    app.add_routes([web.get("/kafka", kafka), web.get("/services", services)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"127.0.0.1:{runner.addresses[0][1]}"


async def run_away(port: int) -> str:
    """A report that somebody forgot: a query that runs until it is killed.
    Gives what the server then said.
    """
    connection = Connection(host="127.0.0.1", port=port, user="default", send_receive_timeout=3600)
    try:
        await connection.connect()
        async with connection.cursor() as cursor:
            cursor.set_query_id("forgotten-report")
            await cursor.execute(RUNAWAY)
    except ServerException as error:
        return f"code {error.code}, the query was killed"
    finally:
        await connection.close()
    return "the query has ended"


def _ended(name: str, error: BaseException | None) -> None:
    log.error("a part of the rehearsal ended", part=name, error=repr(error))
