"""Whose field is it: each object that a request writes to,
who holds the written fields, and their values now.

Never here: what follows from it (guard). What cannot be read is an error,
for a field whose owner is not known is not written.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.holders import changes, delivered_by, holder_of, value_of
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.objects import Holder, ObjectRef, Survey, System, Write
from service.model.reasons import Reason

REPLICAS = ("spec", "replicas")
# Owners of these groups are Kubernetes' own controllers,
# which restore pods and ReplicaSets, not fields of ours.
_BUILT_IN = ("apps", "batch", "")
_HIGHEST = 5  # steps up a chain of owners
_KEDA = "keda.sh"


async def survey(
    kubernetes: KubernetesReader, writes: Sequence[Write], *, deadline: Deadline
) -> tuple[Survey, ...]:
    """One survey per object, in the order of the writes. Raises Unavailable or Refused."""
    by_object: dict[ObjectRef, list[Write]] = {}
    for write in writes:
        by_object.setdefault(write.ref, []).append(write)
    # One after the other: there is one object in nearly every request,
    # and the first error is the answer.
    return tuple([await _survey(kubernetes, ref, ws, deadline) for ref, ws in by_object.items()])


async def _survey(
    kubernetes: KubernetesReader, ref: ObjectRef, writes: Sequence[Write], deadline: Deadline
) -> Survey:
    try:
        found = await kubernetes.get(ref.path, deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return Survey(ref, "")
        raise
    operator = await operator_of(kubernetes, found, deadline=deadline)
    scaler = None
    if any(write.path == REPLICAS for write in writes):
        scaler = await autoscaler_of(kubernetes, ref, deadline=deadline)
    holders: dict[str, Holder] = {}
    values: dict[str, Any] = {}  # Any: JSON values
    for write in writes:
        in_object = holder_of(found, write.path, kubernetes.field_manager)
        # An operator writes the whole spec again; annotations that people set
        # are how one speaks to it.
        by_operator = operator if write.path[0] != "metadata" else None
        by_scaler = scaler if write.path == REPLICAS else None
        if holder := _foremost(by_scaler, by_operator, in_object):
            holders[write.key] = holder
        if (value := value_of(found, write.path)) is not None:
            values[write.key] = value
    metadata = found.get("metadata") or {}
    return Survey(
        ref,
        uid=str(metadata.get("uid", "")),
        resource_version=str(metadata.get("resourceVersion", "")),
        generation=int(metadata.get("generation") or 0),
        holders=holders,
        values=values,
        changes=changes(found),
    )


def _foremost(
    scaler: Holder | None, operator: Holder | None, in_object: Holder | None
) -> Holder | None:
    manager = in_object.manager if in_object else ""
    for holder in (scaler, operator):
        if holder is not None:
            return Holder(holder.system, holder.name, manager, holder.restores)
    return in_object


async def owners_of(
    kubernetes: KubernetesReader, found: Object, *, deadline: Deadline
) -> tuple[Holder, ...]:
    """Who holds the whole object: the system that delivers it, and the operator that made it."""
    operator = await operator_of(kubernetes, found, deadline=deadline)
    return tuple(holder for holder in (delivered_by(found), operator) if holder is not None)


async def operator_of(
    kubernetes: KubernetesReader, found: Object, *, deadline: Deadline
) -> Holder | None:
    """The custom resource at the top of the chain of controlling owners,
    whose operator made the object.
    """
    namespace = str((found.get("metadata") or {}).get("namespace", ""))
    highest: Holder | None = None
    for _ in range(_HIGHEST):
        owner = _controller(found)
        if owner is None:
            return highest
        if _group(owner["apiVersion"]) not in _BUILT_IN:
            highest = Holder(System.OPERATOR, f"{owner['kind']} {namespace}/{owner['name']}")
        try:
            found = await _read(kubernetes, namespace, owner, deadline)
        except Refused as error:
            # A kind that is not installed any more, an owner that is gone,
            # or no right to read it: what is known of an operator stands.
            # Who owns a Deployment or a ReplicaSet has to be known.
            if highest is None and error.reason is not Reason.NOT_FOUND:
                raise
            return highest
    return highest


def _controller(found: Object) -> Mapping[str, str] | None:
    references = (found.get("metadata") or {}).get("ownerReferences") or ()
    return next((owner for owner in references if owner.get("controller")), None)


def _group(api: str) -> str:
    return api.rpartition("/")[0]


async def _read(
    kubernetes: KubernetesReader, namespace: str, owner: Mapping[str, str], deadline: Deadline
) -> Object:
    api, kind = owner["apiVersion"], owner["kind"]
    plural = f"{kind.lower()}s"
    if _group(api) not in _BUILT_IN:
        known = await kubernetes.get(f"/apis/{api}", deadline=deadline)
        plural = next(
            (
                str(resource["name"])
                for resource in known.get("resources") or ()
                if resource.get("kind") == kind and "/" not in str(resource.get("name", ""))
            ),
            plural,
        )
    ref = ObjectRef(api, plural, kind, namespace, owner["name"])
    return await kubernetes.get(ref.path, deadline=deadline)


async def autoscaler_of(
    kubernetes: KubernetesReader, ref: ObjectRef, *, deadline: Deadline
) -> Holder | None:
    """Who sets the replica count of the object by itself: KEDA, or a HorizontalPodAutoscaler."""
    # KEDA takes its HorizontalPodAutoscaler away while it holds a count itself,
    # so its own objects are read too.
    scaled = f"/apis/{_KEDA}/v1alpha1/namespaces/{ref.namespace}/scaledobjects"
    try:
        objects = await kubernetes.list(scaled, deadline=deadline)
    except Refused as error:
        if error.reason is not Reason.NOT_FOUND:
            raise
        objects = ()  # KEDA is not installed
    for item in objects:
        if _aims_at(item, ref):
            return Holder(System.KEDA, f"ScaledObject {ref.namespace}/{item['metadata']['name']}")
    path = f"/apis/autoscaling/v2/namespaces/{ref.namespace}/horizontalpodautoscalers"
    for item in await kubernetes.list(path, deadline=deadline):
        if not _aims_at(item, ref):
            continue
        owner = _controller(item)
        if owner is not None and _group(owner["apiVersion"]) == _KEDA:
            return Holder(System.KEDA, f"{owner['kind']} {ref.namespace}/{owner['name']}")
        name = f"HorizontalPodAutoscaler {ref.namespace}/{item['metadata']['name']}"
        return Holder(System.AUTOSCALER, name)
    return None


def _aims_at(scaler: Object, ref: ObjectRef) -> bool:
    aim = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
    same_group = _group(str(aim.get("apiVersion") or ref.api)) == _group(ref.api)
    kind = str(aim.get("kind") or "Deployment")  # what KEDA takes when none is written
    return same_group and kind == ref.kind and aim.get("name") == ref.name
