"""Two replicas on one PostgreSQL: what SQLite's single writer gives for
nothing has to hold there too.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from service.act import KINDS
from service.act.executor import Executor
from service.kit.clock import VirtualClock
from service.model.action import Intent
from service.model.errors import Unavailable
from service.model.incident import IncidentState
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.settings import GuardSettings
from service.worker import LEASE_S
from tests.path.world import LEASE, Crash, Platform, World, world
from tests.unit.made import body, item, shipped

pytestmark = pytest.mark.only_on("postgresql")

GENEROUS = replace(shipped(), limits=Limits(Budget(9, 3600.0), Budget(99, 3600.0), 0.0))


@pytest.fixture
async def pair(store_url: str, clock: VirtualClock) -> AsyncIterator[tuple[World, World]]:
    """Two processes on one store, one clock and one platform; three actions an hour in all."""
    more: dict[str, Any] = {
        "playbooks": (GENEROUS,), "replicas_needed": 99,
        "limits": GuardSettings(overall_count=3, canary_window_s=0, blast_targets=99),
    }  # fmt: skip
    async with world(store_url, clock, **more) as one, world(store_url, clock, **more) as other:
        other.platform = one.platform
        await other.restart()
        yield one, other


async def storm(made: World, count: int) -> None:
    """Alerts about so many workloads."""
    for n in range(count):
        await made.fires(f"f{n}", workload=f"service-{n}")


async def test_two_replicas_never_work_on_one_incident(pair: tuple[World, World]) -> None:
    await storm(pair[0], 5)
    claims = await asyncio.gather(*(w.claim(f"w{n}", 2) for n, w in enumerate([*pair] * 4)))
    ids = [held.incident.id for claimed in claims for held in claimed]
    assert len(ids) == len(set(ids)) == 5


async def test_two_replicas_never_overspend_a_budget(pair: tuple[World, World]) -> None:
    one, other = pair
    await storm(one, 12)
    shares = [(w, await w.claim(name, 6)) for w, name in ((one, "w1"), (other, "w2"))]
    assert [len(claimed) for _, claimed in shares] == [6, 6]
    steps = [w.worker.take_step(held) for w, claimed in shares for held in claimed]
    await asyncio.gather(*steps)
    assert len(await one.ledger.entries(None, 99)) == 3
    reasons = [row["reason"] for row in await one.incidents.listing(99)]
    assert reasons.count(Reason.BUDGET_OVERALL) == 9


async def test_two_replicas_never_act_on_one_target_at_once(
    store_url: str, clock: VirtualClock
) -> None:
    other_one = replace(GENEROUS, name="other")
    playbooks = (GENEROUS, other_one)
    async with (
        world(store_url, clock, playbooks=playbooks) as one,
        world(store_url, clock, playbooks=playbooks) as two,
    ):
        await one.fires()
        one.playbooks = two.playbooks = (other_one, GENEROUS)
        await one.restart()
        await one.fires("f2", alertname="IngestionLatencyHigh")
        held = [*await one.claim("w1"), *await two.claim("w2")]
        assert len({h.incident.id for h in held}) == 2
        assert len({h.incident.target for h in held}) == 1
        await asyncio.gather(
            *(w.worker.take_step(h) for w, h in zip((one, two), held, strict=True))
        )
        assert len(one.platform.effects) + len(two.platform.effects) == 1
        reasons = {row["reason"] for row in await one.incidents.listing(9)}
        assert reasons == {Reason.TARGET_BUSY, Reason.DONE}


@pytest.mark.parametrize("seed", range(3))
async def test_many_incidents_go_their_whole_way_step_by_step_on_either_replica(
    store_url: str, clock: VirtualClock, seed: int
) -> None:
    chance = random.Random(seed)
    more: dict[str, Any] = {
        "playbooks": (GENEROUS,),
        "limits": GuardSettings(
            overall_count=50,
            namespace_count=50,
            canary_window_s=0,
            blast_targets=99,
            blast_share_percent=100,
            breaker_opened=99,
        ),
    }
    async with world(store_url, clock, **more) as one, world(store_url, clock, **more) as other:
        await storm(one, 6)
        for _ in range(60):
            done = await asyncio.gather(
                *(
                    w.round(name)
                    for w, name in ((one, "w1"), (other, "w2"))
                    if chance.random() < 0.8
                )
            )
            if not any(done):
                clock.advance(chance.choice([1.0, 5.0, 15.0]))
        rows = await one.incidents.listing(9)
        reasons = {row["reason"] for row in rows if row["state"] == "open"}
        assert {row["state"] for row in rows} <= {"healed", "open"}
        assert reasons <= {Reason.ALREADY_HEALTHY}  # the first ones' actions have healed them all
        lines = await one.ledger.entries(None, 99)
        effects = one.platform.effects + other.platform.effects
        assert len(effects) == len(set(effects))
        assert {line["outcome"] for line in lines} == {"healed"}
        for n in range(6):
            await other.resolves(f"f{n}", workload=f"service-{n}")
        while await one.round() or await other.round("w2"):
            pass
        assert await one.incidents.counts() == {}
        for world_ in (one, other):
            assert world_.count("paramedic_faults_total", where="claim_lost") == 0.0


@pytest.mark.parametrize("place", ["before", "after"])
async def test_the_incident_of_a_replica_that_was_killed_goes_on_within_seconds(
    pair: tuple[World, World], place: str
) -> None:
    one, other = pair

    def die(intent: Intent[Any]) -> None:
        one.platform.on_apply = one.platform.after_apply = lambda intent: None
        raise Crash

    await one.fires()
    killed_at = one.clock.monotonic()
    if place == "before":
        one.platform.on_apply = die
    else:
        one.platform.after_apply = die
    with pytest.raises(Crash):
        await one.round("w1")
    assert not await other.round("w2")  # nobody knows yet that it is gone
    while (await other.only()).state is not IncidentState.VERIFYING:
        await other.step_when_due()
    assert other.clock.monotonic() - killed_at <= LEASE_S + 5
    assert len(one.platform.effects) == 1


async def test_a_replica_that_was_paused_finds_its_claim_lost_and_sends_nothing(
    pair: tuple[World, World],
) -> None:
    one, other = pair
    await one.fires()
    (held,) = await one.claim("w1")

    class Paused(Platform):
        async def apply(self, permit: Any) -> Any:
            one.clock.advance(60)  # SIGSTOP, right here
            assert await other.round("w2")
            await permit.confirm()
            raise AssertionError("it was sent late")

    rooms = replace(one.rooms, executor=Executor(dict.fromkeys(KINDS, Paused())))
    await one.worker_of(rooms).take_step(held)
    assert one.count("paramedic_faults_total", where="claim_lost") == 1.0
    assert len(one.platform.effects) == 1
    rows = await other.ledger.entries(None, 9)
    assert [row["applied"] for row in rows] == ["done"]


async def test_one_webhook_at_both_replicas_at_once_is_one_incident(
    pair: tuple[World, World],
) -> None:
    one, _ = pair
    for _ in range(5):
        await asyncio.gather(*(w.inbox.accept(_body()) for w in pair))
    await asyncio.gather(*(_sorted(w) for w in pair))
    assert len(await one.incidents.listing(9)) == 1
    incident = await one.only()
    assert len(incident.alerts) == 1


def _body() -> bytes:
    return json.dumps(body([item()])).encode()


async def _sorted(made: World) -> None:
    """As the sorter's own loop: the second of two that open one incident at once
    tries again, and joins it.
    """
    more = True
    while more:
        with contextlib.suppress(Unavailable):
            more = await made.sorter.sort_batch()


async def test_a_claim_lasts_as_long_as_it_says(pair: tuple[World, World]) -> None:
    one, other = pair
    await one.fires()
    now = one.clock.now()
    assert len(await one.claim("w1")) == 1
    assert await other.claim("w2") == []
    assert await other.incidents.next_due(now, LEASE) == now + LEASE
    one.clock.advance(LEASE_S)
    assert len(await other.claim("w2")) == 1


async def test_nul_characters_do_not_stop_the_sorting(store_url: str, clock: VirtualClock) -> None:
    async with world(store_url, clock) as made:
        nasty = item(
            "f\x00", labels={"alertname\x00": "\x00"}, annotations={"a": "\x00"}, generatorURL="\x00"
        )  # fmt: skip
        await made.deliver(nasty)
        assert made.inbox.waiting == 0
        assert len(await made.episodes.unrouted(9)) == 1
