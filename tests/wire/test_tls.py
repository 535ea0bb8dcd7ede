"""TLS to Kafka, ClickHouse and Kubernetes: the configured CA is trusted, and no other."""

import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trustme

from rehearsal.servers import free_port
from service.clients.clickhouse import ClickHouseClient
from service.clients.kafka import KafkaClient
from service.clients.kubernetes import KubernetesReader
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason
from service.settings import ClickHouseSettings, KafkaSettings, KubernetesSettings
from tests.servers import clickhouse, kafka
from tests.servers.faults import FaultyProxy, scripted
from tests.wire.test_kubernetes import PATH, kubeconfig

Ask = Callable[[Path], Awaitable[object]]  # with the CA of a file
Backend = Callable[[Path, ssl.SSLContext], AbstractAsyncContextManager[Ask]]


@asynccontextmanager
async def _kafka(folder: Path, tls: ssl.SSLContext) -> AsyncIterator[Ask]:
    port = free_port()
    async with (
        kafka.apache_kafka(folder, advertised=port) as broker,
        FaultyProxy(broker.port, port=port, tls=tls) as proxy,
    ):

        async def ask(ca: Path) -> object:
            at = KafkaSettings(
                bootstrap=f"127.0.0.1:{proxy.port}", security_protocol="SSL", ca_file=ca
            )
            async with KafkaClient(at) as client:
                return await client.group("g", deadline=Deadline.after(20.0))

        yield ask


@asynccontextmanager
async def _clickhouse(folder: Path, tls: ssl.SSLContext) -> AsyncIterator[Ask]:
    async with clickhouse.modern(folder) as server, FaultyProxy(server.port, tls=tls) as proxy:

        async def ask(ca: Path) -> object:
            at = ClickHouseSettings(host="127.0.0.1", port=proxy.port, secure=True, ca_file=ca)
            async with ClickHouseClient(at) as client:
                return await client.query("SELECT 1", deadline=Deadline.after(5.0))

        yield ask


@asynccontextmanager
async def _kubernetes(folder: Path, tls: ssl.SSLContext) -> AsyncIterator[Ask]:
    async with scripted() as api, FaultyProxy(api.port, tls=tls) as proxy:

        async def ask(ca: Path) -> object:
            file = kubeconfig(folder, f"https://127.0.0.1:{proxy.port}")
            config = json.loads(file.read_text())
            data = base64.b64encode(ca.read_bytes()).decode()
            config["clusters"][0]["cluster"]["certificate-authority-data"] = data
            file.write_text(json.dumps(config))
            async with KubernetesReader(KubernetesSettings(kubeconfig=file)) as client:
                return await client.get(PATH, deadline=Deadline.after(5.0))

        yield ask


@pytest.mark.parametrize(
    "backend", [_kafka, _clickhouse, _kubernetes], ids=["kafka", "clickhouse", "kubernetes"]
)
async def test_a_server_of_the_configured_ca_is_trusted_and_of_another_is_unreachable(
    tmp_path: Path, backend: Backend
) -> None:
    ours, other = trustme.CA(), trustme.CA()
    for name, ca in (("ours.pem", ours), ("other.pem", other)):
        ca.cert_pem.write_to_path(tmp_path / name)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.issue_cert("127.0.0.1").configure_cert(tls)
    async with backend(tmp_path, tls) as ask:
        assert await ask(tmp_path / "ours.pem") is not None
        with pytest.raises(Unavailable) as unavailable:
            await ask(tmp_path / "other.pem")
        assert unavailable.value.reason is Reason.UNREACHABLE
