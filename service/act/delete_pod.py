"""Deleting one pod, by uid, so that its workload makes it anew.
A pod that nobody would make anew stays.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.objects import taken
from service.act.pod_template import is_name
from service.clients.kubernetes_write import KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible, Permission
from service.model.errors import Refused
from service.model.objects import ObjectRef
from service.model.reasons import Reason
from service.model.target import Target

Object = Mapping[str, Any]  # Any: the JSON of an API object

_UID = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True, slots=True)
class DeletePodArguments:
    """The pod that was seen; the uid tells it from one that was made anew under its name."""

    pod: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete one pod of the target. Idempotent: only the pod of that uid."""

    target: Target
    pod: str
    uid: str

    def __str__(self) -> str:
        return f"delete pod {self.pod} of {self.target}"

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef("v1", "pods", "Pod", self.target.namespace, self.pod)


def plan(target: Target, arguments: DeletePodArguments) -> DeletePod | NotPossible:
    """The pod that was seen."""
    if not arguments.pod or not arguments.uid:
        return NotPossible(Reason.NO_DATA, "no pod was seen that would be deleted")
    if not is_name(arguments.pod) or not _UID.fullmatch(arguments.uid):
        detail = f"{arguments.pod[:80]!r} {arguments.uid[:80]!r}: no name and uid of a pod"
        return NotPossible(Reason.BAD_NAME, detail)
    return DeletePod(target, arguments.pod, arguments.uid)


def _controller(found: Object) -> Object | None:
    owners = (found.get("metadata") or {}).get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


@dataclass(frozen=True, slots=True)
class DeletePodHand:
    """DELETE with the uid as its precondition: the server refuses it for a namesake."""

    client: KubernetesWriter

    async def apply(self, permit: Permit[DeletePod]) -> Deed:
        intent, request = permit.intent, permit.intent.request
        pod = await self._pod(request, permit.deadline)
        if pod is None:
            return Deed(Applied.DONE, Reason.ALREADY_DONE, "the pod of that uid is gone already")
        if pod["metadata"].get("deletionTimestamp"):
            return Deed(Applied.DONE, Reason.ALREADY_DONE, "it is being deleted already")
        if refused := await self._not_ours(request, pod, permit.deadline):
            return refused
        try:
            await self.client.delete(
                request.ref.path,
                uid=request.uid,
                action_id=intent.action_id,
                dry_run=intent.mode is Mode.DRY_RUN,
                confirm=permit.confirm,
                deadline=permit.deadline,
            )
        except Refused as error:
            if error.reason not in (Reason.CONFLICT, Reason.NOT_FOUND):
                raise
            detail = f"it went in between: {error.detail}"
            return Deed(Applied.DONE, Reason.ALREADY_DONE, detail)
        return taken(intent, f"pod {request.pod} with uid {request.uid} is deleted")

    async def _pod(self, request: DeletePod, deadline: Deadline) -> Object | None:
        """The pod, if it is the one that was seen."""
        try:
            pod = await self.client.get(request.ref.path, deadline=deadline)
        except Refused as error:
            if error.reason is Reason.NOT_FOUND:
                return None
            raise
        return pod if pod["metadata"].get("uid") == request.uid else None

    async def _not_ours(self, request: DeletePod, pod: Object, deadline: Deadline) -> Deed | None:
        owner, target = _controller(pod), request.target
        if owner is None:
            detail = f"pod {request.pod} has no controller: nobody would make it anew"
            return Deed(Applied.FAILED, Reason.NOT_RECREATED, detail)
        if owner.get("kind") == "ReplicaSet":
            path = f"/apis/apps/v1/namespaces/{target.namespace}/replicasets/{owner.get('name')}"
            replica_set = await self.client.get(path, deadline=deadline)
            owner = _controller(replica_set) or owner
        if (owner.get("kind"), owner.get("name")) == (target.kind.value, target.name):
            return None
        detail = (
            f"pod {request.pod} belongs to {owner.get('kind')} {owner.get('name')}, not {target}"
        )
        return Deed(Applied.FAILED, Reason.NOT_OF_TARGET, detail)

    async def read_back(self, intent: Intent[DeletePod], deadline: Deadline) -> TargetState:
        pod = await self._pod(intent.request, deadline)
        gone = pod is None or pod["metadata"].get("deletionTimestamp")
        return TargetState.APPLIED if gone else TargetState.UNTOUCHED


def _bind(writers: Writers) -> Hand[DeletePod] | None:
    return DeletePodHand(writers.kubernetes) if writers.kubernetes else None


KIND = Kind(
    name="delete_pod",
    arguments=DeletePodArguments,
    request=DeletePod,
    plan=plan,
    bind=_bind,
    needs=(
        Permission("", "pods", ("get", "delete")),
        Permission("apps", "replicasets", ("get",)),
    ),
    takes=lambda request: (request.pod,),
    disruptive=True,
)
