"""Receiving over HTTP: accepted means committed, and every other answer is the one
that Alertmanager needs.
"""

import asyncio
import base64
import gzip
import io
import json
import resource
import signal
import socket
import sqlite3
import ssl
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from service.intake.http import PATH
from service.model.action import Mode
from service.model.errors import BadConfig
from service.settings import GuardSettings, IntakeSettings, Settings, StoreSettings
from tests.path.rooms import Rooms, serving
from tests.unit.made import BODIES, LABELS, PLAYBOOKS, body, item

ENDED = "2026-01-01T00:05:00Z"
JSON = {"Content-Type": "application/json"}


def settings_for(store_url: str, **intake: Any) -> Settings:
    return Settings(
        store=StoreSettings(url=store_url), intake=IntakeSettings(port=0, **intake), playbooks=PLAYBOOKS,
        mode=Mode.OBSERVE, guard=GuardSettings(namespaces=("carbon-ingestion", "payments")),
    )  # fmt: skip


pytestmark = pytest.mark.only_on("sqlite")  # it looks into the file itself


@asynccontextmanager
async def opened(
    store_url: str, sorting: bool = True, **intake: Any
) -> AsyncIterator[tuple[Rooms, aiohttp.ClientSession]]:
    """Receiving and sorting, and a session whose base is their address."""
    settings = settings_for(store_url, **intake)
    async with (
        serving(settings, sorting=sorting) as rooms,
        aiohttp.ClientSession(rooms.url, headers=JSON) as session,
    ):
        yield rooms, session


async def posted(
    session: aiohttp.ClientSession, *items: dict[str, Any], **more: Any
) -> tuple[int, dict[str, Any]]:
    """Status and answer of a webhook."""
    return await posted_raw(session, json.dumps(body(items)).encode(), **more)


async def posted_raw(
    session: aiohttp.ClientSession, raw: bytes, **more: Any
) -> tuple[int, dict[str, Any]]:
    async with session.post(PATH, data=io.BytesIO(raw), **more) as answer:
        return answer.status, await answer.json()


async def until(holds: Callable[[], Any], what: str) -> None:
    """Polls for something that happens after the answer, at most ten seconds."""
    async with asyncio.timeout(10):
        while not (found := holds()):
            await asyncio.sleep(0.01)
    assert found, what


async def sorted_out(rooms: Rooms) -> None:
    await until(lambda: rooms.inbox.waiting == 0, "every webhook is sorted")


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
    async with opened(store_url) as (rooms, session):
        status, told = await posted_raw(session, raw)
        assert (status, told["status"]) == (200, "accepted")
        await sorted_out(rooms)
        expected = {a["fingerprint"]: a["status"] for a in json.loads(raw)["alerts"]}
        assert dict(rows(store_url, "SELECT fingerprint, status FROM episodes")) == expected


@asynccontextmanager
async def process(
    store_url: str, **env: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Receiving and sorting in a process of their own, and its URL."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.path.rooms",
        env={"PATH": "", "PARAMEDIC_STORE__URL": store_url, "PARAMEDIC_INTAKE__PORT": "0",
             "PARAMEDIC_PLAYBOOKS": str(PLAYBOOKS), "PARAMEDIC_LOG_LEVEL": "error", **env},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd=PLAYBOOKS.parents[1],
    )  # fmt: skip
    try:
        assert child.stdout is not None
        async with asyncio.timeout(30):
            line = await child.stdout.readline()
        assert line, "it ended before it was ready"
        yield child, line.decode().strip()
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
        await child.wait()


async def test_a_kill_right_after_the_answer_loses_nothing(store_url: str) -> None:
    async with process(store_url) as (_, url), aiohttp.ClientSession(url, headers=JSON) as session:
        answers = await asyncio.gather(*(posted(session, item(f"f{n}")) for n in range(60)))
        assert {status for status, _ in answers} == {200}
    async with opened(store_url) as (rooms, _):
        await sorted_out(rooms)
        told = rows(store_url, "SELECT fingerprint, deliveries FROM episodes")
        assert dict(told) == {f"f{n}": 1 for n in range(60)}
        assert rows(store_url, "SELECT count(*) FROM incidents") == [(1,)]


