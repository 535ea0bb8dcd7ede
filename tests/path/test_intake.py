"""The door over HTTP: accepted means committed, and every other answer is the one that Alertmanager needs."""

import asyncio
import base64
import io
import json
import signal
import sqlite3
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from service.app import Service, serving
from service.intake.http import PATH
from service.model.action import Mode
from service.settings import GuardSettings, IntakeSettings, Settings, StoreSettings
from tests.unit.made import BODIES, LABELS, PLAYBOOKS, body, item

ENDED = "2026-01-01T00:05:00Z"

pytestmark = pytest.mark.only_on("sqlite")  # it looks into the file itself


@asynccontextmanager
async def opened(
    store_url: str, **intake: Any
) -> AsyncIterator[tuple[Service, aiohttp.ClientSession]]:
    """A running service and a session whose base is its address."""
    settings = Settings(
        store=StoreSettings(url=store_url), intake=IntakeSettings(port=0, **intake), playbooks=PLAYBOOKS,
        mode=Mode.OBSERVE, guard=GuardSettings(namespaces=("carbon-ingestion", "payments")),
    )  # fmt: skip
    async with serving(settings) as service, aiohttp.ClientSession(service.url) as session:
        yield service, session


async def posted(
    session: aiohttp.ClientSession, *items: dict[str, Any], **more: Any
) -> tuple[int, dict[str, Any]]:
    """Status and answer of a webhook."""
    raw = io.BytesIO(json.dumps(body(items)).encode())
    async with session.post(PATH, data=raw, **more) as answer:
        return answer.status, await answer.json()


async def asked(session: aiohttp.ClientSession, path: str, **more: Any) -> Any:
    async with session.get(path, **more) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def until(holds: Callable[[], Any], what: str) -> None:
    """Polls for something that happens after the answer, at most ten seconds."""
    async with asyncio.timeout(10):
        while not (found := holds()):
            await asyncio.sleep(0.01)
    assert found, what


async def sorted_out(service: Service) -> None:
    await until(lambda: service.inbox.waiting == 0, "every letter is sorted")


def rows(store_url: str, query: str) -> list[tuple[Any, ...]]:
    """Reads the store as somebody else would."""
    with sqlite3.connect(store_url.removeprefix("sqlite:///")) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


# ---------------------------------------------------------------------- accepted


async def test_what_is_answered_with_200_is_in_the_store(store_url: str) -> None:
    async with opened(store_url) as (_, session):
        status, told = await posted(session, item())
        assert (status, told["status"], told["reason"]) == (200, "accepted", "accepted")
        assert rows(store_url, "SELECT count(*) FROM inbox") == [(1,)]


@pytest.mark.parametrize(
    "name", sorted(p.name for p in BODIES.glob("*.json") if "headers" not in p.name)
)
async def test_every_recorded_body_is_accepted_and_sorted(store_url: str, name: str) -> None:
    raw = (BODIES / name).read_bytes()
    async with opened(store_url) as (service, session):
        async with session.post(PATH, data=raw) as answer:
            assert answer.status == 200
            assert (await answer.json())["status"] == "accepted"
        await sorted_out(service)
        told = {a["fingerprint"]: a["status"] for a in json.loads(raw)["alerts"]}
        assert dict(rows(store_url, "SELECT fingerprint, status FROM episodes")) == told


async def test_a_kill_right_after_the_answer_loses_nothing(store_url: str, tmp_path: Path) -> None:
    env = {
        "PATH": "", "PARAMEDIC_STORE__URL": store_url, "PARAMEDIC_INTAKE__PORT": "0", "PARAMEDIC_LOG_FORMAT": "json",
        "PARAMEDIC_PLAYBOOKS": str(PLAYBOOKS),
    }  # fmt: skip
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "serve", env=env, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert child.stderr is not None
        async with asyncio.timeout(30):
            line = b""
            while b'"ready"' not in line:
                line = await child.stderr.readline()
                assert line, "the service ended before it was ready"
        async with aiohttp.ClientSession(json.loads(line)["url"]) as session:
            answers = await asyncio.gather(*(posted(session, item(f"f{n}")) for n in range(60)))
        assert {status for status, _ in answers} == {200}
    finally:
        child.send_signal(signal.SIGKILL)
        await child.communicate()
    async with opened(store_url) as (service, session):
        await sorted_out(service)
        (incident,) = await asked(session, "/api/v1/incidents")
        record = await asked(session, f"/api/v1/incidents/{incident['id']}")
        assert {a["fingerprint"] for a in record["alerts"]} == {f"f{n}" for n in range(60)}
        assert {a["deliveries"] for a in record["alerts"]} == {1}


