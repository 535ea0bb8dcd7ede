"""Rolling a Deployment back to an earlier revision, as kubectl does:
its ReplicaSet's template again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.objects import annotations_of, held, replaced, taken
from service.act.pod_template import ACTION, TRIES_ON_CONFLICT, ref_of
from service.clients.kubernetes_write import MERGE, KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible, Permission
from service.model.errors import Refused, Unavailable
from service.model.objects import Write
from service.model.reasons import Reason
from service.model.target import Target, TargetKind

Object = Mapping[str, Any]  # Any: the JSON of an API object

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class UndoArguments:
    """`from` is the revision that was seen and is to be left;
    without `to_revision` it is the one before that.
    """

    from_: Annotated[int, Field(gt=0)]
    to_revision: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class RolloutUndo:
    """Give a Deployment the template of an earlier revision. Idempotent: the Deployment carries
    the action's id, and another revision than the one that was seen is left alone.
    `to_revision` 0 is the one before.
    """

    target: Target
    from_revision: int
    to_revision: int

    def __str__(self) -> str:
        to = f"revision {self.to_revision}" if self.to_revision else "the revision before"
        return f"roll {self.target} back from revision {self.from_revision} to {to}"


def plan(target: Target, arguments: UndoArguments) -> RolloutUndo | NotPossible:
    """A step back, of a Deployment only."""
    if target.kind is not TargetKind.DEPLOYMENT:
        detail = f"{target} is no Deployment: its earlier revisions are not kept as ReplicaSets"
        return NotPossible(Reason.TARGET_UNRESOLVED, detail)
    if arguments.to_revision == arguments.from_:
        detail = f"it is at revision {arguments.from_} already"
        return NotPossible(Reason.ARGUMENT_OUT_OF_BOUNDS, detail)
    return RolloutUndo(target, arguments.from_, arguments.to_revision)


def _writes(request: RolloutUndo, action_id: str) -> tuple[Write, ...]:
    ref = ref_of(request.target)
    return (
        Write(ref, ("spec", "template"), None, known=False),
        Write(ref, ("metadata", "annotations", ACTION), action_id),
    )


def _inverse(request: RolloutUndo) -> RolloutUndo:
    # The controller numbers on: going back makes a new revision of the old template.
    return RolloutUndo(request.target, request.from_revision + 1, request.from_revision)


def revision_of(found: Object) -> int:
    """The revision that the controller has written on a Deployment or
    ReplicaSet; 0 where there is none.
    """
    text = annotations_of(found).get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def template_of(found: Object) -> dict[str, Any]:  # Any: JSON
    """The pod template without the hash that the controller adds: left in,
    it would stay there for good.
    """
    template = dict(found["spec"]["template"])
    metadata = dict(template.get("metadata") or {})
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH}
    template["metadata"] = {
        **{k: v for k, v in metadata.items() if k != "creationTimestamp"},
        "labels": labels,
    }
    return template


def earlier(replica_sets: Sequence[Object], deployment: Object, revision: int) -> Object | None:
    """The ReplicaSet of that revision; of 0 the newest before the present one."""
    uid, now = deployment["metadata"]["uid"], revision_of(deployment)
    own = [
        found
        for found in replica_sets
        if any(o.get("uid") == uid for o in found["metadata"].get("ownerReferences") or ())
    ]
    if revision:
        return next((found for found in own if revision_of(found) == revision), None)
    before = [found for found in own if 0 < revision_of(found) < now]
    return max(before, key=revision_of, default=None)


def merge(now: Any, wanted: Any) -> Any:  # Any: JSON
    """The JSON merge patch that makes `now` into `wanted`: null takes a field away,
    a list is replaced whole.
    """
    if not isinstance(now, Mapping) or not isinstance(wanted, Mapping):
        return wanted
    gone = {key: None for key in now if key not in wanted}
    changed = {
        key: merge(now.get(key), value) for key, value in wanted.items() if now.get(key) != value
    }
    return {**gone, **changed}


@dataclass(frozen=True, slots=True)
class UndoHand:
    """Writes the difference of the two templates, guarded by uid and version:
    a rollout in between wins.
    """

    client: KubernetesWriter

    async def apply(self, permit: Permit[RolloutUndo]) -> Deed:
        intent, ref = permit.intent, ref_of(permit.intent.request.target)
        for _ in range(TRIES_ON_CONFLICT):
            deployment = await self.client.get(ref.path, deadline=permit.deadline)
            if other := replaced(intent, ref, deployment):
                return other
            found = await self._wanted(intent, deployment, permit.deadline)
            if isinstance(found, Deed):
                return found
            now, to = template_of(deployment), revision_of(found)
            patch = merge(now, template_of(found))
            if not patch:
                detail = f"its template is that of revision {to} already"
                return Deed(Applied.DONE, Reason.ALREADY_DONE, detail)
            metadata = {**held(deployment), "annotations": {ACTION: intent.action_id}}
            try:
                await self.client.patch(
                    ref.path,
                    {"metadata": metadata, "spec": {"template": patch}},
                    content_type=MERGE,
                    action_id=intent.action_id,
                    dry_run=intent.mode is Mode.DRY_RUN,
                    confirm=permit.confirm,
                    deadline=permit.deadline,
                )
            except Refused as error:
                if error.reason is not Reason.CONFLICT:
                    raise
            else:
                return taken(intent, f"back to the template of revision {to}")
        raise Unavailable(Reason.CONFLICT, f"{ref} changed {TRIES_ON_CONFLICT} times in between")

    async def _wanted(
        self, intent: Intent[RolloutUndo], deployment: Object, deadline: Deadline
    ) -> Object | Deed:
        request, now = intent.request, revision_of(deployment)
        if annotations_of(deployment).get(ACTION) == intent.action_id:
            detail = "it carries this action's id already"
            return Deed(Applied.DONE, Reason.ALREADY_DONE, detail)
        if (deployment.get("spec") or {}).get("paused"):
            detail = "its rollout is paused: another template would change nothing now"
            return Deed(Applied.FAILED, Reason.PAUSED, detail)
        generation = deployment["metadata"].get("generation")
        if generation != (deployment.get("status") or {}).get("observedGeneration"):
            # The revision is the controller's to write: what stands there is
            # of the template before.
            raise Unavailable(Reason.CONFLICT, f"{request.target}: its controller is behind")
        if now != request.from_revision:
            detail = f"it is at revision {now}, and {request.from_revision} was seen"
            return Deed(Applied.FAILED, Reason.TARGET_CHANGED, detail)
        path = f"/apis/apps/v1/namespaces/{request.target.namespace}/replicasets"
        sets = await self.client.list(path, deadline=deadline)
        found = earlier(sets, deployment, request.to_revision)
        if found is None:
            wanted = request.to_revision or f"before {now}"
            detail = (
                f"it has no revision {wanted}: {sum(map(bool, map(revision_of, sets)))} ReplicaSets"
            )
            return Deed(Applied.FAILED, Reason.REVISION_MISSING, detail)
        return found

    async def read_back(self, intent: Intent[RolloutUndo], deadline: Deadline) -> TargetState:
        ref = ref_of(intent.request.target)
        deployment = await self.client.get(ref.path, deadline=deadline)
        if replaced(intent, ref, deployment):
            return TargetState.REPLACED
        if annotations_of(deployment).get(ACTION) == intent.action_id:
            return TargetState.APPLIED
        seen = revision_of(deployment) == intent.request.from_revision
        return TargetState.UNTOUCHED if seen else TargetState.CHANGED


def _bind(writers: Writers) -> Hand[RolloutUndo] | None:
    return UndoHand(writers.kubernetes) if writers.kubernetes else None


KIND = Kind(
    name="rollout_undo",
    arguments=UndoArguments,
    request=RolloutUndo,
    plan=plan,
    bind=_bind,
    needs=(
        Permission("apps", "deployments", ("get", "patch"), "spec.template"),
        Permission("apps", "replicasets", ("list",)),
    ),
    writes=_writes,
    inverse=_inverse,
    interrupts=True,
)
