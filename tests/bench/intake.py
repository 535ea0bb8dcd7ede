"""Webhooks a second, accepted and committed, against a bare aiohttp handler that only reads the body.

Both run in a process of their own; this process is the load: 16 connections, each posting one webhook after the
other. The two are measured in turn, several times, and the ratio is taken pair by pair.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from rehearsal.servers import free_port

CONNECTIONS = 16
SECONDS = 4.0
ROUNDS = 3

_BARE = """
import sys
from aiohttp import web
async def post(request):
    await request.read()
    return web.Response()
app = web.Application(client_max_size=2**25)
app.router.add_post("/api/v1/alertmanager", post)
app.router.add_get("/readyz", post)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


def webhook(alerts: int, serial: int) -> bytes:
    """A webhook as Alertmanager posts it: about 1 kB an alert."""
    items = [
        {
            "status": "firing",
            "labels": {
                "alertname": "ConsumerLagHigh", "namespace": "carbon-ingestion", "severity": "warning",
                "workload_kind": "Deployment", "workload": "normalization-service", "pod": f"p-{serial}-{n}",
                "consumergroup": "normalization-consumer", "remediate": "true",
                "job": "kafka-exporter", "instance": "10.0.0.7:9308",
            },
            "annotations": {"summary": "normalization-consumer is behind", "description": "x" * 200},
            "startsAt": "2026-11-23T17:27:00.632Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus:9090/graph?g0.expr=" + "y" * 200,
            "fingerprint": f"{serial:012x}{n:04x}",
        }
        for n in range(alerts)
    ]  # fmt: skip
    group = {"alertname": "ConsumerLagHigh"}
    return json.dumps(
        {"receiver": "paramedic", "status": "firing", "alerts": items, "groupLabels": group, "commonLabels": group,
         "commonAnnotations": {}, "externalURL": "http://am:9093", "version": "4", "groupKey": "{}:{}",
         "truncatedAlerts": 0}
    ).encode()  # fmt: skip


@asynccontextmanager
async def server(argv: list[str], port: int, env: dict[str, str]) -> AsyncIterator[str]:
    """A child that answers /readyz."""
    child = await asyncio.create_subprocess_exec(
        *argv, env={**os.environ, **env}, stderr=asyncio.subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session:
            give_up_at = time.monotonic() + 15
            while time.monotonic() < give_up_at:
                try:
                    async with session.get(url + "/readyz") as answer:
                        if answer.status in (200, 405):
                            break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        yield url
    finally:
        child.terminate()
        await child.wait()


async def rate(url: str, alerts: int) -> float:
    """Webhooks a second."""
    done = 0
    ends_at = time.perf_counter() + SECONDS

    async def post(session: aiohttp.ClientSession, lane: int) -> None:
        nonlocal done
        serial = lane << 32
        while time.perf_counter() < ends_at:
            serial += 1
            async with session.post(url, data=bodies[serial % len(bodies)]) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{url} answered {answer.status}")
            done += 1

    bodies = [webhook(alerts, n) for n in range(64)]
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        await asyncio.gather(*(post(session, lane) for lane in range(CONNECTIONS)))
    return done / (time.perf_counter() - began)


async def run() -> None:
    """Prints the rates and the ratio for small and large webhooks."""
    for alerts in (1, 100):
        ratios, ours_all, bare_all = [], [], []
        for _ in range(ROUNDS):
            bare_port, port = free_port(), free_port()
            async with server([sys.executable, "-c", _BARE, str(bare_port)], bare_port, {}) as bare:
                bare_rate = await rate(bare + "/api/v1/alertmanager", alerts)
            with tempfile.TemporaryDirectory() as folder:
                env = {
                    "PARAMEDIC_STORE__URL": f"sqlite:///{Path(folder) / 'p.db'}",
                    "PARAMEDIC_INTAKE__PORT": str(port), "PARAMEDIC_INTAKE__MAX_WAITING": "1000000",
                    "PARAMEDIC_LOG_LEVEL": "error",
                }  # fmt: skip
                async with server([sys.executable, "-m", "service", "serve"], port, env) as ours:
                    our_rate = await rate(ours + "/api/v1/alertmanager", alerts)
            ratios.append(our_rate / bare_rate)
            ours_all.append(our_rate)
            bare_all.append(bare_rate)
        print(
            f"{alerts:4d} alerts a webhook: {statistics.median(ours_all):7.0f} webhooks/s committed, bare handler"
            f" {statistics.median(bare_all):7.0f}/s, ratio {statistics.median(ratios):.2f} (median of {ROUNDS})",
            flush=True,
        )
