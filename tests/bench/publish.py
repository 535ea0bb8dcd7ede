"""A sink that comes back: how long it takes over 10,000 steps,
and what that costs a webhook meanwhile.

The service, its receivers (Grafana's rules, the emulated cluster,
a Kafka broker) and the load are three processes.
`python -m tests.bench.publish FOLDER` is the receivers'.
"""

import asyncio
import json
import re
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import sqlalchemy as sa

from rehearsal.cluster import Cluster, carbon_ingestion
from rehearsal.servers import free_port
from service.model.action import Mode
from service.store.database import Database
from service.store.schema import incidents, sinks, steps
from tests.bench.intake import p99, server, steady
from tests.bench.results import Figure, save
from tests.servers.grafana import grafana
from tests.servers.kafka import create_topic, noida

STEPS = 10_000
OUTSIDE = ("grafana", "kube_events", "kafka")
RATE = 100
SECONDS = 10.0
NS = "carbon-ingestion"


def journal() -> list[dict[str, object]]:
    """Of each eight steps three tell of an action, as when every incident is acted on."""
    target = {"api": "apps/v1", "kind": "Deployment", "namespace": NS, "name": "svc", "uid": "u"}
    quiet = {
        "was": "open",
        "state": "open",
        "reason": "no_rung_holds",
        "detail": "",
        "due_at": None,
    }
    rows: list[dict[str, object]] = []
    for n in range(STEPS // 8):
        of = {"action_id": f"act-{n}", "rung": "scale-out", "mode": Mode.AUTO.value}
        outcome = {"kind": "healed", "reason": "readings_good", "detail": ""}
        result = {"applied": "done", "reason": "done", "detail": ""}
        ruled = {**of, "verdict": "allow", "guard": "all", "reason": "within_limits", "action": "x"}
        acted = {**of, "touched": [target], "result": result, "action_kind": "scale", "action": "x"}
        rows += [{"kind": "ruled", "data": ruled}, {"kind": "acted", "data": acted}]
        rows.append({"kind": "verified", "data": {**of, "touched": [target], "outcome": outcome}})
        rows += [{"kind": "moved", "data": quiet}] * 5
    at = datetime.now(UTC)
    return [{**row, "incident_id": "inc-1", "at": at} for row in rows]


async def behind(url: str) -> None:
    """A store in which every receiver is behind by all of the journal."""
    opened = await Database.open(url)
    at = datetime.now(UTC)
    incident = {
        "id": "inc-1", "playbook": "high-latency", "target_kind": "Deployment", "target_namespace": NS,
        "target_name": "svc", "target_key": f"Deployment/{NS}/svc", "state": "closed", "opened_at": at,
    }  # fmt: skip

    def fill(tx: sa.Connection) -> None:
        tx.execute(sa.insert(incidents).values(incident))
        tx.execute(sa.insert(steps), journal())
        tx.execute(sa.insert(sinks), [{"name": name, "cursor": 0} for name in OUTSIDE])

    await opened.write(fill)
    await opened.close()


async def receivers(folder: Path) -> None:
    """Runs them until the process is ended; says where they are in one line."""
    async with (
        grafana("token") as board,
        Cluster(carbon_ingestion()) as cluster,
        noida(folder / "kafka") as broker,
    ):
        await create_topic(broker.bootstrap, "steps", 3)
        kubeconfig = cluster.kubeconfig(folder / "kubeconfig")
        said = [board.url, str(kubeconfig), broker.bootstrap]
        print(json.dumps(said), flush=True)
        await asyncio.Event().wait()


async def lags(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    async with session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    found = re.findall(r'paramedic_sink_lag_steps\{sink="(\w+)"\} (\S+)', text)
    return {name: float(value) for name, value in found}


async def caught_up(url: str) -> dict[str, float]:
    """Seconds until each receiver had the 10,000 steps; what comes in meanwhile is on top."""
    began, took_s = time.perf_counter(), dict[str, float]()
    async with aiohttp.ClientSession() as session:
        while len(took_s) < len(OUTSIDE) and time.perf_counter() - began < 300:
            for name, lag in (await lags(session, url)).items():
                if lag < 100 and name in OUTSIDE:
                    took_s.setdefault(name, time.perf_counter() - began)
            await asyncio.sleep(1.0)
    return took_s


async def scraped(url: str) -> None:
    """As often as `caught_up` looks."""
    async with aiohttp.ClientSession() as session:
        for _ in range(int(SECONDS)):
            await lags(session, url)
            await asyncio.sleep(1.0)


async def run() -> None:
    """Prints and saves every figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = f"sqlite:///{folder / 'p.db'}"
        await behind(store)
        told = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.publish", name, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert told.stdout is not None
            board, kubeconfig, bootstrap = json.loads(await told.stdout.readline())
            await _measure(folder, store, board, kubeconfig, bootstrap)
        finally:
            told.terminate()
            await told.wait()


async def _measure(folder: Path, store: str, board: str, kubeconfig: str, kafka: str) -> None:
    port, token = free_port(), folder / "token"
    token.write_text("token")
    env = {
        "PARAMEDIC_STORE__URL": store, "PARAMEDIC_INTAKE__PORT": str(port), "PARAMEDIC_LOG_LEVEL": "error",
        "PARAMEDIC_KUBERNETES__KUBECONFIG": kubeconfig, "PARAMEDIC_KAFKA__BOOTSTRAP": kafka,
        "PARAMEDIC_PUBLISH__GRAFANA_URL": board, "PARAMEDIC_PUBLISH__GRAFANA_TOKEN_FILE": str(token),
        "PARAMEDIC_PUBLISH__KUBERNETES_EVENTS": "true", "PARAMEDIC_PUBLISH__KAFKA_TOPIC": "steps",
    }  # fmt: skip
    argv = [sys.executable, "-m", "service", "serve"]
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(server(argv, port, env))
        waiting = asyncio.create_task(caught_up(url))
        await steady(url, 3.0, RATE)  # the service has just started: libraries are loaded
        while_behind = await steady(url, SECONDS, RATE)
        took_s = await waiting
        looking = asyncio.create_task(scraped(url))
        quiet = await steady(url, SECONDS, RATE)
        await looking
    figures = [
        Figure(f"publish: {STEPS} steps, {name}", "s", [took_s.get(name, float("inf"))])
        for name in OUTSIDE
    ]
    figures += [
        Figure(
            f"publish: p99 of an answer at {RATE}/s while behind", "ms", [p99(while_behind) * 1e3]
        ),
        Figure(f"publish: p99 of an answer at {RATE}/s after it", "ms", [p99(quiet) * 1e3]),
    ]
    for figure in figures:
        print(figure, flush=True)
    save(figures)


if __name__ == "__main__":
    asyncio.run(receivers(Path(sys.argv[1])))
