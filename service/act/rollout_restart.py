"""Restarting every pod of a workload by its own rollout, through a changed annotation of the pod template."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.objects import identity, refused_as_replaced, replaced, taken
from service.clients.kubernetes_write import STRATEGIC, KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible, Permission
from service.model.errors import Refused, Unavailable
from service.model.objects import ObjectRef, Write
from service.model.reasons import Reason
from service.model.target import Target, TargetKind

RESTARTED_AT = (
    "kubectl.kubernetes.io/restartedAt"  # kubectl's own, so that its users see the restart
)
ACTION = "paramedic.dev/action"
_ANNOTATIONS = ("spec", "template", "metadata", "annotations")


@dataclass(frozen=True, slots=True)
class RestartArguments:
    """It takes none."""


@dataclass(frozen=True, slots=True)
class RolloutRestart:
    """Restart every pod by the workload's own rollout. Idempotent: the annotation is the action's id."""

    target: Target

    def __str__(self) -> str:
        return f"rollout restart {self.target}"


def plan(target: Target, arguments: RestartArguments) -> RolloutRestart | NotPossible:
    """A restart of the target."""
    if target.ref is None:
        return NotPossible(Reason.TARGET_UNRESOLVED, f"{target} has no rollout")
    return RolloutRestart(target)


def _ref(request: RolloutRestart) -> ObjectRef:
    if request.target.ref is None:
        raise ValueError(f"{request.target} is no workload")
    return request.target.ref


def _writes(request: RolloutRestart, action_id: str) -> tuple[Write, ...]:
    return (Write(_ref(request), (*_ANNOTATIONS, ACTION), action_id),)


@dataclass(frozen=True, slots=True)
class RestartHand:
    """Changes the pod template's annotations, as kubectl does."""

    client: KubernetesWriter

    async def apply(self, permit: Permit[RolloutRestart]) -> Deed:
        intent, ref = permit.intent, _ref(permit.intent.request)
        workload = await self.client.get(ref.path, deadline=permit.deadline)
        if other := replaced(intent, ref, workload):
            return other
        if _annotations(workload).get(ACTION) == intent.action_id:
            return Deed(
                Applied.DONE, Reason.ALREADY_DONE, "its template carries this action's id already"
            )
        if why := standstill(intent.request.target.kind, workload):
            return Deed(Applied.FAILED, Reason.PAUSED, why)
        # The instant of the intent, not of the write: sent twice it is the same template, and no new rollout.
        restarted_at = intent.intended_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        annotations = {RESTARTED_AT: restarted_at, ACTION: intent.action_id}
        try:
            await self.client.patch(
                ref.path,
                {
                    "metadata": identity(intent, ref),
                    "spec": {"template": {"metadata": {"annotations": annotations}}},
                },
                content_type=STRATEGIC,
                action_id=intent.action_id,
                dry_run=intent.mode is Mode.DRY_RUN,
                confirm=permit.confirm,
                deadline=permit.deadline,
            )
        except Refused as error:
            if other := refused_as_replaced(intent, ref, error):
                return other
            if error.reason is not Reason.CONFLICT:
                raise
            raise Unavailable(
                Reason.CONFLICT, error.detail
            ) from error  # nothing was done: try again
        return taken(intent, f"{RESTARTED_AT}={restarted_at}")

    async def read_back(self, intent: Intent[RolloutRestart], deadline: Deadline) -> TargetState:
        ref = _ref(intent.request)
        workload = await self.client.get(ref.path, deadline=deadline)
        if replaced(intent, ref, workload):
            return TargetState.REPLACED
        applied = _annotations(workload).get(ACTION) == intent.action_id
        return TargetState.APPLIED if applied else TargetState.UNTOUCHED


def standstill(kind: TargetKind, workload: Mapping[str, Any]) -> str | None:
    """Why a changed template would restart nothing now, and perhaps go off later; None when it would roll."""
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    if spec.get("paused"):
        return "its rollout is paused: a restart would do nothing"
    if kind is not TargetKind.STATEFULSET:
        return None
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return "its update strategy is OnDelete: a changed template restarts nothing"
    replicas = 1 if spec.get("replicas") is None else int(spec["replicas"])
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    if partition >= replicas > 0:
        return f"its partition is {partition} of {replicas} replicas: a changed template restarts nothing"
    ordered = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    ready = int(status.get("readyReplicas") or 0)
    if ordered and ready < replicas:
        return (
            f"{ready} of {replicas} pods are ready, and an OrderedReady StatefulSet waits for all: the restart"
            " would go off later, when they recover"
        )
    return None


def _annotations(workload: Mapping[str, Any]) -> dict[str, str]:
    found: object = workload
    for key in _ANNOTATIONS:
        found = found.get(key) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _bind(writers: Writers) -> Hand[RolloutRestart] | None:
    return RestartHand(writers.kubernetes) if writers.kubernetes else None


KIND = Kind(
    name="rollout_restart",
    arguments=RestartArguments,
    request=RolloutRestart,
    plan=plan,
    bind=_bind,
    needs=(
        Permission("apps", "deployments", ("get", "patch"), "spec.template.metadata.annotations"),
        Permission("apps", "statefulsets", ("get", "patch"), "spec.template.metadata.annotations"),
    ),
    writes=_writes,
)
