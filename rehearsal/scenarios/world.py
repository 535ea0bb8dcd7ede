"""The world that a scenario breaks: the cluster, the servers that it wants,
and a stand-in for the rest.

Never here: what breaks.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
import yaml
from asynch.connection import Connection
from asynch.errors import ServerException

from rehearsal.cluster import Cluster, Delays, Object, carbon_ingestion
from rehearsal.hurry import beside, hurry
from rehearsal.platform import NAMESPACE
from rehearsal.served import Nested
from rehearsal.servers import clickhouse as clickhouse_server
from rehearsal.servers.clickhouse import ClickHouseServer
from rehearsal.servers.kafka import NoidaBroker
from rehearsal.standin import StandIn, ready
from service.kit.tasks import running

SHIPPED = Path(__file__).parents[2] / "rules" / "playbooks"
KNOWN_GOOD = SHIPPED.parent / "known-good"

# Servers that a scenario may want beside the cluster.
MACHINE_TOKEN = "rehearsal-token-of-alertmanager"  # noqa: S105 - of this rehearsal
KAFKA, CLICKHOUSE = "kafka", "clickhouse"
BARE_CLICKHOUSE = "clickhouse without a disk for backups"
SMALL_CLICKHOUSE = "clickhouse with little memory"
CLICKHOUSES = frozenset({CLICKHOUSE, BARE_CLICKHOUSE, SMALL_CLICKHOUSE})
SMALL_BYTES = 500_000_000

log = structlog.get_logger(__name__)


class Idle:
    """What the metrics server says of pods that have little to do."""

    def of_pod(self, pod: Object) -> dict[str, dict[str, str]]:
        return {c["name"]: {"cpu": "100m", "memory": "64Mi"} for c in pod["spec"]["containers"]}

    def of_node(self, node: Object) -> dict[str, str]:
        return {"cpu": "1", "memory": "1Gi"}


@dataclass(slots=True)
class World:
    """What runs. `pace_s` is the pause between two readings: a second in the demo, less in
    tests.
    """

    folder: Path
    cluster: Cluster
    standin: StandIn
    pace_s: float
    stack: AsyncExitStack
    kafka: NoidaBroker | None = None
    clickhouse: ClickHouseServer | None = None
    people: dict[str, str] = field(default_factory=dict)  # who may ask and decide, by name: a token

    @property
    def bootstrap(self) -> str:
        """Of the broker. RuntimeError in a scenario that did not ask for one."""
        if self.kafka is None:
            raise RuntimeError("this scenario has no Kafka")
        return self.kafka.bootstrap

    @property
    def database_port(self) -> int:
        """Of ClickHouse. RuntimeError in a scenario that did not ask for one."""
        if self.clickhouse is None:
            raise RuntimeError("this scenario has no ClickHouse")
        return self.clickhouse.port

    def workload(self, name: str) -> Object:
        """`Kind/name` as it is now."""
        kind, _, of = name.partition("/")
        return self.cluster.get(f"{kind.lower()}s", NAMESPACE, of)

    def pods(self, workload: str) -> list[Object]:
        """Of a Deployment or StatefulSet, by its name."""
        found = self.cluster.objects("pods", NAMESPACE)
        label = "app.kubernetes.io/name"
        return [p for p in found if p["metadata"].get("labels", {}).get(label) == workload]

    def waiting(self, workload: str) -> set[str]:
        """Why containers of its pods wait: `CrashLoopBackOff`."""
        return {
            status["state"]["waiting"]["reason"]
            for pod in self.pods(workload)
            for status in pod["status"].get("containerStatuses", ())
            if "waiting" in status["state"]
        }

    def has_ready(self, workload: str) -> bool:
        """Whether one of its pods is ready."""
        return any(ready(pod) for pod in self.pods(workload))

    def restarts(self, workload: str) -> int:
        """Of all containers of its present pods."""
        return sum(
            int(status["restartCount"])
            for pod in self.pods(workload)
            for status in pod["status"].get("containerStatuses", ())
        )

    def seed_known_good(self, *manifests: str) -> None:
        """These manifests of the known-good folder are in the cluster."""
        texts = ((KNOWN_GOOD / f"{name}.yaml").read_text() for name in manifests)
        self.cluster.seed(yaml.safe_load(text) for text in texts)

    async def sql(self, *statements: str) -> None:
        """Runs them one after the other in ClickHouse."""
        for statement in statements:
            await self._execute(statement)

    async def asked(self, query: str) -> int:
        """The one number that a query gives."""
        return int((await self._execute(query))[0][0])

    async def query(self, sql: str, query_id: str) -> None:
        """A query of a person: it runs until it ends or is killed, which is nobody's error here."""
        with suppress(ServerException):
            await self._execute(sql, query_id)

    async def _execute(
        self, statement: str, query_id: str | None = None
    ) -> list[Any]:  # Any: rows of several types
        connection = Connection(
            host="127.0.0.1", port=self.database_port, user="default", send_receive_timeout=3600
        )
        try:
            await connection.connect()
            async with connection.cursor() as cursor:
                if query_id is not None:
                    cursor.set_query_id(query_id)
                await cursor.execute(statement)
                return list(await cursor.fetchall())
        finally:
            await connection.close()

    async def until(self, true: Callable[[], bool], within_s: float = 60.0) -> None:
        """Waits for the world to be as it was broken. RuntimeError when it does not come to
        that.
        """
        try:
            async with asyncio.timeout(within_s):
                while not true():  # noqa: ASYNC110 - the emulator has no event for what a scenario wants
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise RuntimeError("the world did not break as the scenario wants it") from None

    async def beside(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Runs until the world ends. Any: what a coroutine takes."""
        _ = await self.stack.enter_async_context(running(name, work, _ended))

    def settings(self) -> Nested:
        """What `paramedic serve` is told: where all this is, and the shipped playbooks, hurried."""
        folder = self.folder / "rules" / "playbooks"
        elsewhere = self._elsewhere()
        hurry(SHIPPED, folder, pace_s=self.pace_s, elsewhere=elsewhere)
        beside(SHIPPED, folder, elsewhere)
        settings: dict[str, Any] = {  # Any: values of several types
            "mode": "auto",
            "playbooks": folder,
            "known_good": KNOWN_GOOD,
            "store": {"url": f"sqlite:///{self.folder}/paramedic.db"},
            "kubernetes": {"kubeconfig": self.cluster.kubeconfig(self.folder / "kubeconfig")},
            "prometheus": {"url": f"{self.standin.url}/prometheus"},
            "schema_registry": {"url": f"{self.standin.url}/registry"},
            "work": {"recheck_s": 2 * self.pace_s},
            # What breaks the world is a person's edit, and people are left alone for five minutes.
            "guard": {"person_rest_s": self.pace_s},
        }
        if self.people:
            settings["intake"] = self._credentials()
        if self.kafka is not None:
            settings["kafka"] = {"bootstrap": self.kafka.bootstrap}
        if self.clickhouse is not None:
            settings["clickhouse"] = {"host": "127.0.0.1", "port": self.clickhouse.port}
        return settings

    @property
    def headers(self) -> dict[str, str]:
        """What Alertmanager shows, where people have names."""
        return {"Authorization": f"Bearer {MACHINE_TOKEN}"} if self.people else {}

    def _credentials(self) -> dict[str, Any]:
        """The machine's token, and the people with theirs."""
        (self.folder / "machine").write_text(MACHINE_TOKEN)
        named = [
            {"name": name, "roles": ["operate", "approve"], "token": token}
            for name, token in self.people.items()
        ]
        (self.folder / "people.yaml").write_text(yaml.safe_dump({"people": named}))
        return {
            "bearer_file": self.folder / "machine",
            "people_file": self.folder / "people.yaml",
        }

    def _elsewhere(self) -> dict[str, str]:
        """Nothing resolves the names of a cluster here:
        addresses in playbooks become those of the stand-in.
        """
        named = r"'http://' \+ target\.name \+ '\.' \+ target\.namespace \+ '\.svc:'"
        literal = r"http://([a-z-]+)\.\{\{ target\.namespace \}\}\.svc:"
        paths = {
            rf"(?<!//){re.escape(destination)}": f"127.0.0.1:{gate.port}"
            for destination, gate in self.standin.gates.items()
        }
        return {
            named: f"'{self.standin.url}/' + target.name + ':'",
            literal: rf"{self.standin.url}/\1:",
            r"rules/known-good": str(KNOWN_GOOD),
            **paths,
        }


@asynccontextmanager
async def world(
    folder: Path, servers: Collection[str] = (), *, pace_s: float = 1.0
) -> AsyncIterator[World]:
    """Starts everything below `folder`: the platform, healthy.
    RuntimeError where a server is not installed.
    """
    pods_take_s = 0.3 * pace_s
    delays = Delays(0.05 * pace_s, pods_take_s, pods_take_s, pods_take_s, back_off_s=10 * pace_s)
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            Cluster(carbon_ingestion(), delays=delays, usage=Idle())
        )
        standin = await stack.enter_async_context(StandIn(cluster, NAMESPACE))
        made = World(folder, cluster, standin, pace_s, stack)
        if KAFKA in servers:
            made.kafka = await stack.enter_async_context(NoidaBroker(folder / "kafka"))
        for kind in CLICKHOUSES & set(servers):
            made.clickhouse = await _database(folder, stack, kind)
        yield made


async def _database(folder: Path, stack: AsyncExitStack, kind: str) -> ClickHouseServer:
    if clickhouse_server.found() is None:
        raise RuntimeError("this scenario needs ClickHouse, which npm installs; is npm there?")
    disk = folder / "backups"
    disk.mkdir()
    disks = {} if kind == BARE_CLICKHOUSE else {"backups": disk}
    memory = SMALL_BYTES if kind == SMALL_CLICKHOUSE else None
    server = ClickHouseServer(folder / "clickhouse", disks=disks, memory_bytes=memory)
    return await stack.enter_async_context(server)


def _ended(name: str, error: BaseException | None) -> None:
    log.debug("a part of the scenario ended", part=name, error=repr(error))
