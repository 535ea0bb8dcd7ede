"""A sink that comes back: how long it takes over 10,000 steps,
and what that costs a webhook meanwhile.

Each sink is measured alone, in several rounds: a load while nothing is to be published, then one
while 10,000 steps are. The service, the load and the receiver (Grafana's rules, the emulated
cluster, a Kafka broker) are processes of their own; on two cores they share these, which is said.
They do not share a disk: a receiver's data is in memory where there is a place for that, because a
broker that fsyncs beside the store is no part of what is measured.
`python -m tests.bench.publish FOLDER SINK` is the receiver's.
"""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from rehearsal.cluster import Cluster, carbon_ingestion
from rehearsal.servers import free_port
from service.model.action import Mode
from service.store.database import Database
from service.store.schema import incidents, sinks, steps
from tests.bench.intake import p99, server
from tests.bench.load import steadily
from tests.bench.results import Figure, save
from tests.servers.grafana import grafana
from tests.servers.kafka import create_topic, noida

STEPS = 10_000
RATE = 100
MEMORY = Path("/dev/shm")
QUIET_S = 40.0  # about as long as the other load lasts: a p99 of fewer answers meets fewer of the rare ones
ROUNDS = 3
GIVE_UP_S = 180.0
NS = "carbon-ingestion"
RECEIVERS = {
    "grafana": "Grafana's rules on aiohttp",
    "kube_events": "the emulated cluster",
    "kafka": "noida-db",
}


def journal(name: str) -> list[dict[str, object]]:
    """Of each eight steps three tell of an action, as when every incident is acted on.
    No two journals of different names tell of the same actions.
    """
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
        of = {"action_id": f"act-{name}-{n}", "rung": "scale-out", "mode": Mode.AUTO.value}
        outcome = {"kind": "healed", "reason": "readings_good", "detail": ""}
        result = {"applied": "done", "reason": "done", "detail": ""}
        ruled = {**of, "verdict": "allow", "guard": "all", "reason": "within_limits", "action": "x"}
        acted = {**of, "touched": [target], "result": result, "action_kind": "scale", "action": "x"}
        rows += [{"kind": "ruled", "data": ruled}, {"kind": "acted", "data": acted}]
        rows.append({"kind": "verified", "data": {**of, "touched": [target], "outcome": outcome}})
        rows += [{"kind": "moved", "data": quiet}] * 5
    at = datetime.now(UTC)
    return [{**row, "incident_id": "inc-1", "at": at} for row in rows]


async def new_store(url: str) -> None:
    """A store with one incident, which all the journals are of."""
    opened = await Database.open(url)
    incident = {
        "id": "inc-1", "playbook": "high-latency", "target_kind": "Deployment", "target_namespace": NS,
        "target_name": "svc", "target_key": f"Deployment/{NS}/svc", "state": "closed",
        "opened_at": datetime.now(UTC),
    }  # fmt: skip
    await opened.write(lambda tx: tx.execute(sa.insert(incidents).values(incident)).rowcount)
    await opened.close()


def fall_behind(file: Path, name: str) -> int:
    """10,000 more steps, at once, for all but the tally, which was never away.
    Returns the last one's number.
    """
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as tx:
        tx.execute(sa.insert(steps), journal(name))
        last: int = tx.execute(sa.select(sa.func.max(steps.c.id))).scalar_one()
        tx.execute(sa.update(sinks).where(sinks.c.name == "tally").values(cursor=last))
    engine.dispose()
    return last


async def caught_up(file: Path, sink: str, last: int) -> float:
    """Seconds until the sink's cursor is there; infinite after three minutes.
    The store is asked, and not the service: it has enough to do.
    """

    def cursor() -> int:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        found = connection.execute("SELECT cursor FROM sinks WHERE name = ?", [sink]).fetchone()
        connection.close()
        return int(found[0]) if found else 0

    began = time.perf_counter()
    while (took_s := time.perf_counter() - began) < GIVE_UP_S:
        if cursor() >= last:
            return took_s
        await asyncio.sleep(0.25)
    return float("inf")


