"""What the workload probe and the hands take for granted of Kubernetes:
held by the emulator and by a real cluster.

The same functions run against both. The real one is asked only where KUBECONFIG_E2E names a
kubeconfig whose account may create namespaces; there everything happens in a namespace of its own,
`paramedic-e2e-<random>`, which is deleted at the end whatever happens. Its pods fit no node, so
nothing is ever pulled or run.
"""

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rehearsal.cluster import Cluster, Delays
from service.act.executor import Executor
from service.act.kind import Deed, Hand, Permit, TargetState
from service.act.pod_template import ACTION, RESTARTED_AT
from service.act.rollout_restart import RestartHand, RolloutRestart
from service.act.scale import Scale, ScaleHand
from service.clients.kubernetes import Object, message, workload_path
from service.clients.kubernetes_write import MERGE, STRATEGIC, KubernetesWriter
from service.diagnose.probes.workload import Pods, workload
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, Request
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings

# The cluster and its clients live in one loop with all tests.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIX = "paramedic-e2e-"
KUBECONFIG = os.environ.get("KUBECONFIG_E2E", "")
REAL = pytest.param(
    "real",
    marks=pytest.mark.skipif(
        not KUBECONFIG,
        reason="optional: KUBECONFIG_E2E names no kubeconfig of a cluster to try this on",
    ),
)
LABEL = "paramedic.dev/e2e"
INTENDED_AT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
DONE = (Applied.DONE, Reason.DONE)
ALREADY_DONE = (Applied.DONE, Reason.ALREADY_DONE)
DRY = (Applied.DRY, Reason.MODE_DRY_RUN)


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


