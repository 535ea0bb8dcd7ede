"""Receiving, loaded by `wrk`, as ratios to a bare aiohttp handler that only reads the body.

Receiving and sorting run in a process of their own (tests/path/rooms.py), the bare handler in
another; both are loaded in turn, several times, and the ratio is taken pair by pair. Beside it: how
long an answer takes at a steady rate, and how soon a storm is sorted while webhooks go on arriving.
Figures go to build/bench.json.
"""

import asyncio
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from rehearsal.servers import free_port
from tests.bench.results import Figure, save

CONNECTIONS = 16
SECONDS = 4.0
ROUNDS = 3
RATE = 500  # webhooks a second, steady
STORM = 20_000
PATH = "/api/v1/alertmanager"
ROOMS = [sys.executable, "-m", "tests.path.rooms"]

_BARE = """
import sys
from aiohttp import web
async def post(request):
    await request.read()
    return web.Response()
app = web.Application(client_max_size=2**25)
app.router.add_post("/api/v1/alertmanager", post)
app.router.add_get("/healthz", post)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""

# Every request is another body: equal ones would be stored once.
_SCRIPT = """
local head = io.open("{head}"):read("*a")
local tail = io.open("{tail}"):read("*a")
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  n = n + 1
  return wrk.format(nil, nil, nil, head .. string.format("%012d", n) .. tail)
end
function done(summary, latency)
  local failed = summary.errors.status + summary.errors.read + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d\\n", summary.requests, summary.duration, failed))
