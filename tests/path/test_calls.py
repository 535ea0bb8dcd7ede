"""Calls for help: from what is in the store, to every Alertmanager,
for as long as they stand, whatever dies.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from service.clients.alertmanager import AlertmanagerClient, PostedAlert
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Mode
from service.model.approval import Answer
from service.model.errors import Unavailable
from service.model.evidence import Evidence, Known, Reading
from service.model.incident import IncidentState
from service.model.objects import Holder, Survey, System, Write
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.publish.escalation import SINK
from service.publish.follower import Follower
from service.publish.sink import Outlets
from service.store.escalations import Escalations
from service.store.outbox import Outbox
from tests.path.test_approval import EXPIRES_S, proposal, with_plan
from tests.path.world import World, world
from tests.unit.made import evidence, item, shipped

KEEP_S = 900.0
LINK = "https://paramedic.example/incidents/{incident}"


@dataclass
class Alertmanager(AlertmanagerClient):
    """One that keeps what it is told, and ends alerts as the real one does; it may be away."""

    clock: VirtualClock
    held: dict[tuple[tuple[str, str], ...], PostedAlert] = field(default_factory=dict)
    away: bool = False
    posts: int = 0
    source: str = "alertmanager"

    async def post(self, alerts: Sequence[PostedAlert], *, deadline: Deadline) -> None:
        if self.away:
            raise Unavailable(Reason.UNREACHABLE, "connection refused")
        self.posts += 1
        for alert in alerts:
            assert alert.starts_at <= alert.ends_at, "Alertmanager refuses it"
            assert all(alert.labels.values())
            self.held[tuple(sorted(alert.labels.items()))] = alert

    def firing(self) -> dict[str, PostedAlert]:
        """By alert name."""
        now: datetime = self.clock.now()
        return {a.labels["alertname"]: a for a in self.held.values() if a.ends_at > now}


@dataclass
class Calling:
    """A world, a pair of Alertmanagers, and the follower that tells them."""

    world: World
    pair: tuple[Alertmanager, Alertmanager]
    follower: Follower

    async def follow(self) -> None:
        while await self.follower.follow():
            pass

    async def later(self, seconds: float) -> None:
        """Time passes in which the follower looks each second, as it does."""
        for _ in range(round(seconds)):
            self.world.clock.advance(1.0)
            await self.follow()

    def starts_anew(self) -> None:
        """Another process with nothing in its memory; the old one's lease is over."""
        self.world.clock.advance(61.0)
        self.follower = following(self.world, self.pair, "w2")


def following(made: World, pair: Sequence[Alertmanager], owner: str = "w1") -> Follower:
    outlets = Outlets(
        made.clock, alertmanagers=pair, escalations=Escalations(made.database),
        keep_firing_s=KEEP_S, incident_url=LINK,
    )  # fmt: skip
    sink = SINK.bind(outlets)
    assert sink is not None
    return Follower(sink, Outbox(made.database), made.clock, owner)


@asynccontextmanager
async def calling(url: str, clock: VirtualClock, **more: Any) -> AsyncIterator[Calling]:
    """A world whose incidents are for people, and who is told of them."""
    async with world(url, clock, **{"mode": Mode.OBSERVE, **more}) as made:
        pair = (Alertmanager(clock), Alertmanager(clock))
        calls = Calling(made, pair, following(made, pair))
        await calls.follow()  # what was told before it was there is not told
        yield calls


