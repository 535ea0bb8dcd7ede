"""The README's four questions of the audit, asked of a real Prometheus that
scraped a rehearsed night.
"""

import asyncio
import math
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest
import sqlalchemy as sa
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from service.desk.scraping import Scraping
from service.kit.clock import VirtualClock
from service.publish import SINKS
from service.publish.follower import Follower, followers
from service.publish.sink import Outlets
from service.settings import GuardSettings
from service.store.figures import Figures
from service.store.outbox import Outbox
from service.store.schema import steps
from service.store.tallies import Tallies
from tests.path.world import World, world
from tests.servers import ROOT
from tests.servers.monitoring import Prometheus, prometheus, run

QUERIES = re.findall(
    r"```promql\n# (\d)\. [^\n]*\n(.*?)```", (ROOT / "README.md").read_text(), re.S
)


@dataclass
class Process:
    """The service's process as Prometheus sees it: `up` or away.
    Its metrics begin anew with the world's.
    """

    made: World
    url: str = ""
    up: bool = True
    scrapes: int = 0
    follower: Follower = field(init=False)

    def start(self) -> None:
        made = self.made
        outlets = Outlets(made.clock, tallies=Tallies(made.database))
        (self.follower,) = followers(SINKS, outlets, Outbox(made.database), "w1")

    async def scrape(self, request: web.Request) -> web.StreamResponse:
        if not self.up:
            return web.Response(status=503)
        await self.refresh()
        self.scrapes += 1
        return await make_aiohttp_handler(self.made.metrics.registry)(request)

    async def refresh(self) -> None:
        made, database = self.made, self.made.database
        await Scraping(
            made.metrics, Figures(database), Tallies(database), Outbox(database), made.inbox,
            made.playbooks, made.policy, made.clock,
        ).refresh(None)  # fmt: skip

    async def drained(self) -> None:
        while await self.follower.follow():
            pass

    async def scraped(self, times: int = 2) -> None:
        """Prometheus has seen everything as it is now."""
        before = self.scrapes
        async with asyncio.timeout(60):
            while self.scrapes < before + times:
                await asyncio.sleep(0.05)

    async def killed_and_restarted(self) -> None:
        """Nothing of what was counted in its memory is left."""
        self.up = False
        await self.made.restart()
        self.start()
        self.up = True


@asynccontextmanager
async def serving(process: Process) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/metrics", process.scrape)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield site.name.removeprefix("http://")
    finally:
        await runner.cleanup()


async def incident(made: World, fingerprint: str, *, replicas_needed: int) -> None:
    """From the alert to the close."""
    made.platform.replicas, made.replicas_needed = 2, replicas_needed
    await made.fires(fingerprint)
    await made.settle()
    await made.resolves(fingerprint)
    await made.settle()
    made.clock.advance(4 * 3600.0)


Prune: TypeAlias = Callable[[datetime], Awaitable[None]]


async def a_night(process: Process, prune: Prune) -> None:
    """One remedy that heals, one after whose write the process dies,
    one that does not help, one that is denied.
    """
    made = process.made
    await incident(made, "heals", replicas_needed=3)
    made.platform.replicas = 2
    await made.fires("dies")
    while ("acted", "done") not in await made.told():
        await made.step_when_due()
    await process.killed_and_restarted()  # before anybody could scrape that action
    await made.settle()
    await made.resolves("dies")
    await made.settle()
    await process.drained()
    made.clock.advance(4 * 3600.0)
    await incident(made, "does-not-heal", replicas_needed=99)
    made.limits = GuardSettings(overall_count=1, overall_window_s=6 * 3600.0)
    await incident(made, "denied", replicas_needed=99)
    await process.drained()
    await prune(made.clock.now() + timedelta(days=1))  # no step is left
    await process.killed_and_restarted()


@pytest.mark.only_on("sqlite")
async def test_the_four_questions_have_the_ledgers_answers_also_after_a_crash_and_a_pruning(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with world(store_url, clock) as made:
        process = Process(made)
        process.start()
        async with serving(process) as address, scraping(address, tmp_path) as server:
            await incident(made, "yesterday", replicas_needed=3)
            await process.drained()
            await process.scraped(6)  # the evening before: seconds of it
            night_at, began = clock.now(), time.time()
            denied = await denials(made, process, night_at)
            await process.scraped()
            took_s = math.ceil(time.time() - began) + 1
            answers = [await asked(server, query, took_s) for _, query in QUERIES]
        lines = [r for r in await made.ledger.entries(None, 99) if r["intended_at"] >= night_at]
        done = [r for r in lines if r["applied"] == "done"]
        kind = [str(r["target_key"]).split("/")[0] for r in done]
        assert answers == [
            Counter((r["kind"], r["playbook"], r["rung"]) for r in done),
            Counter((r["kind"], k) for r, k in zip(done, kind, strict=True)),
            Counter((r["outcome"], r["playbook"], r["rung"]) for r in lines),
            denied,
        ]
        assert {r["outcome"] for r in lines} >= {"healed", "not_healed"}
        assert denied
        print(*answers, sep="\n")


async def denials(made: World, process: Process, night_at: datetime) -> Counter[tuple[str, ...]]:
    """The night, and what its journal says was denied, read before the pruning takes it away."""
    found: Counter[tuple[str, ...]] = Counter()

    async def read_first(cutoff: datetime) -> None:
        query = sa.select(steps).where(steps.c.kind == "ruled", steps.c.at >= night_at)
        rows = await made.database.read(lambda c: c.execute(query).mappings().all())
        for row in rows:
            if (ruled := row["data"])["verdict"] == "deny":
                words = (ruled["guard"], "high-latency", ruled["reason"], ruled["rung"])
                found[words] += 1
        await made.incidents.prune(cutoff)

    await a_night(process, read_first)
    return found


@asynccontextmanager
async def scraping(address: str, folder: Path) -> AsyncIterator[Prometheus]:
    config = {
        "global": {"scrape_interval": "500ms"},
        "scrape_configs": [{"job_name": "paramedic", "static_configs": [{"targets": [address]}]}],
    }
    async with prometheus(config, folder / "prometheus") as server:
        yield server


async def asked(server: Prometheus, query: str, night_s: int) -> Counter[tuple[str, ...]]:
    """The answer: the values of its labels, in the order of their names, and how often."""
    samples: list[dict[str, Any]] = await server.query(query.replace("12h", f"{night_s}s"))
    return Counter(
        {
            tuple(value for _, value in sorted(s["metric"].items())): int(float(s["value"][1]))
            for s in samples
        }
    )


@pytest.mark.only_on("sqlite")
async def test_promtool_has_nothing_to_say_about_the_metrics(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with world(store_url, clock) as made:
        process = Process(made)
        process.start()
        await made.fires()
        await made.settle()
        await process.drained()
        async with serving(process) as address, aiohttp.ClientSession() as session:
            async with session.get(f"http://{address}/metrics") as answer:
                text = await answer.text()
            accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
            async with session.get(f"http://{address}/metrics", headers=accept) as answer:
                open_metrics = await answer.text()
        incident_id = (await made.only()).id
    assert "# {" not in text
    assert f'# {{incident="{incident_id}"}}' in open_metrics
    found = run("promtool", "check", "metrics", stdin=text)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")
