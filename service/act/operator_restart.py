"""Asking an operator to restart what it owns: Strimzi by an annotation,
Altinity's ClickHouse operator by a field.

What an operator owns is never patched behind its back; this is the way its makers give.
It takes as long as the operator takes, and the wish is taken back when it is over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.objects import annotations_of, held, replaced
from service.act.pod_template import ACTION, is_name
from service.clients.kubernetes_write import MERGE, KubernetesWriter
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible, Permission
from service.model.errors import Refused, Unavailable
from service.model.objects import ObjectRef, Write
from service.model.reasons import Reason
from service.model.target import Target

Object = Mapping[str, Any]  # Any: the JSON of an API object
Owner = Literal["StrimziPodSet", "Pod", "ClickHouseInstallation"]

ROLLING = "strimzi.io/manual-rolling-update"
RESTART = "RollingUpdate"
_AGAIN_S = 10.0

_REFS: Mapping[str, tuple[str, str]] = {
    "StrimziPodSet": ("core.strimzi.io/v1beta2", "strimzipodsets"),
    "Pod": ("v1", "pods"),
    "ClickHouseInstallation": ("clickhouse.altinity.com/v1", "clickhouseinstallations"),
}


@dataclass(frozen=True, slots=True)
class OperatorRestartArguments:
    """The object that carries the wish: a StrimziPodSet, a Pod of one with its uid,
    or a ClickHouseInstallation.
    """

    kind: Owner
    name: str
    uid: str = ""  # of the pod that was seen: Strimzi makes another one under its name
    within_s: Annotated[float, Field(ge=60, le=86_400, allow_inf_nan=False)] = 3_600.0


@dataclass(frozen=True, slots=True)
class OperatorRestart:
    """Wish for a rolling restart, and wait until the operator has done it. Idempotent:
    the object carries the action's id.
    """

    target: Target
    kind: Owner
    name: str
    uid: str
    within_s: float

    def __str__(self) -> str:
        return f"ask the operator to restart {self.ref}"

    @property
    def ref(self) -> ObjectRef:
        api, plural = _REFS[self.kind]
        return ObjectRef(api, plural, self.kind, self.target.namespace, self.name)

    @property
    def strimzi(self) -> bool:
        return self.kind != "ClickHouseInstallation"


def plan(target: Target, arguments: OperatorRestartArguments) -> OperatorRestart | NotPossible:
    """The object, in the target's namespace."""
    if not is_name(arguments.name):
        return NotPossible(Reason.BAD_NAME, f"{arguments.name[:80]!r} is no name of an object")
    if arguments.kind == "Pod" and not arguments.uid:
        return NotPossible(Reason.NO_DATA, f"the uid of pod {arguments.name} is not known")
    uid = arguments.uid if arguments.kind == "Pod" else ""
    return OperatorRestart(target, arguments.kind, arguments.name, uid, arguments.within_s)


def _writes(request: OperatorRestart, action_id: str) -> tuple[Write, ...]:
    if request.uid:  # the pod goes, and with it what was written
        return ()
    # As it stands when the operator is through.
    wish = ("metadata", "annotations", ROLLING) if request.strimzi else ("spec", "restart")
    return (
        Write(request.ref, wish, None),
        Write(request.ref, ("metadata", "annotations", ACTION), action_id),
    )


def wished(request: OperatorRestart, found: Object) -> bool:
    """True while the wish stands on the object."""
    if request.strimzi:
        return annotations_of(found).get(ROLLING) == "true"
    return bool((found.get("spec") or {}).get("restart"))


def through(request: OperatorRestart, found: Object, action_id: str) -> bool:
    """True when the operator says that it has done it: Strimzi takes the annotation off,
    Altinity lists the task.
    """
    if request.strimzi:
        return not wished(request, found)
    return action_id in ((found.get("status") or {}).get("taskIDsCompleted") or ())