async def test_duplicates_only_raise_a_counter(store_url: str) -> None:
    async with opened(store_url) as (rooms, session):
        for _ in range(3):
            await posted(session, item())
        await asyncio.gather(
            *(posted(session, item(), item("f2")) for _ in range(4))
        )  # the HA peer, at once
        await sorted_out(rooms)
        told = rows(store_url, "SELECT fingerprint, deliveries FROM episodes")
        assert dict(told) == {"f1": 7, "f2": 4}
        assert rows(store_url, "SELECT count(*) FROM incidents") == [(1,)]


async def test_what_leads_nowhere_is_kept_with_its_reason(store_url: str) -> None:
    async with opened(store_url) as (rooms, session):
        await posted(
            session,
            item("a", labels={"alertname": "Other"}),
            item("b", labels={**LABELS, "namespace": "x"}),
        )
        await sorted_out(rooms)
        told = {r["fingerprint"]: r["unrouted"] for r in await rooms.episodes.unrouted(9)}
        assert told == {"a": "no_playbook", "b": "namespace_not_allowed"}
        assert rows(store_url, "SELECT count(*) FROM incidents") == [(0,)]
        assert rooms.count("paramedic_alerts_unrouted_total", reason="no_playbook") == 1


@pytest.mark.parametrize("count", [1_500, 20_000])
async def test_a_storm_in_one_webhook_is_absorbed(store_url: str, count: int) -> None:
    async with opened(store_url, read_timeout_s=30.0) as (rooms, session):
        status, _ = await posted(
            session,
            *(
                item(f"f{n}", labels={**LABELS, "workload": f"service-{n % 1000}"})
                for n in range(count)
            ),
        )
        assert status == 200
        async with asyncio.timeout(60):
            while rooms.inbox.waiting:
                await asyncio.sleep(0.01)
        assert rows(store_url, "SELECT count(*), count(DISTINCT incident_id) FROM episodes") == [
            (count, 1_000)
        ]
        assert rows(store_url, "SELECT count(*) FROM incidents") == [(1_000,)]


async def test_one_bad_alert_becomes_a_dead_letter_and_the_good_ones_are_sorted(
    store_url: str,
) -> None:
    async with opened(store_url) as (rooms, session):
        status, told = await posted(session, item("f1"), item(""), item("f2"))
        assert (status, told["status"]) == (200, "accepted")
        await sorted_out(rooms)
        assert rows(store_url, "SELECT fingerprint FROM episodes ORDER BY 1") == [("f1",), ("f2",)]
        (dead,) = await rooms.inbox.dead(9)
        assert dead["reason"] == "wrong_shape"
        assert "alerts.1.fingerprint" in str(dead["detail"])
        assert json.loads(str(dead["body"]))["fingerprint"] == ""


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
    async with opened(store_url) as (rooms, session):
        status, told = await posted_raw(session, raw)
        assert (status, told["status"], told["reason"]) == (200, "dead_letter", reason)
        (dead,) = await rooms.inbox.dead(9)
        assert (dead["reason"], dead["size"], dead["body"]) == (reason, len(raw), raw.decode())


async def test_a_body_over_the_limit_is_a_dead_letter_of_its_true_size(store_url: str) -> None:
    async with opened(store_url, max_body_bytes=100_000) as (rooms, session):
        status, told = await posted(session, *(item(f"f{n}") for n in range(3_000)))
        assert (status, told["reason"]) == (200, "too_large")
        (dead,) = await rooms.inbox.dead(9)
        assert isinstance(dead["size"], int)
        assert dead["size"] > 500_000
        assert len(str(dead["body"])) == 64 * 1024
        assert (await posted(session, item()))[1]["status"] == "accepted"


async def test_of_dead_letters_the_newest_are_kept(store_url: str) -> None:
    async with opened(store_url, max_dead_letters=3) as (rooms, session):
        for n in range(6):
            await posted_raw(session, b"[%d" % n)
        assert [d["body"] for d in await rooms.inbox.dead(9)] == ["[5", "[4", "[3"]


PACKED = gzip.compress(json.dumps(body([item()])).encode())


