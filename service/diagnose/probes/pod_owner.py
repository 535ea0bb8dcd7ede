"""What a pod belongs to: its controlling owners, walked up from the pod,
each read and held against its uid.

Never here: a guess from the pod's name.
"""

from collections.abc import Collection, Mapping

from service.clients.kubernetes import KubernetesReader, Object
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.reasons import Reason
from service.model.target import Owner, Target, TargetKind

_HIGHEST = 5  # steps up
_GROUPS: Mapping[str, str] = {
    "ReplicaSet": "apps",
    TargetKind.DEPLOYMENT: "apps",
    TargetKind.STATEFULSET: "apps",
    TargetKind.DAEMONSET: "apps",
    TargetKind.JOB: "batch",
    TargetKind.CRONJOB: "batch",
}


async def pod_owner(
    kubernetes: KubernetesReader,
    pod: Target,
    kinds: Collection[TargetKind],
    *,
    deadline: Deadline,
) -> Owner:
    """The first owner up from the pod that is of one of `kinds`.

    Raises Refused(not_found) when the pod or an owner is gone, or another object has its name by
    now; Unavailable or Refused when one of them could not be read.
    """
    chain = [f"{pod.kind} {pod.namespace}/{pod.name}"]
    found = await kubernetes.get(_path("", "Pod", pod.namespace, pod.name), deadline=deadline)
    for _ in range(_HIGHEST):
        owner = _controller(found)
        if owner is None:
            return Owner(tuple(chain), None, f"{chain[-1]} has no controlling owner")
        kind, name = str(owner.get("kind", "")), str(owner.get("name", ""))
        group = str(owner.get("apiVersion", "")).rpartition("/")[0]
        chain.append(f"{kind} {pod.namespace}/{name}")
        meant = _GROUPS.get(kind) == group and kind in kinds
        if not meant and not _leads_on(group, kind, kinds):
            told = ", ".join(sorted(kinds))
            return Owner(tuple(chain), None, f"{' <- '.join(chain)}, which is none of {told}")
        found = await kubernetes.get(_path(group, kind, pod.namespace, name), deadline=deadline)
        uid = str((found.get("metadata") or {}).get("uid", ""))
        if uid != owner.get("uid"):
            detail = (
                f"{chain[-1]} was deleted and made anew, and {chain[-2]} belonged to the old one"
            )
            raise Refused(Reason.NOT_FOUND, detail, 404)
        if meant:
            return Owner(tuple(chain), Target(TargetKind(kind), pod.namespace, name))
    return Owner(tuple(chain), None, f"{chain[0]} has more than {_HIGHEST} owners above it")


def _leads_on(group: str, kind: str, kinds: Collection[TargetKind]) -> bool:
    """Whether an owner is read only because of what may own it.
    What nothing would follow from is not read.
    """
    above = {("apps", "ReplicaSet"): TargetKind.DEPLOYMENT, ("batch", "Job"): TargetKind.CRONJOB}
    return above.get((group, kind)) in kinds


def _controller(found: Object) -> Mapping[str, object] | None:
    references = (found.get("metadata") or {}).get("ownerReferences") or ()
    return next((owner for owner in references if owner.get("controller")), None)


def _path(group: str, kind: str, namespace: str, name: str) -> str:
    root = f"/apis/{group}/v1" if group else "/api/v1"
    return f"{root}/namespaces/{namespace}/{kind.lower()}s/{name}"
