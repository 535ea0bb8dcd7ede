"""Two real Alertmanagers and one Paramedic: one incident, whether the two see each other or not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import sqlalchemy as sa

from rehearsal.servers import free_port
from service.settings import IntakeSettings, Settings, StoreSettings
from service.store.schema import episodes, incidents
from tests.path.rooms import Rooms, serving
from tests.servers.monitoring import Alertmanager, alertmanager
from tests.unit.made import PLAYBOOKS, item


@asynccontextmanager
async def paramedic(folder: Path) -> AsyncIterator[Rooms]:
    settings = Settings(
        playbooks=PLAYBOOKS,
        store=StoreSettings(url=f"sqlite:///{folder / 'p.db'}"),
        intake=IntakeSettings(port=0),
    )
    async with serving(settings) as rooms:
        yield rooms


def config(url: str) -> dict[str, Any]:
    hook = {"url": f"{url}/api/v1/alertmanager", "send_resolved": True}
    route = {"receiver": "paramedic", "group_wait": "1s", "group_interval": "5s"}
    return {"route": route, "receivers": [{"name": "paramedic", "webhook_configs": [hook]}]}


async def told(pair: Sequence[Alertmanager]) -> None:
    """An alert, as Prometheus sends it: to both."""
    alert = {"labels": item()["labels"], "startsAt": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    async with aiohttp.ClientSession() as session:
        for one in pair:
            async with session.post(f"{one.url}/api/v2/alerts", json=[alert]) as answer:
                assert answer.status == 200, await answer.text()


async def delivered(rooms: Rooms, times: int) -> None:
    async with asyncio.timeout(60):
        while rooms.count("paramedic_webhooks_total", result="accepted") < times:
            await asyncio.sleep(0.1)
        while rooms.inbox.waiting:
            await asyncio.sleep(0.1)


async def counted(rooms: Rooms) -> tuple[int, int]:
    """Incidents and episodes."""
    return await rooms.database.read(
        lambda c: (
            c.execute(sa.select(sa.func.count()).select_from(incidents)).scalar_one(),
            c.execute(sa.select(sa.func.count()).select_from(episodes)).scalar_one(),
        )
    )


async def test_a_pair_that_gossips_delivers_once_and_is_one_incident(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    async with AsyncExitStack() as stack:
        rooms = await stack.enter_async_context(paramedic(tmp_path))
        made = config(rooms.url)
        a = await stack.enter_async_context(alertmanager(made, tmp_path / "a", gossip=first))
        b = await stack.enter_async_context(
            alertmanager(made, tmp_path / "b", gossip=second, peer=first)
        )
        await peered(a)
        await told([a, b])
        await delivered(rooms, 1)
        await asyncio.sleep(4.0)  # the second one's turn, were it to send
        assert rooms.count("paramedic_webhooks_total", result="accepted") == 1
        assert await counted(rooms) == (1, 1)


async def test_a_pair_that_lost_each_other_delivers_twice_and_is_one_incident(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        rooms = await stack.enter_async_context(paramedic(tmp_path))
        made = config(rooms.url)
        pair = [
            await stack.enter_async_context(alertmanager(made, tmp_path / name)) for name in "ab"
        ]
        await told(pair)
        await delivered(rooms, 2)
        assert await counted(rooms) == (1, 1)


async def peered(one: Alertmanager) -> None:
    async with asyncio.timeout(60):
        while True:
            cluster = (await one.get("/api/v2/status"))["cluster"]
            if cluster["status"] == "ready" and len(cluster["peers"]) == 2:
                return
            await asyncio.sleep(0.2)
