"""Every ruling says what each guard said, in the record, as text and on /metrics;
and the last of a budget.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.desk.record import decision_record
from service.desk.story import story
from service.guard.chain import CHAIN
from service.kit.clock import VirtualClock
from service.model.control import Once
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.settings import GuardSettings
from tests.path.world import World, world
from tests.unit.made import shipped


async def text_of(made: World) -> list[str]:
    """What `paramedic incidents ID` prints."""
    record = await decision_record(made.incidents, made.ledger, (await made.only()).id)
    assert record is not None
    return [line.strip() for line in story(record).splitlines()]


async def test_an_incident_lists_every_guard_with_its_answer_also_those_that_passed(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        await made.desk.pause("anna", "look first", None)
        work = Once(clock.now(), clock.now() + timedelta(hours=1))
        await made.desk.add_window("ben", "storage", work, [])
        await made.fires()
        await made.round()
        told = await text_of(made)
        assert any("guard switch: deny (switched_off) paused by anna" in line for line in told)
        also = [line for line in told if line.startswith("also ")]
        assert [line.split()[:3] for line in also] == [["also", "window:", "maintenance"]]
        (passed,) = [line for line in told if line.startswith("passed: ")]
        names = passed.removeprefix("passed: ").split(", ")
        assert names == [name for name in CHAIN if name not in ("switch", "window")]


async def test_each_guard_counts_what_it_was_asked_by_its_answer(
    store_url: str, clock: VirtualClock
) -> None:
    def answered(made: World, guard: str, answer: str) -> float:
        return made.count("paramedic_guard_answers_total", guard=guard, answer=answer)

    async with world(store_url, clock) as made:
        await made.desk.pause("anna", "look first", None)
        await made.fires()
        await made.round()
        assert answered(made, "switch", "switched_off") == 1
        assert {name: answered(made, name, "pass") for name in CHAIN} == {
            name: float(name != "switch") for name in CHAIN
        }
        await made.desk.resume("anna", "go on")
        await made.round()
        assert answered(made, "switch", "switched_off") == 1
        assert {answered(made, name, "pass") for name in CHAIN if name != "switch"} == {2.0}
        assert answered(made, "switch", "pass") == 1


ROOMY, LAST = Budget(99, 3600.0), Budget(1, 3600.0)


@pytest.mark.parametrize(
    "reason", [Reason.BUDGET_OVERALL, Reason.BUDGET_NAMESPACE, Reason.BUDGET_PLAYBOOK]
)
async def test_of_two_workers_in_the_same_instant_one_has_the_last_of_a_budget(
    store_url: str, clock: VirtualClock, reason: Reason
) -> None:
    """The clock stands still: both have seen the same, and would write their intents
    in the same microsecond.
    """
    of_playbook = LAST if reason is Reason.BUDGET_PLAYBOOK else ROOMY
    guard = GuardSettings(
        overall_count=1 if reason is Reason.BUDGET_OVERALL else 99,
        namespace_count=1 if reason is Reason.BUDGET_NAMESPACE else 99,
        canary_window_s=0, blast_targets=99, blast_share_percent=100,
    )  # fmt: skip
    more: dict[str, Any] = {
        "playbooks": (replace(shipped(), limits=Limits(ROOMY, of_playbook, 0.0)),),
        "limits": guard, "replicas_needed": 99,
    }  # fmt: skip
    async with world(store_url, clock, **more) as made:
        for n in range(2):
            await made.fires(f"f{n}", workload=f"service-{n}")
        claimed = [(await made.claim(owner))[0] for owner in ("w1", "w2")]
        workers = [made.worker_of(made.rooms) for _ in claimed]
        steps = [w.take_step(held) for w, held in zip(workers, claimed, strict=True)]
        await asyncio.gather(*steps)
        assert len(await made.ledger.entries(None, 9)) == len(made.platform.effects) == 1
        reasons = [row["reason"] for row in await made.incidents.listing(9)]
        assert reasons.count(reason) == 1
