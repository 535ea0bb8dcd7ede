"""Scaling a Deployment or StatefulSet through its scale subresource,
from the count that was seen to another.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.objects import identity, replaced, taken
from service.act.pod_template import workload_of
from service.clients.kubernetes_write import MERGE, KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible, Permission
from service.model.errors import Refused, Unavailable
from service.model.objects import ObjectRef, Write
from service.model.reasons import Reason
from service.model.target import Target

_TRIES_ON_CONFLICT = 3  # a rollout writes the status all the time, and each write is a new version
REPLICAS = ("spec", "replicas")


@dataclass(frozen=True, slots=True)
class ScaleArguments:
    """`from` is the count that was seen, `by` how many more, up to `max`;
    another workload may be named.
    """

    from_: Annotated[int, Field(ge=0)]
    by: Annotated[int, Field(gt=0, le=1_000)]
    max: Annotated[int, Field(gt=0, le=10_000)]
    workload_kind: str = ""  # Deployment or StatefulSet; without it the target's kind
    workload: str = ""  # of the target's namespace; without it the target


@dataclass(frozen=True, slots=True)
class Scale:
    """Set the replica count from the one that was seen to another.
    Idempotent: the count is absolute.
    """

    target: Target
    from_replicas: int
    to_replicas: int

    def __str__(self) -> str:
        return f"scale {self.target} from {self.from_replicas} to {self.to_replicas}"


def plan(target: Target, arguments: ScaleArguments) -> Scale | NotPossible:
    """The next count, never above the ceiling."""
    meant = workload_of(target, arguments.workload_kind, arguments.workload)
    if isinstance(meant, NotPossible):
        return meant
    wanted = min(arguments.from_ + arguments.by, arguments.max)
    if wanted <= arguments.from_:
        detail = f"{arguments.from_} replicas, and the ceiling is {arguments.max}"
        return NotPossible(Reason.AT_CEILING, detail)
    return Scale(meant, arguments.from_, wanted)


def _ref(request: Scale) -> ObjectRef:
    if request.target.workload is None:
        raise ValueError(f"{request.target} is no workload")
    return request.target.workload


def _writes(request: Scale, action_id: str) -> tuple[Write, ...]:
    return (Write(_ref(request), REPLICAS, request.to_replicas),)


def _inverse(request: Scale) -> Scale:
    return Scale(request.target, request.to_replicas, request.from_replicas)


@dataclass(frozen=True, slots=True)
class ScaleHand:
    """Guards itself with the version read just before: a change by somebody else in between
    wins.
    """

    client: KubernetesWriter

    async def apply(self, permit: Permit[Scale]) -> Deed:
        intent, deadline = permit.intent, permit.deadline
        request, ref = intent.request, _ref(intent.request)
        owner = await self._autoscaler(request.target, deadline)
        if owner:
            detail = f"HorizontalPodAutoscaler {owner} owns the count and would undo it"
            return Deed(Applied.FAILED, Reason.AUTOSCALED, detail)
        for _ in range(_TRIES_ON_CONFLICT):
            scale = await self.client.get(ref.path + "/scale", deadline=deadline)
            if other := replaced(intent, ref, scale):
                return other
            current = int(scale["spec"].get("replicas", 0))
            if current == request.to_replicas:
                detail = f"it has {current} replicas already"
                return Deed(Applied.DONE, Reason.ALREADY_DONE, detail)
            if current != request.from_replicas:
                detail = f"it has {current} replicas, and {request.from_replicas} were seen"
                return Deed(Applied.FAILED, Reason.TARGET_CHANGED, detail)
            try:
                return await self._patch(permit, scale["metadata"]["resourceVersion"])
            except Refused as error:
                if error.reason is not Reason.CONFLICT:
                    raise
        detail = f"{request.target} changed {_TRIES_ON_CONFLICT} times in between"
        raise Unavailable(Reason.CONFLICT, detail)

    async def _patch(self, permit: Permit[Scale], version: str) -> Deed:
        intent, request, ref = permit.intent, permit.intent.request, _ref(permit.intent.request)
        body = {
            "metadata": {"resourceVersion": version, **identity(intent, ref)},
            "spec": {"replicas": request.to_replicas},
        }
        await self.client.patch(
            ref.path + "/scale",
            body,
            content_type=MERGE,
            action_id=intent.action_id,
            dry_run=intent.mode is Mode.DRY_RUN,
            confirm=permit.confirm,
            deadline=permit.deadline,
        )
        return taken(intent, f"{request.from_replicas} -> {request.to_replicas} replicas")

    async def read_back(self, intent: Intent[Scale], deadline: Deadline) -> TargetState:
        request, ref = intent.request, _ref(intent.request)
        scale = await self.client.get(ref.path + "/scale", deadline=deadline)
        if replaced(intent, ref, scale):
            return TargetState.REPLACED
        current = int(scale["spec"].get("replicas", 0))
        if current == request.to_replicas:
            return TargetState.APPLIED
        return TargetState.UNTOUCHED if current == request.from_replicas else TargetState.CHANGED

    async def _autoscaler(self, target: Target, deadline: Deadline) -> str | None:
        """The name of the HorizontalPodAutoscaler that owns the target's replica count."""
        path = f"/apis/autoscaling/v2/namespaces/{target.namespace}/horizontalpodautoscalers"
        for item in await self.client.list(path, deadline=deadline):
            reference: Any = item["spec"]["scaleTargetRef"]
            if (reference["kind"], reference["name"]) == (target.kind, target.name):
                return str(item["metadata"]["name"])
        return None


def _bind(writers: Writers) -> Hand[Scale] | None:
    return ScaleHand(writers.kubernetes) if writers.kubernetes else None


KIND = Kind(
    name="scale",
    arguments=ScaleArguments,
    request=Scale,
    plan=plan,
    bind=_bind,
    needs=(
        Permission("apps", "deployments/scale", ("get", "patch"), "spec.replicas"),
        Permission("apps", "statefulsets/scale", ("get", "patch"), "spec.replicas"),
        Permission("autoscaling", "horizontalpodautoscalers", ("list",)),
    ),
    writes=_writes,
    inverse=_inverse,
)
