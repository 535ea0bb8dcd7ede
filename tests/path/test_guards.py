"""Guards over the whole path: the breaker trips, is durable and lifted;
a canary is one; a ladder stops.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from service.incident.lifecycle import Patience
from service.kit.clock import VirtualClock
from service.model.action import Intent, Mode
from service.model.approval import Answer
from service.model.errors import Unavailable
from service.model.incident import IncidentState
from service.model.limits import BreakerLimits
from service.model.playbook import Budget, ConsentPlan, Limits
from service.model.reasons import Reason
from service.settings import GuardSettings
from service.store.breaker import Breaker
from tests.path.world import World, world
from tests.unit.made import shipped

ROOMY = replace(shipped(), limits=Limits(Budget(9, 3600.0), Budget(99, 3600.0), 0.0))


async def storm(made: World, count: int) -> None:
    for n in range(count):
        await made.fires(f"f{n}", workload=f"service-{n}")


async def reasons(made: World) -> list[str]:
    return [row["reason"] for row in await made.incidents.listing(99)]


async def test_a_tripped_breaker_outlives_its_process_until_a_person_lifts_it(
    store_url: str, clock: VirtualClock
) -> None:
    limits = BreakerLimits(2, 600.0, 3_600.0)
    guard = GuardSettings(breaker_opened=2, breaker_window_s=600, breaker_cooldown_s=3_600)
    async with world(store_url, clock, playbooks=(ROOMY,), limits=guard) as made:
        await storm(made, 3)
        for _ in range(3):
            await made.round()
        assert set(await reasons(made)) == {Reason.BREAKER_OPEN}
        await made.restart()
        clock.advance(1_000.0)  # too few are new by now, and it is open still
        breaker = Breaker(made.database, limits)
        state, _ = await breaker.look(clock.now())
        assert (state.opened, state.until is not None) == (0, True)
        assert not await made.round()
        assert await breaker.lift("anna", "it was the storage", clock.now())
        assert not await breaker.lift("anna", "again", clock.now())
        assert await made.round()
        assert len(made.platform.effects) == 1
        _, newest = await breaker.look(clock.now())
        assert newest is not None
        assert (newest["lifted_by"], newest["why"]) == ("anna", "it was the storage")


async def test_what_the_breaker_held_is_due_when_it_is_lifted_also_what_waits_or_is_with_people(
    store_url: str, clock: VirtualClock
) -> None:
    breaker = GuardSettings(breaker_opened=2, breaker_window_s=600, breaker_cooldown_s=36_000)
    asked = tuple(
        replace(rung, mode=Mode.APPROVE, consent=ConsentPlan(expires_s=3_600.0))
        for rung in ROOMY.remedies
    )
    more: dict[str, Any] = {
        "playbooks": (replace(ROOMY, remedies=asked),),
        "people": True,
        "patience": Patience(60.0, 900.0),
        "limits": breaker,
    }
    async with world(store_url, clock, **more) as made:
        await made.fires("first")
        await made.settle()
        await storm(made, 4)
        (waiting,) = await made.desk.proposals(9, every=False)
        await made.desk.answer(waiting["id"], Answer.APPROVE, "anna", "go")
        await made.settle()
        states = [(row["state"], row["reason"]) for row in await made.incidents.listing(9)]
        assert set(states) == {
            (IncidentState.WAITING, Reason.BREAKER_OPEN),
            (IncidentState.ESCALATED, Reason.BREAKER_OPEN),
        }
        assert not await made.round()
        limits = made.limits.breaker
        assert await Breaker(made.database, limits).lift("anna", "known", clock.now())
        assert {row["due_at"] for row in await made.incidents.listing(9)} == {clock.now()}
        await made.settle()
        assert len(made.platform.effects) == 1


async def test_a_breaker_that_opens_between_the_intent_and_the_write_stops_the_write(
    store_url: str, clock: VirtualClock
) -> None:
    guard = GuardSettings(breaker_opened=2, breaker_window_s=600, breaker_cooldown_s=3_600)
    async with world(store_url, clock, playbooks=(ROOMY,), limits=guard) as made:

        def away(intent: Intent[Any]) -> None:
            raise Unavailable(Reason.UNREACHABLE, "connection refused")

        made.platform.on_apply = away
        await made.fires("first")
        await made.round()
        made.platform.on_apply = lambda intent: None
        await storm(made, 4)
        clock.advance(10.0)
        while await made.round():
            pass
        (line,) = await made.ledger.entries(None, 9)
        assert (line["applied"], line["applied_reason"]) == ("failed", Reason.BREAKER_OPEN)
        assert made.platform.effects == []
        assert await made.ledger.tried(line["incident_id"]) == {}


async def test_what_was_opened_before_the_lift_does_not_trip_it_again(
    store_url: str, clock: VirtualClock
) -> None:
    breaker_limits = BreakerLimits(2, 600.0, 3_600.0)
    guard = GuardSettings(breaker_opened=2, breaker_window_s=600, breaker_cooldown_s=3_600)
    async with world(store_url, clock, limits=guard) as made:
        await storm(made, 3)
        breaker = Breaker(made.database, breaker_limits)
        state, _ = await breaker.look(clock.now())
        assert state.until == clock.now() + timedelta(seconds=3_600)
        clock.advance(1.0)
        assert await breaker.lift("anna", "known", clock.now())
        state, _ = await breaker.look(clock.now())
        assert (state.opened, state.until) == (0, None)


async def test_of_many_at_the_same_instant_one_is_the_canary(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, playbooks=(ROOMY,), replicas_needed=99) as made:
        await storm(made, 6)
        claimed = await made.claim(limit=6)
        await asyncio.gather(*(made.worker.take_step(held) for held in claimed))
        assert len(await made.ledger.entries(None, 99)) == 1
        assert (await reasons(made)).count(Reason.CANARY) == 5


async def test_the_last_of_a_namespaces_budget_is_spent_once(
    store_url: str, clock: VirtualClock
) -> None:
    guard = GuardSettings(namespace_count=2, canary_window_s=0, blast_targets=99)
    async with world(
        store_url, clock, playbooks=(ROOMY,), limits=guard, replicas_needed=99
    ) as made:
        await storm(made, 6)
        claimed = await made.claim(limit=6)
        await asyncio.gather(*(made.worker.take_step(held) for held in claimed))
        assert len(await made.ledger.entries(None, 99)) == 2
        assert (await reasons(made)).count(Reason.BUDGET_NAMESPACE) == 4


async def test_a_ladder_that_stops_calls_a_person_with_what_was_tried(
    store_url: str, clock: VirtualClock
) -> None:
    rungs = tuple(replace(rung, times=9) for rung in ROOMY.remedies)
    again = replace(ROOMY, remedies=rungs)
    async with world(store_url, clock, playbooks=(again,), replicas_needed=99) as made:
        await made.fires()
        await made.settle()
        told = await made.told()
        assert [w for k, w in told if k == "verified"] == ["not_healed", "not_healed"]
        assert ("ruled", "rung_futile") in told
        row = (await made.incidents.listing(1))[0]
        record = await made.incidents.record(row["id"])
        assert record is not None
        (said,) = [s["data"]["say"] for s in record[2] if s["kind"] == "called"]
        assert said.count(" not_healed") == 2
        assert (row["state"], row["reason"]) == ("escalated", Reason.RUNG_FUTILE)
