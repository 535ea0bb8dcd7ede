"""What a real control plane answered, through the survey, the look around and the
chain of guards: each holds.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from service.backends import looking_around, surveying
from service.clients.kubernetes import KubernetesReader
from service.diagnose.probes.ownership import REPLICAS
from service.diagnose.sources import Sources
from service.guard.chain import rule
from service.guard.question import Policy, Question
from service.kit.clock import SystemClock
from service.model.action import Mode
from service.model.evidence import Known
from service.model.objects import Write
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.model.ruling import History, Proposal
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings
from tests.recordings import recorded, serves
from tests.servers.faults import Scripted, scripted
from tests.unit.made import SCALE
from tests.wire.test_kubernetes import kubeconfig
from tests.wire.test_ownership import HPAS, NO_HPAS, RESTARTED

ROOMY = Budget(99, 3600.0)
EMPTY: dict[str, object] = {"kind": "List", "metadata": {}, "items": []}


@pytest.fixture
async def api() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def sources(api: Scripted, tmp_path: Path) -> AsyncIterator[Sources]:
    settings = KubernetesSettings(kubeconfig=kubeconfig(tmp_path, api.url))
    async with KubernetesReader(settings) as reader:
        yield Sources(kubernetes=reader)


async def reasons(
    api: Scripted, sources: Sources, target: Target, path: Sequence[str], **found: object
) -> set[Reason]:
    """Why the guards say no to a write at this path. `found`: the target,
    and lists of what is around it.
    """
    assert target.ref is not None
    inside = f"namespaces/{target.namespace}"
    lists: dict[str, object] = {
        f"/apis/apps/v1/{inside}/{p}s": EMPTY for p in ("deployment", "statefulset", "daemonset")
    }
    lists[f"/apis/autoscaling/v2/{inside}/horizontalpodautoscalers"] = found.get("hpas", NO_HPAS)
    budgets = found.get("budgets", EMPTY)
    lists[f"/apis/policy/v1/{inside}/poddisruptionbudgets"] = budgets
    serves(api, {**lists, target.ref.path: found["body"]})
    clock, writes = SystemClock(), [Write(target.ref, tuple(path), 4)]
    surveys = await surveying(sources, clock)(writes)
    around = await looking_around(sources, clock)(target, writes, ())
    assert isinstance(surveys, Known), surveys
    assert isinstance(around, Known), around
    now = clock.now()
    policy = Policy(Mode.AUTO, (target.namespace,), ROOMY, 60.0, 18_000.0, None)
    question = Question(
        Proposal((), None, "rung", "scale", replace(SCALE, target=target), Mode.AUTO, now),
        target, Limits(ROOMY, ROOMY, 0.0), policy, History(1, now), surveys.value[0].uid, surveys,
        now, around=around,
    )  # fmt: skip
    return {answer.reason for answer in rule(question).answers if answer.reason is not None}


def of(namespace: str, name: str, kind: TargetKind = TargetKind.DEPLOYMENT) -> Target:
    return Target(kind, namespace, name)


async def test_a_field_that_flux_owns_holds(api: Scripted, sources: Sources) -> None:
    body = recorded("13b", "with-read")
    target = of(body["metadata"]["namespace"], body["metadata"]["name"])
    assert await reasons(api, sources, target, REPLICAS, body=body) == {Reason.OWNED_ELSEWHERE}
    body = recorded("13b", "without-read-after")
    target = of(body["metadata"]["namespace"], body["metadata"]["name"])
    assert await reasons(api, sources, target, REPLICAS, body=body) == set()


async def test_a_count_that_an_autoscaler_sets_holds(api: Scripted, sources: Sources) -> None:
    hpas, body = recorded("13g", "list-hpas"), recorded("13g", "read-deployment")
    target = of("carbon-operators", body["metadata"]["name"])
    assert target.namespace in HPAS
    held = await reasons(api, sources, target, REPLICAS, body=body, hpas=hpas)
    assert held == {Reason.OWNED_ELSEWHERE}
    assert await reasons(api, sources, target, RESTARTED, body=body, hpas=hpas) == set()


async def test_a_rollout_that_has_just_begun_holds_and_one_that_is_through_does_not(
    api: Scripted, sources: Sources
) -> None:
    target = of("carbon-gitops", "normalization-service")
    going = recorded("13c", "paramedic-restart")
    held = await reasons(api, sources, target, RESTARTED, body=going)
    assert Reason.ROLLOUT_IN_PROGRESS in held
    through = recorded("13c", "paramedic-apply")
    held = await reasons(api, sources, target, RESTARTED, body=through)
    assert Reason.ROLLOUT_IN_PROGRESS not in held


@pytest.mark.parametrize(
    ("exchange", "holds"),
    [
        ("pdb-max-unavailable-0", True),
        ("pdb-min-available-3", True),
        ("pdb-min-available-2", False),
    ],
)
async def test_a_budget_without_room_holds_a_restart(
    api: Scripted, sources: Sources, exchange: str, holds: bool
) -> None:
    """The budgets are recorded; the three pods that they cover are drawn up here."""
    budget = recorded("13i2", exchange)
    namespace, labels = budget["metadata"]["namespace"], budget["spec"]["selector"]["matchLabels"]
    target = of(namespace, "kafka", TargetKind.STATEFULSET)
    revision = {"currentRevision": "a", "updateRevision": "a"}
    body = {
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "kafka", "namespace": namespace, "uid": "u", "resourceVersion": "1"},
        "spec": {"replicas": 3, "template": {"metadata": {"labels": labels}, "spec": {}}},
        "status": {"replicas": 3, "readyReplicas": 3, "updatedReplicas": 3, **revision},
    }  # fmt: skip
    found = {**EMPTY, "items": [budget]}
    held = await reasons(api, sources, target, RESTARTED, body=body, budgets=found)
    assert held == ({Reason.DISRUPTION_BUDGET} if holds else set())
