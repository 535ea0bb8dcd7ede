"""Restarting every pod of a workload by its own rollout,
through a changed annotation of the pod template.
"""

from dataclasses import dataclass

from service.act import pod_template
from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.objects import annotations_of, replaced, taken
from service.act.pod_template import ACTION, ANNOTATIONS, RESTARTED_AT, ref_of, stamped
from service.clients.kubernetes_write import KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible
from service.model.objects import Write
from service.model.reasons import Reason
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class RestartArguments:
    """Another workload of the target's namespace may be named:
    a registry that the target depends on.
    """

    workload_kind: str = ""  # Deployment or StatefulSet; without it the target's kind
    workload: str = ""  # without it the target


@dataclass(frozen=True, slots=True)
class RolloutRestart:
    """Restart every pod by the workload's own rollout. Idempotent:
    the annotation is the action's id.
    """

    target: Target

    def __str__(self) -> str:
        return f"rollout restart {self.target}"


def plan(target: Target, arguments: RestartArguments) -> RolloutRestart | NotPossible:
    """A restart of the target, or of the workload that is named."""
    meant = pod_template.workload_of(target, arguments.workload_kind, arguments.workload)
    return meant if isinstance(meant, NotPossible) else RolloutRestart(meant)


def _writes(request: RolloutRestart, action_id: str) -> tuple[Write, ...]:
    return (Write(ref_of(request.target), (*ANNOTATIONS, ACTION), action_id),)


@dataclass(frozen=True, slots=True)
class RestartHand:
    """Changes the pod template's annotations, as kubectl does."""

    client: KubernetesWriter

    async def apply(self, permit: Permit[RolloutRestart]) -> Deed:
        intent, target = permit.intent, permit.intent.request.target
        if await self.read_back(intent, permit.deadline) is TargetState.APPLIED:
            detail = "its template carries this action's id already"
            return Deed(Applied.DONE, Reason.ALREADY_DONE, detail)
        ended = await pod_template.restart(
            self.client,
            permit,
            target,
            mark=intent.action_id,
            at=intent.intended_at,
            dry_run=intent.mode is Mode.DRY_RUN,
        )
        return ended or taken(intent, f"{RESTARTED_AT}={stamped(intent.intended_at)}")

    async def read_back(self, intent: Intent[RolloutRestart], deadline: Deadline) -> TargetState:
        ref = ref_of(intent.request.target)
        workload = await self.client.get(ref.path, deadline=deadline)
        if replaced(intent, ref, workload):
            return TargetState.REPLACED
        mark = annotations_of(workload, "spec", "template").get(ACTION)
        applied = mark == intent.action_id
        return TargetState.APPLIED if applied else TargetState.UNTOUCHED


def _bind(writers: Writers) -> Hand[RolloutRestart] | None:
    return RestartHand(writers.kubernetes) if writers.kubernetes else None


KIND = Kind(
    name="rollout_restart",
    arguments=RestartArguments,
    request=RolloutRestart,
    plan=plan,
    bind=_bind,
    needs=pod_template.needs("spec.template.metadata.annotations"),
    writes=_writes,
    interrupts=True,
)
