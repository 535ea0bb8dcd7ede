"""The client of the Schema Registry and its probe: on a real Apicurio, and on scripted answers."""

import time
from pathlib import Path

import pytest
from aiohttp import web

from service.clients.schema_registry import SchemaRegistryClient
from service.diagnose.probes.schema_registry import schema_registry
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, Refused, Unavailable
from service.model.reasons import Reason
from service.settings import SchemaRegistrySettings
from tests.servers.faults import Asked, Fault, FaultyProxy, scripted
from tests.servers.schema_registry import apicurio


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


def client(url: str, **settings: object) -> SchemaRegistryClient:
    return SchemaRegistryClient(SchemaRegistrySettings.model_validate({"url": url, **settings}))


def record(*fields: str) -> str:
    told = ",".join(f'{{"name":"{f}","type":["null","string"],"default":null}}' for f in fields)
    return f'{{"type":"record","name":"Trade","fields":[{told}]}}'


async def test_subjects_versions_and_compatibility_of_a_real_registry(tmp_path: Path) -> None:
    async with apicurio(tmp_path) as registry, client(registry.url) as asked:
        empty = await schema_registry(asked, ["trades-value"], deadline=soon())
        await registry.register("trades-value", record("id"))
        await registry.register("trades-value", record("id", "price"))
        await registry.register("prices value", record("id"))
        await registry.configure("trades-value", "BACKWARD")
        seen = await schema_registry(
            asked, ["trades-value", "prices value", "gone"], deadline=soon()
        )
        with pytest.raises(Refused) as refused:
            await asked.versions("gone", deadline=soon())
        await registry.process.kill()
        down = await schema_registry(asked, ["trades-value"], deadline=soon())
    assert (empty.answers, empty.subjects, empty.missing) == (True, 0, ("trades-value",))
    assert (seen.subjects, seen.missing, seen.several) == (2, ("gone",), ("trades-value",))
    assert seen.compatibility == "NONE"
    trades, prices = seen.named
    assert (trades.versions, trades.latest, trades.compatibility) == (2, 2, "BACKWARD")
    assert (prices.versions, prices.compatibility) == (1, "NONE")
    assert seen.unchecked == ("prices value",)
    assert seen.latency_s is not None
    assert refused.value.reason is Reason.NOT_FOUND
    assert (down.answers, down.latency_s, down.subjects) == (False, None, None)
    assert down.problem


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        pytest.param(200, "<html>", Reason.WRONG_ANSWER, id="no JSON"),
        pytest.param(200, "{}", Reason.WRONG_ANSWER, id="no list"),
        pytest.param(200, "[1]", Reason.WRONG_ANSWER, id="no names"),
        pytest.param(302, "", Reason.WRONG_ANSWER, id="a login page"),
        pytest.param(500, '{"error_code":50001}', Reason.SERVER_ERROR, id="its store is away"),
        pytest.param(429, "", Reason.THROTTLED, id="throttled"),
    ],
)
async def test_what_is_no_answer_is_unavailable_and_a_registry_that_is_ill(
    status: int, body: str, reason: Reason
) -> None:
    async with scripted() as server, client(server.url) as asked:
        server.answer = lambda _: web.Response(status=status, text=body)
        with pytest.raises(Unavailable) as unavailable:
            await asked.subjects(deadline=soon())
        seen = await schema_registry(asked, [], deadline=soon())
    assert unavailable.value.reason is reason
    assert not seen.answers


async def test_a_registry_that_refuses_us_is_not_down() -> None:
    async with scripted() as server, client(server.url) as asked:
        server.answer = lambda _: web.Response(status=401, text="{}")
        with pytest.raises(Refused) as refused:
            await schema_registry(asked, [], deadline=soon())
    assert refused.value.reason is Reason.UNAUTHORIZED


async def test_credentials_are_sent_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    seen: list[str] = []

    def answer(asked: Asked) -> web.Response:
        seen.append(asked.headers.get("Authorization", ""))
        return web.json_response([])

    async with scripted() as server:
        server.answer = answer
        url = server.url.replace("://", "://ann:inurl@")
        settings = {"user": "ann", "password_file": tmp_path / "password"}
        async with client(url, **settings) as asked:
            assert await asked.subjects(deadline=soon()) == ()
            assert "inurl" not in asked.source
    assert seen == ["Basic YW5uOnMzY3JldA=="]


@pytest.mark.parametrize(
    "fault", [Fault.SILENT, Fault.REFUSE, Fault.RESET, Fault.HANG_UP, Fault.GARBAGE]
)
async def test_a_registry_behind_a_broken_network_is_down_within_the_deadline(fault: Fault) -> None:
    async with FaultyProxy() as proxy, client(f"http://127.0.0.1:{proxy.port}") as asked:
        await proxy.set(fault)
        started = time.monotonic()
        seen = await schema_registry(asked, [], deadline=soon(0.4))
        took_s = time.monotonic() - started
    assert not seen.answers
    assert seen.problem
    assert took_s < 1.5


def test_a_client_needs_an_address() -> None:
    with pytest.raises(BadConfig):
        SchemaRegistryClient(SchemaRegistrySettings())