async def test_duplicates_only_raise_a_counter(store_url: str) -> None:
    async with opened(store_url) as (service, session):
        for _ in range(3):
            await posted(session, item())
        await asyncio.gather(
            *(posted(session, item(), item("f2")) for _ in range(4))
        )  # the HA peer, at once
        await sorted_out(service)
        (incident,) = await asked(session, "/api/v1/incidents")
        record = await asked(session, f"/api/v1/incidents/{incident['id']}")
        assert {a["fingerprint"]: a["deliveries"] for a in record["alerts"]} == {"f1": 7, "f2": 4}


async def test_several_alerts_about_one_target_are_one_incident(store_url: str) -> None:
    async with opened(store_url) as (service, session):
        await posted(
            session, *(item(f"f{n}", labels={**LABELS, "pod": f"p{n}"}) for n in range(20))
        )
        await posted(session, item("x", labels={**LABELS, "workload": "enrichment-service"}))
        await sorted_out(service)
        assert len(await asked(session, "/api/v1/incidents")) == 2


async def test_what_resolves_closes_its_incident(store_url: str) -> None:
    async with opened(store_url) as (service, session):
        await posted(session, item())
        await posted(session, item(status="resolved", ends_at=ENDED))
        await sorted_out(service)
        async with asyncio.timeout(10):
            while (await asked(session, "/api/v1/incidents"))[0]["state"] != "closed":
                await asyncio.sleep(0.01)
        await posted(session, item())  # a late re-send of the firing does not open it again
        await sorted_out(service)
        assert len(await asked(session, "/api/v1/incidents")) == 1


async def test_what_leads_nowhere_is_kept_with_its_reason(store_url: str) -> None:
    async with opened(store_url) as (service, session):
        await posted(
            session,
            item("a", labels={"alertname": "Other"}),
            item("b", labels={**LABELS, "namespace": "x"}),
        )
        await sorted_out(service)
        told = {r["fingerprint"]: r["unrouted"] for r in await asked(session, "/api/v1/unrouted")}
        assert told == {"a": "no_playbook", "b": "namespace_not_allowed"}
        assert await asked(session, "/api/v1/incidents") == []


@pytest.mark.parametrize("count", [1_500, 20_000])
async def test_a_storm_in_one_webhook_is_absorbed(store_url: str, count: int) -> None:
    async with opened(store_url, read_timeout_s=30.0) as (service, session):
        status, _ = await posted(
            session,
            *(
                item(f"f{n}", labels={**LABELS, "workload": f"service-{n % 1000}"})
                for n in range(count)
            ),
        )
        assert status == 200
        async with asyncio.timeout(60):
            while service.inbox.waiting:
                await asyncio.sleep(0.01)
        assert rows(store_url, "SELECT count(*), count(DISTINCT incident_id) FROM episodes") == [
            (count, 1_000)
        ]


# ---------------------------------------------------------------------- not accepted


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"{", "not_json", id="no JSON"),
        pytest.param(b'{"text": "hi"}', "wrong_shape", id="a custom payload"),
        pytest.param(b'{"version": "5", "alerts": []}', "wrong_version", id="another version"),
        pytest.param(
            json.dumps(body([item("f\x00" * 40)])).encode(),
            "wrong_shape",
            id="a fingerprint too long",
        ),
    ],
)
async def test_what_can_never_be_taken_is_a_dead_letter_and_200(
    store_url: str, raw: bytes, reason: str
) -> None:
    async with opened(store_url) as (_, session):
        async with session.post(PATH, data=raw) as answer:
            told = await answer.json()
            assert (answer.status, told["status"], told["reason"]) == (200, "dead_letter", reason)
        (letter,) = await asked(session, "/api/v1/dead-letters")
        assert (letter["reason"], letter["size"], letter["body"]) == (
            reason,
            len(raw),
            raw.decode(),
        )


