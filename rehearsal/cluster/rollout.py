"""The arithmetic of a rollout: how many pods may be, which ReplicaSet is
which, is it complete. Pure.

Never here: the store, the clock.
"""

import math

from rehearsal.cluster.objects import Object

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"


def revision_of(replica_set: Object) -> int:
    return int(replica_set["metadata"].get("annotations", {}).get(REVISION, 0))


def recreates(deployment: Object) -> bool:
    return str(deployment["spec"]["strategy"]["type"]) == "Recreate"


def matching(deployment: Object, sets: list[Object]) -> Object | None:
    wanted = without_hash(deployment["spec"]["template"])  # a client may have left one in
    return next(
        (entry for entry in sets if without_hash(entry["spec"]["template"]) == wanted), None
    )


def without_hash(template: Object) -> Object:
    labels = {
        key: value
        for key, value in template["metadata"].get("labels", {}).items()
        if key != "pod-template-hash"
    }
    return template | {"metadata": template["metadata"] | {"labels": labels}}


def is_scaling(deployment: Object, sets: list[Object]) -> bool:
    wanted = str(deployment["spec"]["replicas"])
    return any(
        entry["spec"]["replicas"]
        and entry["metadata"].get("annotations", {}).get(DESIRED, wanted) != wanted
        for entry in sets
    )


def sizes(deployment: Object) -> Object:
    wanted = deployment["spec"]["replicas"]
    return {DESIRED: str(wanted), MOST: str(wanted + surge(deployment))}


def share(deployment: Object, field: str, *, up: bool) -> int:
    """maxSurge is rounded up, maxUnavailable down."""
    wish: int | str = deployment["spec"]["strategy"].get("rollingUpdate", {}).get(field, 0)
    if isinstance(wish, int):
        return wish
    exact = float(deployment["spec"]["replicas"]) * int(wish.rstrip("%")) / 100
    return math.ceil(exact) if up else math.floor(exact)


def surge(deployment: Object) -> int:
    return share(deployment, "maxSurge", up=True)


def unavailable(deployment: Object) -> int:
    if recreates(deployment) or not deployment["spec"]["replicas"]:
        return 0
    allowed = share(deployment, "maxUnavailable", up=False) or (0 if surge(deployment) else 1)
    return min(allowed, int(deployment["spec"]["replicas"]))


def total_of(sets: list[Object], field: str) -> int:
    return sum(int(entry["status"].get(field, 0)) for entry in sets)


def complete(deployment: Object, status: Object) -> bool:
    wanted = deployment["spec"]["replicas"]
    return all(
        status.get(field, 0) == wanted
        for field in ("updatedReplicas", "replicas", "availableReplicas")
    )


def progressed(old: Object, new: Object) -> bool:
    def aged(status: Object) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    more = any(
        new.get(field, 0) > old.get(field, 0)
        for field in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )
    return more or aged(new) < aged(old)