async def receive(folder: Path, sink: str) -> None:
    """Runs the sink's receiver until the process is ended;
    says by one line how the service is told of it.
    """
    async with AsyncExitStack() as stack:
        if sink == "grafana":
            board, token = await stack.enter_async_context(grafana("token")), folder / "token"
            token.write_text("token")
            env = {"PUBLISH__GRAFANA_URL": board.url, "PUBLISH__GRAFANA_TOKEN_FILE": str(token)}
        elif sink == "kube_events":
            cluster = await stack.enter_async_context(Cluster(carbon_ingestion()))
            kubeconfig = str(cluster.kubeconfig(folder / "kubeconfig"))
            env = {"KUBERNETES__KUBECONFIG": kubeconfig, "PUBLISH__KUBERNETES_EVENTS": "true"}
        else:
            broker = await stack.enter_async_context(noida(folder / "kafka"))
            await create_topic(broker.bootstrap, "steps", 3)
            env = {"KAFKA__BOOTSTRAP": broker.bootstrap, "PUBLISH__KAFKA_TOPIC": "steps"}
        print(json.dumps({f"PARAMEDIC_{name}": value for name, value in env.items()}), flush=True)
        ended = asyncio.Event()  # by a signal, and not at once: the broker is a child of its own
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()


@asynccontextmanager
async def receiver(folder: Path, sink: str) -> AsyncIterator[Mapping[str, str]]:
    """The receiver in a process of its own; what the service needs in its environment for it."""
    argv = [sys.executable, "-m", "tests.bench.publish", str(folder), sink]
    child = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        assert child.stdout is not None
        yield json.loads(await child.stdout.readline())
    finally:
        child.terminate()
        await child.wait()


async def run() -> None:
    """Prints and saves every figure."""
    for sink in RECEIVERS:
        there = MEMORY if MEMORY.is_dir() else None
        with (
            tempfile.TemporaryDirectory() as store,
            tempfile.TemporaryDirectory(dir=there) as data,
        ):
            async with receiver(Path(data), sink) as env:
                await _measure(Path(store) / "p.db", sink, env)


async def _measure(file: Path, sink: str, env: Mapping[str, str]) -> None:
    port, store = free_port(), f"sqlite:///{file}"
    await new_store(store)
    intake = {"PARAMEDIC_STORE__URL": store, "PARAMEDIC_INTAKE__PORT": str(port)}
    argv = [sys.executable, "-m", "service", "serve"]
    took_s, behind_ms, quiet_ms = list[float](), list[float](), list[float]()
    print(f"{sink}: {os.cpu_count()} cores, which the service, the load, {RECEIVERS[sink]}", end="")
    print(f" and whatever else runs share; load average {os.getloadavg()[0]:.1f}", flush=True)
    async with server(argv, port, {**env, **intake, "PARAMEDIC_LOG_LEVEL": "error"}) as url:
        # The service has just started: libraries are loaded, the receiver is met.
        async with steadily(url, RATE):
            await asyncio.sleep(4.0)
        for number in range(ROUNDS):
            async with steadily(url, RATE) as quiet:
                await asyncio.sleep(QUIET_S)
            last = await asyncio.to_thread(fall_behind, file, f"{number}")
            async with steadily(url, RATE) as behind:
                took_s.append(await caught_up(file, sink, last))
            behind_ms.append(p99(behind) * 1e3)
            quiet_ms.append(p99(quiet) * 1e3)
            print(
                f"  round {number + 1}: {took_s[-1]:.1f} s; p99 {behind_ms[-1]:.1f} ms behind, "
                f"{quiet_ms[-1]:.1f} ms else; load average {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    ratios = [b / q for b, q in zip(behind_ms, quiet_ms, strict=True)]
    at = f"publish: {sink}, p99 of an answer at {RATE}/s"
    figures = [
        Figure(f"publish: {STEPS} steps, {sink}", "s", took_s),
        Figure(f"{at} while behind", "ms", behind_ms),
        Figure(f"{at} with nothing behind", "ms", quiet_ms),
        Figure(f"{at} while behind, to nothing behind", "ratio", ratios),
    ]
    for figure in figures:
        print(figure, flush=True)
    save(figures)


if __name__ == "__main__":
    asyncio.run(receive(Path(sys.argv[1]), sys.argv[2]))
