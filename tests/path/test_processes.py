"""Two real processes on one PostgreSQL, one of which is killed or stopped in
the middle of an action.

The Kubernetes emulator answers the write slowly, so that the signal falls between
the request and its reply.
"""

import asyncio
import json
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from rehearsal.cluster import Cluster, Delays, Fault, carbon_ingestion
from service.act import KINDS
from service.intake.http import PATH
from service.store.database import Database
from service.store.incidents import Incidents
from service.store.ledger import Ledger
from service.worker import LEASE_S
from tests.unit.made import NAMESPACE, TARGET, body, item

pytestmark = pytest.mark.only_on("postgresql")

PLAYBOOK = """\
playbook: restart
match: ['alertname="ConsumerLagHigh"']
target: {kind: Deployment, namespace: "{{ labels.namespace }}", name: "{{ labels.workload }}"}
diagnose: high_latency
with: {consumer_group: g}
remedies:
  - name: restart
    when: evidence.pods.ready == evidence.pods.desired
    do: {rollout_restart: {}}
    mode: auto
healed: evidence.pods.desired > 99
"""
SLOW_S = 4.0  # longer than it takes to see the request and to send a signal
PAUSE_S = LEASE_S + 6.0


@dataclass
class Replica:
    """One `paramedic serve`."""

    process: Process
    url: str

    def signal(self, what: signal.Signals) -> None:
        self.process.send_signal(what)


@asynccontextmanager
async def replica(store_url: str, kubeconfig: Path, playbooks: Path) -> AsyncIterator[Replica]:
    env = {
        "PATH": "", "PARAMEDIC_STORE__URL": store_url, "PARAMEDIC_INTAKE__PORT": "0",
        "PARAMEDIC_LOG_FORMAT": "json", "PARAMEDIC_PLAYBOOKS": str(playbooks), "PARAMEDIC_MODE": "auto",
        "PARAMEDIC_KUBERNETES__KUBECONFIG": str(kubeconfig),
    }  # fmt: skip
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "serve", env=env, stderr=asyncio.subprocess.PIPE
    )
    reading: asyncio.Task[bytes] | None = None
    try:
        assert child.stderr is not None
        async with asyncio.timeout(60):
            line = b""
            while b'"ready"' not in line:
                line = await child.stderr.readline()
                assert line, "the service ended before it was ready"
        reading = asyncio.create_task(child.stderr.read())  # nobody may wait for a full pipe
        yield Replica(child, json.loads(line)["url"])
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGCONT)
            child.kill()
        await child.wait()
        if reading is not None:
            await reading


@dataclass
class Stage:
    """A cluster, a store, and two replicas by their process id."""

    cluster: Cluster
    replicas: dict[int, Replica]
    incidents: Incidents
    ledger: Ledger

    def generation(self) -> int:
        """How often the Deployment's spec was written."""
        found: Any = self.cluster.get("deployments", NAMESPACE, TARGET.name)
        return int(found["metadata"]["generation"])

    async def row(self) -> dict[str, Any]:
        (row,) = await self.incidents.listing(9)
        return row

    async def until(self, state: str, within_s: float) -> float:
        """Waits for the incident's state; in how many seconds it was reached."""
        began = time.monotonic()
        async with asyncio.timeout(within_s):
            while (await self.row())["state"] != state:
                await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def faults(self, replica: Replica) -> float:
        """How often it has found a claim lost."""
        return await self._sum(replica, "paramedic_faults_total{", "claim_lost")

    async def collections(self, replica: Replica) -> float:
        """How often it has looked for garbage."""
        return await self._sum(replica, "python_gc_collections_total{", "generation")

    async def _sum(self, replica: Replica, metric: str, label: str) -> float:
        async with aiohttp.ClientSession(replica.url) as session, session.get("/metrics") as answer:
            assert answer.status == 200
            lines = (await answer.text()).splitlines()
        found = [line for line in lines if line.startswith(metric) and label in line]
        return sum(float(line.split()[-1]) for line in found)


@pytest.fixture
async def stage(store_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    playbooks = tmp_path / "playbooks"
    playbooks.mkdir()
    (playbooks / "restart.yaml").write_text(PLAYBOOK)
    async with Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0)) as cluster:
        await cluster.settled()
        kubeconfig = cluster.kubeconfig(tmp_path / "kubeconfig")
        database = await Database.open(store_url)
        async with (
            replica(store_url, kubeconfig, playbooks) as one,
            replica(store_url, kubeconfig, playbooks) as other,
        ):
            by_pid = {r.process.pid: r for r in (one, other)}
            yield Stage(cluster, by_pid, Incidents(database, KINDS), Ledger(database))
        await database.close()


async def in_the_middle(stage: Stage, fault: Fault) -> tuple[Replica, Replica]:
    """Posts an alert and waits for the write of its action: who is at it, and who is not."""
    fingerprint = "f1"
    one = next(iter(stage.replicas.values()))
    async with aiohttp.ClientSession(one.url) as session:
        raw = json.dumps(body([item(fingerprint)])).encode()
        headers = {"Content-Type": "application/json"}
        async with session.post(PATH, data=raw, headers=headers) as answer:
            assert answer.status == 200
    async with asyncio.timeout(30):
        while not fault.hits:
            await asyncio.sleep(0.01)
    owner = (await stage.row())["owner"]
    acting = next(r for pid, r in stage.replicas.items() if f"-{pid}-" in owner)
    other = next(r for r in stage.replicas.values() if r is not acting)
    return acting, other


async def test_what_a_killed_process_was_at_is_done_once_and_goes_on_within_seconds(
    stage: Stage,
) -> None:
    before = stage.generation()
    with stage.cluster.inject(Fault("PATCH", ".*/deployments/.*", delay_s=SLOW_S)) as fault:
        acting, _ = await in_the_middle(stage, fault)
        acting.signal(signal.SIGKILL)
        took_s = await stage.until("verifying", LEASE_S + 15)
    assert took_s <= LEASE_S + 10  # 5 s to look, and a busy machine
    assert stage.generation() == before + 1
    (line,) = await stage.ledger.entries(None, 9)
    assert (line["applied"], line["applied_reason"]) == ("done", "done")


async def test_a_process_that_was_stopped_in_the_middle_writes_nothing_late(stage: Stage) -> None:
    before = stage.generation()
    with stage.cluster.inject(Fault("PATCH", ".*/deployments/.*", delay_s=SLOW_S)) as fault:
        acting, _ = await in_the_middle(stage, fault)
        acting.signal(signal.SIGSTOP)
        stopped_at = time.monotonic()
        await stage.until("verifying", LEASE_S + 15)
        taken_over = (await stage.ledger.entries(None, 9))[0]
        await asyncio.sleep(max(0.0, stopped_at + PAUSE_S - time.monotonic()))
        acting.signal(signal.SIGCONT)
        async with asyncio.timeout(15):
            while not await stage.faults(acting):
                await asyncio.sleep(0.1)
    assert stage.generation() == before + 1
    (line,) = await stage.ledger.entries(None, 9)
    assert line["applied_at"] == taken_over["applied_at"]
    record = await stage.incidents.record((await stage.row())["id"])
    assert record is not None
    assert [step["kind"] for step in record[2]].count("acted") == 1


async def test_garbage_is_left_alone_during_the_start_and_collected_ever_after(
    stage: Stage,
) -> None:
    one = next(iter(stage.replicas.values()))
    before = await stage.collections(one)
    for _ in range(20):
        await stage.collections(one)
    assert await stage.collections(one) > before
