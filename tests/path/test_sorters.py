"""Two sorters on one PostgreSQL: nothing sorted twice, nothing lost,
one open incident a playbook and target.
"""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.kit.clock import SystemClock, VirtualClock
from service.kit.tasks import running
from service.model.playbook import Playbook
from service.settings import GuardSettings, Settings, StoreSettings
from service.store.database import Database
from tests.path.rooms import Rooms, built
from tests.servers.postgresql import PostgreSQL
from tests.unit.made import LABELS, body, item, shipped


@pytest.fixture
def shared(postgresql: PostgreSQL) -> str:
    """A database of its own for one test."""
    return postgresql.create()


async def replica(url: str, clock: Any, playbooks: Sequence[Playbook]) -> Rooms:
    settings = Settings(
        store=StoreSettings(url=url), guard=GuardSettings(namespaces=("carbon-ingestion",))
    )
    return await built(settings, await Database.open(url), clock, playbooks)


async def rows(rooms: Rooms, query: str) -> list[tuple[Any, ...]]:
    return await rooms.database.read(lambda c: [tuple(r) for r in c.execute(sa.text(query))])


async def told(rooms: Rooms, *items: dict[str, Any]) -> None:
    await rooms.inbox.accept(json.dumps(body(items)).encode())


async def test_two_sorters_under_load_sort_each_webhook_once(shared: str) -> None:
    replicas = [await replica(shared, SystemClock(), (shipped(),)) for _ in range(2)]
    ended: list[object] = []
    try:
        async with (
            running("one", replicas[0].sorter.run(), lambda *what: ended.append(what)),
            running("other", replicas[1].sorter.run(), lambda *what: ended.append(what)),
        ):
            for turn in range(30):
                await asyncio.gather(
                    *(
                        told(
                            replicas[n % 2],
                            item(f"f{turn}-{n}", labels={**LABELS, "workload": f"service-{n % 5}"}),
                            item("same"),
                        )
                        for n in range(10)
                    )
                )
            async with asyncio.timeout(60):
                while await rows(replicas[0], "SELECT 1 FROM waiting LIMIT 1"):
                    await asyncio.sleep(0.1)
        one = replicas[0]
        assert ended == []
        assert await rows(
            one, "SELECT count(*), max(deliveries) FROM episodes WHERE fingerprint <> 'same'"
        ) == [(300, 1)]
        assert await rows(one, "SELECT deliveries FROM episodes WHERE fingerprint = 'same'") == [
            (300,)
        ]
        assert await rows(one, "SELECT count(*), count(DISTINCT target_key) FROM incidents") == [
            (6, 6)
        ]
        assert await one.inbox.dead(9) == []
    finally:
        for each in replicas:
            await each.database.close()


async def test_what_another_replica_sorts_is_left_alone_until_it_is_gone(
    shared: str,
    clock: VirtualClock,
) -> None:
    one, other = [await replica(shared, clock, (shipped(),)) for _ in range(2)]
    try:
        await told(one, item())
        assert len(await one.inbox.begin()) == 1
        assert await other.inbox.begin() == []
        clock.advance(timedelta(seconds=31).total_seconds())  # it died
        assert len(await other.inbox.begin()) == 1
        assert await rows(one, "SELECT attempts FROM waiting") == [(2,)]
    finally:
        await one.database.close()
        await other.database.close()


@pytest.mark.parametrize("text", ["\x00"])
async def test_nul_characters_do_not_stop_the_sorting(
    shared: str,
    clock: VirtualClock,
    text: str,
) -> None:
    one = await replica(shared, clock, (shipped(),))
    try:
        await told(
            one,
            item(
                f"f{text}",
                labels={f"alertname{text}": text},
                annotations={"a": text},
                generatorURL=text,
            ),
        )
        assert await one.sorter.sort_batch()
        assert len(await one.episodes.unrouted(9)) == 1
        await one.inbox.ready()
    finally:
        await one.database.close()
