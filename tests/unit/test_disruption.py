"""What a write does to the pods of a workload, which rollouts are going on,
and which budgets cover it: tables.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.diagnose.disruption import least, rollout, selects
from service.diagnose.holders import changes
from service.model.objects import Write
from tests.unit.made import TARGET

assert TARGET.ref is not None
RESTART = Write(TARGET.ref, ("spec", "template", "metadata", "annotations", "x"), "now")


def scaled(to: int) -> Write:
    assert TARGET.ref is not None
    return Write(TARGET.ref, ("spec", "replicas"), to)


LABEL = Write(TARGET.ref, ("metadata", "labels", "x"), "y")


def workload(replicas: int, ready: int | None = None, **strategy: Any) -> dict[str, Any]:
    """A Deployment's or a StatefulSet's JSON; `strategy` as both call it."""
    spec = {"replicas": replicas, "strategy": strategy, "updateStrategy": strategy}
    return {"spec": spec, "status": {"readyReplicas": replicas if ready is None else ready}}


def rolling(**more: Any) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": more}


@pytest.mark.parametrize(
    ("kind", "found", "writes", "taken", "expected"),
    [
        pytest.param("Deployment", workload(4), [LABEL], 0, 4, id="a label takes no pod away"),
        pytest.param("Deployment", workload(4), [RESTART], 0, 3, id="a quarter is let away by default"),
        pytest.param("Deployment", workload(3), [RESTART], 0, 3, id="rounded down: a surge comes first"),
        pytest.param(
            "Deployment", workload(4, **rolling(maxUnavailable="50%")), [RESTART], 0, 2, id="half of them"
        ),
        pytest.param(
            "Deployment", workload(4, **rolling(maxUnavailable=1, maxSurge=0)), [RESTART], 0, 3, id="a number"
        ),
        pytest.param(
            "Deployment", workload(4, **rolling(maxUnavailable=0, maxSurge=0)), [RESTART], 0, 3,
            id="both nought: the controller takes one",
        ),
        pytest.param("Deployment", workload(4, type="Recreate"), [RESTART], 0, 0, id="all at once"),
        pytest.param("Deployment", workload(4, ready=1), [RESTART], 0, 1, id="those that are not ready go first"),
        pytest.param("Deployment", workload(4, ready=0), [RESTART], 0, 0, id="none is ready"),
        pytest.param("Deployment", workload(2), [scaled(5)], 0, 2, id="more replicas"),
        pytest.param("Deployment", workload(4), [scaled(1)], 0, 1, id="fewer replicas"),
        pytest.param("Deployment", workload(4), [scaled(0)], 0, 0, id="none any more"),
        pytest.param("Deployment", workload(8), [scaled(4), RESTART], 0, 3, id="fewer, and restarted"),
        pytest.param("Deployment", workload(4), [], 1, 3, id="a ready pod is deleted"),
        pytest.param("Deployment", workload(0), [RESTART], 1, 0, id="never fewer than none"),
        pytest.param("StatefulSet", workload(3), [RESTART], 0, 2, id="one after the other"),
        pytest.param("StatefulSet", workload(1), [RESTART], 0, 0, id="the only one"),
        pytest.param("StatefulSet", workload(3, type="OnDelete"), [RESTART], 0, 3, id="nobody restarts them"),
        pytest.param(
            "StatefulSet", workload(5, **rolling(maxUnavailable="30%")), [RESTART], 0, 3, id="rounded up there"
        ),
        pytest.param(
            "DaemonSet", {"status": {"desiredNumberScheduled": 3, "numberReady": 3}}, [RESTART], 0, 2,
            id="one node after the other",
        ),
        pytest.param(
            "DaemonSet",
            {
                "spec": {"updateStrategy": rolling(maxSurge=1)},
                "status": {"desiredNumberScheduled": 3, "numberReady": 3},
            },
            [RESTART], 0, 3, id="a daemon with a surge",
        ),
    ],
)  # fmt: skip
def test_how_many_pods_stay_ready_while_a_write_takes_effect(
    kind: str, found: dict[str, Any], writes: list[Write], taken: int, expected: int
) -> None:
    assert least(kind, found, writes, taken) == expected


@given(
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 50) | st.integers(0, 100).map(lambda n: f"{n}%"),
    st.integers(0, 5),
)
def test_never_more_stay_ready_than_are_and_never_fewer_than_none(
    replicas: int, ready: int, away: int | str, taken: int
) -> None:
    found = workload(replicas, ready, **rolling(maxUnavailable=away))
    assert 0 <= least("Deployment", found, [RESTART], taken) <= ready


def deployment(
    reason: str, status: str = "True", seen: int = 2, updated: int = 1
) -> dict[str, Any]:
    progressing = {"type": "Progressing", "status": status, "reason": reason}
    return {
        "metadata": {"generation": 2},
        "spec": {"replicas": 3},
        "status": {
            "observedGeneration": seen,
            "updatedReplicas": updated,
            "conditions": [progressing],
        },
    }


def stateful(new: str, updated: int, **update: Any) -> dict[str, Any]:
    return {
        "spec": {"replicas": 3, "updateStrategy": update},
        "status": {"updateRevision": new, "currentRevision": "a", "updatedReplicas": updated},
    }


@pytest.mark.parametrize(
    ("kind", "found", "going"),
    [
        pytest.param("Deployment", deployment("NewReplicaSetAvailable"), False, id="through"),
        pytest.param("Deployment", deployment("ReplicaSetUpdated"), True, id="going on"),
        pytest.param("Deployment", deployment("NewReplicaSetCreated"), True, id="just begun"),
        pytest.param("Deployment", deployment("ProgressDeadlineExceeded", "False"), False, id="given up"),
        pytest.param("Deployment", deployment("DeploymentPaused", "Unknown"), False, id="paused"),
        pytest.param("Deployment", deployment("NewReplicaSetAvailable", seen=1), True, id="not seen yet"),
        pytest.param("StatefulSet", stateful("a", 3), False, id="one revision"),
        pytest.param("StatefulSet", stateful("b", 1), True, id="two revisions"),
        pytest.param("StatefulSet", stateful("b", 1, **rolling(partition=2)), False, id="held by a partition"),
        pytest.param("StatefulSet", stateful("b", 0, type="OnDelete"), False, id="waits for a person"),
        pytest.param(
            "DaemonSet", {"status": {"desiredNumberScheduled": 3, "updatedNumberScheduled": 1}}, True, id="a daemon"
        ),
    ],
)  # fmt: skip
def test_a_rollout_is_in_progress_until_its_controller_is_through_or_gives_up(
    kind: str, found: dict[str, Any], going: bool
) -> None:
    assert bool(rollout(kind, found)) is going


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "a"}}, True),
        ({"matchLabels": {"app": "b"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, True),
        ({"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "OfAnotherYear"}]}, True),
    ],
)  # fmt: skip
def test_a_budget_covers_the_pods_that_its_selector_selects(
    selector: dict[str, Any] | None, expected: bool
) -> None:
    assert selects(selector, {"app": "a"}) is expected


def entry(manager: str, time: str, **more: str) -> dict[str, Any]:
    return {"manager": manager, "time": time, "operation": "Update", "fieldsV1": {}, **more}


def test_a_change_is_what_was_written_after_an_object_was_made_and_not_its_status() -> None:
    found = {
        "metadata": {
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [
                entry("kubectl-create", "2026-01-01T00:00:01Z"),
                entry("kubectl-edit", "2026-01-01T00:05:00Z"),
                entry("kubectl-edit", "2026-01-01T00:04:00Z", subresource="scale"),
                entry("kube-controller-manager", "2026-01-01T00:06:00Z", subresource="status"),
                entry("odd", "yesterday"),
            ],
        }
    }
    assert {by: f"{at:%H:%M}" for by, at in changes(found).items()} == {"kubectl-edit": "00:05"}
