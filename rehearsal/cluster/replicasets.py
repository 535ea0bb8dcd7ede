"""ReplicaSet -> Pods: makes and deletes them until their number is right,
and counts them into the status.

Never here: which ReplicaSet gets how many.
"""

from rehearsal.cluster.objects import (
    Object,
    clone,
    is_ready,
    is_terminating,
    name_of,
    namespace_of,
    owner_of,
    uid_of,
    without_zeros,
)
from rehearsal.cluster.resources import PODS, REPLICA_SETS
from rehearsal.cluster.world import World, pod_from, random_suffix
from rehearsal.cluster.writes import mark_deleted

_COMPONENT = "replicaset-controller"


class ReplicaSets:
    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def sync(self, namespace: str, name: str) -> None:
        stored = self._store.get(REPLICA_SETS, namespace, name)
        if stored is None or is_terminating(stored):
            return
        replica_set = clone(stored)
        living = [pod for pod in self._pods_of(replica_set) if not is_terminating(pod)]
        missing = replica_set["spec"]["replicas"] - len(living)
        for _ in range(missing):
            self._make_pod(replica_set)
        for pod in sorted(living, key=_least_worth)[: max(0, -missing)]:
            mark_deleted(self._store, PODS, pod)
            self._world.recorder.tell(
                replica_set, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}", _COMPONENT
            )
        self._write_status(replica_set)

    def _pods_of(self, replica_set: Object) -> list[Object]:
        return [
            pod
            for pod in self._store.all(PODS, namespace_of(replica_set))
            if (owner := owner_of(pod, "ReplicaSet")) and owner["uid"] == uid_of(replica_set)
        ]

    def _make_pod(self, replica_set: Object) -> None:
        name = f"{name_of(replica_set)}-{random_suffix(self._world, name_of(replica_set))}"
        self._world.make(PODS, pod_from(replica_set, replica_set["spec"]["template"], name, {}, {}))
        self._world.recorder.tell(
            replica_set, "SuccessfulCreate", f"Created pod: {name}", _COMPONENT
        )

    def _write_status(self, replica_set: Object) -> None:
        pods = self._pods_of(replica_set)
        living = [pod for pod in pods if not is_terminating(pod)]
        ready = sum(is_ready(pod) for pod in living)
        replica_set["status"] = without_zeros(
            {
                "replicas": len(living),
                "fullyLabeledReplicas": len(living),
                "readyReplicas": ready,
                "availableReplicas": ready,
                "terminatingReplicas": len(pods) - len(living),
                "observedGeneration": replica_set["metadata"].get("generation", 0),
            },
            keep=("replicas", "terminatingReplicas"),
        )
        self._world.write(REPLICA_SETS, replica_set)


def _least_worth(pod: Object) -> tuple[bool, bool, str]:
    """The first to go: on no node, then not ready, then the youngest."""
    age = "".join(chr(0x10FFFF - ord(letter)) for letter in pod["metadata"]["creationTimestamp"])
    return bool(pod["spec"].get("nodeName")), is_ready(pod), age
