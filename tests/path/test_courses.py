"""Courses: three restarts in order, begun by an alert; steps that a crash,
a person or a guard breaks off.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from service.kit.clock import VirtualClock
from service.model.action import Mode
from service.model.control import Once
from service.model.course import Course, CourseState
from service.model.errors import Refused, Unavailable
from service.model.incident import IncidentState, OutcomeKind
from service.model.reasons import Reason
from service.settings import GuardSettings
from service.store.courses import Courses
from service.store.database import Database
from tests.path.stage import OUTAGE_LABELS, SERVICES, Stage
from tests.path.world import LEASE, Crash, MortalDatabase, World
from tests.unit.made import NAMESPACE, item, shipped

PLAYBOOK = shipped("service-outage")
RESTARTS = [f"rollout restart Deployment/{NAMESPACE}/{name}" for name in SERVICES]
OPEN, ACTING, WAITING, VERIFYING, HEALED, ESCALATED, CLOSED = IncidentState


@asynccontextmanager
async def staged(url: str, clock: VirtualClock, **more: Any) -> AsyncIterator[tuple[World, Stage]]:
    """A world with the three services down and PlatformOutage told."""
    stage = Stage(clock)
    made = World(
        url, clock, stage, playbooks=(PLAYBOOK,), see=stage.see, settles=stage.settled, **more
    )
    await made.start()
    try:
        await made.deliver(item("outage", labels=OUTAGE_LABELS))
        yield made, stage
    finally:
        await made.stop()


async def course_of(made: World) -> Course:
    """The course of the one incident there is."""
    found = (await made.only()).course
    assert found is not None
    return found


async def until(made: World, state: IncidentState) -> None:
    for _ in range(800):
        if (await made.only()).state is state:
            return
        await made.step_when_due()
    raise AssertionError(await made.told())


async def steps_told(made: World, kind: str) -> list[dict[str, Any]]:
    record = await made.incidents.record((await made.only()).id)
    assert record is not None
    return [s["data"] for s in record[2] if s["kind"] == kind]


async def test_an_outage_is_mended_by_three_restarts_in_their_order(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        await until(made, HEALED)
        assert stage.done == RESTARTS
        course = await course_of(made)
        assert (course.state, course.at) == (CourseState.DONE, 3)
        assert [(applied, outcome) for _, applied, outcome in await made.actions()] == [
            ("done", "healed")
        ] * 3


async def test_no_restart_begins_before_the_one_above_it_is_rolled_out(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        stage.mended_by_restart = False
        for _ in range(60):
            await made.step_when_due()
        assert stage.done == RESTARTS[:1]
        stage.down.discard(SERVICES[0])
        for _ in range(60):
            await made.step_when_due()
        assert stage.done == RESTARTS[:2]


async def test_each_step_takes_a_claim_of_its_own_and_none_waits_in_it(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, _):
        seen: list[tuple[IncidentState, int]] = []
        while (await made.only()).state is not HEALED:
            before = clock.monotonic()
            ran = await made.round()
            assert clock.monotonic() == before  # a claim's step lets no time pass
            if not ran:
                await made.step_when_due()
            incident = await made.only()
            here = (incident.state, incident.course.at if incident.course else 0)
            if not seen or seen[-1] != here:
                seen.append(here)
        assert seen == [
            (VERIFYING, 0), (OPEN, 1), (VERIFYING, 1), (OPEN, 2), (VERIFYING, 2), (VERIFYING, 3),
            (HEALED, 3),
        ]  # fmt: skip


async def test_an_alert_that_resolves_after_the_first_restart_does_not_break_the_course_off(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        ends_at = f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"
        await made.deliver(item("outage", status="resolved", ends_at=ends_at, labels=OUTAGE_LABELS))
        await until(made, CLOSED)
        assert stage.done == RESTARTS
        assert (await course_of(made)).state is CourseState.DONE
        assert (await made.only()).outcome is OutcomeKind.HEALED


async def test_once_and_then_a_person(store_url: str, clock: VirtualClock) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 3:
            await made.step_when_due()
        while (await course_of(made)).state is not CourseState.PROVING:
            await made.step_when_due()
        stage.down = {SERVICES[2]}
        await until(made, ESCALATED)
        assert stage.done == RESTARTS
        assert (await course_of(made)).state is CourseState.FAILED
        (called,) = await steps_told(made, "called")
        assert "is still down" in called["say"]


async def test_a_step_that_does_not_settle_calls_a_person_with_what_is_left(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        stage.mended_by_restart = False
        await until(made, ESCALATED)
        course = await course_of(made)
        assert (course.state, course.reason) == (CourseState.FAILED, Reason.TIMED_OUT)
        (called,) = await steps_told(made, "called")
        assert f"Written, and not seen to be complete: restart-{SERVICES[0]}." in called["say"]
        assert f"Not done: restart-{SERVICES[1]}, restart-{SERVICES[2]}." in called["say"]
        assert called["commands"] == [
            "# to go on:",
            f"kubectl -n {NAMESPACE} rollout restart deployment/{SERVICES[1]}",
            f"kubectl -n {NAMESPACE} rollout status deployment/{SERVICES[1]}",
            f"kubectl -n {NAMESPACE} rollout restart deployment/{SERVICES[2]}",
            f"kubectl -n {NAMESPACE} rollout status deployment/{SERVICES[2]}",
        ]
        assert [o for _, _, o in await made.actions()] == ["not_healed"]


async def test_a_step_that_the_server_refuses_ends_the_course(
    store_url: str, clock: VirtualClock
) -> None:
    def refuse(intent: Any) -> None:
        if intent.request.target.name == SERVICES[1]:
            raise Refused(Reason.FORBIDDEN, "deployments is forbidden", 403)

    async with staged(store_url, clock) as (made, stage):
        stage.before_apply = refuse
        await until(made, ESCALATED)
        assert stage.done == RESTARTS[:1]
        course = await course_of(made)
        assert (course.state, course.reason, course.at) == (
            CourseState.FAILED, Reason.ACTION_FAILED, 1,
        )  # fmt: skip
        (called,) = await steps_told(made, "called")
        assert f"Done: restart-{SERVICES[0]}." in called["say"]


async def test_what_the_services_need_going_down_stops_the_next_restart(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        stage.kafka_down = True
        await until(made, ESCALATED)
        assert stage.done == RESTARTS[:1]
        assert (await course_of(made)).reason is Reason.READINGS_WORSE


async def test_what_the_services_need_being_unknown_holds_the_next_restart_back(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        stage.kafka_down = None
        for _ in range(20):
            await made.step_when_due()
        assert stage.done == RESTARTS[:1]
        assert (await made.only()).reason is Reason.EVIDENCE_UNKNOWN
        stage.kafka_down = False
        await until(made, HEALED)
        assert stage.done == RESTARTS


async def test_what_stays_unknown_ends_the_course_in_the_time_of_its_step(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        stage.kafka_down = None
        began_at = clock.now()
        await until(made, ESCALATED)
        assert (await course_of(made)).reason is Reason.EVIDENCE_UNKNOWN
        assert 600 <= (clock.now() - began_at).total_seconds() < 700


async def test_a_workload_that_was_made_anew_in_between_is_not_restarted(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        stage.uid[SERVICES[1]] = "another"
        await until(made, ESCALATED)
        assert stage.done == RESTARTS[:1]
        assert (await course_of(made)).reason is Reason.TARGET_REPLACED


async def test_a_person_stops_a_course_between_two_steps(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        await Courses(made.database).stop((await course_of(made)).id, "anna", clock.now())
        await until(made, ESCALATED)
        assert stage.done == RESTARTS[:1]
        course = await course_of(made)
        assert (course.state, course.stop_by) == (CourseState.STOPPED, "anna")
        assert [o for _, _, o in await made.actions()] == ["healed"]  # the first one had settled
        with pytest.raises(Refused, match="nothing to stop"):
            await Courses(made.database).stop(course.id, "anna", clock.now())


async def test_a_ceiling_that_is_lowered_stops_the_course(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        made.mode = Mode.OBSERVE
        await until(made, ESCALATED)
        assert stage.done == RESTARTS[:1]
        assert (await course_of(made)).reason is Reason.MODE_OBSERVE


@pytest.mark.parametrize("hold", ["pause", "pause with an end", "window", "window ended early"])
async def test_a_course_that_people_hold_stops_between_two_steps_and_goes_on_when_the_hold_ends(
    store_url: str, clock: VirtualClock, hold: str
) -> None:
    """For far longer than a step may last; and the process dies meanwhile."""
    held_s = 3 * 3600.0
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        end, window = clock.now() + timedelta(seconds=held_s), ""
        if hold.startswith("pause"):
            await made.desk.pause("anna", "look first", held_s if hold != "pause" else None)
        else:
            over_at = end if hold == "window" else end + timedelta(days=1)
            times = Once(clock.now(), over_at)
            window = (await made.desk.add_window("anna", "storage", times, []))["id"]
        reason = Reason.SWITCHED_OFF if hold.startswith("pause") else Reason.MAINTENANCE
        for crash_at in (clock.now() + timedelta(hours=1), end):
            while (due := await made.incidents.next_due(clock.now(), LEASE)) and due < crash_at:
                await made.step_when_due()
            incident = await made.only()
            assert (incident.state, incident.reason) == (OPEN, reason)
            assert stage.done == RESTARTS[:1], "what is under way ends; no other step begins"
            assert (await course_of(made)).state is CourseState.RUNNING
            await made.restart()
        clock.advance(max(0.0, (end - clock.now()).total_seconds()))
        if hold == "pause":
            await made.desk.resume("anna", "looked")
        elif hold == "window ended early":
            await made.desk.end_window(window, "anna", "done")
        await made.round()
        await made.round()
        assert stage.done == RESTARTS[:2], "at once"
        await until(made, HEALED)
        assert stage.done == RESTARTS
        assert (await course_of(made)).state is CourseState.DONE


async def test_what_else_holds_a_step_after_a_long_pause_has_the_steps_own_time(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        await made.desk.pause("anna", "look first", None)
        paused_until = clock.now() + timedelta(hours=3)
        while (due := await made.incidents.next_due(clock.now(), LEASE)) and due < paused_until:
            await made.step_when_due()
        stage.kafka_down = None
        await made.desk.resume("anna", "looked")
        await made.round()
        assert (await course_of(made)).state is CourseState.RUNNING
        stage.kafka_down = False
        await until(made, HEALED)
        assert stage.done == RESTARTS


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.APPROVE])
async def test_below_auto_no_course_begins(store_url: str, clock: VirtualClock, mode: Mode) -> None:
    async with staged(store_url, clock, mode=mode) as (made, stage):
        await until(made, ESCALATED)
        assert stage.done == []
        assert (await made.only()).course is None


async def test_a_dry_run_asks_the_server_about_the_first_step_and_does_none(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock, mode=Mode.DRY_RUN) as (made, stage):
        await until(made, ESCALATED)
        assert stage.done == []
        assert (await course_of(made)).reason is Reason.MODE_DRY_RUN


async def test_outside_the_allowed_namespaces_no_course_goes_on(
    store_url: str, clock: VirtualClock
) -> None:
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        made.limits = GuardSettings(namespaces=("elsewhere",))
        await until(made, ESCALATED)
        assert stage.done == RESTARTS[:1]
        assert (await course_of(made)).reason is Reason.NAMESPACE_NOT_ALLOWED


async def test_a_reply_that_is_lost_is_read_back_before_anything_else(
    store_url: str, clock: VirtualClock
) -> None:
    lost: list[str] = []

    def lose(intent: Any) -> None:
        if not lost:
            lost.append(intent.action_id)
            raise Unavailable(Reason.LATE, "no answer in time")

    async with staged(store_url, clock) as (made, stage):
        stage.after_apply = lose
        await until(made, HEALED)
        assert stage.done == RESTARTS


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("fate", ["die", "away"])
async def test_a_crash_at_any_write_does_no_step_twice_and_leaves_none_out(
    store_url: str, clock: VirtualClock, tmp_path: Path, after: bool, fate: Literal["die", "away"]
) -> None:
    await (await Database.open(store_url)).close()
    empty, write = tmp_path / "store" / "paramedic.db", 0
    while True:
        copy = tmp_path / f"{write}.db"
        shutil.copy(empty, copy)
        stage = Stage(clock)
        made = World(
            f"sqlite:///{copy}", clock, stage, opener=MortalDatabase, playbooks=(PLAYBOOK,),
            see=stage.see, settles=stage.settled,
        )  # fmt: skip
        await made.start()
        await made.deliver(item("outage", labels=OUTAGE_LABELS))
        database = made.database
        assert isinstance(database, MortalDatabase)
        database.writes_left, database.fate, database.after = write, fate, after
        while (await made.only()).state is not HEALED:
            try:
                await made.step_when_due()
            except Crash:
                await made.restart()
            except Unavailable:
                pass
        assert stage.done == RESTARTS, write
        assert (await course_of(made)).state is CourseState.DONE
        lines = [(applied, outcome) for _, applied, outcome in await made.actions()]
        assert lines == [("done", "healed")] * 3
        await made.stop()
        if database.writes_left is not None:
            break  # the whole course has fewer writes than that
        write += 1 if fate == "die" else 4
    assert write > 15


async def test_a_course_survives_its_playbooks_change_of_the_order(
    store_url: str, clock: VirtualClock
) -> None:
    """What was begun goes on as it was written down, whatever the file says by now."""
    async with staged(store_url, clock) as (made, stage):
        while len(stage.effects) < 1:
            await made.step_when_due()
        made.playbooks = (replace(PLAYBOOK, remedies=PLAYBOOK.remedies[:1]),)
        await made.restart()
        await until(made, HEALED)
        assert stage.done == RESTARTS
