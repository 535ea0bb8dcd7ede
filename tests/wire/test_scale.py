"""Scaling on the wire: from the count that was seen to another,
and never over somebody else's number.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.act.kind import TargetState
from service.act.scale import KIND, Scale, ScaleArguments, ScaleHand, plan
from service.model.action import NotPossible
from service.model.reasons import Reason
from tests.wire.staged import (
    DONE,
    KAFKA,
    NS,
    TARGET,
    Stage,
    answer,
    failed,
    stage,
)  # fmt: skip

HAND = ScaleHand
REQUEST = Scale(TARGET, 3, 4)


@pytest.fixture
async def staged(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, KIND.name, HAND) as opened:
        yield opened


async def test_a_conflict_is_read_again_and_given_up_after_a_few(staged: Stage) -> None:
    staged.meet(answer(409, "the object has been modified"))
    assert await staged.act(REQUEST) == DONE
    assert staged.sent == 2
    staged.meet(replace(answer(409, "the object has been modified"), times=None))
    assert await staged.act(Scale(TARGET, 4, 5)) == ("Unavailable", Reason.CONFLICT)
    assert (staged.sent, staged.effects) == (5, 1)


async def test_somebody_elses_number_stays(staged: Stage) -> None:
    staged.writer.before = lambda: staged.edit(replicas=5)
    assert await staged.act(REQUEST) == failed(Reason.TARGET_CHANGED)
    assert (staged.sent, staged.found["spec"]["replicas"]) == (1, 5)
    assert await staged.act(REQUEST) == failed(Reason.TARGET_CHANGED)
    assert await staged.read_back(REQUEST) is TargetState.CHANGED
    assert staged.sent == 1


async def test_a_count_that_an_autoscaler_owns_is_left_to_it(staged: Stage) -> None:
    aim = {"apiVersion": "apps/v1", "kind": "Deployment", "name": TARGET.name}
    spec = {"minReplicas": 1, "maxReplicas": 9, "scaleTargetRef": aim}
    metadata = {"name": "hpa", "namespace": NS}
    kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    staged.cluster.seed([{**kind, "metadata": metadata, "spec": spec}])
    assert await staged.act(REQUEST) == failed(Reason.AUTOSCALED)
    assert staged.sent == 0


async def test_a_stateful_set_is_scaled_too(staged: Stage) -> None:
    staged.has_kafka()
    assert await staged.act(Scale(KAFKA, 3, 4)) == DONE
    assert staged.cluster.get("statefulsets", NS, "kafka")["spec"]["replicas"] == 4


@pytest.mark.parametrize(
    ("seen", "by", "most", "wanted"),
    [(2, 1, 5, 3), (4, 3, 5, 5), (0, 1, 1, 1), (5, 1, 5, None), (7, 1, 5, None)],
)
def test_the_next_count_is_absolute_and_bounded(
    seen: int, by: int, most: int, wanted: int | None
) -> None:
    planned = plan(TARGET, ScaleArguments(seen, by, most))
    if wanted is None:
        assert isinstance(planned, NotPossible)
        assert planned.reason is Reason.AT_CEILING
        return
    assert planned == Scale(TARGET, seen, wanted)
    assert KIND.inverse(planned) == Scale(TARGET, wanted, seen)
    (write,) = KIND.writes(planned, "act-1")
    assert (str(write), write.value) == (f"Deployment {NS}/{TARGET.name} spec.replicas", wanted)