@dataclass(frozen=True, slots=True)
class OperatorRestartHand:
    """Asked again until the operator is through."""

    client: KubernetesWriter
    clock: Clock

    async def apply(self, permit: Permit[OperatorRestart]) -> Deed:
        intent, request = permit.intent, permit.intent.request
        try:
            found = await self._found(request, permit.deadline)
            if found is None:
                return Deed(Applied.DONE, Reason.DONE, "the pod of that uid was replaced")
            if other := replaced(intent, request.ref, found):
                return other
            if annotations_of(found).get(ACTION) != intent.action_id:
                return await self._begin(permit, found)
            return await self._follow(permit, found)
        except Refused as error:
            if error.reason is not Reason.CONFLICT:
                raise
            raise Unavailable(Reason.CONFLICT, error.detail) from error  # nothing was done

    async def _found(self, request: OperatorRestart, deadline: Deadline) -> Object | None:
        """The object; None for a pod that has been replaced, or is about to be."""
        try:
            found = await self.client.get(request.ref.path, deadline=deadline)
        except Refused as error:
            if request.uid and error.reason is Reason.NOT_FOUND:
                return None
            raise
        if request.uid and found["metadata"].get("uid") != request.uid:
            return None
        return found

    async def _begin(self, permit: Permit[OperatorRestart], found: Object) -> Deed:
        intent, request = permit.intent, permit.intent.request
        if wished(request, found):
            detail = "somebody has asked for a restart already, and it is not over"
            return Deed(Applied.FAILED, Reason.TARGET_CHANGED, detail)
        await self._patch(permit, found, wish=True)
        if intent.mode is Mode.DRY_RUN:
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, f"the server would take it: {request}")
        detail = f"{request.ref} was asked to restart"
        return Deed(Applied.STARTED, Reason.IN_PROGRESS, detail, _AGAIN_S)

    async def _follow(self, permit: Permit[OperatorRestart], found: Object) -> Deed:
        intent, request = permit.intent, permit.intent.request
        if not wished(request, found):
            detail = "the operator has restarted it"
            return Deed(Applied.DONE, Reason.DONE, detail)
        age_s = (self.clock.now() - intent.intended_at).total_seconds()
        if through(request, found, intent.action_id):
            await self._patch(permit, found, wish=False)
            detail = "the operator has restarted it, and the wish is taken back"
            return Deed(Applied.DONE, Reason.DONE, detail)
        if age_s > request.within_s:
            await self._patch(permit, found, wish=False)
            detail = f"not restarted within {request.within_s:g} s; the wish is taken back"
            return Deed(Applied.FAILED, Reason.TIMED_OUT, detail)
        detail = f"the operator is at it for {age_s:.0f} s"
        return Deed(Applied.STARTED, Reason.IN_PROGRESS, detail, _AGAIN_S)

    async def _patch(self, permit: Permit[OperatorRestart], found: Object, *, wish: bool) -> None:
        intent, request = permit.intent, permit.intent.request
        marks: dict[str, str | None] = {ACTION: intent.action_id}
        body: dict[str, Any] = {}  # Any: JSON
        if request.strimzi:
            marks[ROLLING] = "true" if wish else None
        else:
            # The task's name is ours, so that the status tells when it is
            # this restart that is over.
            task = intent.action_id if wish else None
            body["spec"] = {"restart": RESTART if wish else None, "taskID": task}
        body["metadata"] = {**held(found), "annotations": marks}
        await self.client.patch(
            request.ref.path,
            body,
            content_type=MERGE,  # a custom resource knows no strategic one
            action_id=intent.action_id,
            dry_run=intent.mode is Mode.DRY_RUN,
            confirm=permit.confirm,
            deadline=permit.deadline,
        )

    async def read_back(self, intent: Intent[OperatorRestart], deadline: Deadline) -> TargetState:
        request = intent.request
        found = await self._found(request, deadline)
        if found is None:
            return TargetState.APPLIED
        if replaced(intent, request.ref, found):
            return TargetState.REPLACED
        if annotations_of(found).get(ACTION) != intent.action_id:
            return TargetState.UNTOUCHED
        return TargetState.UNDER_WAY if wished(request, found) else TargetState.APPLIED


def _bind(writers: Writers) -> Hand[OperatorRestart] | None:
    if writers.kubernetes is None:
        return None
    return OperatorRestartHand(writers.kubernetes, writers.clock)


KIND = Kind(
    name="operator_restart",
    arguments=OperatorRestartArguments,
    request=OperatorRestart,
    plan=plan,
    bind=_bind,
    needs=(
        Permission("core.strimzi.io", "strimzipodsets", ("get", "patch"), "metadata.annotations"),
        Permission("", "pods", ("get", "patch"), "metadata.annotations"),
        Permission(
            "clickhouse.altinity.com", "clickhouseinstallations", ("get", "patch"), "spec.restart"
        ),
    ),
    writes=_writes,
    takes=lambda request: (request.name,) if request.kind == "Pod" else (),
    disruptive=True,
)
