"""Rollout restarts on the wire: once by their id, and never one that would go off later."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.act.pod_template import ACTION, standstill
from service.act.rollout_restart import KIND, RestartHand, RolloutRestart
from service.model.reasons import Reason
from service.model.target import TargetKind
from tests.recordings import recorded
from tests.wire.staged import (
    DONE,
    KAFKA,
    NS,
    TARGET,
    Stage,
    answer,
    failed,
    intent,
    outcome,
    stage,
)  # fmt: skip

HAND = RestartHand
REQUEST = RolloutRestart(TARGET)


@pytest.fixture
async def staged(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, KIND.name, HAND) as opened:
        yield opened


async def test_a_conflict_is_unavailable_for_nothing_was_done(staged: Stage) -> None:
    staged.meet(answer(409, "the object has been modified"))
    assert await staged.act(REQUEST) == ("Unavailable", Reason.CONFLICT)
    assert (staged.sent, staged.effects) == (1, 0)


async def test_the_template_says_which_action_it_was(staged: Stage) -> None:
    await staged.act(REQUEST)
    assert staged.found["spec"]["template"]["metadata"]["annotations"][ACTION] == "act-1"
    (write,) = KIND.writes(REQUEST, "act-1")
    assert write.value == "act-1"
    other = intent(REQUEST, KIND.name, action_id="act-2")
    assert await outcome(staged.hand, other) == DONE
    assert staged.effects == 2


async def test_a_paused_rollout_is_not_restarted(staged: Stage) -> None:
    staged.edit(paused=True)
    assert await staged.act(REQUEST) == failed(Reason.PAUSED)
    assert staged.sent == 0


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        pytest.param({"type": "RollingUpdate"}, DONE, id="that rolls"),
        pytest.param({"type": "OnDelete"}, failed(Reason.PAUSED), id="whose strategy restarts nothing"),
        pytest.param(
            {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}, failed(Reason.PAUSED), id="with a partition"
        ),
    ],
)  # fmt: skip
async def test_a_stateful_set(
    staged: Stage, strategy: dict[str, object], expected: tuple[str, Reason]
) -> None:
    staged.has_kafka(updateStrategy=strategy)
    await staged.cluster.settled()
    before = staged.cluster.get("statefulsets", NS, "kafka")["metadata"]["generation"]
    assert await staged.act(RolloutRestart(KAFKA)) == expected
    after = staged.cluster.get("statefulsets", NS, "kafka")["metadata"]["generation"]
    assert after == before + (expected == DONE)


@pytest.mark.parametrize(
    ("kind", "file", "exchange", "said"),
    [
        (TargetKind.STATEFULSET, "13j", "read-healthy", None),
        (TargetKind.STATEFULSET, "13j", "read-pod-0-unready", "2 of 3 pods are ready"),
        (TargetKind.STATEFULSET, "13j", "read-stuck", "2 of 3 pods are ready"),
        (TargetKind.STATEFULSET, "13j", "read-stuck-2", "2 of 3 pods are ready"),
        (TargetKind.STATEFULSET, "13j", "read-recovered", None),
        (TargetKind.STATEFULSET, "13j", "patch-partition-at-replicas", "partition is 3 of 3"),
        (TargetKind.STATEFULSET, "13j", "read-partitioned", "partition is 3 of 3"),
        (TargetKind.STATEFULSET, "13j", "read-partition-0", None),
        (TargetKind.DEPLOYMENT, "03d", "patch-pause", "paused"),
        (TargetKind.DEPLOYMENT, "03d", "patch-restart", "paused"),
        (TargetKind.DEPLOYMENT, "03d", "patch-resume", None),
    ],
)
def test_a_restart_that_would_do_nothing_or_go_off_later_is_told_from_one_that_rolls(
    kind: TargetKind, file: str, exchange: str, said: str | None
) -> None:
    why = standstill(kind, recorded(file, exchange))
    assert why is None if said is None else why is not None and said in why


def test_pods_that_are_replaced_in_parallel_wait_for_nobody() -> None:
    stuck = recorded("13j", "read-pod-0-unready")
    parallel = {**stuck, "spec": {**stuck["spec"], "podManagementPolicy": "Parallel"}}
    assert standstill(TargetKind.STATEFULSET, parallel) is None
    none = {**stuck, "spec": {**stuck["spec"], "replicas": 0}}
    assert standstill(TargetKind.STATEFULSET, none) is None
