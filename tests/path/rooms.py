"""Receiving and sorting alone: the web server, the inbox and the sorter on one
store, without a worker.

`python -m tests.path.rooms` runs it in a process of its own, with the service's settings and one
line on stdout that says where it listens.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from service.act import KINDS
from service.diagnose import CHAPTERS
from service.intake.budget import ByteBudget
from service.intake.http import Intake
from service.kit.clock import Clock, SystemClock
from service.kit.tasks import running
from service.model.errors import Unavailable
from service.model.playbook import Playbook
from service.playbooks.load import load
from service.record.metrics import Metrics
from service.route.sorting import Rules
from service.settings import Settings
from service.settings import load as load_settings
from service.sorter import Sorter
from service.store.database import Database
from service.store.episodes import Episodes
from service.store.inbox import Inbox
from service.web import server


@dataclass(slots=True)
class Rooms:
    """What is built. `url` is empty without a port; `ended` are the parts that ended by
    themselves.
    """

    settings: Settings
    database: Database
    inbox: Inbox
    episodes: Episodes
    sorter: Sorter
    intake: Intake
    budget: ByteBudget
    metrics: Metrics
    ended: list[tuple[str, BaseException | None]]
    woken: int = 0
    url: str = ""

    def count(self, metric: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(metric, labels) or 0.0


async def built(
    settings: Settings, database: Database, clock: Clock, playbooks: Sequence[Playbook]
) -> Rooms:
    """The rooms on an open store, nothing running yet."""
    intake = settings.intake
    inbox = Inbox(
        database, clock, max_waiting=intake.max_waiting, max_dead_letters=intake.max_dead_letters,
        keep_body_bytes=settings.store.keep_body_bytes,
    )  # fmt: skip
    await inbox.open()
    metrics, budget = Metrics(), ByteBudget(intake.bytes_in_flight)
    heard_within = timedelta(seconds=intake.heard_within_s)

    def wake() -> None:
        rooms.woken += 1

    sorter = Sorter(
        database, inbox, Rules(playbooks, settings.guard.namespaces, heard_within), metrics, clock,
        wake, budget=budget, unheard_after=timedelta(seconds=intake.unheard_after_s),
    )  # fmt: skip
    handler = Intake(intake, inbox, budget, metrics)
    rooms = Rooms(
        settings, database, inbox, Episodes(database), sorter, handler, budget, metrics, []
    )
    return rooms


@asynccontextmanager
async def serving(
    settings: Settings,
    clock: Clock | None = None,
    playbooks: Sequence[Playbook] | None = None,
    sorting: bool = True,
) -> AsyncIterator[Rooms]:
    """Receiving and sorting until the block ends, and /healthz and /readyz beside them."""
    async with AsyncExitStack() as stack:
        database = await Database.open(settings.store.url)
        stack.push_async_callback(database.close)
        if playbooks is None:
            playbooks = load(settings.playbooks, CHAPTERS, KINDS)
        rooms = await built(settings, database, clock or SystemClock(), playbooks)

        def died(name: str, error: BaseException | None) -> None:
            rooms.ended.append((name, error))

        if sorting:
            _ = await stack.enter_async_context(running("sorter", rooms.sorter.run(), died))
        _ = await stack.enter_async_context(running("store", database.watch(), died))

        async def healthz(request: web.Request) -> web.Response:
            return web.Response(text="ok\n")

        async def readyz(request: web.Request) -> web.Response:
            try:
                if rooms.intake.closing:
                    return web.Response(text="shutting_down\n", status=503)
                await rooms.inbox.ready()
            except Unavailable as error:
                return web.Response(text=f"{error.reason}\n", status=503)
            return web.Response(text="ok\n")

        plain = [web.get("/healthz", healthz), web.get("/readyz", readyz)]
        routes = [*rooms.intake.routes(), *plain]
        rooms.url = await stack.enter_async_context(server.serving(settings.intake, routes, plain))
        yield rooms
        rooms.intake.close()


async def _main() -> None:
    from service.cli import SWITCH_INTERVAL_S
    from service.record import log

    settings = load_settings()
    log.configure(settings.log_format, settings.log_level)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(settings) as rooms:
        print(rooms.url, flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_main())
