"""A scenario on a terminal: the world is started, Paramedic beside it, and what happens is told.

Exit code 0 when the scenario ended as it says, 1 when it did not.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from rehearsal.scenarios.drive import Ended, drive
from rehearsal.scenarios.scenario import Found, Scenario
from rehearsal.scenarios.world import World, world
from rehearsal.served import environment, log_file, served
from rehearsal.telling import Telling, tell_end
from rehearsal.terminal import on_terminal
from service.desk.quick import as_text, from_json


async def show(scenario: Scenario, *, once: bool, within_s: float, port: int) -> int:
    """Runs the scenario; the exit code."""

    async def run(console: Console, folder: Path) -> int:
        return await _show(console, folder, scenario, once, within_s, port)

    return await on_terminal("scenario", run)


async def _show(
    console: Console, folder: Path, scenario: Scenario, once: bool, within_s: float, port: int
) -> int:
    console.rule(f"[bold]Paramedic, scenario {scenario.name}")
    console.print(
        f"  breaks      {escape(scenario.breaks)}\n  Paramedic   {escape(scenario.does)}\n"
    )
    began = time.monotonic()
    async with world(folder, scenario.servers) as broken:
        await scenario.prepares(broken)
        _introduce(console, broken)
        if isinstance(scenario.end, Found):
            ended, text = await diagnosed(scenario, broken)
            console.print(escape(text))
            return _sum_up(console, scenario, ended, began)
        async with served(console, folder, broken.settings(), port) as url:
            telling = Telling(console)
            ended = await drive(scenario, broken, url, within_s=within_s, tell=telling.tell)
            code = _sum_up(console, scenario, ended, began)
            if ended.record:
                tell_end(console, ended.record, url)
            if not ended.came:
                console.print(escape(log_file(folder).read_text()[-3_000:]))
            if not once:
                console.print("\nIt stays up for looking around. End it with Ctrl-C.")
                await asyncio.Event().wait()
            return code


async def diagnosed(scenario: Scenario, broken: World) -> tuple[Ended, str]:
    """`paramedic diagnose` as a person would run it, on the broken world; and its text."""
    await scenario.wrecks(broken)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", "diagnose", "--json",
        env=environment(broken.settings()), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, problem = await process.communicate()
    if process.returncode != 1:  # 1: something is wrong, and it is
        raise RuntimeError(f"diagnose ended with {process.returncode}: {problem.decode()}")
    found = json.loads(out)
    return Ended(scenario.end.came(found), found), as_text(from_json(found))


def _introduce(console: Console, broken: World) -> None:
    console.print(
        f"  Kubernetes  {broken.cluster.url}  an emulator of the API, held against recordings"
    )
    if broken.kafka is not None:
        console.print(f"  Kafka       {broken.bootstrap}  a real broker over the wire (noida-db)")
    if broken.clickhouse is not None:
        console.print(
            f"  ClickHouse  127.0.0.1:{broken.database_port}  the real engine, native protocol (chDB)"
        )
    console.print(
        f"  stand-in    {broken.standin.url}  for the services' endpoints, Prometheus and the Schema Registry"
    )


def _sum_up(console: Console, scenario: Scenario, ended: Ended, began: float) -> int:
    took_s = time.monotonic() - began
    colour, how = ("green", "as expected") if ended.came else ("red", "NOT as expected")
    console.rule(f"[bold {colour}]scenario {scenario.name} ended {how}, after {took_s:.0f} s")
    console.print(f"  expected    {escape(str(scenario.end))}")
    return 0 if ended.came else 1
