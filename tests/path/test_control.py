"""What people say about all actions, over the whole path: the ceiling, the kill switch,
windows, and how they end.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.act.kind import Deed, Permit
from service.incident.lifecycle import Patience
from service.kit.clock import VirtualClock
from service.model.action import Intent, Mode
from service.model.control import Once
from service.model.errors import Unavailable
from service.model.evidence import Evidence
from service.model.incident import Incident, IncidentState
from service.model.playbook import Budget, Limits, Playbook
from service.model.reasons import Reason
from service.settings import GuardSettings
from service.store.breaker import Breaker
from tests.path.world import Platform, World, world
from tests.unit.made import NAMESPACE, item, shipped

OPEN, ACTING, WAITING, VERIFYING, HEALED, ESCALATED, CLOSED = IncidentState


def window_of(clock: VirtualClock, begins_s: float, ends_s: float) -> Once:
    return Once(clock.now() + timedelta(seconds=begins_s), clock.now() + timedelta(seconds=ends_s))


async def until_due(made: World, at: datetime) -> None:
    """Works through everything that is due before `at`, and then stands there."""
    while True:
        while await made.round():
            pass
        due = await made.incidents.next_due(made.clock.now(), timedelta(seconds=10))
        if due is None or due > at:
            break
        made.clock.advance(max(0.0, (due - made.clock.now()).total_seconds()))
    made.clock.advance(max(0.0, (at - made.clock.now()).total_seconds()))


async def test_while_paused_it_is_diagnosed_and_nothing_is_done_and_after_it_is(
    lively: World,
) -> None:
    await lively.desk.pause("anna", "storage is being moved", None)
    await lively.settle()
    incident = await lively.only()
    assert (incident.state, incident.reason) == (ESCALATED, Reason.SWITCHED_OFF)
    assert lively.looks > 0
    assert lively.platform.effects == []
    await lively.desk.resume("anna", "storage is back")
    await lively.settle()
    assert (await lively.only()).state is HEALED
    assert len(lively.platform.effects) == 1


async def test_a_pause_with_an_end_ends_by_itself(lively: World) -> None:
    await lively.desk.pause("anna", "a short look", 2 * 3600.0)
    end = lively.clock.now() + timedelta(hours=2)
    await until_due(lively, end - timedelta(seconds=1))
    assert lively.platform.effects == []
    await until_due(lively, end + timedelta(minutes=10))
    assert (await lively.only()).state is HEALED


async def test_a_pause_that_is_made_shorter_holds_nothing_longer_than_it_lasts(
    lively: World,
) -> None:
    await lively.desk.pause("anna", "a long work", 3 * 3600.0)
    await lively.settle()
    await lively.desk.pause("anna", "it goes faster", 600.0)
    end = lively.clock.now() + timedelta(seconds=600)
    await until_due(lively, end - timedelta(seconds=1))
    assert lively.platform.effects == []
    await until_due(lively, end)
    await lively.settle()
    assert (await lively.only()).state is HEALED


async def test_what_waits_for_a_clock_that_jumped_is_looked_at_again_when_it_can_be_trusted(
    store_url: str, clock: VirtualClock
) -> None:
    """Also where people were called meanwhile, because it had fired for long."""
    async with world(store_url, clock, patience=Patience(60.0, 300.0)) as made:
        await made.fires()
        clock.advance(400.0)
        made.clock_sound_at = clock.now() + timedelta(seconds=600)
        await made.settle()
        incident = await made.only()
        assert (incident.state, incident.reason) == (ESCALATED, Reason.CLOCK_STEPPED)
        await until_due(made, clock.now() + timedelta(minutes=20))
        await made.settle()
        assert (await made.only()).state is HEALED


class Speaking(Platform):
    """A platform at whose door somebody speaks: the request is on its way,
    and `confirm` is asked after it.
    """

    speak: Callable[[], Awaitable[object]] | None = None

    async def apply(self, permit: Permit[Any]) -> Deed:
        if self.speak is not None:
            await self.speak()
        return await super().apply(permit)


def speech(made: World, change: str) -> Callable[[], Awaitable[object]]:
    """What somebody says: a lower ceiling, the kill switch, or a window."""
    said: dict[str, Callable[[], Awaitable[object]]] = {
        "switched_off": lambda: made.desk.pause("anna", "stop", None),
        "approval_required": lambda: made.desk.set_mode("approve", "anna", "carefully now"),
        "mode_observe": lambda: made.desk.set_mode("observe", "anna", "hands off"),
        "maintenance": lambda: made.desk.add_window(
            "anna", "work", window_of(made.clock, 0, 3600), [f'namespace="{NAMESPACE}"']
        ),
    }
    return said[change]


SPEECHES = ("switched_off", "approval_required", "mode_observe", "maintenance")


@pytest.mark.parametrize("change", SPEECHES)
async def test_what_is_said_while_the_write_is_on_its_way_stops_it(
    store_url: str, clock: VirtualClock, change: str
) -> None:
    made = World(store_url, clock, Speaking())
    await made.start()
    try:
        made.platform.speak = speech(made, change)
        await made.fires()
        await made.round()
        (line,) = await made.ledger.entries(None, 10)
        assert made.platform.effects == []
        assert (line["applied"], line["applied_reason"]) == ("failed", change)
        assert await made.ledger.tried((await made.only()).id) == {}
    finally:
        await made.stop()


@pytest.mark.parametrize("change", SPEECHES)
async def test_what_is_said_between_the_intent_and_a_later_attempt_stops_it(
    lively: World, change: str
) -> None:
    def away(intent: Intent[Any]) -> None:
        raise Unavailable(Reason.UNREACHABLE, "connection refused")

    lively.platform.on_apply = away
    await lively.round()
    assert (await lively.only()).state is ACTING
    await speech(lively, change)()
    lively.platform.on_apply = lambda intent: None
    await lively.step_when_due()
    while await lively.round():
        pass
    assert lively.platform.effects == []
    assert (await lively.ledger.entries(None, 10))[0]["applied_reason"] == change


async def test_the_ceiling_that_was_set_is_there_after_a_restart_until_the_setting_changes(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        await made.desk.set_mode("observe", "anna", "an audit")
        await made.restart()
        await made.fires()
        await made.settle()
        assert (await made.only()).reason is Reason.MODE_OBSERVE
        shown = await made.desk.standing()
        assert (shown["mode"], shown["setting"]) == (Mode.OBSERVE, Mode.AUTO)
        assert [(h["what"], h["by"], h["why"]) for h in shown["history"]] == [
            ("mode", "anna", "an audit")
        ]
        made.mode = (
            Mode.DRY_RUN
        )  # somebody has written another setting since: that is the newer word
        await made.restart()
        assert (await made.desk.standing())["mode"] is Mode.DRY_RUN


async def test_a_window_holds_what_its_matchers_mean_and_nothing_else(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        matchers = ['workload="normalization-service"', 'playbook="high-latency"']
        await made.desk.add_window("anna", "rollout", window_of(clock, 0, 3600), matchers)
        await made.fires()
        await made.fires("f2", workload="enrichment-service")
        await until_due(made, clock.now() + timedelta(minutes=30))
        held = {row["target_key"].rsplit("/")[-1] for row in await made.incidents.listing(9)
                if row["reason"] == Reason.MAINTENANCE}  # fmt: skip
        assert held == {"normalization-service"}


@pytest.mark.parametrize(
    ("hold", "count"),
    [("window", 1_000), ("pause", 60), ("pause with an end", 60), ("window ended early", 60)],
)
@pytest.mark.only_on("sqlite")
async def test_when_a_hold_ends_all_that_still_fires_is_looked_at_again_on_fresh_evidence(
    store_url: str, clock: VirtualClock, hold: str, count: int
) -> None:
    """Some are held open, some were given to people meanwhile,
    some come while it is held. None is forgotten.
    """
    free = replace(shipped(), limits=Limits(Budget(5_000, 3600.0), Budget(5_000, 3600.0), 0.0))
    more: dict[str, Any] = {
        "playbooks": (free,),
        "limits": GuardSettings(
            overall_count=5_000,
            namespace_count=5_000,
            canary_window_s=0,
            blast_targets=5_000,
            blast_share_percent=100,
            breaker_opened=5_000,
        ),
        "patience": Patience(60.0, 900.0),
    }
    seen = dict[str, datetime]()
    async with world(store_url, clock, **more) as made:
        end, window_id = clock.now() + timedelta(hours=3), ""
        if hold.startswith("pause"):
            await made.desk.pause("anna", "work", 3 * 3600.0 if hold != "pause" else None)
        else:
            times = Once(clock.now(), end if hold == "window" else end + timedelta(days=1))
            window_id = (await made.desk.add_window("anna", "work", times, ["severity!=none"]))[
                "id"
            ]
        names = [f"service-{n}" for n in range(count)]
        alerts = [item(f"f{n}", labels={**item()["labels"], "workload": name})
                  for n, name in enumerate(names)]  # fmt: skip
        await made.deliver(*alerts[: count // 2])
        await until_due(made, clock.now() + timedelta(hours=1))
        await made.deliver(*alerts[count // 2 :])
        await until_due(made, end - timedelta(seconds=1))
        assert made.platform.effects == []

        diagnose = made.rooms.diagnose

        async def noted(playbook: Playbook, incident: Incident) -> Evidence:
            seen.setdefault(incident.target.name, clock.now())
            return await diagnose(playbook, incident)

        made.rooms = replace(made.rooms, diagnose=noted)
        made.worker = made.worker_of(made.rooms)
        clock.advance(1.0)
        if hold == "pause":
            await made.desk.resume("anna", "done")
        elif hold == "window ended early":
            await made.desk.end_window(window_id, "anna", "done")
        while await made.round():
            pass
        missed = [name for name in names if seen.get(name, clock.now()) < end or name not in seen]
        assert missed == []


@pytest.mark.parametrize("hold", ["budget", "breaker", "breaker lifted"])
@pytest.mark.only_on("sqlite")
async def test_when_a_budget_or_the_breaker_lets_go_all_that_it_held_is_looked_at_again(
    store_url: str, clock: VirtualClock, hold: str
) -> None:
    """Also where the hold is longer than people should wait: then they have it,
    until it is looked at again.

    `PARAMEDIC_HELD=1000` holds as many.
    """
    free = replace(shipped(), limits=Limits(Budget(5_000, 3600.0), Budget(5_000, 3600.0), 0.0))
    guard = GuardSettings(
        overall_count=1 if hold == "budget" else 5_000, overall_window_s=7_200.0,
        namespace_count=5_000, canary_window_s=0, blast_targets=5_000, blast_share_percent=100,
        breaker_opened=5_000 if hold == "budget" else 10, breaker_window_s=60.0,
        breaker_cooldown_s=7_200.0,
    )  # fmt: skip
    more: dict[str, Any] = {
        "playbooks": (free,), "limits": guard, "patience": Patience(60.0, 900.0),
        "replicas_needed": 0,
    }  # fmt: skip
    async with world(store_url, clock, **more) as made:
        seen = dict[str, datetime]()
        diagnose = made.rooms.diagnose

        async def noted(playbook: Playbook, incident: Incident) -> Evidence:
            seen[incident.target.name] = clock.now()
            made.platform.replicas = 2
            made.replicas_needed = 3
            return await diagnose(playbook, incident)

        made.rooms = replace(made.rooms, diagnose=noted)
        made.worker = made.worker_of(made.rooms)
        count = int(os.environ.get("PARAMEDIC_HELD", "60"))
        names = [f"service-{n}" for n in range(count)]
        alerts = [item(f"f{n}", labels={**item()["labels"], "workload": name})
                  for n, name in enumerate(names)]  # fmt: skip
        end = clock.now() + timedelta(seconds=7_200.0)
        for first in range(0, count, 500):
            await made.deliver(*alerts[first : first + 500])
        await until_due(made, end - timedelta(seconds=1))
        assert len(made.platform.effects) == (1 if hold == "budget" else 0)
        held = {Reason.BUDGET_OVERALL} if hold == "budget" else {Reason.BREAKER_OPEN}
        rows = await made.incidents.listing(2_000)
        assert {row["reason"] for row in rows if row["outcome"] is None} <= held
        if hold == "breaker lifted":
            end = clock.now()
            assert await Breaker(made.database, guard.breaker).lift("anna", "known", end)
        await until_due(made, end + timedelta(seconds=1))
        missed = [name for name in names if seen[name] < end]
        print(f"{hold}: {count} held, {len(missed)} missed")
        acted = 1 if hold == "budget" else 0  # what was done is not held
        assert len(missed) <= acted, missed[:5]


async def test_a_dry_run_records_what_would_change_and_changes_nothing(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, mode=Mode.DRY_RUN) as made:
        await made.fires()
        await made.settle()
        record = await made.incidents.record((await made.only()).id)
        assert record is not None
        (ruled,) = [step["data"] for step in record[2] if step["kind"] == "ruled"]
        assert ruled["mode"] == "dry_run"
        ((change),) = ruled["difference"]
        assert (change["field"], change["to"]) == ("spec.replicas", "3")
        assert (made.platform.effects, made.platform.replicas) == ([], 2)