async def test_a_body_over_the_limit_is_a_dead_letter_of_its_true_size(store_url: str) -> None:
    async with opened(store_url, max_body_bytes=100_000) as (_, session):
        status, told = await posted(session, *(item(f"f{n}") for n in range(3_000)))
        assert (status, told["reason"]) == (200, "too_large")
        (letter,) = await asked(session, "/api/v1/dead-letters")
        assert letter["size"] > 500_000
        assert len(letter["body"]) == 64 * 1024
        assert (await posted(session, item()))[1]["status"] == "accepted"


async def test_of_dead_letters_the_newest_are_kept(store_url: str) -> None:
    async with opened(store_url, max_dead_letters=3) as (_, session):
        for n in range(6):
            await (await session.post(PATH, data=f"[{n}")).read()
        assert [d["body"] for d in await asked(session, "/api/v1/dead-letters")] == [
            "[5",
            "[4",
            "[3",
        ]


async def raw_answer(service: Service, *parts: bytes, close: bool = False) -> bytes:
    """What the service says to bytes written by hand; nothing more is sent after the last part."""
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        if close:
            return b""
        async with asyncio.timeout(10):
            return await reader.readline()
    finally:
        writer.close()


async def test_a_body_that_drips_is_asked_to_come_again(store_url: str) -> None:
    async with opened(store_url, read_timeout_s=0.2) as (service, session):
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
        assert b" 503 " in await raw_answer(service, head, b"{")
        assert (await posted(session, item()))[0] == 200


async def test_a_body_that_breaks_off_or_is_garbled_harms_nobody(store_url: str) -> None:
    async with opened(store_url) as (service, session):
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()
        await raw_answer(service, head + b"Content-Length: 1000\r\n\r\n{", close=True)
        garbled = await raw_answer(
            service, head + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nnonsense\r\n"
        )
        assert b" 500 " not in garbled
        packed = await raw_answer(
            service, head + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"
        )
        assert b" 500 " not in packed
        assert (await posted(session, item()))[0] == 200


async def test_at_the_mark_the_answer_is_503_and_readiness_says_why(store_url: str) -> None:
    async with opened(store_url, max_waiting=3) as (service, session):
        service.inbox.waiting += 3  # as if nothing were sorted for a while
        status, told = await posted(session, item())
        assert (status, told["reason"]) == (503, "store_full")
        async with session.get("/readyz") as ready, session.get("/healthz") as alive:
            assert (ready.status, (await ready.text()).strip()) == (503, "store_full")
            assert alive.status == 200
        service.inbox.waiting -= 3
        assert (await posted(session, item()))[0] == 200
        async with session.get("/readyz") as ready:
            assert ready.status == 200


async def test_a_store_that_is_locked_is_503_and_recovers(store_url: str) -> None:
    async with opened(store_url) as (service, session):
        holder = sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        status, told = await posted(session, item())
        assert (status, told["reason"]) == (503, "store_down")
        holder.execute("COMMIT")
        holder.close()
        assert (await posted(session, item()))[0] == 200
        await sorted_out(service)
        assert len(await asked(session, "/api/v1/incidents")) == 1


async def test_a_service_about_to_stop_asks_to_come_again(store_url: str) -> None:
    async with opened(store_url) as (service, session):
        service.door.closing = True
        status, told = await posted(session, item())
        assert (status, told["reason"]) == (503, "shutting_down")
        async with session.get("/readyz") as ready:
            assert ready.status == 503


async def test_two_services_on_one_file_are_refused(store_url: str) -> None:
    from service.model.errors import BadConfig

    async with opened(store_url):
        with pytest.raises(BadConfig, match="another Paramedic has it open"):
            async with opened(store_url):
                pass


# ---------------------------------------------------------------------- who


