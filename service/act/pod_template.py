"""What the kinds that change a workload's pod template share: its containers,
and one guarded patch or restart.

Never here: what is to be changed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeAlias, TypeVar

from service.act.kind import Deed, Permit, TargetState
from service.act.objects import annotations_of, held, refused_as_replaced, replaced, taken
from service.clients.kubernetes_write import STRATEGIC, KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible, Permission, Request
from service.model.errors import Refused, Unavailable
from service.model.objects import FieldPath, ObjectRef
from service.model.reasons import Reason
from service.model.target import Target, TargetKind

R = TypeVar("R", bound=Request)
Object: TypeAlias = Mapping[str, Any]  # Any: the JSON of an API object

# kubectl's own, so that its users see the restart.
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
ACTION = "paramedic.dev/action"
ANNOTATIONS: FieldPath = ("spec", "template", "metadata", "annotations")
CONTAINERS: FieldPath = ("spec", "template", "spec", "containers")

TRIES_ON_CONFLICT = 3  # a rollout writes the status all the time, and each write is a new version
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def needs(fields: str) -> tuple[Permission, ...]:
    """The rights for a patch of `fields`."""
    return (
        Permission("apps", "deployments", ("get", "patch"), fields),
        Permission("apps", "statefulsets", ("get", "patch"), fields),
    )


def is_name(text: str) -> bool:
    """True for what Kubernetes takes as an object's name."""
    return _NAME.fullmatch(text) is not None


def ref_of(target: Target) -> ObjectRef:
    """The object of a request whose plan has made sure that it has one."""
    if target.workload is None:
        raise ValueError(f"{target} is no workload")
    return target.workload


def workload_of(target: Target, kind: str, name: str) -> Target | NotPossible:
    """The workload that is meant: the target, or another one of its namespace."""
    if name and not is_name(name):
        return NotPossible(Reason.BAD_NAME, f"{name!r} is no name of a workload")
    if kind and kind not in list(TargetKind):
        return NotPossible(Reason.BAD_NAME, f"{kind!r} is no kind of workload")
    meant = Target(TargetKind(kind or target.kind), target.namespace, name or target.name)
    if meant.workload is None:
        return NotPossible(Reason.TARGET_UNRESOLVED, f"{meant} is no workload")
    return meant


def container_path(name: str, *inside: str) -> FieldPath:
    """A field of a container, as managedFields name it."""
    return (*CONTAINERS, f'k:{{"name":"{name}"}}', *inside)


def container_of(workload: Object, name: str) -> Object | Deed:
    """The container of that name, or the end of the action."""
    found: object = workload
    for key in CONTAINERS:
        found = found.get(key) if isinstance(found, Mapping) else None
    containers: list[Object] = list(found) if isinstance(found, list) else []
    for container in containers:
        if container.get("name") == name:
            return container
    names = ", ".join(str(container.get("name")) for container in containers)
    detail = f"it has no container {name!r}; it has {names}"
    return Deed(Applied.FAILED, Reason.CONTAINER_MISSING, detail)


@dataclass(frozen=True, slots=True)
class TemplateHand(Generic[R]):
    """Changes some fields of the pod template, guarded by uid and version of
    what was read just before.

    `look` says how a workload stands to the request, or why the action ends;
    `patch` is what is merged into the template, lists by their keys.
    """

    client: KubernetesWriter
    look: Callable[[R, Object], TargetState | Deed]
    patch: Callable[[R], Object]

    async def apply(self, permit: Permit[R]) -> Deed:
        intent, ref = permit.intent, ref_of(permit.intent.request.target)
        for _ in range(TRIES_ON_CONFLICT):
            workload = await self.client.get(ref.path, deadline=permit.deadline)
            if (ended := self._ended(intent, ref, workload)) is not None:
                return ended
            body = {
                "metadata": held(workload),
                "spec": {"template": self.patch(intent.request)},
            }
            try:
                await self.client.patch(
                    ref.path,
                    body,
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
            else:
                return taken(intent, str(intent.request))
        raise Unavailable(Reason.CONFLICT, f"{ref} changed {TRIES_ON_CONFLICT} times in between")

    def _ended(self, intent: Intent[R], ref: ObjectRef, workload: Object) -> Deed | None:
        if other := replaced(intent, ref, workload):
            return other
        state = self.look(intent.request, workload)
        if isinstance(state, Deed):
            return state
        if state is TargetState.APPLIED:
            return Deed(Applied.DONE, Reason.ALREADY_DONE, "its template says so already")
        if state is TargetState.CHANGED:
            detail = "its template has another value than the one that was seen"
            return Deed(Applied.FAILED, Reason.TARGET_CHANGED, detail)
        if why := standstill(intent.request.target.kind, workload):
            return Deed(Applied.FAILED, Reason.PAUSED, why)
        return None

    async def read_back(self, intent: Intent[R], deadline: Deadline) -> TargetState:
        ref = ref_of(intent.request.target)
        workload = await self.client.get(ref.path, deadline=deadline)
        if replaced(intent, ref, workload):
            return TargetState.REPLACED
        state = self.look(intent.request, workload)
        return TargetState.CHANGED if isinstance(state, Deed) else state


async def restart(
    client: KubernetesWriter,
    permit: Permit[R],
    target: Target,
    *,
    mark: str,
    at: datetime,
    dry_run: bool,
) -> Deed | None:
    """Restarts a workload's pods once for `mark`, whatever `permit` is for;
    a Deed where that cannot be.

    `at` is an instant of the intent, not of the write: sent twice it is the same
    template, and no new rollout.
    """
    ref = ref_of(target)
    workload = await client.get(ref.path, deadline=permit.deadline)
    if other := replaced(permit.intent, ref, workload):
        return other
    if annotations_of(workload, "spec", "template").get(ACTION) == mark:
        return None
    if why := standstill(target.kind, workload):
        return Deed(Applied.FAILED, Reason.PAUSED, f"{ref}: {why}")
    annotations = {RESTARTED_AT: stamped(at), ACTION: mark}
    uid = {"uid": held(workload).get("uid", "")}
    try:
        await client.patch(
            ref.path,
            {"metadata": uid, "spec": {"template": {"metadata": {"annotations": annotations}}}},
            content_type=STRATEGIC,
            action_id=permit.intent.action_id,
            dry_run=dry_run,
            confirm=permit.confirm,
            deadline=permit.deadline,
        )
    except Refused as error:
        if other := refused_as_replaced(permit.intent, ref, error):
            return other
        if error.reason is not Reason.CONFLICT:
            raise
        raise Unavailable(Reason.CONFLICT, error.detail) from error  # nothing was done: try again
    return None


def stamped(at: datetime) -> str:
    """The instant as kubectl writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def standstill(kind: TargetKind, workload: Mapping[str, Any]) -> str | None:
    """Why a changed template would restart nothing now, and perhaps go off later;
    None when it would roll.
    """
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