end
"""


def webhook(alerts: int, serial: int) -> bytes:
    """A webhook as Alertmanager posts it: about 1 kB an alert."""
    items = [
        {
            "status": "firing",
            "labels": {
                "alertname": "ConsumerLagHigh", "namespace": "carbon-ingestion",
                "severity": "warning", "workload_kind": "Deployment",
                "workload": "normalization-service", "pod": f"p-{serial}-{n}",
                "consumergroup": "normalization-consumer", "remediate": "true",
                "job": "kafka-exporter", "instance": "10.0.0.7:9308",
            },
            "annotations": {"summary": "normalization-consumer is behind", "description": "x" * 200},
            "startsAt": "2026-11-23T17:27:00.632Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=" + "y" * 200,
            "fingerprint": f"{serial:012d}{n:04x}",
        }
        for n in range(alerts)
    ]  # fmt: skip
    return packed(items)


def packed(items: Sequence[object]) -> bytes:
    """The alerts in their envelope."""
    group = {"alertname": "ConsumerLagHigh"}
    return json.dumps(
        {"receiver": "paramedic", "status": "firing", "alerts": items, "groupLabels": group, "commonLabels": group,
         "commonAnnotations": {}, "externalURL": "http://am:9093", "version": "4", "groupKey": "{}:{}",
         "truncatedAlerts": 0}
    ).encode()  # fmt: skip


@asynccontextmanager
async def server(argv: list[str], port: int, env: dict[str, str]) -> AsyncIterator[str]:
    """A child that answers /healthz."""
    child = await asyncio.create_subprocess_exec(
        *argv, env={**os.environ, **env}, stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            give_up_at = time.monotonic() + 20
            while time.monotonic() < give_up_at:
                try:
                    async with session.get(url + "/healthz") as answer:
                        if answer.status in (200, 405):
                            break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        yield url
    finally:
        child.terminate()
        await child.wait()


@asynccontextmanager
async def receiving(folder: Path) -> AsyncIterator[str]:
    """Receiving and sorting on a new store in `folder`."""
    port = free_port()
    env = {
        "PARAMEDIC_STORE__URL": f"sqlite:///{folder / 'p.db'}", "PARAMEDIC_INTAKE__PORT": str(port),
        "PARAMEDIC_INTAKE__MAX_WAITING": "1000000", "PARAMEDIC_LOG_LEVEL": "error",
    }  # fmt: skip
    async with server(ROOMS, port, env) as url:
        yield url


@asynccontextmanager
async def bare() -> AsyncIterator[str]:
    """The handler that only reads."""
    port = free_port()
    async with server([sys.executable, "-c", _BARE, str(port)], port, {}) as url:
        yield url


async def loaded(url: str, alerts: int, folder: Path) -> float:
    """Webhooks a second, by wrk."""
    head, _, tail = webhook(alerts, 999_999_999_999).partition(b"999999999999")
    # The serial that stands in each alert is replaced in the first only;
    # a fingerprint and a body are new by it.
    (folder / "head").write_bytes(head)
    (folder / "tail").write_bytes(tail)
    script = folder / "post.lua"
    script.write_text(
        _SCRIPT.replace("{head}", str(folder / "head")).replace("{tail}", str(folder / "tail"))
    )
    wrk = await asyncio.create_subprocess_exec(
        "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS:g}", "-s", str(script), url + PATH,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await wrk.communicate()
    result = next(line.split() for line in said.decode().splitlines() if line.startswith("RESULT"))
    requests, took_us, failed = map(int, result[1:])
    if failed:
        raise RuntimeError(f"{url}: {failed} of {requests} webhooks were not taken")
    return requests / (took_us / 1e6)


async def steady(url: str, seconds: float, rate: float = RATE) -> list[float]:
    """Seconds of each answer at a steady rate, from when it was due to be sent."""
    took: list[float] = []
    headers = {"Content-Type": "application/json"}
    bodies = [webhook(1, 10**6 + n) for n in range(int(seconds * rate))]
    async with aiohttp.ClientSession(headers=headers) as session:

        async def post(body: bytes) -> None:
            began = time.perf_counter()
            async with session.post(url + PATH, data=body) as answer:
                await answer.read()
                answer.raise_for_status()
            took.append(time.perf_counter() - began)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for n, body in enumerate(bodies):
                await asyncio.sleep(max(0.0, began + n / rate - time.perf_counter()))
                tasks.create_task(post(body))
    return took


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


async def storm(url: str, store: Path) -> tuple[float, list[float]]:
    """Seconds until 20,000 alerts about as many targets are sorted,
    and answers at 100 a second meanwhile.
    """
    template = json.loads(webhook(1, 1))["alerts"][0]
    bodies = [
        packed(
            [
                {**template, "fingerprint": f"storm{n}", "labels": {**template["labels"], "workload": f"w-{n}"}}
                for n in range(start, start + 500)
            ]
        )
        for start in range(0, STORM, 500)
    ]  # fmt: skip
    beside = asyncio.create_task(steady(url, 6.0, 100))
    headers = {"Content-Type": "application/json"}
    began = time.perf_counter()
    async with aiohttp.ClientSession(headers=headers) as session:
        for body in bodies:
            async with session.post(url + PATH, data=body) as answer:
                answer.raise_for_status()

    def left() -> int:
        connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
        found = connection.execute("SELECT count(*) FROM incidents").fetchone()[0]
        connection.close()
        return STORM - int(found)

    while await asyncio.to_thread(left) > 0:
        await asyncio.sleep(0.1)
    sorted_s = time.perf_counter() - began
    return sorted_s, await beside


def _keep(*figures: Figure) -> None:
    for figure in figures:
        print(figure, flush=True)
    save(figures)


async def rates(alerts: int) -> None:
    """As many webhooks as 16 connections can post, sorting beside it."""
    ratios: list[float] = []
    ours: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            async with bare() as url:
                bare_rate = await loaded(url, alerts, folder)
            async with receiving(folder) as url:
                ours.append(await loaded(url, alerts, folder))
        ratios.append(ours[-1] / bare_rate)
    _keep(
        Figure(f"intake: webhooks of {alerts}, to a bare handler", "ratio", ratios),
        Figure(f"intake: alerts in webhooks of {alerts}", "alerts/s", [r * alerts for r in ours]),
    )


async def at_a_steady_rate() -> None:
    """How long an answer takes at 500 webhooks a second."""
    with tempfile.TemporaryDirectory() as name:
        async with receiving(Path(name)) as url:
            await steady(url, 1.0)
            answers = [p99(await steady(url, 4.0)) * 1_000 for _ in range(ROUNDS)]
    _keep(Figure(f"intake: p99 of an answer at {RATE}/s", "ms", answers))


async def in_a_storm() -> None:
    """How soon a storm is sorted, and how long an answer takes meanwhile."""
    sorted_s: list[float] = []
    beside: list[float] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            async with receiving(Path(name)) as url:
                took_s, answered = await storm(url, Path(name) / "p.db")
        sorted_s.append(took_s)
        beside.append(p99(answered) * 1_000)
    _keep(
        Figure(f"intake: {STORM} alerts about as many targets, received and sorted", "s", sorted_s),
        Figure("intake: p99 of an answer meanwhile", "ms", beside),
    )


async def run() -> None:
    """Prints and saves every figure."""
    if shutil.which("wrk"):
        await rates(1)
        await rates(100)
    else:
        print("no wrk: run tests/servers/install.sh debian; rates are not measured")
    await at_a_steady_rate()
    await in_a_storm()