@pytest.mark.parametrize(
    ("encoding", "raw", "told"),
    [
        pytest.param("gzip", PACKED, ("accepted", "accepted"), id="gzip"),
        pytest.param(
            "deflate",
            zlib.compress(gzip.decompress(PACKED)),
            ("accepted", "accepted"),
            id="deflate",
        ),
        pytest.param("gzip", b"abcd", ("dead_letter", "bad_encoding"), id="no gzip"),
        pytest.param("gzip", PACKED[:-9], ("dead_letter", "bad_encoding"), id="gzip cut short"),
        pytest.param("br", b"abcd", ("dead_letter", "bad_encoding"), id="br"),
        pytest.param("zstd", b"abcd", ("dead_letter", "bad_encoding"), id="zstd"),
        pytest.param(
            "gzip", gzip.compress(b" " * 3_000_000), ("dead_letter", "too_large"), id="a zip bomb"
        ),
    ],
)
async def test_a_packed_body_is_unpacked_or_a_dead_letter_never_asked_for_again(
    store_url: str, encoding: str, raw: bytes, told: tuple[str, str]
) -> None:
    async with opened(store_url, max_body_bytes=1_000_000) as (rooms, session):
        headers = {"Content-Encoding": encoding}
        status, answer = await posted_raw(session, raw, headers=headers)
        assert (status, answer["status"], answer["reason"]) == (200, *told)
        await until(lambda: rooms.budget.used == 0, "the budget is given back")


async def raw_answer(rooms: Rooms, *parts: bytes, close: bool = False) -> bytes:
    """What is said to bytes written by hand; nothing more is sent after the last part."""
    host, port = rooms.url.removeprefix("http://").split(":")
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


HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()


async def test_a_body_that_drips_is_asked_to_come_again(store_url: str) -> None:
    async with opened(store_url, read_timeout_s=0.2) as (rooms, session):
        assert b" 503 " in await raw_answer(rooms, HEAD + b"Content-Length: 1000\r\n\r\n", b"{")
        assert (await posted(session, item()))[0] == 200


async def test_a_body_that_breaks_off_or_is_garbled_harms_nobody(store_url: str) -> None:
    async with opened(store_url) as (rooms, session):
        await raw_answer(rooms, HEAD + b"Content-Length: 1000\r\n\r\n{", close=True)
        garbled = await raw_answer(
            rooms, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\nnonsense\r\n"
        )
        assert b" 500 " not in garbled
        assert (await posted(session, item()))[0] == 200
        await until(lambda: rooms.budget.used == 0, "the budget is given back")


async def test_at_the_mark_the_answer_is_503_and_readiness_says_why(store_url: str) -> None:
    async with opened(store_url, sorting=False, max_waiting=3) as (_, session):
        for n in range(3):
            assert (await posted(session, item(f"f{n}")))[0] == 200
        status, told = await posted(session, item())
        assert (status, told["reason"]) == (503, "store_full")
        async with session.get("/readyz") as ready, session.get("/healthz") as alive:
            assert (ready.status, (await ready.text()).strip()) == (503, "store_full")
            assert alive.status == 200


async def test_beyond_the_bytes_in_flight_the_answer_is_503_before_the_body_is_read(
    store_url: str,
) -> None:
    bounds: dict[str, Any] = {
        "max_body_bytes": 100_000,
        "bytes_in_flight": 150_000,
        "read_timeout_s": 5.0,
    }
    async with opened(store_url, **bounds) as (rooms, session):
        large = HEAD + b"Content-Length: 100000\r\n\r\n"
        first = asyncio.create_task(raw_answer(rooms, large, b"{"))
        await until(lambda: rooms.budget.used == 100_000, "the first one is being read")
        assert b" 503 " in await raw_answer(rooms, large)  # not a byte of it was sent
        status, _ = await posted(session, item())
        assert status == 200, "a small one still fits"
        first.cancel()
        await asyncio.wait([first])
        await until(lambda: rooms.budget.used == 0, "what the first one held is given back")


# ---------------------------------------------------------------------- the store is in trouble