@pytest.mark.parametrize(
    ("header", "status"),
    [
        pytest.param(None, 401, id="none"),
        pytest.param("Bearer wrong", 401, id="wrong"),
        pytest.param("Bearer s3cret", 200, id="the token"),
        pytest.param("Basic " + base64.b64encode(b"am:pw").decode(), 200, id="user and password"),
        pytest.param("Basic " + base64.b64encode(b"am:no").decode(), 401, id="a wrong password"),
    ],
)
async def test_credentials_are_wanted_for_webhooks_and_the_api_but_not_for_probes(
    store_url: str, tmp_path: Path, header: str | None, status: int
) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    (tmp_path / "password").write_text("pw\n")
    who = {
        "bearer_file": tmp_path / "token", "basic_user": "am", "basic_password_file": tmp_path / "password"
    }  # fmt: skip
    headers = {"Authorization": header} if header else {}
    async with opened(store_url, **who) as (_, session):
        async with session.post(PATH, json=body([item()]), headers=headers) as answer:
            assert answer.status == status
            assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        async with session.get("/api/v1/incidents", headers=headers) as answer:
            assert answer.status == status
        for path in ("/healthz", "/readyz", "/metrics"):
            async with session.get(path) as answer:
                assert answer.status == 200
        assert rows(store_url, "SELECT count(*) FROM inbox") == [(1 if status == 200 else 0,)]


async def test_bytes_that_are_no_text_in_a_credential_are_401(
    store_url: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cret")
    async with opened(store_url, bearer_file=tmp_path / "token") as (service, _):
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nAuthorization: ".encode()
        assert b" 401 " in await raw_answer(service, head + b"Bearer \xff\xfe\r\n\r\n{}")
        assert b" 401 " in await raw_answer(service, head + b"Basic \xff\xfe\r\n\r\n{}")


async def test_with_mutual_tls_only_a_known_client_gets_in(store_url: str, tmp_path: Path) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    server = ours.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(tmp_path / "key.pem")
    for part in server.cert_chain_pems:
        part.write_to_path(tmp_path / "cert.pem", append=True)
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")

    def client(ca: trustme.CA | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        if ca is not None:
            ca.issue_cert("alertmanager").configure_cert(context)
        return context

    files = {
        "tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem", "tls_client_ca": tmp_path / "ca.pem",
        "plain_port": 0,
    }  # fmt: skip
    async with opened(store_url, **files) as (service, session):
        assert service.url.startswith("https://")
        assert (await posted(session, item(), ssl=client(ours)))[0] == 200
        for stranger in (client(None), client(theirs)):
            with pytest.raises(aiohttp.ClientError):
                await posted(session, item("f2"), ssl=stranger)
        assert rows(store_url, "SELECT count(*) FROM inbox") == [(1,)]


# ---------------------------------------------------------------------- what is told


async def test_metrics_are_text_that_prometheus_reads_and_have_what_dashboards_ask_for(
    store_url: str,
) -> None:
    async with opened(store_url) as (service, session):
        await posted(session, item())
        async with session.post(PATH, json=body([item()], truncatedAlerts=7)) as answer:
            assert answer.status == 200
        await (await session.post(PATH, data="{")).read()
        await sorted_out(service)
        async with session.get("/metrics") as answer:
            families = {f.name: f for f in text_string_to_metric_families(await answer.text())}
        samples = {
            (s.name, *sorted(s.labels.values())): s.value
            for f in families.values()
            for s in f.samples
        }
        assert samples["paramedic_webhooks_total", "accepted"] == 2
        assert samples["paramedic_webhooks_total", "not_json"] == 1
        assert samples["paramedic_alerts_truncated_total",] == 7
        assert samples["paramedic_alerts_total", "new"] == 1
        assert samples["paramedic_incidents_opened_total", "high-latency"] == 1
        assert samples["paramedic_inbox_waiting",] == 0
        assert "paramedic_incidents" in families
        assert families["paramedic_info"].samples[0].labels["mode"] == "observe"


@pytest.mark.parametrize("limit", ["0", "-1", "x", "\u00b2", "9" * 5_000, ""])
async def test_a_limit_that_makes_no_sense_harms_nobody(store_url: str, limit: str) -> None:
    async with opened(store_url) as (_, session):
        assert await asked(session, "/api/v1/incidents", params={"limit": limit}) == []


async def test_an_unknown_incident_is_404_with_advice(store_url: str) -> None:
    async with opened(store_url) as (_, session), session.get("/api/v1/incidents/inc-0") as answer:
        assert (answer.status, (await answer.json())["reason"]) == (404, "not_found")
