"""Faults on demand: refused before anything is done, or carried out with the reply lost."""

import asyncio
from typing import Any

import aiohttp
import pytest

from rehearsal.cluster import Cluster, Cut, Fault, carbon_ingestion, too_many_requests
from tests.cluster.recorded import STRATEGIC, exchange, open_session, send

NS = "carbon-ingestion"
SCALE = f"/apis/apps/v1/namespaces/{NS}/deployments/normalization-service/scale"
FIVE = {"spec": {"replicas": 5}}


async def patch(session: aiohttp.ClientSession) -> Any:
    return await send(session, "PATCH", SCALE, body=FIVE, content_type=STRATEGIC)


def replicas(cluster: Cluster) -> Any:
    return cluster.get("deployments", NS, "normalization-service")["spec"]["replicas"]


async def test_too_many_requests_is_text_with_retry_after_and_nothing_is_done() -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        with cluster.inject(too_many_requests("PATCH")) as fault:
            answer = await patch(session)
        recorded = exchange("12b", "patch-429")["response"]
        assert (answer.status, answer.body) == (recorded["status"], recorded["body"])
        assert answer.content_type == "text/plain; charset=utf-8"
        assert answer.headers["Retry-After"] == "1"
        assert (fault.hits, replicas(cluster)) == (1, 3)
        assert (await patch(session)).status == 200


@pytest.mark.parametrize(("after_commit", "kept"), [(False, 3), (True, 5)])
async def test_a_reset_loses_the_reply_and_after_commit_the_write_is_done(
    after_commit: bool, kept: int
) -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        with (
            cluster.inject(Fault("PATCH", ".*/scale", cut=Cut.RESET, after_commit=after_commit)),
            pytest.raises(aiohttp.ClientConnectionError),
        ):
            await patch(session)
        assert replicas(cluster) == kept
        assert cluster.requests[-1].status == 0


@pytest.mark.parametrize(("after_commit", "kept"), [(False, 3), (True, 5)])
async def test_a_hanging_server_is_left_by_the_clients_own_deadline(
    after_commit: bool, kept: int
) -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        with (
            cluster.inject(Fault("PATCH", cut=Cut.HANG, after_commit=after_commit)),
            pytest.raises(TimeoutError),
        ):
            async with asyncio.timeout(0.1):
                await patch(session)
        assert replicas(cluster) == kept


async def test_a_truncated_answer_is_no_answer() -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        with (
            cluster.inject(Fault("GET", ".*/pods", cut=Cut.TRUNCATE)),
            pytest.raises(aiohttp.ClientError),
        ):
            await send(session, "GET", f"/api/v1/namespaces/{NS}/pods")


async def test_an_answer_may_be_scripted_in_status_body_and_headers() -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        cluster.inject(Fault(".*", "/readyz", status=500, body="[-]etcd failed\n", times=1))
        cluster.inject(
            Fault(
                "GET",
                ".*/pods",
                status=200,
                body='{"kind":',
                headers={"Content-Type": "application/json"},
                times=1,
            )
        )
        cluster.inject(Fault("GET", ".*/nodes", status=504, body={"kind": "Status"}, times=1))
        assert (await send(session, "GET", "/readyz")).body == "[-]etcd failed\n"
        assert (await send(session, "GET", "/readyz")).body == "ok"
        with pytest.raises(ValueError, match="Expecting value"):
            await send(session, "GET", f"/api/v1/namespaces/{NS}/pods")
        answer = await send(session, "GET", "/api/v1/nodes")
        assert (answer.status, answer.body) == (504, {"kind": "Status"})


async def test_a_scripted_answer_after_commit_hides_a_write_that_was_done() -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        with cluster.inject(Fault("PATCH", status=504, body={"kind": "Status"}, after_commit=True)):
            assert (await patch(session)).status == 504
        assert replicas(cluster) == 5


async def test_a_delay_alone_only_slows_the_true_answer() -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        loop = asyncio.get_running_loop()
        with cluster.inject(Fault("GET", "/version", delay_s=0.05)):
            began = loop.time()
            assert (await send(session, "GET", "/version")).status == 200
            assert loop.time() - began >= 0.05


async def test_a_cluster_with_a_hanging_request_still_ends_at_once() -> None:
    loop = asyncio.get_running_loop()
    async with Cluster() as cluster, open_session(cluster) as session:
        cluster.inject(Fault(cut=Cut.HANG))
        waiting = asyncio.create_task(send(session, "GET", "/version"))
        await asyncio.sleep(0.02)
        began = loop.time()
        await cluster.__aexit__(None, None, None)
        assert loop.time() - began < 1.0
        with pytest.raises(aiohttp.ClientError):
            await waiting


async def test_what_was_asked_is_remembered_up_to_a_bound() -> None:
    async with (
        Cluster(carbon_ingestion(), remembered=2) as cluster,
        open_session(cluster) as session,
    ):
        await send(session, "GET", "/version")
        await send(session, "GET", "/livez")
        await patch(session)
        last = cluster.requests[-1]
        assert len(cluster.requests) == 2
        assert (last.method, last.path, last.body, last.status) == ("PATCH", SCALE, FIVE, 200)
        assert last.headers["Content-Type"] == STRATEGIC


async def test_after_its_end_the_server_refuses_connections() -> None:
    async with Cluster() as cluster, aiohttp.ClientSession() as session:
        await cluster.__aexit__(None, None, None)
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(cluster.url)
