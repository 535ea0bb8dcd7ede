"""From an alert to a person's word, and what comes of it: yes, no, silence, veto,
and a world that has changed.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.kit.clock import VirtualClock
from service.model.action import Mode
from service.model.approval import Answer
from service.model.control import Once
from service.model.errors import Refused
from service.model.incident import IncidentState
from service.model.playbook import ConsentPlan, Playbook
from service.model.reasons import Reason
from tests.path.world import Crash, MortalDatabase, SteppedClock, World, world
from tests.unit.made import evidence, shipped

OPEN, ACTING, WAITING, VERIFYING, HEALED, ESCALATED, CLOSED = IncidentState
EXPIRES_S, VETO_S = 1800.0, 600.0


def with_plan(mode: Mode, **plan: Any) -> Playbook:
    """The shipped playbook, each rung under one mode."""
    consent = ConsentPlan(EXPIRES_S, VETO_S, **plan)
    made = shipped()
    rungs = tuple(replace(rung, mode=mode, consent=consent) for rung in made.remedies)
    return replace(made, remedies=rungs)


@pytest.fixture
async def asking(store_url: str, clock: VirtualClock) -> AsyncIterator[World]:
    """A world in which a person has to say yes, one alert in it, and its proposal made."""
    more: dict[str, Any] = {"people": True, "playbooks": (with_plan(Mode.APPROVE),)}
    async with world(store_url, clock, **more) as made:
        await made.fires()
        await made.settle()
        yield made


@pytest.fixture
async def announcing(store_url: str, clock: VirtualClock) -> AsyncIterator[World]:
    """The same under `veto`."""
    more: dict[str, Any] = {"people": True, "playbooks": (with_plan(Mode.VETO),)}
    async with world(store_url, clock, **more) as made:
        await made.fires()
        await made.settle()
        yield made


async def proposal(made: World, *, every: bool = False) -> dict[str, Any]:
    """The newest one."""
    (row, *_) = await made.desk.proposals(10, every=every)
    return row


async def stand(made: World) -> tuple[IncidentState, Reason | None]:
    incident = await made.only()
    return incident.state, incident.reason


async def test_a_proposal_says_what_would_change_why_and_until_when(asking: World) -> None:
    assert await stand(asking) == (WAITING, Reason.APPROVAL_REQUIRED)
    row = await proposal(asking)
    assert (row["state"], row["mode"], row["rung"]) == ("pending", "approve", "scale-out")
    assert "from 2 to 3" in row["action"]
    assert row["due_at"] - row["made_at"] == timedelta(seconds=EXPIRES_S)
    ((change),) = row["difference"]
    assert (change["field"], change["to"]) == ("spec.replicas", "3")
    assert row["evidence"]["kafka"]["lag_total"] > 0
    assert ("proposed", "") in await asking.told()
    assert asking.platform.effects == []


async def test_what_a_person_approves_is_looked_at_again_done_and_proved(asking: World) -> None:
    looks = asking.looks
    asking.clock.advance(60)
    row = await proposal(asking)
    await asking.desk.answer(row["id"], Answer.APPROVE, "anna", "seen it, go")
    await asking.settle()
    assert await stand(asking) == (HEALED, Reason.READINGS_GOOD)
    assert asking.looks > looks
    assert len(asking.platform.effects) == 1
    (line,) = await asking.ledger.entries(None, 10)
    assert line["mode"] == "approve"
    used = await proposal(asking, every=True)
    assert (used["state"], used["action_id"]) == ("used", line["action_id"])
    told = [word for word in await asking.told() if word[0] in ("proposed", "answered", "settled")]
    assert [kind for kind, _ in told] == ["proposed", "answered", "settled"]
    record = await asking.incidents.record((await asking.only()).id)
    assert record is not None
    answered = next(step for step in record[2] if step["kind"] == "answered")
    assert (answered["data"]["by"], answered["data"]["why"]) == ("anna", "seen it, go")


async def test_what_a_person_rejects_is_not_done_and_goes_to_people(asking: World) -> None:
    row = await proposal(asking)
    await asking.desk.answer(row["id"], Answer.REJECT, "anna", "not on payday")
    await asking.settle()
    assert await stand(asking) == (ESCALATED, Reason.REJECTED)
    assert asking.platform.effects == []
    rejected = await proposal(asking, every=True)
    assert (rejected["state"], rejected["by"]) == ("rejected", "anna")
    assert (rejected["reason"], rejected["ended_at"]) == ("rejected", asking.clock.now())


async def test_silence_is_expiry_and_nobodys_no(asking: World) -> None:
    asking.clock.advance(EXPIRES_S - 1)
    assert not await asking.round()
    asking.clock.advance(1)
    row = await proposal(asking)
    with pytest.raises(Refused, match="approval_expired"):
        await asking.desk.answer(row["id"], Answer.APPROVE, "anna", "too late")
    await asking.settle()
    assert await stand(asking) == (ESCALATED, Reason.APPROVAL_EXPIRED)
    expired = await proposal(asking, every=True)
    assert (expired["state"], expired["by"]) == ("expired", None)
    assert asking.platform.effects == []


@pytest.mark.parametrize("change", ["more replicas", "healthy", "replaced"])
async def test_a_world_that_changed_withdraws_the_proposal_with_the_difference(
    asking: World, change: str
) -> None:
    if change == "more replicas":
        asking.platform.replicas = 1
    elif change == "healthy":
        asking.platform.replicas = 3
    else:
        asking.see = lambda w, p: evidence(w.clock.now(), target={"uid": "uid-2"})
    row = await proposal(asking)
    await asking.desk.answer(row["id"], Answer.APPROVE, "anna", "go")
    await asking.round()
    assert asking.platform.effects == []
    withdrawn = next(p for p in await asking.desk.proposals(9, every=True) if p["id"] == row["id"])
    assert withdrawn["state"] == "withdrawn"
    told = {"more replicas": "from 1 to 2", "healthy": "already_healthy", "replaced": "uid-2"}
    assert told[change] in withdrawn["detail"]
    assert (await asking.only()).state is OPEN


async def test_a_yes_is_not_lost_while_the_evidence_is_unknown_for_a_moment(asking: World) -> None:
    as_it_is = asking.see
    asking.see = lambda w, p: evidence(
        w.clock.now(), unknown=["kafka", "clickhouse", "pods", "series"]
    )
    await asking.desk.answer((await proposal(asking))["id"], Answer.APPROVE, "anna", "go")
    await asking.round()
    assert await stand(asking) == (WAITING, Reason.EVIDENCE_UNKNOWN)
    asking.see = as_it_is
    await asking.step_when_due()
    await asking.settle()
    await asking.round()
    assert len(asking.platform.effects) == 1


async def test_every_guard_is_asked_again_when_a_person_says_yes(asking: World) -> None:
    times = Once(asking.clock.now(), asking.clock.now() + timedelta(minutes=10))
    await asking.desk.add_window("ben", "work", times, [])
    await asking.desk.answer((await proposal(asking))["id"], Answer.APPROVE, "anna", "go")
    await asking.round()
    assert await stand(asking) == (WAITING, Reason.MAINTENANCE)
    assert asking.platform.effects == []
    asking.clock.advance(600)
    await asking.round()
    assert len(asking.platform.effects) == 1  # the yes still holds when the window has closed


async def test_a_yes_that_is_held_back_for_too_long_holds_no_more(asking: World) -> None:
    times = Once(asking.clock.now(), asking.clock.now() + timedelta(hours=5))
    await asking.desk.add_window("ben", "work", times, [])
    await asking.desk.answer((await proposal(asking))["id"], Answer.APPROVE, "anna", "go")
    await asking.round()
    asking.clock.advance(5 * 3600)
    await asking.round()
    assert (await asking.only()).state is OPEN
    await asking.round()
    assert asking.platform.effects == []
    assert len(await asking.desk.proposals(9, every=True)) == 2


async def test_two_people_are_two_people(store_url: str, clock: VirtualClock) -> None:
    playbook = with_plan(Mode.APPROVE, two_people=True)
    async with world(store_url, clock, people=True, playbooks=(playbook,)) as made:
        await made.fires()
        await made.settle()
        row = await proposal(made)
        await made.desk.answer(row["id"], Answer.APPROVE, "anna", "I ask for it")
        await made.settle()
        with pytest.raises(Refused, match="second_person"):
            await made.desk.answer(row["id"], Answer.APPROVE, "anna", "and I say yes")
        await made.settle()
        assert (made.platform.effects, (await made.only()).state) == ([], WAITING)
        await made.desk.answer(row["id"], Answer.APPROVE, "ben", "I agree")
        await made.settle()
        assert (await made.only()).state is HEALED
        used = await proposal(made, every=True)
        assert (used["asked_by"], used["by"]) == ("anna", "ben")


async def test_saying_it_twice_is_saying_it_once_and_another_word_comes_too_late(
    asking: World,
) -> None:
    row = await proposal(asking)
    await asking.desk.answer(row["id"], Answer.APPROVE, "anna", "go")
    await asking.desk.answer(row["id"], Answer.APPROVE, "anna", "go")
    await asking.settle()
    await asking.desk.answer(row["id"], Answer.APPROVE, "anna", "go")
    with pytest.raises(Refused, match="conflict"):
        await asking.desk.answer(row["id"], Answer.REJECT, "ben", "no")
    with pytest.raises(Refused, match="not_found"):
        await asking.desk.answer("app-0", Answer.REJECT, "ben", "no")
    told = [kind for kind, _ in await asking.told()]
    assert told.count("answered") == 1
    assert len(asking.platform.effects) == 1


async def test_a_yes_is_taken_back_by_a_no_before_it_is_used(asking: World) -> None:
    row = await proposal(asking)
    await asking.desk.answer(row["id"], Answer.APPROVE, "anna", "go")
    await asking.desk.answer(row["id"], Answer.REJECT, "anna", "wait, no")
    await asking.settle()
    assert await stand(asking) == (ESCALATED, Reason.REJECTED)
    assert asking.platform.effects == []


async def test_what_resolves_while_it_waits_is_closed_and_its_proposal_withdrawn(
    asking: World,
) -> None:
    await asking.resolves()
    await asking.settle()
    await asking.round()
    assert (await asking.only()).state is CLOSED
    over = await proposal(asking, every=True)
    assert (over["state"], over["reason"]) == ("withdrawn", "alert_resolved")
    assert await asking.desk.proposals(9, every=False) == []


# ---------------------------------------------------------------------- veto


async def test_what_is_announced_is_done_when_nobody_says_no(announcing: World) -> None:
    assert await stand(announcing) == (WAITING, Reason.VETO_PENDING)
    announcing.clock.advance(VETO_S - 1)
    assert not await announcing.round()
    assert announcing.platform.effects == []
    announcing.clock.advance(1)
    await announcing.round()
    assert len(announcing.platform.effects) == 1
    await announcing.settle()
    assert (await announcing.only()).state is HEALED
    used = await proposal(announcing, every=True)
    assert (used["state"], used["reason"], used["by"]) == ("used", "no_veto", None)


async def test_a_veto_is_heard_and_a_yes_is_not_waited_for(announcing: World) -> None:
    await announcing.desk.answer((await proposal(announcing))["id"], Answer.APPROVE, "anna", "now")
    await announcing.round()
    assert len(announcing.platform.effects) == 1


async def test_a_veto_stops_it(announcing: World) -> None:
    await announcing.desk.answer((await proposal(announcing))["id"], Answer.REJECT, "anna", "no")
    announcing.clock.advance(VETO_S)
    await announcing.settle()
    assert await stand(announcing) == (ESCALATED, Reason.REJECTED)
    assert announcing.platform.effects == []


async def test_a_veto_in_the_very_moment_of_admission_is_heard(announcing: World) -> None:
    """The worker has read that nobody said no, and looks at the evidence: then somebody says it."""
    row = await proposal(announcing)
    diagnose = announcing.rooms.diagnose

    async def meanwhile(*asked: Any) -> Any:
        seen = await diagnose(*asked)
        await announcing.desk.answer(row["id"], Answer.REJECT, "anna", "no")
        return seen

    announcing.rooms = replace(announcing.rooms, diagnose=meanwhile)
    announcing.worker = announcing.worker_of(announcing.rooms)
    announcing.clock.advance(VETO_S)
    await announcing.settle()
    await announcing.round()
    assert await stand(announcing) == (ESCALATED, Reason.REJECTED)
    assert announcing.platform.effects == []


async def test_a_word_that_comes_while_a_worker_has_the_incident_is_not_overlooked(
    asking: World,
) -> None:
    """Something made it due; before the worker writes that it goes on waiting, somebody says
    yes.
    """
    row = await proposal(asking)
    await asking.incidents.wake_all(asking.clock.now())
    (held,) = await asking.claim()
    await asking.desk.answer(row["id"], Answer.APPROVE, "anna", "go")
    await asking.worker.take_step(held)
    assert await asking.round()
    assert len(asking.platform.effects) == 1


async def test_a_lower_ceiling_withdraws_what_is_announced_and_asks_instead(
    announcing: World,
) -> None:
    await announcing.desk.set_mode("approve", "anna", "carefully now")
    await announcing.settle()
    assert await stand(announcing) == (WAITING, Reason.APPROVAL_REQUIRED)
    states = [(p["mode"], p["state"]) for p in await announcing.desk.proposals(9, every=True)]
    assert sorted(states) == [("approve", "pending"), ("veto", "withdrawn")]
    announcing.clock.advance(VETO_S)
    await announcing.round()
    assert announcing.platform.effects == []


@pytest.mark.parametrize("mode", [Mode.APPROVE, Mode.VETO])
async def test_a_clock_that_jumps_gives_nobody_less_time_to_say_no(
    store_url: str, mode: Mode
) -> None:
    clock = SteppedClock()
    async with world(store_url, clock, people=True, playbooks=(with_plan(mode),)) as made:
        await made.fires()
        await made.settle()
        clock.step(3600)
        made.clock_sound_at = clock.now() + timedelta(minutes=10)
        await made.incidents.wake_all(clock.now())
        await made.round()
        assert (made.platform.effects, (await made.only()).state) == ([], OPEN)
        assert (await proposal(made, every=True))["state"] == "withdrawn"
        await made.settle()
        assert (await made.only()).state is WAITING
        assert clock.now() >= made.clock_sound_at
        assert (await proposal(made))["due_at"] > clock.now()
        assert made.platform.effects == []


async def test_a_clock_set_back_makes_nobody_wait_for_ever_and_does_nothing_early(
    store_url: str,
) -> None:
    clock = SteppedClock()
    async with world(store_url, clock, people=True, playbooks=(with_plan(Mode.VETO),)) as made:
        await made.fires()
        await made.settle()
        clock.step(-3600)
        await made.incidents.wake_all(clock.now())
        await made.round()
        assert made.platform.effects == []
        clock.advance(3600 + VETO_S)
        await made.settle()
        await made.round()
        assert len(made.platform.effects) == 1


async def test_where_nobody_could_answer_nothing_is_proposed_and_a_person_is_called(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, playbooks=(with_plan(Mode.VETO),)) as made:
        await made.fires()
        await made.settle()
        assert await stand(made) == (ESCALATED, Reason.APPROVAL_REQUIRED)
        assert await made.desk.proposals(9, every=True) == []


# ---------------------------------------------------------------------- crashes, and two workers


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after it"])
@pytest.mark.parametrize("write", range(8))
@pytest.mark.parametrize("mode", [Mode.APPROVE, Mode.VETO])
async def test_a_crash_at_any_commit_loses_no_word_and_does_nothing_twice(
    store_url: str, clock: VirtualClock, write: int, after: bool, mode: Mode
) -> None:
    more: dict[str, Any] = {
        "people": True,
        "playbooks": (with_plan(mode),),
        "opener": MortalDatabase,
    }
    async with world(store_url, clock, **more) as made:
        await made.fires()

        async def live() -> None:
            await made.settle()
            waiting = await made.desk.proposals(9, every=False)
            if mode is Mode.APPROVE and waiting and waiting[0]["state"] == "pending":
                await made.desk.answer(waiting[0]["id"], Answer.APPROVE, "anna", "go")
            elif waiting:
                made.clock.advance(VETO_S)
            await made.settle()
            await made.round()
            await made.settle()

        database: Any = made.database
        database.writes_left, database.after = write, after
        try:
            await live()
        except Crash:
            await made.restart()
        database = made.database
        database.writes_left = None
        made.clock.advance(11)
        await live()
        assert (await made.only()).state is HEALED
        assert len(made.platform.effects) == 1
        assert [p["state"] for p in await made.desk.proposals(9, every=True)] == ["used"]


async def test_of_two_workers_one_takes_the_yes_up(asking: World) -> None:
    row = await proposal(asking)
    await asking.desk.answer(row["id"], Answer.APPROVE, "anna", "go")
    (first,) = await asking.claim("w1")
    asking.clock.advance(11)  # w1 was paused, and its claim has run out
    (second,) = await asking.claim("w2")
    await asking.worker.take_step(second)
    await asking.worker.take_step(first)
    assert len(asking.platform.effects) == 1
    assert len(await asking.ledger.entries(None, 10)) == 1