async def test_a_store_that_is_locked_is_503_within_two_seconds_and_recovers(
    store_url: str,
) -> None:
    async with opened(store_url) as (rooms, session):
        holder = sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        answers = await asyncio.gather(*(posted(session, item(f"f{n}")) for n in range(20)))
        async with session.get("/readyz") as ready:
            assert (ready.status, (await ready.text()).strip()) == (503, "store_down")
        assert time.monotonic() - began < 4.0  # one after the other
        assert {(status, told["reason"]) for status, told in answers} == {(503, "store_down")}
        began = time.monotonic()
        await posted(session, item())
        assert time.monotonic() - began < 2.0
        holder.execute("COMMIT")
        holder.close()
        assert (await posted(session, item()))[0] == 200
        async with session.get("/readyz") as ready:
            assert ready.status == 200
        await sorted_out(rooms)
        assert rows(store_url, "SELECT count(*) FROM incidents") == [(1,)]


async def test_a_full_disk_is_not_ready_until_a_write_succeeds(store_url: str) -> None:
    async def ready(session: aiohttp.ClientSession) -> tuple[int, str]:
        async with session.get("/readyz") as answer:
            return answer.status, (await answer.text()).strip()

    async with (
        process(store_url) as (child, url),
        aiohttp.ClientSession(url, headers=JSON) as session,
    ):
        assert (await posted(session, item()))[0] == 200
        wal = Path(store_url.removeprefix("sqlite:///") + "-wal")
        full = (wal.stat().st_size, resource.RLIM_INFINITY)  # no file may grow beyond this
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, full)
        large = item(annotations={"a": "x" * 100_000})
        status, told = await posted(session, large)
        assert (status, told["reason"]) == (503, "store_down")
        for _ in range(3):
            assert await ready(session) == (503, "store_down")
            await asyncio.sleep(0.3)
        free = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, free)
        assert await ready(session) == (200, "ok")
        assert (await posted(session, large))[0] == 200


async def test_a_file_that_was_deleted_under_a_running_service_takes_nothing(
    store_url: str,
) -> None:
    async with opened(store_url) as (rooms, session):
        assert (await posted(session, item()))[0] == 200
        await sorted_out(rooms)
        Path(store_url.removeprefix("sqlite:///")).unlink()
        status, told = await posted(session, item("f2"))
        assert (status, told["reason"]) == (503, "store_replaced")
        async with session.get("/readyz") as answer:
            assert (answer.status, (await answer.text()).strip()) == (503, "store_replaced")
        await until(lambda: "store" in [name for name, _ in rooms.ended], "the service is told")


async def test_two_services_on_one_file_are_refused(store_url: str) -> None:
    async with opened(store_url):
        with pytest.raises(BadConfig, match="another Paramedic has it open"):
            async with opened(store_url):
                pass


# ---------------------------------------------------------------------- the end


async def test_a_service_about_to_stop_asks_to_come_again(store_url: str) -> None:
    async with opened(store_url) as (rooms, session):
        rooms.intake.close()
        status, told = await posted(session, item())
        assert (status, told["reason"]) == (503, "shutting_down")
        async with session.get("/readyz") as ready:
            assert ready.status == 503


@pytest.mark.parametrize(
    ("rest", "code"),
    [
        pytest.param(True, b" 200 ", id="its rest arrives: finished"),
        pytest.param(False, b" 503 ", id="its rest does not arrive: asked to come again at once"),
    ],
)
async def test_a_webhook_under_way_at_the_stop_is_answered_at_once(
    store_url: str, rest: bool, code: bytes
) -> None:
    raw = json.dumps(body([item()])).encode()
    async with opened(store_url) as (rooms, _):
        host, port = rooms.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(raw) + raw[:20])
        await until(lambda: rooms.budget.used > 0, "it is under way")
        began = time.monotonic()
        rooms.intake.close()
        if rest:
            writer.write(raw[20:])
        answer = await reader.readline()
        writer.close()
        assert code in answer
        assert time.monotonic() - began < 3.0
    assert rows(store_url, "SELECT count(*) FROM inbox") == [(1 if rest else 0,)]


# ---------------------------------------------------------------------- connections


