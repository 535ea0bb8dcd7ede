"""Sagas: their steps in order, one at a time, each watched; what stops a run, and what is left then."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from service.act import KINDS
from service.model.action import ActionResult, Applied, NotPossible
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.saga import course, outage, recovery
from service.saga.course import Act, Ended, LookAgain, Run, Settles, Step
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


def test_the_services_are_restarted_in_order_and_each_rollout_is_watched() -> None:
    run, seen = Run(), []
    for _ in SERVICES:
        act = course.begin(RESTARTS, run)
        assert isinstance(act, Act)
        seen.append(act.step.target)
        watched = course.after_action(RESTARTS, act.run, DONE)
        assert isinstance(watched, LookAgain)
        again = course.after_look(RESTARTS, watched.run, False, after(1))
        assert isinstance(again, LookAgain)
        run = replace(again.run, at=again.run.at)
        following = course.after_look(RESTARTS, run, True, after(2))
        assert isinstance(following, Act | Ended)
        run = following.run
    assert tuple(seen) == SERVICES
    assert course.begin(RESTARTS, run) == Ended(Reason.DONE, "all 3 steps are done", run)


@pytest.mark.parametrize(
    ("settled", "waited_s", "reason"),
    [(False, 60, Reason.TIMED_OUT), (None, 60, Reason.READINGS_UNKNOWN)],
)
def test_a_step_that_does_not_settle_ends_the_run_and_names_what_is_left(
    settled: bool | None, waited_s: float, reason: Reason
) -> None:
    run = Run(at=1, acted_at=T0)
    assert isinstance(course.after_look(RESTARTS, run, settled, after(waited_s - 1)), LookAgain)
    ended = course.after_look(RESTARTS, run, settled, after(waited_s))
    assert isinstance(ended, Ended)
    assert (ended.reason, list(ended.left)) == (reason, [RESTARTS[2]])


def test_a_step_that_fails_ends_the_run_before_the_next() -> None:
    failed = ActionResult(Applied.FAILED, Reason.PAUSED, "paused", T0)
    ended = course.after_action(RESTARTS, Run(at=1), failed)
    assert isinstance(ended, Ended)
    assert (ended.reason, list(ended.left)) == (Reason.ACTION_FAILED, list(RESTARTS[1:]))


def test_a_person_stops_a_run_between_two_steps_and_not_within_one() -> None:
    run = Run(at=0, acted_at=T0, stop_wanted=True)
    assert isinstance(course.after_look(RESTARTS, run, False, after(1)), LookAgain)
    ended = course.after_look(RESTARTS, run, True, after(2))
    assert isinstance(ended, Ended)
    assert (ended.reason, list(ended.left)) == (Reason.HUMAN_NEEDED, list(RESTARTS[1:]))


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
    following = course.after_action(steps, Run(at=2), DONE)
    assert isinstance(following, Act)
    assert (following.step.name, following.run.acted_at) == ("start-normalization-service", None)


def test_a_workload_whose_count_is_not_known_is_no_recovery() -> None:
    with pytest.raises(LookupError):
        recovery.steps(replace(RECOVERY, replicas={}))


@pytest.mark.parametrize("step", [*RESTARTS, *recovery.steps(RECOVERY)], ids=str)
def test_every_step_is_a_request_of_its_kind(step: Step) -> None:
    kind = KINDS[step.kind]
    names = {name.rstrip("_"): name for name in kind.arguments.__dataclass_fields__}
    given = {names[name]: value for name, value in step.arguments.items()}
    arguments: Any = TypeAdapter(kind.arguments).validate_python(given)
    request = kind.plan(step.target, arguments)
    assert not isinstance(request, NotPossible)
    assert step.settles in Settles
