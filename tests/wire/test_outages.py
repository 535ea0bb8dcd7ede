"""Every client under every fault: an Unknown with the right reason by the deadline,
and at work again afterwards.

Each fault is met twice: at the first contact, and by a client whose connections are open.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from rehearsal.servers import free_port
from service.clients.clickhouse import ClickHouseClient
from service.clients.kafka import KafkaClient
from service.clients.kubernetes import KubernetesReader
from service.clients.prometheus import PrometheusClient
from service.diagnose.gather import Probe, gather
from service.kit.clock import SystemClock
from service.kit.deadline import Deadline
from service.model.evidence import Known, Reading, Unknown
from service.model.reasons import Reason
from service.settings import (
    ClickHouseSettings,
    KafkaSettings,
    KubernetesSettings,
    PrometheusSettings,
)
from tests.servers import clickhouse, kafka
from tests.servers.faults import Fault, FaultyProxy, scripted
from tests.wire.test_kubernetes import PATH, kubeconfig

DEADLINE_S = 0.6
SLACK_S = 0.4
FRAME = b"\x00\x00\x00\x04\x7f\xff\xff\xff"  # of Kafka: four bytes, an answer to no request
Ask = Callable[[Deadline], Awaitable[object]]


@dataclass
class Backend:
    """A client whose server stands behind the proxy, and one question to it."""

    proxy: FaultyProxy
    ask: Ask


@asynccontextmanager
async def _kafka(folder: Path) -> AsyncIterator[Backend]:
    proxy = FaultyProxy(garbage=FRAME)
    async with proxy, kafka.noida(folder) as broker:
        proxy.upstream = broker.port
        async with KafkaClient(KafkaSettings(bootstrap=f"127.0.0.1:{proxy.port}")) as client:
            yield Backend(proxy, lambda deadline: client.group("g", deadline=deadline))


@asynccontextmanager
async def _clickhouse(folder: Path) -> AsyncIterator[Backend]:
    async with (
        FaultyProxy(garbage=b"HTTP/1.0 400 Bad Request\r\n\r\n") as proxy,
        clickhouse.modern(folder) as server,
    ):
        proxy.upstream = server.port
        async with ClickHouseClient(
            ClickHouseSettings(host="127.0.0.1", port=proxy.port)
        ) as client:
            yield Backend(proxy, lambda deadline: client.query("SELECT 1", deadline=deadline))


@asynccontextmanager
async def _kubernetes(folder: Path) -> AsyncIterator[Backend]:
    async with scripted() as api, FaultyProxy(api.port, garbage=b"SSH-2.0-x\r\n\r\n") as proxy:
        settings = KubernetesSettings(
            kubeconfig=kubeconfig(folder, f"http://127.0.0.1:{proxy.port}")
        )
        async with KubernetesReader(settings) as client:
            yield Backend(proxy, lambda deadline: client.get(PATH, deadline=deadline))


@asynccontextmanager
async def _prometheus(folder: Path) -> AsyncIterator[Backend]:
    async with scripted() as api, FaultyProxy(api.port, garbage=b"SSH-2.0-x\r\n\r\n") as proxy:
        api.always(200, {"status": "success", "data": {"resultType": "vector", "result": []}})
        async with PrometheusClient(
            PrometheusSettings(url=f"http://127.0.0.1:{proxy.port}")
        ) as client:
            yield Backend(proxy, lambda deadline: client.query("up", deadline=deadline))


BACKENDS = {
    "kafka": _kafka,
    "clickhouse": _clickhouse,
    "kubernetes": _kubernetes,
    "prometheus": _prometheus,
}
REASONS = {
    Fault.REFUSE: Reason.UNREACHABLE,
    Fault.SILENT: Reason.LATE,
    Fault.RESET: Reason.CONNECTION_LOST,
    Fault.HANG_UP: Reason.CONNECTION_LOST,
    Fault.SLOW: Reason.LATE,
    Fault.GARBAGE: Reason.WRONG_ANSWER,
}


async def _reading(ask: Ask, deadline_s: float) -> Reading[object]:
    deadline = Deadline.after(deadline_s)
    probe = Probe("x", lambda: ask(deadline))
    readings = await gather(
        {"x": probe}, deadline=deadline, clock=SystemClock(), observe=lambda *_: None
    )
    return readings["x"]


async def _meets(backend: Backend, fault: Fault) -> None:
    await backend.proxy.set(fault)
    for _ in range(2):
        started = time.monotonic()
        reading = await _reading(backend.ask, DEADLINE_S)
        assert time.monotonic() - started < DEADLINE_S + SLACK_S
        assert isinstance(reading, Unknown)
        assert reading.reason is REASONS[fault], reading
        assert len(reading.detail) < 500
    await backend.proxy.set(Fault.PASS)
    assert isinstance(await _reading(backend.ask, 10.0), Known)


@pytest.mark.parametrize("fault", list(REASONS))
@pytest.mark.parametrize("name", list(BACKENDS))
async def test_a_fault_at_first_contact_is_unknown_by_the_deadline_and_the_client_works_afterwards(
    tmp_path: Path, name: str, fault: Fault
) -> None:
    async with BACKENDS[name](tmp_path) as backend:
        await _meets(backend, fault)


@pytest.mark.parametrize("fault", list(REASONS))
@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "kafka"])
async def test_a_fault_on_an_open_connection_is_unknown_by_the_deadline_and_the_client_works_afterwards(
    tmp_path: Path, name: str, fault: Fault
) -> None:
    async with BACKENDS[name](tmp_path) as backend:
        assert isinstance(await _reading(backend.ask, 10.0), Known)
        await _meets(backend, fault)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def advertised(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[kafka.ApacheKafka]:
    """A broker that sends its clients through a proxy: the one of noida-db cannot."""
    folder = tmp_path_factory.mktemp("kafka")
    async with kafka.apache_kafka(folder, advertised=free_port()) as broker:
        yield broker


@pytest.mark.parametrize("fault", list(REASONS))
async def test_a_fault_on_an_open_kafka_connection_is_unknown_by_the_deadline_and_the_client_works_afterwards(
    advertised: kafka.ApacheKafka, fault: Fault
) -> None:
    proxy = FaultyProxy(advertised.port, port=advertised.advertised, garbage=FRAME)
    async with proxy, KafkaClient(KafkaSettings(bootstrap=f"127.0.0.1:{proxy.port}")) as client:
        backend = Backend(proxy, lambda deadline: client.group("g", deadline=deadline))
        assert isinstance(await _reading(backend.ask, 20.0), Known)
        await _meets(backend, fault)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.INVALID_REQUEST),
        (401, Reason.UNAUTHORIZED),
        (403, Reason.FORBIDDEN),
        (404, Reason.NOT_FOUND),
        (422, Reason.INVALID_REQUEST),
        (429, Reason.THROTTLED),
        (500, Reason.SERVER_ERROR),
        (502, Reason.SERVER_ERROR),
        (503, Reason.SERVER_ERROR),
    ],
)
async def test_each_status_of_prometheus_has_its_reason(status: int, reason: Reason) -> None:
    async with scripted() as api, PrometheusClient(PrometheusSettings(url=api.url)) as client:
        for body in ("plain text of a proxy", {"status": "error", "errorType": "x", "error": "y"}):
            api.always(status, body)
            reading = await _reading(
                lambda deadline: client.query("up", deadline=deadline), DEADLINE_S
            )
            assert isinstance(reading, Unknown)
            assert reading.reason is reason
        api.always(200, {"status": "success", "data": {"resultType": "vector", "result": []}})
        assert isinstance(
            await _reading(lambda d: client.query("up", deadline=d), DEADLINE_S), Known
        )


@pytest.mark.parametrize("name", ["kafka", "clickhouse", "kubernetes", "prometheus"])
async def test_a_host_name_that_does_not_exist_is_unreachable(tmp_path: Path, name: str) -> None:
    host = "nowhere.invalid"
    at = KubernetesSettings(kubeconfig=kubeconfig(tmp_path, f"http://{host}:6443"))
    async with (
        KafkaClient(KafkaSettings(bootstrap=f"{host}:9092")) as broker,
        ClickHouseClient(ClickHouseSettings(host=host)) as database,
        KubernetesReader(at) as cluster,
        PrometheusClient(PrometheusSettings(url=f"http://{host}:9090")) as prometheus,
    ):
        asks: dict[str, Ask] = {
            "kafka": lambda deadline: broker.group("g", deadline=deadline),
            "clickhouse": lambda deadline: database.query("SELECT 1", deadline=deadline),
            "kubernetes": lambda deadline: cluster.get(PATH, deadline=deadline),
            "prometheus": lambda deadline: prometheus.query("up", deadline=deadline),
        }
        reading = await _reading(asks[name], 5.0)
        assert isinstance(reading, Unknown)
        assert reading.reason is Reason.UNREACHABLE
