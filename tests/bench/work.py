"""How incidents share the workers: until the last of 200 is diagnosed,
and 10,000 under verification.
"""

import asyncio
import logging
import resource
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog

from service.act.scale import Scale
from service.incident.lifecycle import Patience
from service.kit.clock import SystemClock
from service.model.evidence import Evidence
from service.model.incident import Incident, Progress
from service.model.playbook import Budget, Limits, Playbook, VerifyPlan
from service.model.target import Target, TargetKind
from service.store.codec import plain
from service.store.schema import incidents, ledger
from service.verify.judge import begin
from tests.bench.results import Figure, save
from tests.path.world import Platform, World
from tests.unit.made import evidence, item, shipped

PLAN = VerifyPlan(settle_s=30.0, within_s=600.0, readings=3, every_s=15.0)


def _playbook(plan: VerifyPlan) -> Playbook:
    good = shipped()
    remedies = tuple(replace(remedy, verify=plan) for remedy in good.remedies)
    limits = Limits(Budget(9, 3600.0), Budget(99_999, 3600.0), 0.0)
    return replace(good, remedies=remedies, limits=limits)


@asynccontextmanager
async def _world(folder: Path, plan: VerifyPlan) -> AsyncIterator[World]:
    world = World(
        f"sqlite:///{folder}/paramedic.db",
        SystemClock(),  # type: ignore[arg-type]  # it waits for real here
        Platform(),
        playbooks=(_playbook(plan),),
        patience=Patience(60.0, 7_200.0),
        replicas_needed=99,
    )
    await world.start()
    try:
        yield world
    finally:
        await world.stop()


async def _fire(world: World, count: int) -> None:
    now = datetime.now(UTC)
    starts_at = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    labels: dict[str, str] = item()["labels"]
    for first in range(0, count, 1_000):
        await world.deliver(
            *(
                item(f"f{n}", starts_at=starts_at, labels={**labels, "workload": f"service-{n}"})
                for n in range(first, min(count, first + 1_000))
            )
        )


async def two_hundred(folder: Path, count: int = 200, probe_s: float = 1.0) -> float:
    """Seconds until the last of 200 incidents is diagnosed: probes of 1 s,
    8 slots, readings within 10 min.
    """
    diagnosed: set[str] = set()
    done = asyncio.Event()

    async with _world(folder, PLAN) as world:

        async def diagnose(playbook: Playbook, incident: Incident) -> Evidence:
            await asyncio.sleep(probe_s)
            diagnosed.add(incident.id)
            if len(diagnosed) == count:
                done.set()
            return evidence(datetime.now(UTC))

        await _fire(world, count)
        worker = world.worker_of(replace(world.rooms, diagnose=diagnose), slots=8)
        began = time.monotonic()
        working = asyncio.create_task(worker.run())
        async with asyncio.timeout(120):
            await done.wait()
        took_s = time.monotonic() - began
        await _ended(working)
    return took_s


async def ten_thousand(folder: Path, count: int = 10_000) -> dict[str, float]:
    """Seconds until 10,000 verifying incidents that are all due have had one
    reading each, and MiB added.
    """
    async with _world(folder, PLAN) as world:
        await _seed(world, count)
        read: set[str] = set()
        done = asyncio.Event()

        async def diagnose(playbook: Playbook, incident: Incident) -> Evidence:
            read.add(incident.id)
            if len(read) == count:
                done.set()
            return evidence(datetime.now(UTC))

        before = _resident_mib()
        began = time.monotonic()
        worker = world.worker_of(replace(world.rooms, diagnose=diagnose), slots=8)
        working = asyncio.create_task(worker.run())
        async with asyncio.timeout(300):
            await done.wait()
        took_s = time.monotonic() - began
        await _ended(working)
        return {"took_s": took_s, "added_mib": _resident_mib() - before}


async def _seed(world: World, count: int) -> None:
    """Incidents whose action was done, and whose readings are all due now."""
    await _fire(world, count)
    now = datetime.now(UTC)
    progress = begin(PLAN, Progress(attempts=1), now - timedelta(seconds=PLAN.settle_s)).progress

    def rows(tx: sa.Connection) -> None:
        its = tx.execute(
            sa.select(incidents.c.id, incidents.c.target_key, incidents.c.target_name)
        ).all()
        tx.execute(
            sa.insert(ledger),
            [
                {
                    "action_id": f"act-{n}", "incident_id": i, "playbook": "high-latency",
                    "target_key": key, "namespace": "carbon-ingestion", "rung": "scale-out",
                    "kind": "scale", "uids": {}, "mode": "auto", "intended_at": now, "before": {},
                    "request": plain(Scale(Target(TargetKind.DEPLOYMENT, "carbon-ingestion", name), 2, 3)),
                    "progress": plain(progress), "applied": "done", "applied_reason": "done",
                    "applied_detail": "", "applied_at": now,
                }
                for n, (i, key, name) in enumerate(its)
            ],
        )  # fmt: skip
        tx.execute(sa.update(incidents).values(state="verifying", rank=1, due_at=now))

    await world.database.write(rows)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


async def _ended(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    await asyncio.wait([task])


async def run() -> None:
    """Prints and saves the figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        took_s = await two_hundred(Path(folder))
    figures = [Figure("last of 200 diagnosed (probes of 1 s, 8 slots)", "s", [took_s])]
    with tempfile.TemporaryDirectory() as folder:
        many = await ten_thousand(Path(folder))
    figures += [
        Figure("10,000 verifying incidents followed up", "s", [many["took_s"]]),
        Figure("10,000 verifying incidents, memory added", "MiB", [many["added_mib"]]),
    ]
    for figure in figures:
        print(figure, flush=True)
    save(figures)
