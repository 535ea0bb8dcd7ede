"""The demo: a platform under load on this machine, Paramedic beside it as a process of its own, and the story told.

Exit code 0 when the incident ended as healed, 1 when it did not in time.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
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
from rehearsal.servers import free_port
from service.desk.story import step_lines
from service.intake.http import PATH
from service.kit.tasks import running

PLAYBOOKS = Path(__file__).parents[1] / "rules" / "playbooks"
ALERT_OVER = 2 * LAG_HEALED
START_WITHIN_S = 15.0

log = structlog.get_logger(__name__)

_COLOURS = {"diagnosed": "cyan", "decided": "yellow", "ruled": "yellow", "acted": "bold magenta",
            "verified": "bold green", "moved": "bold"}  # fmt: skip


async def run(*, once: bool, within_s: float, port: int) -> int:
    """Runs the demo; the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    this = asyncio.current_task()
    if this is not None:  # so that its servers end with it
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    with tempfile.TemporaryDirectory(prefix="paramedic-demo-") as folder:
        try:
            return await _run(console, Path(folder), once=once, within_s=within_s, port=port)
        except asyncio.CancelledError:
            return 143
        except (OSError, RuntimeError) as error:
            console.print(f"[bold red]The demo could not go on:[/] {escape(str(error))}")
            return 1


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
        url = await stack.enter_async_context(_service(console, folder, world, port))
        alarm = Alarm(url + PATH, world.lag_total, _labels(world), ALERT_OVER)
        _ = await stack.enter_async_context(running("alarm", alarm.run(), _ended))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        narrator = Narrator(console, session, url, world)
        try:
            async with asyncio.timeout(within_s if once else None):
                record = await narrator.until_closed()
        except TimeoutError:
            console.print(
                f"[bold red]Not healed within {within_s:g} s.[/] The service's log: {folder}/paramedic.log"
            )
            console.print(escape((folder / "paramedic.log").read_text()[-3_000:]))
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


@asynccontextmanager
async def _service(
    console: Console, folder: Path, world: Platform, port: int
) -> AsyncIterator[str]:
    """`paramedic serve` as a user would run it: a process of its own, configured by its environment."""
    if port and not _free(port):
        console.print(f"  [yellow]port {port} is taken[/], so the service gets another")
        port = 0
    port = port or free_port()
    env = {k: v for k, v in os.environ.items() if not k.startswith("PARAMEDIC_")} | {
        "PARAMEDIC_MODE": "auto",
        "PARAMEDIC_PLAYBOOKS": str(hurry(PLAYBOOKS, folder / "playbooks")),
        "PARAMEDIC_STORE__URL": f"sqlite:///{folder}/paramedic.db",
        "PARAMEDIC_INTAKE__PORT": str(port),
        "PARAMEDIC_KAFKA__BOOTSTRAP": world.bootstrap,
        "PARAMEDIC_KUBERNETES__KUBECONFIG": str(world.kubeconfig),
        "PARAMEDIC_WORK__RECHECK_S": "2",
        "PARAMEDIC_LOG_FORMAT": "json",
    }
    if world.clickhouse is not None:
        env |= {
            "PARAMEDIC_CLICKHOUSE__HOST": "127.0.0.1",
            "PARAMEDIC_CLICKHOUSE__PORT": str(world.clickhouse.port),
        }
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    with (folder / "paramedic.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "service", "serve", env=env, stdout=log, stderr=log
        )
        try:
            await _until_ready(url, process, folder)
            took_s = time.monotonic() - began
            console.print(f"  Paramedic   {url}  ready after {took_s:.1f} s, mode [bold]auto[/]\n")
            yield url
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


def _free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def _until_ready(url: str, process: asyncio.subprocess.Process, folder: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and process.returncode is None:
            with suppress(aiohttp.ClientError):
                async with session.get(url + "/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)
    said = (folder / "paramedic.log").read_text()[-2_000:]
    raise RuntimeError(f"the service did not become ready within {START_WITHIN_S:g} s:\n{said}")


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
    began: float = field(default_factory=time.monotonic)
    told: int = 0
    next_lag_at: float = 0.0
    looked: dict[str, Any] | None = None  # the last diagnosis
    decided: object = None  # what the last decision said
    quiet: bool = False  # the last round said nothing new

    async def until_closed(self) -> dict[str, Any]:  # Any: JSON of the API
        """The first incident's record when it is closed."""
        while True:
            await self._tell_lag()
            incidents = await self._get("/api/v1/incidents")
            if incidents:
                record: dict[str, Any] = await self._get(f"/api/v1/incidents/{incidents[-1]['id']}")
                await self._tell(record)
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

    async def _tell(self, record: dict[str, Any]) -> None:
        if not self.told and not record["steps"]:
            return
        if not self.told:
            alert = record["alerts"][0]
            self.console.print(
                f"\n[bold red]alert {alert['labels']['alertname']}[/] {escape(alert['annotations']['summary'])}"
                f" -> incident {record['id']}"
            )
        steps = record["steps"][self.told :]
        self.told += len(steps)
        for step in steps:
            if not self._seen_before(step):
                self._print(step)

    def _seen_before(self, step: dict[str, Any]) -> bool:
        """Whether the step says what the last rounds said: rounds that change nothing are told once."""
        match step["step"]:
            case "read":
                return bool(
                    step["healed"] != "holds"
                )  # not healed yet: the lag bars tell that better
            case "diagnosed":
                self.looked = step
                return True  # told with the decision that was made on it
            case "decided":
                said = (step["chosen"], tuple((c["rung"], c["reason"]) for c in step["considered"]))
                again, self.decided = said == self.decided, said
                if not again and self.looked is not None:
                    self._print(self.looked)
                self.quiet = again
                return again
            case "again":
                return True
            case "moved" if step["state"] in ("open", "verifying"):
                return self.quiet
            case _:
                return False

    def _print(self, step: dict[str, Any]) -> None:
        colour = _COLOURS.get(step["step"], "dim")
        for place, line in enumerate(step_lines(step)):
            self.console.print(
                f"[{colour}]{escape(line)}[/]" if place == 0 else f"[dim]{escape(line)}[/]"
            )


def _sum_up(console: Console, record: dict[str, Any], url: str, healed: bool) -> None:
    console.rule("[bold green]healed" if healed else "[bold red]not healed")
    for action in record["actions"]:
        console.print(
            f"  {action['rung']}: {action['applied']} -> {action['outcome']} ({action['outcome_reason']})"
        )
    console.print(
        f"\n  decision record  {url}/api/v1/incidents/{record['id']}\n  ledger           {url}/api/v1/actions\n"
        f"  metrics          {url}/metrics\n  as text          paramedic incidents {record['id']} --url {url}\n"
        f"  (thresholds and waits are shortened for the demo: a query runs away after {RUNAWAY_S} s, lag is"
        f" healed below {LAG_HEALED:,})\n"
    )


def _ended(name: str, error: BaseException | None) -> None:
    log.error("a part of the demo ended", part=name, error=repr(error))
