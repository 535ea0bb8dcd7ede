"""Sagas: their steps in order, one at a time, each watched;
what stops a run, and what is left then.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from service.act import KINDS
from service.model.action import ActionResult, Applied, NotPossible
from service.model.course import Course, CourseState, CourseStep, Settles
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.saga import course, outage, recovery, telling
from service.saga.course import Act, Ended, LookAgain
from tests.unit.test_kinds import NS, T0

NORMALIZATION, ENRICHMENT, AGGREGATION = (
    Target(TargetKind.DEPLOYMENT, NS, f"{name}-service")
    for name in ("normalization", "enrichment", "aggregation")
)
SERVICES = (NORMALIZATION, ENRICHMENT, AGGREGATION)
RESTARTS = outage.steps(SERVICES, within_s=60)
RECOVERY = recovery.Recovery(
    database="carbon_ingestion",
    backup="carbon-1",
    disk="backups",
    store=Target(TargetKind.STATEFULSET, NS, "clickhouse"),
    workloads=SERVICES,
    replicas={NORMALIZATION.key: 3, ENRICHMENT.key: 0, AGGREGATION.key: 2},
    afterwards={NORMALIZATION.key: 9, ENRICHMENT.key: 2},
)

DONE = ActionResult(Applied.DONE, Reason.DONE, "", T0)


def after(seconds: float) -> Any:
    return T0 + timedelta(seconds=seconds)


def run(steps: Sequence[CourseStep] = RESTARTS, at: int = 0, **more: Any) -> Course:
    """A course that has come to one of its steps."""
    return Course(
        id="saga-1", incident_id="inc-1", kind="toy", rung="toy", state=CourseState.RUNNING,
        steps=tuple(steps), at=at, since=T0, **more,
    )  # fmt: skip


def test_the_services_are_restarted_in_order_and_each_rollout_is_watched() -> None:
    going, seen = run(), []
    for number, _ in enumerate(SERVICES):
        act = course.begin(going)
        assert isinstance(act, Act)
        seen.append(act.step.target)
        watched = course.after_action(act.course, DONE)
        assert isinstance(watched, LookAgain)
        again = course.after_look(watched.course, False, T0, after(1))
        assert isinstance(again, LookAgain)
        assert again.course.at == number
        following = course.after_look(again.course, True, T0, after(2))
        assert isinstance(following, Act | Ended)
        going = following.course
    assert tuple(seen) == SERVICES
    assert course.begin(going) == Ended(Reason.DONE, "all 3 steps are done", going)


@pytest.mark.parametrize(
    ("settled", "waited_s", "reason"),
    [(False, 60, Reason.TIMED_OUT), (None, 60, Reason.READINGS_UNKNOWN)],
)
def test_a_step_that_does_not_settle_ends_the_course_and_names_what_is_left(
    settled: bool | None, waited_s: float, reason: Reason
) -> None:
    going = run(at=1)
    assert isinstance(course.after_look(going, settled, T0, after(waited_s - 1)), LookAgain)
    ended = course.after_look(going, settled, T0, after(waited_s))
    assert isinstance(ended, Ended)
    assert (ended.reason, list(ended.left)) == (reason, [RESTARTS[2]])


def test_a_step_that_fails_ends_the_course_before_the_next() -> None:
    failed = ActionResult(Applied.FAILED, Reason.PAUSED, "paused", T0)
    ended = course.after_action(run(at=1), failed)
    assert isinstance(ended, Ended)
    assert (ended.reason, list(ended.left)) == (Reason.ACTION_FAILED, list(RESTARTS[1:]))


def test_of_a_step_whose_reply_was_lost_nobody_says_that_it_was_not_done() -> None:
    lost = ActionResult(Applied.FAILED, Reason.INDETERMINATE, "lost", T0)
    ended = course.after_action(run(at=1), lost)
    assert isinstance(ended, Ended)
    assert list(ended.left) == [RESTARTS[2]]
    said = telling.said(ended)
    assert f"Done: {RESTARTS[0].name}." in said
    assert f"Written, and not seen to be complete: {RESTARTS[1].name}." in said
    assert f"Not done: {RESTARTS[2].name}." in said


def test_a_person_stops_a_course_between_two_steps_and_not_within_one() -> None:
    going = run(stop_by="anna")
    assert isinstance(course.after_look(going, False, T0, after(1)), LookAgain)
    ended = course.after_look(going, True, T0, after(2))
    assert isinstance(ended, Ended)
    assert (ended.reason, list(ended.left)) == (Reason.STOPPED, list(RESTARTS[1:]))
    assert "stopped by anna before step 2 of 3" in ended.detail


def test_what_holds_a_step_back_is_asked_again_for_as_long_as_the_step_may_last() -> None:
    def held(now_s: float, again_s: float | None) -> LookAgain | Ended:
        again_at = None if again_s is None else after(again_s)
        return course.held(run(at=1), Reason.TARGET_BUSY, "busy", after(now_s), again_at)

    soon, late, much = held(10, 10), held(10, 40), held(10, 4_000)
    assert isinstance(soon, LookAgain)
    assert soon.due_at == after(15)  # never hot
    assert isinstance(late, LookAgain)
    assert late.due_at == after(40)
    assert isinstance(much, LookAgain)
    assert much.due_at == after(60)
    for over in (held(60, 70), held(10, None)):
        assert isinstance(over, Ended)
        assert (over.reason, list(over.left)) == (Reason.TARGET_BUSY, list(RESTARTS[1:]))


@pytest.mark.parametrize("reason", [Reason.SWITCHED_OFF, Reason.MAINTENANCE])
def test_what_people_hold_is_none_of_the_steps_time(reason: Reason) -> None:
    for now_s in (10.0, 59.0, 60.0, 9_999.0):
        for again_s in (now_s + 20, now_s + 5_000):
            found = course.held(run(at=1), reason, "held", after(now_s), after(again_s))
            assert isinstance(found, LookAgain)
            assert found.due_at == after(min(again_s, now_s + 60))
            assert found.course.since == after(now_s)


def test_a_recovery_stops_what_writes_restores_and_starts_it_again() -> None:
    steps = recovery.steps(RECOVERY)
    assert [step.name for step in steps] == [
        "stop-aggregation-service",
        "stop-normalization-service",
        "restore-carbon_ingestion",
        "start-normalization-service",
        "start-enrichment-service",
        "start-aggregation-service",
    ]
    counts = [step.arguments.get("to") for step in steps]
    assert counts == [0, 0, None, 3, 2, 2]


def test_a_restore_needs_no_look_once_its_action_is_done() -> None:
    steps = recovery.steps(RECOVERY)
    following = course.after_action(run(steps, at=2), DONE)
    assert isinstance(following, Act)
    assert following.step.name == "start-normalization-service"


def test_a_workload_whose_count_is_not_known_is_no_recovery() -> None:
    with pytest.raises(LookupError):
        recovery.steps(replace(RECOVERY, replicas={}))


@pytest.mark.parametrize("step", [*RESTARTS, *recovery.steps(RECOVERY)], ids=str)
def test_every_step_is_a_request_of_its_kind_and_can_be_done_by_hand(step: CourseStep) -> None:
    kind = KINDS[step.kind]
    arguments: Any = TypeAdapter(kind.arguments).validate_python(dict(step.arguments))
    request = kind.plan(step.target, arguments)
    assert not isinstance(request, NotPossible)
    assert step.settles in Settles
    assert step.go_on
