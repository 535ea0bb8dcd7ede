"""Complete recovery: two people, counts remembered, everything stopped, restored,
started again, and proved.
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
from service.model.course import Course, CourseState
from service.model.errors import Refused, Unavailable
from service.model.incident import IncidentState
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.store.courses import Asked, Courses
from service.store.database import Database
from tests.path.stage import BACKUP, RESTORED_ROWS, SERVICES, Stage
from tests.path.world import Crash, MortalDatabase, World
from tests.unit.made import NAMESPACE, item, shipped

PLAYBOOK = shipped("complete-recovery")
LABELS = {"alertname": "CompleteRecoveryRequested", "namespace": NAMESPACE}
CLICKHOUSE = Target(TargetKind.STATEFULSET, NAMESPACE, "clickhouse")
NORMALIZATION, ENRICHMENT, AGGREGATION = SERVICES
OPEN, ACTING, WAITING, VERIFYING, HEALED, ESCALATED, CLOSED = IncidentState
RECOVERED = [
    f"scale Deployment/{NAMESPACE}/{AGGREGATION} from 2 to 0",
    f"scale Deployment/{NAMESPACE}/{ENRICHMENT} from 1 to 0",
    f"restore database carbon_ingestion from {BACKUP} on disk backups",
    f"scale Deployment/{NAMESPACE}/{NORMALIZATION} from 0 to 3",
    f"scale Deployment/{NAMESPACE}/{ENRICHMENT} from 0 to 1",
    f"scale Deployment/{NAMESPACE}/{AGGREGATION} from 0 to 2",
]


def broken(clock: VirtualClock) -> Stage:
    """Normalization was stopped by somebody, and the database is empty."""
    counts = {NORMALIZATION: 0, ENRICHMENT: 1, AGGREGATION: 2}
    return Stage(clock, replicas=counts, down=set())


def wish(clock: VirtualClock, by: str = "anna") -> Course:
    now = clock.now()
    return Course(
        id="saga-1", incident_id="inc-1", kind="recover", rung="", state=CourseState.ASKED,
        steps=(), at=0, since=now, asked_by=by, asked_at=now,
        expires_at=now + timedelta(minutes=30), reason=Reason.APPROVAL_REQUIRED,
    )  # fmt: skip


@asynccontextmanager
async def asked(
    url: str, clock: VirtualClock, stage: Stage | None = None, **more: Any
) -> AsyncIterator[tuple[World, Stage, Courses]]:
    """A world in which anna has asked for a recovery."""
    on = stage or broken(clock)
    made = World(url, clock, on, playbooks=(PLAYBOOK,), see=on.see, settles=on.settled, **more)
    await made.start()
    try:
        courses = Courses(made.database)
        await courses.ask(Asked(PLAYBOOK.name, CLICKHOUSE, LABELS, "a wish"), wish(clock))
        yield made, on, courses
    finally:
        await made.stop()


async def course_of(made: World) -> Course:
    found = await Courses(made.database).get("saga-1")
    assert found is not None
    return found.course


async def until(made: World, *states: CourseState) -> Course:
    for _ in range(800):
        course = await course_of(made)
        if course.state in states:
            return course
        await made.step_when_due()
    raise AssertionError(await made.told())


async def drawn_up(made: World) -> Course:
    while not (await course_of(made)).steps:
        await made.step_when_due()
    return await course_of(made)


async def test_a_platform_is_recovered_when_two_people_want_it(
    store_url: str, clock: VirtualClock
) -> None:
    async with asked(store_url, clock) as (made, stage, courses):
        course = await drawn_up(made)
        assert [s.name for s in course.steps] == [
            f"stop-{AGGREGATION}", f"stop-{ENRICHMENT}", "restore-carbon_ingestion",
            f"start-{NORMALIZATION}", f"start-{ENRICHMENT}", f"start-{AGGREGATION}",
        ]  # fmt: skip
        assert stage.done == []
        await courses.approve("saga-1", "ben", clock.now())
        done = await until(made, CourseState.DONE, CourseState.FAILED)
        assert done.state is CourseState.DONE
        assert stage.done == RECOVERED
        assert (stage.replicas, stage.rows) == (
            {NORMALIZATION: 3, ENRICHMENT: 1, AGGREGATION: 2}, RESTORED_ROWS,
        )  # fmt: skip
        assert (done.asked_by, done.approved_by) == ("anna", "ben")
        # Budgets, attempts and plans are the rung's: each step is told under its name.
        lines = await made.ledger.entries("inc-1", limit=10)
        assert {line["rung"] for line in lines} == {"recover"}
        while (await made.only()).state is not CLOSED:
            await made.step_when_due()


async def test_whoever_asks_cannot_approve(store_url: str, clock: VirtualClock) -> None:
    async with asked(store_url, clock) as (made, stage, courses):
        await drawn_up(made)
        with pytest.raises(Refused, match="another person"):
            await courses.approve("saga-1", "anna", clock.now())
        assert (await course_of(made)).state is CourseState.ASKED
        assert stage.done == []


async def test_nothing_is_approved_before_its_steps_are_known(
    store_url: str, clock: VirtualClock
) -> None:
    async with asked(store_url, clock) as (_, _, courses):
        with pytest.raises(Refused, match="not known yet"):
            await courses.approve("saga-1", "ben", clock.now())


async def test_a_wish_that_nobody_approves_expires_and_says_so(
    store_url: str, clock: VirtualClock
) -> None:
    async with asked(store_url, clock) as (made, stage, courses):
        course = await drawn_up(made)
        assert course.expires_at is not None
        while clock.now() < course.expires_at:
            await made.step_when_due()
        with pytest.raises(Refused, match="could be approved until"):
            await courses.approve("saga-1", "ben", clock.now())
        expired = await until(made, CourseState.EXPIRED)
        assert expired.reason is Reason.APPROVAL_EXPIRED
        assert (await made.only()).state is CLOSED
        assert stage.done == []


async def test_a_wish_is_taken_back_before_it_begins(store_url: str, clock: VirtualClock) -> None:
    async with asked(store_url, clock) as (made, stage, courses):
        await drawn_up(made)
        await courses.approve("saga-1", "ben", clock.now())
        await courses.stop("saga-1", "anna", clock.now())
        while (await made.only()).state is not CLOSED:
            await made.step_when_due()
        assert (await course_of(made)).state is CourseState.WITHDRAWN
        assert stage.done == []


async def test_what_has_changed_since_it_was_approved_is_asked_again(
    store_url: str, clock: VirtualClock
) -> None:
    async with asked(store_url, clock) as (made, stage, courses):
        await drawn_up(made)
        await courses.approve("saga-1", "ben", clock.now())
        stage.replicas[ENRICHMENT] = 5
        again = await until(made, CourseState.ASKED, CourseState.RUNNING)
        assert (again.state, again.approved_by) == (CourseState.ASKED, "")
        assert "has changed since it was approved" in again.detail
        assert stage.done == []
        await courses.approve("saga-1", "ben", clock.now())
        await until(made, CourseState.DONE)
        assert stage.replicas[ENRICHMENT] == 5


@pytest.mark.parametrize(
    ("change", "says"),
    [({"good_backups": 0}, "no good backup"), ({"rows": 7}, "still holds 7 rows")],
    ids=["no backup", "data in the way"],
)
async def test_what_cannot_be_restored_stops_nothing_and_is_told(
    store_url: str, clock: VirtualClock, change: dict[str, int], says: str
) -> None:
    stage = replace(broken(clock), **change)  # type: ignore[arg-type] # counts, all of them
    async with asked(store_url, clock, stage) as (made, _, _):
        course = await until(made, CourseState.FAILED)
        assert says in course.detail
        assert stage.done == []
        while (await made.only()).state is not CLOSED:
            await made.step_when_due()


async def test_rows_that_are_lost_again_are_no_recovery(
    store_url: str, clock: VirtualClock
) -> None:
    async with asked(store_url, clock) as (made, stage, courses):
        await drawn_up(made)
        stage.rows_lost = 1
        await courses.approve("saga-1", "ben", clock.now())
        course = await until(made, CourseState.DONE, CourseState.FAILED)
        assert (course.state, course.reason) == (CourseState.FAILED, Reason.READINGS_BAD)
        assert (await made.only()).state is not HEALED


async def test_a_person_stops_it_between_two_steps_and_gets_the_way_on_and_back(
    store_url: str, clock: VirtualClock
) -> None:
    async with asked(store_url, clock) as (made, stage, courses):
        await drawn_up(made)
        await courses.approve("saga-1", "ben", clock.now())
        while len(stage.effects) < 2:
            await made.step_when_due()
        await courses.stop("saga-1", "carla", clock.now())
        course = await until(made, CourseState.STOPPED)
        assert stage.done == RECOVERED[:2]
        found = await courses.get("saga-1")
        assert found is not None
        assert found.called is not None
        assert found.called["say"].startswith(
            "recover has stopped: stopped by carla before step 3 of 6"
        )
        kubectl = f"kubectl -n {NAMESPACE} scale deployment"
        assert list(found.called["commands"]) == [
            "# to go on:",
            f"kubectl -n {NAMESPACE} exec statefulset/clickhouse -- clickhouse-client -q"
            f" \"RESTORE DATABASE \\`carbon_ingestion\\` FROM Disk('backups', '{BACKUP}')\"",
            f"{kubectl}/{NORMALIZATION} --replicas=3",
            f"{kubectl}/{ENRICHMENT} --replicas=1",
            f"{kubectl}/{AGGREGATION} --replicas=2",
            "# or to go back:",
            f"{kubectl}/{ENRICHMENT} --replicas=1",
            f"{kubectl}/{AGGREGATION} --replicas=2",
        ]
        assert (
            await made.only()
        ).state is ESCALATED  # others wait until a person has dealt with it
        await courses.stop(course.id, "carla", clock.now())
        while (await made.only()).state is not CLOSED:
            await made.step_when_due()


async def test_a_restore_that_fails_starts_nothing_on_an_empty_database(
    store_url: str, clock: VirtualClock
) -> None:
    def refuse(intent: Any) -> None:
        if intent.kind == "restore_database":
            raise Refused(Reason.INVALID_REQUEST, "BACKUP_NOT_FOUND", 500)

    async with asked(store_url, clock) as (made, stage, courses):
        stage.before_apply = refuse
        await drawn_up(made)
        await courses.approve("saga-1", "ben", clock.now())
        course = await until(made, CourseState.FAILED)
        assert (course.at, stage.done) == (2, RECOVERED[:2])


@pytest.mark.parametrize(
    ("mode", "state"), [(Mode.APPROVE, CourseState.DONE), (Mode.OBSERVE, CourseState.FAILED)]
)
async def test_two_people_are_enough_under_the_ceiling_approve_and_nobody_is_below_it(
    store_url: str, clock: VirtualClock, mode: Mode, state: CourseState
) -> None:
    async with asked(store_url, clock, mode=mode) as (made, stage, courses):
        await drawn_up(made)
        await courses.approve("saga-1", "ben", clock.now())
        assert (await until(made, CourseState.DONE, CourseState.FAILED)).state is state
        assert bool(stage.done) is (state is CourseState.DONE)


async def test_an_alert_of_that_name_begins_nothing(store_url: str, clock: VirtualClock) -> None:
    stage = broken(clock)
    made = World(store_url, clock, stage, playbooks=(PLAYBOOK,), see=stage.see)
    await made.start()
    try:
        await made.deliver(item("forged", labels=LABELS))
        while (await made.only()).state is not ESCALATED:
            await made.step_when_due()
        assert stage.done == []
        assert (await made.only()).course is None
        assert ("called", "") in await made.told()
    finally:
        await made.stop()


async def test_of_two_wishes_for_one_platform_the_second_is_told_of_the_first(
    store_url: str, clock: VirtualClock
) -> None:
    async with asked(store_url, clock) as (_, _, courses):
        second = replace(wish(clock, "ben"), id="saga-2", incident_id="inc-2")
        with pytest.raises(Refused, match="saga-1"):
            await courses.ask(Asked(PLAYBOOK.name, CLICKHOUSE, LABELS, "a wish"), second)


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
async def test_a_crash_at_any_write_restores_once_and_comes_back_to_what_was_remembered(
    store_url: str, clock: VirtualClock, tmp_path: Path, after: bool
) -> None:
    await (await Database.open(store_url)).close()
    empty, write = tmp_path / "store" / "paramedic.db", 0
    while True:
        copy = tmp_path / f"{write}.db"
        shutil.copy(empty, copy)
        fate: Literal["die"] = "die"
        async with asked(f"sqlite:///{copy}", clock, opener=MortalDatabase) as (
            made,
            stage,
            courses,
        ):
            await drawn_up(made)
            await courses.approve("saga-1", "ben", clock.now())
            database = made.database
            assert isinstance(database, MortalDatabase)
            database.writes_left, database.fate, database.after = write, fate, after
            while (await course_of(made)).state is not CourseState.DONE:
                try:
                    await made.step_when_due()
                except Crash:
                    await made.restart()
                except Unavailable:
                    pass
            assert stage.done == RECOVERED, write
            assert stage.replicas == {NORMALIZATION: 3, ENRICHMENT: 1, AGGREGATION: 2}
            if database.writes_left is not None:
                break
        write += 1 if write < 8 else 2
    assert write > 25
