"""The demo: a platform under load on this machine, Paramedic beside it as a process of its
own, and the story told.

Exit code 0 when the incident ended as healed, 1 when it did not in time.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import structlog
from rich.console import Console
from rich.markup import escape

from rehearsal.alarm import Alarm
from rehearsal.hurry import LAG_HEALED, RUNAWAY_S, hurry
from rehearsal.platform import NAMESPACE, WORKLOAD, Platform, platform, run_away
from rehearsal.served import Nested, log_file, served
from rehearsal.telling import Telling, tell_end
from rehearsal.terminal import on_terminal
from service.intake.http import PATH
from service.kit.tasks import running

PLAYBOOKS = Path(__file__).parents[1] / "rules" / "playbooks"
ALERT_OVER = 2 * LAG_HEALED

log = structlog.get_logger(__name__)


async def run(*, once: bool, within_s: float, port: int) -> int:
    """Runs the demo; the exit code."""

    async def rehearse(console: Console, folder: Path) -> int:
        return await _run(console, folder, once=once, within_s=within_s, port=port)

    return await on_terminal("demo", rehearse)


async def _run(console: Console, folder: Path, *, once: bool, within_s: float, port: int) -> int:
    console.rule("[bold]Paramedic demo")
    console.print(
        f"A producer sends more than {WORKLOAD} can read. Watch the lag grow, the alert fire, and Paramedic\n"
        "gather evidence, act within its limits and prove that it worked.\n"
    )
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(platform(folder))
        _introduce(console, world)
        if world.clickhouse is not None:
            report = _forgotten_report(console, world.clickhouse.port)
            _ = await stack.enter_async_context(running("report", report, _ended))
        url = await stack.enter_async_context(
            served(console, folder, _settings(folder, world), port)
        )
        alarm = Alarm(url + PATH, world.lag_total, _labels(world), ALERT_OVER)
        _ = await stack.enter_async_context(running("alarm", alarm.run(), _ended))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        narrator = Narrator(console, session, url, world, Telling(console))
        try:
            async with asyncio.timeout(within_s if once else None):
                record = await narrator.until_closed()
        except TimeoutError:
            console.print(
                f"[bold red]Not healed within {within_s:g} s.[/] The service's log: {log_file(folder)}"
            )
            console.print(escape(log_file(folder).read_text()[-3_000:]))
            return 1
        healed = record["outcome"] == "healed"
        _sum_up(console, record, url, healed)
        if not once:
            console.print("It stays up for looking around. End it with Ctrl-C.")
            await asyncio.Event().wait()
        return 0 if healed else 1


def _introduce(console: Console, world: Platform) -> None:
    load = world.load
    console.print(f"  Kafka       {world.bootstrap}  a real broker over the wire (noida-db)")
    if world.clickhouse is not None:
        console.print(
            f"  ClickHouse  127.0.0.1:{world.clickhouse.port}  the real engine, native protocol (chDB)"
        )
    else:
        console.print(
            f"  ClickHouse  [yellow]left out[/]: {escape(world.why_no_clickhouse)}; the rest goes on without"
        )
    console.print(
        f"  Kubernetes  {world.cluster.url}  an emulator of the API, held against recordings of a real one"
    )
    console.print(
        f"  load        {load.produced_per_s:,} messages/s into {load.topic}, {world.replicas()} consumers that"
        f" read {load.consumed_per_s:,}/s each"
    )


def _settings(folder: Path, world: Platform) -> Nested:
    settings: dict[str, Any] = {  # Any: values of several types
        "mode": "auto",
        "playbooks": hurry(PLAYBOOKS, folder / "playbooks"),
        "store": {"url": f"sqlite:///{folder}/paramedic.db"},
        "kafka": {"bootstrap": world.bootstrap},
        "kubernetes": {"kubeconfig": world.kubeconfig},
        "work": {"recheck_s": 2},
    }
    if world.clickhouse is not None:
        settings["clickhouse"] = {"host": "127.0.0.1", "port": world.clickhouse.port}
    return settings


async def _forgotten_report(console: Console, port: int) -> None:
    told = await run_away(port)
    console.print(f"  [dim]the forgotten report's client was told: {escape(told)}[/]")
    await asyncio.Event().wait()


def _labels(world: Platform) -> dict[str, str]:
    return {
        "alertname": "ConsumerLagHigh", "severity": "warning", "remediate": "true", "namespace": NAMESPACE,
        "workload_kind": "Deployment", "workload": WORKLOAD, "consumergroup": world.load.group,
        "topic": world.load.topic,
    }  # fmt: skip


@dataclass(slots=True)
class Narrator:
    """Tells the incident's steps as they are recorded, and the lag in between."""

    console: Console
    session: aiohttp.ClientSession
    url: str
    world: Platform
    telling: Telling
    began: float = field(default_factory=time.monotonic)
    next_lag_at: float = 0.0

    async def until_closed(self) -> dict[str, Any]:  # Any: JSON of the API
        """The first incident's record when it is closed."""
        while True:
            await self._tell_lag()
            incidents = await self._get("/api/v1/incidents")
            if incidents:
                record: dict[str, Any] = await self._get(f"/api/v1/incidents/{incidents[-1]['id']}")
                self.telling.tell(record)
                if record["state"] in ("closed", "escalated"):
                    return record
            await asyncio.sleep(0.3)

    async def _get(self, path: str) -> Any:  # Any: JSON
        async with self.session.get(self.url + path) as answer:
            return await answer.json()

    async def _tell_lag(self) -> None:
        now = time.monotonic()
        if now < self.next_lag_at:
            return
        self.next_lag_at = now + 3.0
        lag = await self.world.lag_total()
        bar = "█" * min(60, lag // 60)
        colour = "red" if lag > ALERT_OVER else "green" if lag < LAG_HEALED else "yellow"
        pods = f"{self.world.consumers.count} consumers"
        self.console.print(
            f"[dim]{now - self.began:5.0f} s[/]  {pods}  lag {lag:>6,}  [{colour}]{bar}[/]"
        )


def _sum_up(console: Console, record: dict[str, Any], url: str, healed: bool) -> None:
    console.rule("[bold green]healed" if healed else "[bold red]not healed")
    tell_end(console, record, url)
    console.print(
        f"  (thresholds and waits are shortened for the demo: a query runs away after {RUNAWAY_S} s, lag is"
        f" healed below {LAG_HEALED:,})\n"
    )


def _ended(name: str, error: BaseException | None) -> None:
    log.error("a part of the demo ended", part=name, error=repr(error))
