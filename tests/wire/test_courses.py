"""The two sagas with their real hands: an emulated cluster,
and a ClickHouse that loses and restores its data.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rehearsal.cluster import Cluster, Delays, carbon_ingestion
from service import backends
from service.act import KINDS
from service.act.executor import Executor
from service.act.kind import Writers
from service.clients.clickhouse import ClickHouseClient
from service.clients.clickhouse_write import ClickHouseWriter
from service.clients.kubernetes import KubernetesReader
from service.clients.kubernetes_write import KubernetesWriter
from service.diagnose import CHAPTERS
from service.diagnose.probes.settled import settled
from service.diagnose.sources import Sources
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.course import CourseState, CourseStep, Settles
from service.model.evidence import Evidence, Reading
from service.model.incident import Incident
from service.model.objects import Survey, Write
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import ClickHouseSettings, KubernetesSettings, Settings
from service.store.courses import Asked, Courses
from tests.path.stage import OUTAGE_LABELS, SERVICES
from tests.path.test_courses import PLAYBOOK as OUTAGE
from tests.path.test_recovery import CLICKHOUSE, LABELS, PLAYBOOK, wish
from tests.path.world import Platform, World
from tests.servers import clickhouse as servers
from tests.unit.made import NAMESPACE, item
from tests.wire.staged import at_once

NORMALIZATION = Target(TargetKind.DEPLOYMENT, NAMESPACE, SERVICES[0])


@dataclass
class Real(World):
    """A world that looks and acts through the real clients."""

    sources: Sources | None = None
    look: Any = None  # backends.diagnosing

    async def diagnose(self, playbook: Playbook, incident: Incident) -> Evidence:
        evidence: Evidence = await self.look(playbook, incident)
        return evidence

    async def survey(self, writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        assert self.sources is not None
        return await backends.surveying(self.sources, self.clock)(writes)

    async def has_settled(self, step: CourseStep) -> Reading[bool]:
        assert self.sources is not None
        await asyncio.sleep(0.02)  # the emulated controllers run in real time
        return await backends.settling(self.sources, self.clock)(step)


@asynccontextmanager
async def answering(stack: AsyncExitStack) -> AsyncIterator[Mapping[str, str]]:
    """Health endpoints of the services."""

    async def well(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    application = web.Application()
    application.add_routes([web.get("/health", well)])
    server = TestServer(application)
    await server.start_server()
    stack.push_async_callback(server.close)
    yield {name: str(server.make_url("/health")) for name in SERVICES}


@asynccontextmanager
async def real(
    store_url: str, clock: VirtualClock, folder: Path, playbook: Playbook, *,
    database_port: int | None = None, **params: Any,
) -> AsyncIterator[tuple[Real, Cluster]]:  # fmt: skip
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0))
        )
        await cluster.settled()
        urls = await stack.enter_async_context(answering(stack))
        access = KubernetesSettings(kubeconfig=cluster.kubeconfig(folder / "kubeconfig"))
        reader = await stack.enter_async_context(KubernetesReader(access))
        writer = await stack.enter_async_context(KubernetesWriter(access))
        clickhouse = acting = None
        if database_port is not None:
            where = ClickHouseSettings(host="127.0.0.1", port=database_port)
            clickhouse = await stack.enter_async_context(ClickHouseClient(where))
            acting = await stack.enter_async_context(ClickHouseWriter(where))
        sources = Sources(kubernetes=reader, clickhouse=clickhouse)
        filled = {**playbook.params, "endpoints": urls, **params}
        made = Real(
            store_url, clock, Platform(), playbooks=(replace(playbook, params=filled),),
            executor=Executor.of(KINDS, Writers(clock, writer, acting)), sources=sources,
        )  # fmt: skip
        await made.start()
        stack.push_async_callback(made.stop)
        made.look = backends.diagnosing(CHAPTERS, sources, Settings(), made.metrics, clock)
        yield made, cluster


async def until(made: World, over: Callable[[CourseState], bool]) -> Any:
    for _ in range(600):
        course = (await made.only()).course
        if course is not None and over(course.state):
            return course
        await made.step_when_due()
        await asyncio.sleep(0.005)
    raise AssertionError(await made.told())


async def test_three_services_without_a_ready_pod_are_restarted_one_after_the_other(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with real(store_url, clock, tmp_path, OUTAGE) as (made, cluster):
        assert made.sources is not None
        assert made.sources.kubernetes is not None
        pods = await made.sources.kubernetes.list(
            f"/api/v1/namespaces/{NAMESPACE}/pods", deadline=Deadline.after(5.0)
        )
        for name in (pod["metadata"]["name"] for pod in pods):
            if name.startswith(SERVICES):  # what a restart mends: new pods are ready
                cluster.set_ready(NAMESPACE, name, ready=False)
        await cluster.settled()
        await made.deliver(item("outage", labels=OUTAGE_LABELS))
        course = await until(made, lambda state: state.ended)
        assert course.state is CourseState.DONE, course.detail
        patched = [r.path.rpartition("/")[2] for r in cluster.requests if r.method == "PATCH"]
        assert patched == list(SERVICES)


@pytest.mark.parametrize("wanted", [0, 3])
async def test_a_workload_has_settled_when_it_has_exactly_the_pods_that_are_wanted(
    tmp_path: Path, wanted: int
) -> None:
    async with Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0)) as cluster:
        await cluster.settled()
        access = KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"))
        async with KubernetesWriter(access) as writer:

            async def is_settled() -> bool:
                deadline = Deadline.after(5.0)
                return await settled(writer, NORMALIZATION, Settles.SCALED, deadline=deadline)

            assert await is_settled()
            cluster.stop_controllers()
            path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NORMALIZATION.name}/scale"
            await writer.patch(
                path, {"spec": {"replicas": 5 if wanted else 0}},
                content_type="application/merge-patch+json",
                action_id="a", confirm=at_once, deadline=Deadline.after(5.0),
            )  # fmt: skip
            assert not await is_settled()
            cluster.resume_controllers()
            await cluster.settled()
            assert await is_settled()


async def test_a_platform_comes_back_with_its_data_and_its_counts(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    (tmp_path / "backups").mkdir()
    async with (
        servers.modern(tmp_path, disks={"backups": tmp_path / "backups"}) as server,
        real(
            store_url, clock, tmp_path, PLAYBOOK, database_port=server.port, database="carbon"
        ) as (made, cluster),
    ):
        where = ClickHouseSettings(host="127.0.0.1", port=server.port)
        async with ClickHouseWriter(where) as database:

            async def sql(text: str) -> Any:
                deadline = Deadline.after(15.0)
                if text.startswith("SELECT"):
                    return await database.query(text, deadline=deadline)
                return await database.execute(text, confirm=at_once, deadline=deadline)

            await sql("CREATE DATABASE carbon")
            await sql("CREATE TABLE carbon.trades (n UInt64) ENGINE = MergeTree ORDER BY n")
            await sql("INSERT INTO carbon.trades SELECT number FROM numbers(1000)")
            await sql("BACKUP DATABASE carbon TO Disk('backups', 'carbon-1')")
            await sql("DROP DATABASE carbon SYNC")
            before = [
                cluster.get("deployments", NAMESPACE, s)["spec"]["replicas"] for s in SERVICES
            ]
            courses = Courses(made.database)
            await courses.ask(Asked(PLAYBOOK.name, CLICKHOUSE, LABELS, "a wish"), wish(clock))
            while not (found := await courses.get("saga-1")) or not found.course.steps:
                await made.step_when_due()
            await courses.approve("saga-1", "ben", clock.now())
            course = await until(made, lambda state: state.ended)
            assert course.state is CourseState.DONE, (course.reason, course.detail)
            (row,) = await sql("SELECT count() AS n FROM carbon.trades")
            assert row["n"] == 1000
            after = [cluster.get("deployments", NAMESPACE, s)["spec"]["replicas"] for s in SERVICES]
            assert after == before == [3, 2, 2]
            scaled = [r.path.split("/")[-2] for r in cluster.requests if r.method == "PATCH"]
            assert scaled == [*reversed(SERVICES), *SERVICES]


async def test_what_an_autoscaler_would_put_back_is_found_before_anything_is_stopped(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    (tmp_path / "backups").mkdir()
    async with (
        servers.modern(tmp_path, disks={"backups": tmp_path / "backups"}) as server,
        real(
            store_url, clock, tmp_path, PLAYBOOK, database_port=server.port, database="carbon"
        ) as (made, cluster),
    ):
        where = ClickHouseSettings(host="127.0.0.1", port=server.port)
        async with ClickHouseWriter(where) as database:
            for text in (
                "CREATE DATABASE carbon",
                "CREATE TABLE carbon.trades (n UInt64) ENGINE = MergeTree ORDER BY n",
                "INSERT INTO carbon.trades SELECT number FROM numbers(10)",
                "BACKUP DATABASE carbon TO Disk('backups', 'carbon-1')",
                "DROP DATABASE carbon SYNC",
            ):
                await database.execute(text, confirm=at_once, deadline=Deadline.after(15.0))
        reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": SERVICES[0]}
        cluster.seed([{
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "normalization", "namespace": NAMESPACE},
            "spec": {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 5},
        }])  # fmt: skip
        courses = Courses(made.database)
        await courses.ask(Asked(PLAYBOOK.name, CLICKHOUSE, LABELS, "a wish"), wish(clock))
        while not (found := await courses.get("saga-1")) or not found.course.steps:
            await made.step_when_due()
        await courses.approve("saga-1", "ben", clock.now())
        course = await until(made, lambda state: state.ended)
        assert (course.state, course.reason) == (CourseState.FAILED, Reason.OWNED_ELSEWHERE)
        assert not [r for r in cluster.requests if r.method == "PATCH"]
