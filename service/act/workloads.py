"""Writes to Deployments and StatefulSets: scaling and rollout restart.

Every write names its field manager, carries its action id where the object has room for it, and is absolute.
Scaling also guards itself with the version read just before: a change by somebody else in between wins.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC

from service.act.executor import Deed, TargetState
from service.clients.kubernetes import workload_path
from service.clients.kubernetes_write import MERGE, STRATEGIC, KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, RolloutRestart, Scale
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason
from service.model.target import Target

RESTARTED_AT = (
    "kubectl.kubernetes.io/restartedAt"  # kubectl's own, so that its users see the restart
)
ACTION = "paramedic.dev/action"

_TRIES_ON_CONFLICT = (
    3  # a rollout writes the status all the time, and each write is a new resourceVersion
)


async def autoscaler_of(client: KubernetesWriter, target: Target, deadline: Deadline) -> str | None:
    """The name of the HorizontalPodAutoscaler that owns the target's replica count."""
    path = f"/apis/autoscaling/v2/namespaces/{target.namespace}/horizontalpodautoscalers"
    for item in await client.list(path, deadline=deadline):
        reference = item["spec"]["scaleTargetRef"]
        if (reference["kind"], reference["name"]) == (target.kind, target.name):
            return str(item["metadata"]["name"])
    return None


@dataclass(frozen=True, slots=True)
class ScaleHand:
    """Sets the replica count through the scale subresource."""

    client: KubernetesWriter

    async def apply(self, intent: Intent, deadline: Deadline) -> Deed:
        action = _scale(intent)
        owner = await autoscaler_of(self.client, action.target, deadline)
        if owner:
            detail = f"HorizontalPodAutoscaler {owner} owns the count and would undo it"
            return Deed(Applied.FAILED, Reason.AUTOSCALED, detail)
        for _ in range(_TRIES_ON_CONFLICT):
            scale = await self.client.get(
                workload_path(action.target) + "/scale", deadline=deadline
            )
            current = int(scale["spec"].get("replicas", 0))
            if current == action.to_replicas:
                return Deed(Applied.DONE, Reason.ALREADY_DONE, f"it has {current} replicas already")
            if current != action.from_replicas:
                detail = f"it has {current} replicas, and the decision was made at {action.from_replicas}"
                return Deed(Applied.FAILED, Reason.TARGET_CHANGED, detail)
            try:
                return await self._patch(
                    intent, action, scale["metadata"]["resourceVersion"], deadline
                )
            except Refused as error:
                if error.reason is not Reason.CONFLICT:
                    raise
        raise Unavailable(
            Reason.CONFLICT, f"{action.target} changed {_TRIES_ON_CONFLICT} times in between"
        )

    async def _patch(self, intent: Intent, action: Scale, version: str, deadline: Deadline) -> Deed:
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": action.to_replicas}}
        await self.client.patch(
            workload_path(action.target) + "/scale",
            body,
            content_type=MERGE,
            action_id=intent.action_id,
            dry_run=intent.mode is Mode.DRY_RUN,
            deadline=deadline,
        )
        return _taken(intent, f"{action.from_replicas} -> {action.to_replicas} replicas")

    async def read_back(self, intent: Intent, deadline: Deadline) -> TargetState:
        action = _scale(intent)
        scale = await self.client.get(workload_path(action.target) + "/scale", deadline=deadline)
        current = int(scale["spec"].get("replicas", 0))
        if current == action.to_replicas:
            return TargetState.APPLIED
        return TargetState.UNTOUCHED if current == action.from_replicas else TargetState.CHANGED


@dataclass(frozen=True, slots=True)
class RestartHand:
    """Restarts the pods by a change of the pod template's annotations, as kubectl does."""

    client: KubernetesWriter

    async def apply(self, intent: Intent, deadline: Deadline) -> Deed:
        target = _restart(intent).target
        workload = await self.client.get(workload_path(target), deadline=deadline)
        if _annotations(workload).get(ACTION) == intent.action_id:
            return Deed(
                Applied.DONE, Reason.ALREADY_DONE, "its template carries this action's id already"
            )
        if workload["spec"].get("paused"):
            return Deed(
                Applied.FAILED, Reason.PAUSED, "its rollout is paused: a restart would do nothing"
            )
        strategy = workload["spec"].get("updateStrategy", {}).get("type")
        if strategy == "OnDelete":
            detail = "its update strategy is OnDelete: a changed template restarts nothing"
            return Deed(Applied.FAILED, Reason.PAUSED, detail)
        # The instant of the intent, not of the write: sent twice it is the same template, and no new rollout.
        restarted_at = intent.intended_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        annotations = {RESTARTED_AT: restarted_at, ACTION: intent.action_id}
        try:
            await self.client.patch(
                workload_path(target),
                {"spec": {"template": {"metadata": {"annotations": annotations}}}},
                content_type=STRATEGIC,
                action_id=intent.action_id,
                dry_run=intent.mode is Mode.DRY_RUN,
                deadline=deadline,
            )
        except Refused as error:
            if error.reason is not Reason.CONFLICT:
                raise
            raise Unavailable(
                Reason.CONFLICT, error.detail
            ) from error  # nothing was done: try again
        return _taken(intent, f"{RESTARTED_AT}={restarted_at}")

    async def read_back(self, intent: Intent, deadline: Deadline) -> TargetState:
        workload = await self.client.get(workload_path(_restart(intent).target), deadline=deadline)
        applied = _annotations(workload).get(ACTION) == intent.action_id
        return TargetState.APPLIED if applied else TargetState.UNTOUCHED


def _annotations(workload: Mapping[str, object]) -> dict[str, str]:
    found: object = workload
    for key in ("spec", "template", "metadata", "annotations"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _taken(intent: Intent, detail: str) -> Deed:
    if intent.mode is Mode.DRY_RUN:
        return Deed(Applied.DRY, Reason.MODE_DRY_RUN, f"the server would take it: {detail}")
    return Deed(Applied.DONE, Reason.DONE, detail)


def _scale(intent: Intent) -> Scale:
    if not isinstance(intent.action, Scale):
        raise TypeError(f"{intent.action} is not for the scale hand")
    return intent.action


def _restart(intent: Intent) -> RolloutRestart:
    if not isinstance(intent.action, RolloutRestart):
        raise TypeError(f"{intent.action} is not for the restart hand")
    return intent.action