class Somebody(KubernetesWriter):
    """Somebody else at the same cluster: makes, changes and deletes what the service never
    would.
    """

    def _may(self, method: str, path: str) -> bool:
        return True

    async def send(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> Object:
        status, content = await self.ask(method, path, body, content_type)
        assert 200 <= status < 300, f"{method} {path}: {status}: {message(content)}"
        answer: Object = json.loads(content)
        return answer

    async def ask(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        answer = await self._wire.send(
            method, path, {}, soon(), body=body, content_type=content_type
        )
        return answer.status, answer.body


class Overtaken(KubernetesWriter):
    """A writer whose first `times` patches are overtaken by somebody's change,
    after the hand has read.
    """

    def __init__(
        self, settings: KubernetesSettings, change: Callable[[], Awaitable[object]], times: int
    ) -> None:
        super().__init__(settings)
        self._change, self._times = change, times
        self.sent = 0

    async def patch(self, path: str, body: Object, **options: Any) -> Object:
        self.sent += 1
        if self.sent <= self._times:
            await self._change()
        return await super().patch(path, body, **options)


@dataclass(frozen=True)
class Ground:
    """A namespace to try things in, by whatever serves it."""

    settings: KubernetesSettings
    writer: KubernetesWriter
    somebody: Somebody
    namespace: str

    @property
    def autoscalers(self) -> str:
        return f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers"

    async def change(self, target: Target, body: Object) -> Object:
        return await self.somebody.send("PATCH", workload_path(target), body, MERGE)

    async def get(self, target: Target) -> Object:
        return await self.writer.get(workload_path(target), deadline=soon())

    async def written(self, target: Target) -> tuple[int, Object]:
        """What only a write of a spec changes; the controllers change the rest all the time."""
        found = await self.get(target)
        return found["metadata"]["generation"], found["spec"]

    async def observed(self, target: Target) -> bool:
        found = await self.get(target)
        observed = (found.get("status") or {}).get("observedGeneration")
        return bool(observed == found["metadata"]["generation"])

    async def see(self, target: Target) -> Pods:
        return await workload(self.writer, target, deadline=soon())


async def until(true: Callable[[], Awaitable[bool]], what: str, seconds: float = 90.0) -> None:
    """Asks again and again: a real cluster needs its time."""
    give_up_at = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < give_up_at, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["emulator", REAL])
async def ground(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        if request.param == "real":
            kubeconfig = Path(KUBECONFIG).expanduser()
        else:
            cluster = await stack.enter_async_context(Cluster(delays=Delays(0, 0, 0, 0)))
            kubeconfig = cluster.kubeconfig(tmp_path_factory.mktemp("cluster") / "kubeconfig")
        settings = KubernetesSettings(kubeconfig=kubeconfig)
        writer = await stack.enter_async_context(KubernetesWriter(settings))
        somebody = await stack.enter_async_context(Somebody(settings))
        namespace = PREFIX + secrets.token_hex(4)
        stack.push_async_callback(
            _remove, somebody, namespace
        )  # before it is made: its answer may be lost
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await somebody.send("POST", "/api/v1/namespaces", body)
        yield Ground(settings, writer, somebody, namespace)


async def _remove(somebody: Somebody, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    status, content = await somebody.ask("DELETE", path)
    assert status in {200, 202, 404, 409}, (
        f"{namespace} is left behind: {status}: {message(content)}"
    )

    async def gone() -> bool:
        return (await somebody.ask("GET", path))[0] == 404

    await until(gone, f"{namespace} is gone", 180.0)


@pytest_asyncio.fixture(loop_scope="module")
async def target(ground: Ground) -> AsyncIterator[Target]:
    """A Deployment of its own for one test: 3 replicas, all pods Pending for ever."""
    made = Target(TargetKind.DEPLOYMENT, ground.namespace, f"idle-{secrets.token_hex(4)}")
    await ground.somebody.send("POST", _collection(made), _deployment(made))
    try:
        await until(lambda: _at_rest(ground, made), f"{made} has its unschedulable pods")
        yield made
    finally:
        await ground.somebody.send("DELETE", workload_path(made))


def _collection(target: Target) -> str:
    return workload_path(target).rpartition("/")[0]


def _deployment(target: Target) -> Object:
    labels = {LABEL: target.name}
    container = {
        "name": "idle",
        "image": "registry.example.com/never/pulled:1",
        # As the strictest Pod Security level demands it.
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {
            "requests": {"cpu": "1m", "memory": "1Mi"},
            "limits": {"cpu": "1m", "memory": "1Mi"},
        },
    }
    pod = {
        "nodeSelector": {LABEL: "no-node-has-this"},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": target.name, "namespace": target.namespace, "labels": labels},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


async def _at_rest(ground: Ground, target: Target) -> bool:
    """The controllers have seen the newest spec and made all pods,
    and the scheduler has looked at them.
    """
    if not await ground.observed(target):
        return False
    status, pods = (await ground.get(target)).get("status") or {}, await ground.see(target)
    return status.get("unavailableReplicas") == pods.updated == 3 and pods.waiting == (
        "Unschedulable",
    )


def intent(request: Request, action_id: str = "act-1", mode: Mode = Mode.AUTO) -> Intent[Any]:
    kind = "scale" if isinstance(request, Scale) else "rollout_restart"
    return Intent(action_id, "inc-1", "rung", kind, request, mode, INTENDED_AT)


async def nobody_else() -> None:
    """The claim is this test's."""


def permit(intended: Intent[Any]) -> Permit[Any]:
    return Permit(intended, soon(), nobody_else)


def said(deed: Deed) -> tuple[Applied, Reason]:
    return deed.applied, deed.reason


async def test_the_probe_reads_a_workload_whose_pods_fit_no_node(
    ground: Ground, target: Target
) -> None:
    assert await ground.see(target) == Pods(
        desired=3,
        ready=0,
        updated=3,
        available=0,
        restarts=0,
        waiting=("Unschedulable",),
        rollout_complete=False,
        paused=False,
        autoscaled=False,
    )


async def test_a_scale_is_done_once_and_its_repetition_finds_it_done(
    ground: Ground, target: Target
) -> None:
    hand, wanted = ScaleHand(ground.writer), intent(Scale(target, 3, 4))
    before, _ = await ground.written(target)
    assert said(await hand.apply(permit(wanted))) == DONE
    after, spec = await ground.written(target)
    assert (after, spec["replicas"]) == (before + 1, 4)
    assert (await ground.see(target)).desired == 4
    assert said(await hand.apply(permit(wanted))) == ALREADY_DONE
    assert await ground.written(target) == (after, spec)


async def test_a_scale_to_zero_and_back_reads_the_absent_number(
    ground: Ground, target: Target
) -> None:
    hand = ScaleHand(ground.writer)
    down, up = intent(Scale(target, 3, 0)), intent(Scale(target, 0, 3))
    assert said(await hand.apply(permit(down))) == DONE
    assert await hand.read_back(down, soon()) is TargetState.APPLIED
    assert said(await hand.apply(permit(down))) == ALREADY_DONE
    assert (await ground.see(target)).desired == 0
    await until(lambda: ground.observed(target), f"the controllers have seen {target} at 0")
    assert said(await hand.apply(permit(up))) == DONE
    assert (await ground.see(target)).desired == 3


async def test_a_scale_decided_at_another_number_is_let_be(ground: Ground, target: Target) -> None:
    before = await ground.written(target)
    deed = await ScaleHand(ground.writer).apply(permit(intent(Scale(target, 2, 4))))
    assert said(deed) == (Applied.FAILED, Reason.TARGET_CHANGED)
    assert "3 replicas" in deed.detail
    assert await ground.written(target) == before


@pytest.mark.parametrize(
    ("scale_from", "scale_to", "state"),
    [
        pytest.param(3, 4, TargetState.UNTOUCHED, id="it is as before"),
        pytest.param(2, 3, TargetState.APPLIED, id="it is as wanted"),
        pytest.param(1, 2, TargetState.CHANGED, id="it is neither"),
    ],
)
async def test_reading_back_a_scale_tells_by_the_number(
    ground: Ground, target: Target, scale_from: int, scale_to: int, state: TargetState
) -> None:
    before = await ground.written(target)
    wanted = intent(Scale(target, scale_from, scale_to))
    assert await ScaleHand(ground.writer).read_back(wanted, soon()) is state
    assert await ground.written(target) == before


async def test_a_dry_run_is_checked_by_the_server_and_changes_nothing(
    ground: Ground, target: Target
) -> None:
    before = await ground.written(target)
    scale = intent(Scale(target, 3, 4), mode=Mode.DRY_RUN)
    restart = intent(RolloutRestart(target), mode=Mode.DRY_RUN)
    assert said(await ScaleHand(ground.writer).apply(permit(scale))) == DRY
    assert said(await RestartHand(ground.writer).apply(permit(restart))) == DRY
    assert await ground.written(target) == before
    assert await ScaleHand(ground.writer).read_back(scale, soon()) is TargetState.UNTOUCHED
    assert await RestartHand(ground.writer).read_back(restart, soon()) is TargetState.UNTOUCHED


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.DRY_RUN], ids=str)
async def test_a_number_that_cannot_be_is_refused_by_the_server(
    ground: Ground, target: Target, mode: Mode
) -> None:
    before = await ground.written(target)
    with pytest.raises(Refused) as refused:
        await ScaleHand(ground.writer).apply(permit(intent(Scale(target, 3, -1), mode=mode)))
    assert refused.value.reason is Reason.INVALID_REQUEST
    assert await ground.written(target) == before


async def test_a_restart_marks_the_template_and_is_one_new_generation(
    ground: Ground, target: Target
) -> None:
    hand, wanted = RestartHand(ground.writer), intent(RolloutRestart(target))
    before, _ = await ground.written(target)
    assert await hand.read_back(wanted, soon()) is TargetState.UNTOUCHED
    assert said(await hand.apply(permit(wanted))) == DONE
    after, spec = await ground.written(target)
    assert after == before + 1
    assert spec["template"]["metadata"]["annotations"] == {
        RESTARTED_AT: "2026-01-02T03:04:05Z",
        ACTION: "act-1",
    }
    assert await hand.read_back(wanted, soon()) is TargetState.APPLIED
    assert (
        await hand.read_back(intent(RolloutRestart(target), "act-2"), soon())
        is TargetState.UNTOUCHED
    )


async def test_a_restart_sent_again_is_no_new_generation(ground: Ground, target: Target) -> None:
    hand, wanted = RestartHand(ground.writer), intent(RolloutRestart(target))
    await hand.apply(permit(wanted))
    once = await ground.written(target)
    assert said(await hand.apply(permit(wanted))) == ALREADY_DONE
    body = {
        "spec": {
            "template": {
                "metadata": {"annotations": once[1]["template"]["metadata"]["annotations"]}
            }
        }
    }
    await ground.writer.patch(
        workload_path(target),
        body,
        content_type=STRATEGIC,
        action_id="act-1",
        confirm=nobody_else,
        deadline=soon(),
    )
    assert await ground.written(target) == once


async def test_another_restart_is_another_generation(ground: Ground, target: Target) -> None:
    hand = RestartHand(ground.writer)
    await hand.apply(permit(intent(RolloutRestart(target))))
    once, _ = await ground.written(target)
    assert said(await hand.apply(permit(intent(RolloutRestart(target), "act-2")))) == DONE
    assert (await ground.written(target))[0] == once + 1


async def test_a_paused_rollout_is_not_restarted(ground: Ground, target: Target) -> None:
    await ground.change(target, {"spec": {"paused": True}})
    before = await ground.written(target)
    assert (await ground.see(target)).paused
    deed = await RestartHand(ground.writer).apply(permit(intent(RolloutRestart(target))))
    assert said(deed) == (Applied.FAILED, Reason.PAUSED)
    assert await ground.written(target) == before


@pytest.mark.parametrize("missing", ["Deployment", "namespace"])
async def test_a_workload_that_does_not_exist_is_refused_as_not_found(
    ground: Ground, missing: str
) -> None:
    namespace = ground.namespace if missing == "Deployment" else f"{ground.namespace}-nowhere"
    nobody = Target(TargetKind.DEPLOYMENT, namespace, "nobody")
    scale, restart = intent(Scale(nobody, 3, 4)), intent(RolloutRestart(nobody))
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: ScaleHand(ground.writer).apply(permit(scale)),
        lambda: ScaleHand(ground.writer).read_back(scale, soon()),
        lambda: RestartHand(ground.writer).apply(permit(restart)),
        lambda: RestartHand(ground.writer).read_back(restart, soon()),
    ]
    for ask in asked:
        with pytest.raises(Refused) as refused:
            await ask()
        assert refused.value.reason is Reason.NOT_FOUND
    with pytest.raises(ExceptionGroup) as group:
        await ground.see(nobody)
    assert group.group_contains(Refused)


@pytest.mark.parametrize(
    ("kind", "name", "owned"),
    [
        pytest.param("Deployment", "", True, id="ours"),
        pytest.param("Deployment", "another", False, id="another Deployment's"),
        pytest.param("StatefulSet", "", False, id="a StatefulSet's of the same name"),
    ],
)
async def test_a_count_that_an_autoscaler_owns_is_let_be(
    ground: Ground, target: Target, kind: str, name: str, owned: bool
) -> None:
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": name or target.name}
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": target.name, "namespace": ground.namespace},
        "spec": {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 5},
    }
    await ground.somebody.send("POST", ground.autoscalers, scaler)
    try:
        assert (await ground.see(target)).autoscaled is owned
        deed = await ScaleHand(ground.writer).apply(permit(intent(Scale(target, 3, 4))))
        assert said(deed) == ((Applied.FAILED, Reason.AUTOSCALED) if owned else DONE)
        assert (target.name in deed.detail) is owned
        assert (await ground.written(target))[1]["replicas"] == (3 if owned else 4)
    finally:
        await ground.somebody.send("DELETE", f"{ground.autoscalers}/{target.name}")


