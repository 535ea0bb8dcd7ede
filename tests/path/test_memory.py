"""Memory has one bound: many large bodies, one webhook of 90,000 alerts,
and a fresh process that sorts it.
"""

import asyncio
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.path.test_intake import HEAD, JSON, process, rows
from tests.unit.made import body, item

MOST_MIB = 400
LONGEST_S = 0.25


@dataclass
class Seen:
    """The most memory in MiB, the longest /healthz, and how much too long this
    machine lets a thread sleep.
    """

    mib: float = 0.0
    healthz_s: float = 0.0
    hiccup_s: float = 0.0
    asked: int = 0

    @property
    def within_bounds(self) -> bool:
        print(self)
        bounded = self.mib < MOST_MIB and self.healthz_s < LONGEST_S + 2 * self.hiccup_s
        return bounded and self.asked > 10


@asynccontextmanager
async def watched(pid: int, url: str) -> AsyncIterator[Seen]:
    """Asks from a thread of its own, so that what this process does beside it is not measured."""
    seen = Seen()
    over = threading.Event()

    def watch() -> None:
        host, port = url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        while not over.is_set():
            began = time.perf_counter()
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b"ok\n"
            asked_at = time.perf_counter()
            seen.healthz_s = max(seen.healthz_s, asked_at - began)
            seen.asked += 1
            time.sleep(0.02)
            seen.hiccup_s = max(seen.hiccup_s, time.perf_counter() - asked_at - 0.02)
        connection.close()

    watching = asyncio.create_task(asyncio.to_thread(watch))
    try:
        yield seen
    finally:
        over.set()
        await watching
        status = Path(f"/proc/{pid}/status").read_text()
        peak_kib = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM"))
        seen.mib = peak_kib / 1024


async def test_forty_connections_of_31_mib_stay_within_the_bound(store_url: str) -> None:
    size = 31 * 2**20
    async with process(store_url, PARAMEDIC_INTAKE__READ_TIMEOUT_S="5") as (child, url):
        host, port = url.removeprefix("http://").split(":")
        async with watched(child.pid, url) as seen:

            async def send() -> bytes:
                loop = asyncio.get_running_loop()
                with contextlib.closing(socket.socket()) as connection:
                    connection.setblocking(False)
                    await loop.sock_connect(connection, (host, int(port)))
                    chunk = b" " * 2**20
                    try:
                        await loop.sock_sendall(
                            connection, HEAD + b"Content-Length: %d\r\n\r\n" % size
                        )
                        for _ in range(30):  # all but the last: no body is complete
                            await loop.sock_sendall(connection, chunk)
                        return await loop.sock_recv(connection, 100)
                    except ConnectionError:  # it was answered, and closed before it had sent all
                        return b" 503 "

            answers = await asyncio.gather(*(send() for _ in range(40)))
        assert all(b" 503 " in answer for answer in answers)
        assert seen.within_bounds


@pytest.mark.only_on("sqlite")  # it counts rows in the file itself
async def test_ninety_thousand_alerts_are_taken_and_sorted_within_the_bound(
    store_url: str,
) -> None:
    alerts = [
        item(f"f{n}", labels={"alertname": "A", "n": str(n)}, annotations={}) for n in range(90_000)
    ]
    raw = json.dumps(body(alerts), separators=(",", ":")).encode()
    del alerts
    assert 15 * 2**20 < len(raw) < 32 * 2**20
    async with process(store_url) as (child, url):
        async with watched(child.pid, url) as seen:
            timeout = aiohttp.ClientTimeout(60)
            async with (
                aiohttp.ClientSession(url, headers=JSON, timeout=timeout) as session,
                session.post("/api/v1/alertmanager", data=_chunks(raw)) as answer,
            ):
                assert answer.status == 200, await answer.text()
        assert seen.within_bounds
        await asyncio.sleep(1.0)  # it is being sorted when it dies
    assert rows(store_url, "SELECT count(*) FROM waiting") == [(1,)]
    async with process(store_url) as (child, url):
        async with watched(child.pid, url) as seen, asyncio.timeout(120):
            while rows(store_url, "SELECT count(*) FROM waiting") != [(0,)]:
                await asyncio.sleep(0.5)
        assert seen.within_bounds
    assert rows(store_url, "SELECT count(*), max(deliveries) FROM episodes") == [(90_000, 1)]


async def _chunks(raw: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(raw), 2**18):
        yield raw[start : start + 2**18]
