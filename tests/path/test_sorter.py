"""The loop from webhooks to incidents on a real store: in parts, once,
and by the time of receiving.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

import pytest
import sqlalchemy as sa

from service.kit.clock import VirtualClock
from service.model.errors import Unavailable
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.settings import GuardSettings, IntakeSettings, Settings, StoreSettings
from service.store.database import Database
from tests.path.rooms import Rooms, built
from tests.unit.made import LABELS, body, item, shipped

HOUR_S = 3_600.0


@asynccontextmanager
async def sorting(
    store_url: str,
    clock: VirtualClock,
    playbooks: tuple[Playbook, ...] | None = None,
    **intake: Any,
) -> AsyncIterator[Rooms]:
    """Rooms of which nothing runs by itself."""
    settings = Settings(
        store=StoreSettings(url=store_url), intake=IntakeSettings(**intake),
        guard=GuardSettings(namespaces=("carbon-ingestion",)),
    )  # fmt: skip
    database = await Database.open(store_url)
    try:
        yield await built(
            settings, database, clock, (shipped(),) if playbooks is None else playbooks
        )
    finally:
        await database.close()


async def told(rooms: Rooms, *items: dict[str, Any]) -> None:
    """A webhook arrives; nothing sorts it yet."""
    await rooms.inbox.accept(json.dumps(body(items)).encode())


async def sort(rooms: Rooms) -> None:
    while await rooms.sorter.sort_batch():
        pass


async def rows(rooms: Rooms, query: str) -> list[tuple[Any, ...]]:
    return await rooms.database.read(lambda c: [tuple(r) for r in c.execute(sa.text(query))])


def numbered(count: int, prefix: str = "f") -> list[dict[str, Any]]:
    return [
        item(f"{prefix}{n}", labels={**LABELS, "workload": f"service-{n % 50}"})
        for n in range(count)
    ]


async def test_a_webhook_that_was_received_four_days_ago_opens_nothing(
    store_url: str, clock: VirtualClock
) -> None:
    async with sorting(store_url, clock) as rooms:
        await told(rooms, item())
        received_at = clock.now()
        clock.advance(4 * 24 * HOUR_S)
        await sort(rooms)
        (row,) = await rooms.episodes.unrouted(9)
        assert (row["unrouted"], row["first_seen_at"], row["last_seen_at"]) == (
            Reason.UNHEARD, received_at, received_at,
        )  # fmt: skip
        assert await rows(rooms, "SELECT count(*) FROM incidents") == [(0,)]
        await told(rooms, item())
        await sort(rooms)
        assert await rooms.episodes.unrouted(9) == []
        assert await rows(rooms, "SELECT count(*) FROM incidents") == [(1,)]


async def test_what_nobody_tells_of_ends_and_its_incident_becomes_due(
    store_url: str, clock: VirtualClock
) -> None:
    async with sorting(store_url, clock) as rooms:
        await told(rooms, item("f1"), item("f2", starts_at="2099-01-01T00:00:00Z"))
        await sort(rooms)
        await rooms.database.write(
            lambda tx: tx.execute(sa.text("UPDATE incidents SET due_at = NULL")).rowcount
        )
        clock.advance(23 * HOUR_S)
        assert await rooms.sorter.end_unheard() == 0
        clock.advance(2 * HOUR_S)
        assert await rooms.sorter.end_unheard() == 2
        assert await rows(rooms, "SELECT DISTINCT status, end_reason FROM episodes") == [
            ("resolved", "unheard")
        ]
        assert await rows(rooms, "SELECT due_at IS NOT NULL FROM incidents") == [(1,)]
        assert rooms.woken == 2  # opened, and ended
        assert await rooms.sorter.end_unheard() == 0


async def test_nobody_is_taken_for_silent_while_words_wait_or_right_after_a_start(
    store_url: str, clock: VirtualClock
) -> None:
    async with sorting(store_url, clock) as rooms:
        await told(rooms, item())
        await sort(rooms)
    clock.advance(48 * HOUR_S)  # the service was away
    async with sorting(store_url, clock) as rooms:
        assert await rooms.sorter.end_unheard() == 0
        clock.advance(5 * HOUR_S)
        await told(rooms, item())
        assert await rooms.sorter.end_unheard() == 0
        await sort(rooms)
        assert await rooms.sorter.end_unheard() == 0
        assert await rows(rooms, "SELECT status FROM episodes") == [("firing",)]


@pytest.mark.only_on("sqlite")  # the parts of other replicas are in test_sorters.py
async def test_a_large_webhook_is_sorted_in_parts_and_goes_on_where_it_broke_off(
    store_url: str, clock: VirtualClock
) -> None:
    class BrokenOff(Exception):
        pass

    alerts = numbered(3_000)
    async with sorting(store_url, clock) as rooms:
        await told(rooms, *alerts)
        parts = 0
        write = rooms.inbox.advance

        def advance(tx: sa.Connection, webhook_id: int, done: int) -> None:
            nonlocal parts
            parts += 1
            write(tx, webhook_id, done)
            if parts == 4:
                raise Unavailable(Reason.STORE_DOWN, "the store went away")

        rooms.inbox.advance = advance  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await rooms.sorter.sort_batch()
        ((done, attempts),) = await rows(rooms, "SELECT done, attempts FROM waiting")
        assert 0 < done < 3_000
        assert attempts == 1
        assert await rows(rooms, "SELECT count(*) FROM episodes") == [(done,)]
    async with sorting(store_url, clock) as rooms:
        await sort(rooms)
        assert rooms.inbox.waiting == 0
        told_of = await rows(rooms, "SELECT count(*), max(deliveries) FROM episodes")
        assert told_of == [(3_000, 1)], "every alert once"
        assert await rows(rooms, "SELECT count(*) FROM incidents") == [(50,)]


class Brittle(Playbook):
    """A playbook whose matching raises for one alert."""

    def matches(self, labels: object) -> bool:
        if "poison" in labels:  # type: ignore[operator]
            raise ZeroDivisionError("a bug of ours")
        return super().matches(labels)  # type: ignore[arg-type]


async def test_one_webhook_that_cannot_be_sorted_holds_nobody_up(
    store_url: str, clock: VirtualClock
) -> None:
    good = shipped()
    brittle = Brittle(**{f.name: getattr(good, f.name) for f in fields(good)})
    async with sorting(store_url, clock, (brittle,)) as rooms:
        await told(rooms, item("f1"))
        await told(rooms, item("bad", labels={**LABELS, "poison": "yes"}))
        await told(rooms, item("f2"))
        await sort(rooms)
        assert rooms.inbox.waiting == 0
        assert await rows(rooms, "SELECT fingerprint FROM episodes ORDER BY 1") == [
            ("f1",),
            ("f2",),
        ]
        (dead,) = await rooms.inbox.dead(9)
        assert dead["reason"] == Reason.SORTING_FAILED
        assert "ZeroDivisionError" in str(dead["detail"])
        assert rooms.count("paramedic_faults_total", where="sorter") == 1


async def test_what_an_older_version_took_and_this_one_cannot_read_is_a_dead_letter(
    store_url: str, clock: VirtualClock
) -> None:
    async with sorting(store_url, clock) as rooms:
        await rooms.inbox.accept(b'{"version": "3", "alerts": []}')
        await told(rooms, item())
        await sort(rooms)
        assert [d["reason"] for d in await rooms.inbox.dead(9)] == ["wrong_version"]
        assert await rows(rooms, "SELECT count(*) FROM incidents") == [(1,)]


async def test_a_stop_in_the_middle_is_no_death(store_url: str, clock: VirtualClock) -> None:
    async with sorting(store_url, clock) as rooms:
        await told(rooms, *numbered(3_000))
        task = asyncio.create_task(rooms.sorter.sort_batch())
        while not (await rows(rooms, "SELECT done FROM waiting"))[0][0]:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await rows(rooms, "SELECT attempts, owner FROM waiting") == [(0, None)]


async def test_sorting_takes_its_bytes_from_the_budget(store_url: str, clock: VirtualClock) -> None:
    async with sorting(store_url, clock) as rooms:
        await told(rooms, item())
        total = rooms.settings.intake.bytes_in_flight
        assert rooms.budget.try_take(total)
        task = asyncio.create_task(rooms.sorter.sort_batch())
        await asyncio.sleep(0.2)
        assert not task.done(), "it waits for receiving to give bytes back"
        rooms.budget.give(total)
        assert await asyncio.wait_for(task, 10)
        assert rooms.budget.used == 0


async def test_an_alert_that_fired_before_its_playbook_was_there_is_routed_when_told_again(
    store_url: str, clock: VirtualClock
) -> None:
    async with sorting(store_url, clock, ()) as rooms:
        for _ in range(2):
            await told(rooms, item())
            await sort(rooms)
        assert [row["unrouted"] for row in await rooms.episodes.unrouted(9)] == ["no_playbook"]
        assert rooms.count("paramedic_alerts_unrouted_total", reason="no_playbook") == 1
    async with sorting(store_url, clock) as rooms:
        await told(rooms, item())
        await sort(rooms)
        assert await rooms.episodes.unrouted(9) == []
        assert await rows(rooms, "SELECT count(*) FROM incidents") == [(1,)]


async def test_the_alert_that_always_fires_is_listened_for(
    store_url: str, clock: VirtualClock
) -> None:
    async with sorting(store_url, clock) as rooms:

        def seen() -> float | None:
            name = "paramedic_watchdog_last_received_timestamp_seconds"
            return rooms.metrics.registry.get_sample_value(name)

        watchdog = {"alertname": "Watchdog", "severity": "none"}
        ends_at = f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"
        await told(rooms, item("w1", labels=watchdog, status="resolved", ends_at=ends_at))
        await told(rooms, item("f1"))
        await sort(rooms)
        assert seen() == 0
        for _ in range(2):  # the second one changes nothing that is known of it
            clock.advance(60)
            await told(rooms, item("w2", labels=watchdog))
            received_at = clock.now()
            clock.advance(5)
            await sort(rooms)
            assert seen() == received_at.timestamp()
        incidents = await rows(rooms, "SELECT count(*) FROM incidents")
        assert incidents == [(1,)]