async def test_a_scale_that_was_overtaken_reads_again_and_is_done(
    ground: Ground, target: Target
) -> None:
    label = {"metadata": {"labels": {"paramedic.dev/overtaken": "yes"}}}
    async with Overtaken(ground.settings, lambda: ground.change(target, label), 1) as writer:
        assert said(await ScaleHand(writer).apply(permit(intent(Scale(target, 3, 4))))) == DONE
        assert writer.sent >= 2
    found = await ground.get(target)
    assert found["metadata"]["labels"]["paramedic.dev/overtaken"] == "yes"
    assert found["spec"]["replicas"] == 4


async def test_a_scale_that_was_overtaken_by_another_scale_gives_way(
    ground: Ground, target: Target
) -> None:
    other = {"spec": {"replicas": 5}}
    async with Overtaken(ground.settings, lambda: ground.change(target, other), 1) as writer:
        deed = await ScaleHand(writer).apply(permit(intent(Scale(target, 3, 4))))
    assert said(deed) == (Applied.FAILED, Reason.TARGET_CHANGED)
    assert (await ground.written(target))[1]["replicas"] == 5


async def test_a_scale_that_is_overtaken_again_and_again_is_given_up(
    ground: Ground, target: Target
) -> None:
    async def change() -> Object:
        return await ground.change(
            target, {"metadata": {"labels": {"paramedic.dev/overtaken": secrets.token_hex(4)}}}
        )

    async with Overtaken(ground.settings, change, 1000) as writer:
        with pytest.raises(Unavailable) as unavailable:
            await ScaleHand(writer).apply(permit(intent(Scale(target, 3, 4))))
    assert unavailable.value.reason is Reason.CONFLICT
    assert (await ground.written(target))[1]["replicas"] == 3