async def test_a_person_is_called_through_both_alertmanagers_with_what_to_do(
    store_url: str, clock: VirtualClock
) -> None:
    async with calling(store_url, clock) as calls:
        await calls.world.fires()
        await calls.world.settle()
        await calls.follow()
        incident = await calls.world.only()
        for alertmanager in calls.pair:
            (call,) = alertmanager.firing().values()
            assert call.labels == {
                "alertname": "ParamedicNeedsHuman", "severity": "warning", "incident": incident.id,
                "playbook": "high-latency", "namespace": "carbon-ingestion",
                "workload_kind": "Deployment", "workload": "normalization-service",
            }  # fmt: skip
            told = call.annotations
            assert told["reason"] == "mode_observe"
            assert told["incident"] == f"https://paramedic.example/incidents/{incident.id}"
            assert call.generator_url == told["incident"]
            assert told["action"].endswith("from 2 to 3")
            assert told["commands"].startswith("kubectl -n carbon-ingestion patch deployments")
            assert '"replicas":3' in told["commands"]
            assert "kafka: " in told["seen"]
            assert "lag_total=50000" in told["seen"]
            assert "series: unknown, late" in told["seen"]


async def test_what_somebody_would_put_back_names_its_owner(
    store_url: str, clock: VirtualClock
) -> None:
    async with calling(store_url, clock, mode=Mode.AUTO) as calls:
        flux = Holder(System.FLUX, "Kustomization flux-system/carbon")

        def owned(writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
            survey = Survey(writes[0].ref, "uid-1", holders={writes[0].key: flux})
            return Known((survey,), "platform", clock.now(), 0.0)

        calls.world.platform.surveys = owned
        await calls.world.fires()
        await calls.world.settle()
        await calls.follow()
        (call,) = calls.pair[0].firing().values()
        assert "Kustomization flux-system/carbon" in call.annotations["owner"]
        assert '"replicas":3' in call.annotations["commands"]


async def test_what_was_tried_in_vain_is_told_with_what_it_came_to(
    store_url: str, clock: VirtualClock
) -> None:
    def see(made: World, playbook: Playbook) -> Evidence:
        return evidence(made.clock.now(), pods={"ready": 1 if made.platform.replicas == 3 else 2})

    async with calling(store_url, clock, mode=Mode.AUTO, see=see) as calls:
        await calls.world.fires()
        await calls.world.settle()
        await calls.follow()
        (call,) = calls.pair[0].firing().values()
        assert call.labels["alertname"] == "ParamedicGaveUp"
        assert call.labels["severity"] == "critical"
        done = call.annotations["done"].splitlines()
        assert done[0] == "scale-out: worse (readings_worse)"
        assert done[1].startswith("return of act-")
        assert done[1].endswith("not_healed (returned)")


async def test_a_call_stands_for_as_long_as_it_is_open_and_ends_when_it_is_over(
    store_url: str, clock: VirtualClock
) -> None:
    async with calling(store_url, clock) as calls:
        await calls.world.fires()
        await calls.world.settle()
        await calls.follow()
        posts = calls.pair[0].posts
        for _ in range(10):
            await calls.later(KEEP_S / 3 + 1)
            assert set(calls.pair[0].firing()) == {"ParamedicNeedsHuman"}
        assert calls.pair[0].posts == posts + 10  # renewed, and not more often
        await calls.world.resolves()
        await calls.world.round()
        assert (await calls.world.only()).state is IncidentState.CLOSED
        await calls.follow()
        assert [alertmanager.firing() for alertmanager in calls.pair] == [{}, {}]


@asynccontextmanager
async def asking(url: str, clock: VirtualClock) -> AsyncIterator[Calling]:
    """The same with a proposal that waits for a person's word, and has been told."""
    more: dict[str, Any] = {
        "mode": Mode.AUTO,
        "people": True,
        "playbooks": (with_plan(Mode.APPROVE),),
    }
    async with calling(url, clock, **more) as calls:
        await calls.world.fires()
        await calls.world.settle()
        await calls.follow()
        yield calls


async def test_a_proposal_calls_with_what_it_would_change_until_when_and_how_to_answer(
    store_url: str, clock: VirtualClock
) -> None:
    async with asking(store_url, clock) as calls:
        row = await proposal(calls.world)
        for alertmanager in calls.pair:
            (call,) = alertmanager.firing().values()
            assert call.labels["alertname"] == "ParamedicApprovalWaiting"
            assert call.labels["severity"] == "warning"
            told = call.annotations
            assert told["reason"] == "approval_required"
            assert "from 2 to 3; until 2026-01-01T00:3" in told["description"]
            assert told["change"].endswith("-> 3")
            yes, no = told["commands"].splitlines()
            assert yes == f"paramedic approve {row['id']} --why ..."
            assert no == f"paramedic reject {row['id']} --why ..."
            assert "lag_total=50000" in told["seen"]


async def test_a_proposals_call_stands_for_as_long_as_it_waits_also_in_a_new_process(
    store_url: str, clock: VirtualClock
) -> None:
    async with asking(store_url, clock) as calls:
        for _ in range(4):
            await calls.later(KEEP_S / 3 + 1)
            assert set(calls.pair[0].firing()) == {"ParamedicApprovalWaiting"}
        calls.starts_anew()
        await calls.later(KEEP_S / 3 + 1)
        assert [set(a.firing()) for a in calls.pair] == [{"ParamedicApprovalWaiting"}] * 2


async def _withdrawn(made: World) -> None:
    """Somebody has scaled it meanwhile: it is well, and its alert is resolved by itself."""
    await made.resolves()


async def _expired(made: World) -> None:
    made.clock.advance(EXPIRES_S)


async def _changed(made: World) -> None:
    """The yes comes for another world: a person has taken a pod away."""
    row = await proposal(made)
    made.platform.replicas = 1
    await made.desk.answer(row["id"], Answer.APPROVE, "anna", "go")


def _says(answer: Answer) -> Callable[[World], Awaitable[None]]:
    async def say(made: World) -> None:
        row = await proposal(made)
        await made.desk.answer(row["id"], answer, "anna", "seen it")

    return say


@pytest.mark.parametrize("alive", [True, False], ids=["", "by another process"])
@pytest.mark.parametrize(
    ("happens", "then"),
    [
        pytest.param(_says(Answer.APPROVE), set(), id="approved"),
        pytest.param(_says(Answer.REJECT), {"ParamedicGaveUp"}, id="rejected"),
        pytest.param(_expired, {"ParamedicGaveUp"}, id="expired"),
        pytest.param(_withdrawn, set(), id="withdrawn"),
        pytest.param(_changed, {"ParamedicApprovalWaiting"}, id="changed"),
    ],
)
async def test_a_proposals_call_is_resolved_when_it_is_decided_expired_or_withdrawn(
    store_url: str,
    clock: VirtualClock,
    happens: Callable[[World], Awaitable[None]],
    then: set[str],
    alive: bool,
) -> None:
    async with asking(store_url, clock) as calls:
        first = await proposal(calls.world)
        await happens(calls.world)
        await calls.world.settle()
        await calls.world.round()
        await calls.world.settle()
        if not alive:
            calls.starts_anew()
        await calls.follow()
        for alertmanager in calls.pair:
            firing = alertmanager.firing()
            assert set(firing) == then
            asked = [c.annotations.get("commands", "") for c in firing.values()]
            assert not [commands for commands in asked if first["id"] in commands]


async def test_a_new_process_goes_on_with_the_calls_that_stand(
    store_url: str, clock: VirtualClock
) -> None:
    async with calling(store_url, clock) as calls:
        await calls.world.fires()
        await calls.world.settle()
        await calls.follow()
        for _ in range(4):
            calls.starts_anew()
            await calls.later(KEEP_S / 3 + 1)
        assert set(calls.pair[1].firing()) == {"ParamedicNeedsHuman"}


async def test_a_process_that_dies_before_it_told_of_a_call_or_its_end_loses_neither(
    store_url: str, clock: VirtualClock
) -> None:
    async with calling(store_url, clock) as calls:
        await calls.world.fires()
        await calls.world.settle()
        calls.starts_anew()
        await calls.follow()
        assert set(calls.pair[0].firing()) == {"ParamedicNeedsHuman"}
        await calls.world.resolves()
        await calls.world.round()
        calls.starts_anew()
        await calls.follow()
        assert calls.pair[0].firing() == {}


async def test_while_no_alertmanager_is_there_calls_wait_and_none_is_lost(
    store_url: str, clock: VirtualClock
) -> None:
    async with calling(store_url, clock) as calls:
        for alertmanager in calls.pair:
            alertmanager.away = True
        await calls.world.fires()
        await calls.world.settle()
        await calls.later(30)
        await calls.world.fires("f2", workload="enrichment-service")
        await calls.world.settle()
        await calls.later(600)
        for alertmanager in calls.pair:
            alertmanager.away = False
        await calls.later(301)  # no pause of a follower is longer
        for alertmanager in calls.pair:
            named = {call.labels["workload"] for call in alertmanager.held.values()}
            assert named == {"normalization-service", "enrichment-service"}


async def test_one_dead_alertmanager_of_a_pair_delays_nothing_and_is_told_when_it_is_back(
    store_url: str, clock: VirtualClock
) -> None:
    async with calling(store_url, clock) as calls:
        living, dead = calls.pair
        dead.away = True
        await calls.world.fires()
        await calls.world.settle()
        await calls.follow()
        assert set(living.firing()) == {"ParamedicNeedsHuman"}
        await calls.later(60)
        assert dead.held == {}
        await calls.world.fires("f2", workload="enrichment-service")
        await calls.world.settle()
        await calls.follow()
        assert len(living.held) == 2
        dead.away = False
        await calls.later(11)
        assert len(dead.held) == 2


async def test_an_end_that_no_alertmanager_has_heard_of_is_told_when_one_is_back(
    store_url: str, clock: VirtualClock
) -> None:
    async with calling(store_url, clock) as calls:
        await calls.world.fires()
        await calls.world.settle()
        await calls.follow()
        for alertmanager in calls.pair:
            alertmanager.away = True
        await calls.world.resolves()
        await calls.world.round()
        await calls.later(20)
        for alertmanager in calls.pair:
            alertmanager.away = False
        await calls.later(40)
        assert [alertmanager.firing() for alertmanager in calls.pair] == [{}, {}]


async def test_what_opens_while_one_is_closed_does_not_bring_the_closed_one_back(
    store_url: str, clock: VirtualClock
) -> None:
    async with calling(store_url, clock) as calls:
        await calls.world.fires()
        await calls.world.fires("f2", workload="enrichment-service")
        await calls.world.settle()
        await calls.follow()
        assert len(calls.pair[0].held) == 2
        await calls.world.resolves()
        await calls.world.round()
        await calls.later(KEEP_S)
        firing = [a for a in calls.pair[0].held.values() if a.ends_at > clock.now()]
        assert [call.labels["workload"] for call in firing] == ["enrichment-service"]


async def test_an_alert_of_paramedics_own_that_a_catch_all_route_brings_back_opens_nothing(
    store_url: str, clock: VirtualClock
) -> None:
    anything = replace(shipped(), matchers=())
    async with calling(store_url, clock, playbooks=(anything,)) as calls:
        await calls.world.fires()
        await calls.world.settle()
        await calls.follow()
        (call,) = calls.pair[0].firing().values()
        await calls.world.deliver(item("own", labels=call.labels, annotations=call.annotations))
        assert len(await calls.world.incidents.listing(9)) == 1
        (unrouted,) = await calls.world.episodes.unrouted(9)
        assert unrouted["unrouted"] == "own_alert"


@pytest.mark.parametrize("name", ["ParamedicNeedsHuman", "ParamedicDown"])
async def test_every_name_that_begins_so_is_paramedics_own(
    store_url: str, clock: VirtualClock, name: str
) -> None:
    anything = replace(shipped(), matchers=())
    async with calling(store_url, clock, playbooks=(anything,)) as calls:
        await calls.world.fires(alertname=name)
        assert await calls.world.incidents.listing(9) == []
        await calls.world.fires("f2", alertname="ParamedicsLate")  # a product's name may begin so
        assert len(await calls.world.incidents.listing(9)) == 1