async def test_half_open_heads_keep_nobody_out_and_are_closed(store_url: str) -> None:
    async with opened(store_url, max_connections=50, header_timeout_s=1.5) as (rooms, session):
        host, port = rooms.url.removeprefix("http://").split(":")
        idle = []
        for _ in range(372):
            opened_socket = socket.create_connection((host, int(port)))
            opened_socket.sendall(b"POST /api/v1/alertmanager HTTP/1.1\r\nHost: x\r\n")
            opened_socket.setblocking(False)
            idle.append(opened_socket)
            await asyncio.sleep(0)
        began = time.monotonic()
        async with session.get("/healthz") as answer:
            assert answer.status == 200
        assert time.monotonic() - began < 1.0
        assert (await posted(session, item()))[0] == 200

        def closed(one: socket.socket) -> bool:
            try:
                return one.recv(1_000) == b""
            except BlockingIOError:
                return False
            except OSError:
                return True

        left = set(idle)

        def all_closed() -> bool:
            left.difference_update([one for one in left if closed(one)])
            return not left

        await until(all_closed, "each is closed after the time for a head")
        for one in idle:
            one.close()


async def test_a_connection_that_has_served_is_kept_for_the_next_request(store_url: str) -> None:
    async with opened(store_url, header_timeout_s=0.3) as (rooms, _):
        host, port = rooms.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(2):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in await reader.readline()
            while (await reader.readline()).strip():
                pass
            assert await reader.readline() == b"ok\n"
            await asyncio.sleep(1.5)
        writer.close()


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
async def test_credentials_are_wanted_for_webhooks_but_not_for_probes(
    store_url: str, tmp_path: Path, header: str | None, status: int
) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    (tmp_path / "password").write_text("pw\n")
    who: dict[str, Any] = {
        "bearer_file": tmp_path / "token", "basic_user": "am", "basic_password_file": tmp_path / "password"
    }  # fmt: skip
    headers = {"Authorization": header} if header else {}
    async with opened(store_url, **who) as (_, session):
        async with session.post(PATH, json=body([item()]), headers=headers) as answer:
            assert answer.status == status
            assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        for path in ("/healthz", "/readyz"):
            async with session.get(path) as answer:
                assert answer.status == 200
        assert rows(store_url, "SELECT count(*) FROM inbox") == [(1 if status == 200 else 0,)]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        pytest.param("application/json", 200, id="JSON"),
        pytest.param("application/json; charset=utf-8", 200, id="JSON with a charset"),
        pytest.param("text/plain", 415, id="text, as a page of another origin may post"),
        pytest.param("application/x-www-form-urlencoded", 415, id="a form"),
        pytest.param("multipart/form-data", 415, id="a form with files"),
    ],
)
async def test_without_credentials_only_json_is_taken(
    store_url: str, content_type: str, status: int
) -> None:
    raw = json.dumps(body([item()])).encode()
    async with opened(store_url) as (_, session):
        got, told = await posted_raw(session, raw, headers={"Content-Type": content_type})
        assert got == status
        assert told["reason"] == ("accepted" if status == 200 else "not_json_type")


async def test_with_credentials_the_type_does_not_matter(store_url: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret")
    headers = {"Authorization": "Bearer s3cret", "Content-Type": "text/plain"}
    async with opened(store_url, bearer_file=tmp_path / "token") as (_, session):
        assert (await posted(session, item(), headers=headers))[0] == 200


async def test_bytes_that_are_no_text_in_a_credential_are_401(
    store_url: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cret")
    async with opened(store_url, bearer_file=tmp_path / "token") as (rooms, _):
        head = HEAD + b"Content-Length: 2\r\nAuthorization: "
        assert b" 401 " in await raw_answer(rooms, head + b"Bearer \xff\xfe\r\n\r\n{}")
        assert b" 401 " in await raw_answer(rooms, head + b"Basic \xff\xfe\r\n\r\n{}")


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

    files: dict[str, Any] = {
        "tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem", "tls_client_ca": tmp_path / "ca.pem",
        "plain_port": 0,
    }  # fmt: skip
    async with opened(store_url, **files) as (rooms, session):
        assert rooms.url.startswith("https://")
        assert (await posted(session, item(), ssl=client(ours)))[0] == 200
        for stranger in (client(None), client(theirs)):
            with pytest.raises(aiohttp.ClientError):
                await posted(session, item("f2"), ssl=stranger)
        assert rows(store_url, "SELECT count(*) FROM inbox") == [(1,)]
