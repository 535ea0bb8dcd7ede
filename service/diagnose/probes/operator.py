"""The operator behind a workload, where one makes it: what it owns is
changed through its own object.

Never here: whether a field may be written (ownership).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.probes.snapshot import metadata, name, pages
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.reasons import Reason
from service.model.target import Target

MOST = 100
_BUILT_IN = ("apps", "batch", "")
_STRIMZI = "core.strimzi.io"
_ALTINITY = "clickhouse.altinity.com"
_POD_SETS = "/apis/core.strimzi.io/v1beta2/namespaces/{namespace}/strimzipodsets"
_CLUSTER = "strimzi.io/cluster"


@dataclass(frozen=True, slots=True)
class Operator:
    """Who makes the workload. All texts are "" where no operator does."""

    owned: bool
    system: str  # strimzi, altinity or other
    kind: str  # of the object that owns the workload: ClickHouseInstallation, StrimziPodSet ...
    name: str  # of that object


NOBODY = Operator(False, "", "", "")


async def operator(kubernetes: KubernetesReader, target: Target, *, deadline: Deadline) -> Operator:
    """The operator now. Raises what the reader raises;
    Refused(not_found) for a target that nobody makes.

    Strimzi makes its pods without a StatefulSet: a target that is none is looked for among its pod
    sets, by its own name or that of its cluster.
    """
    if target.ref is None:
        return NOBODY
    try:
        return of(await kubernetes.get(target.ref.path, deadline=deadline))
    except Refused as error:
        if error.reason is not Reason.NOT_FOUND:
            raise
        path = _POD_SETS.format(namespace=target.namespace)
        sets = [s async for s in pages(kubernetes, path, deadline=deadline, most=MOST)]
        found = chosen(sets, target.name)
        if found is None:
            raise
        return Operator(True, "strimzi", "StrimziPodSet", name(found))


def of(found: Object) -> Operator:
    """The operator that an object's controller names. Pure."""
    owners = metadata(found).get("ownerReferences") or ()
    owner: Mapping[str, Any] | None = next((o for o in owners if o.get("controller")), None)
    group = str(owner.get("apiVersion", "")).rpartition("/")[0] if owner else ""
    if owner is None or group in _BUILT_IN:
        return NOBODY
    system = {_STRIMZI: "strimzi", _ALTINITY: "altinity"}.get(group, "other")
    return Operator(True, system, str(owner.get("kind", "")), str(owner.get("name", "")))


def chosen(sets: list[Object], wanted: str) -> Object | None:
    """The pod set of that name, or the only one of the cluster of that name. Pure."""
    by_name = [s for s in sets if name(s) in (wanted, f"{wanted}-{wanted}")]
    of_cluster = [s for s in sets if (metadata(s).get("labels") or {}).get(_CLUSTER) == wanted]
    found = by_name or of_cluster
    return found[0] if len(found) == 1 else None