async def test_a_restart_that_was_overtaken_is_done_all_the_same(
    ground: Ground, target: Target
) -> None:
    label = {"metadata": {"labels": {"paramedic.dev/overtaken": "yes"}}}
    async with Overtaken(ground.settings, lambda: ground.change(target, label), 1) as writer:
        assert said(await RestartHand(writer).apply(permit(intent(RolloutRestart(target))))) == DONE
    assert (await ground.get(target))["metadata"]["labels"]["paramedic.dev/overtaken"] == "yes"


@pytest.mark.parametrize("kind", ["scale", "restart"])
async def test_an_action_resumed_after_it_was_done_is_not_done_again(
    ground: Ground, target: Target, kind: str
) -> None:
    hands: dict[str, Hand[Any]] = {
        "scale": ScaleHand(ground.writer),
        "rollout_restart": RestartHand(ground.writer),
    }
    executor = Executor(hands)
    wanted = intent(Scale(target, 3, 4) if kind == "scale" else RolloutRestart(target))
    before, _ = await ground.written(target)
    for look_first in (False, True, True):
        deed = await executor.attempt(
            wanted, look_first=look_first, lapsed=None, confirm=nobody_else, deadline=soon()
        )
        assert isinstance(deed, Deed)
        assert said(deed) == DONE
    assert (await ground.written(target))[0] == before + 1
