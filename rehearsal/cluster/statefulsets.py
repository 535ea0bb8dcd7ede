"""StatefulSet -> Pods: ordinals in order, replaced from the highest down, one at a time.

Never here: claims (they are seeded; a
StatefulSet made here gets none), minReadySeconds, maxUnavailable above 1.
"""

from rehearsal.cluster.objects import (
    Object,
    clone,
    is_ready,
    is_terminating,
    name_of,
    namespace_of,
    owner_of,
    short_hash,
    uid_of,
    without_zeros,
)
from rehearsal.cluster.resources import PODS, REVISIONS, STATEFUL_SETS
from rehearsal.cluster.world import World, owner_reference, pod_from
from rehearsal.cluster.writes import mark_deleted

_COMPONENT = "statefulset-controller"
_LABEL = "controller-revision-hash"
_KEPT = ("replicas", "availableReplicas", "collisionCount")


class StatefulSets:
    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store

    def sync(self, namespace: str, name: str) -> None:
        stored = self._store.get(STATEFUL_SETS, namespace, name)
        if stored is None or is_terminating(stored):
            return
        wanted = clone(stored)
        update = name_of(self._revision_of(wanted))
        current = wanted["status"].get("currentRevision") or update
        self._write_status(wanted, current, update)
        self._step(wanted, current, update)
        self._write_status(wanted, current, update)

    def _revision_of(self, wanted: Object) -> Object:
        """The ControllerRevision of the template of now: found, or made."""
        template = wanted["spec"]["template"] | {"$patch": "replace"}
        owned = [
            entry
            for entry in self._store.all(REVISIONS, namespace_of(wanted))
            if (owner := owner_of(entry, "StatefulSet")) and owner["uid"] == uid_of(wanted)
        ]
        for entry in owned:
            if entry["data"]["spec"]["template"] == template:
                return entry
        suffix = short_hash(template, 9)
        labels = wanted["spec"]["template"]["metadata"].get("labels", {}) | {
            "controller.kubernetes.io/hash": suffix
        }
        return self._world.make(
            REVISIONS,
            {
                "kind": "ControllerRevision",
                "apiVersion": "apps/v1",
                "metadata": {
                    "name": f"{name_of(wanted)}-{suffix}",
                    "namespace": namespace_of(wanted),
                    "labels": labels,
                    "ownerReferences": [owner_reference(wanted)],
                },
                "data": {"spec": {"template": template}},
                "revision": 1 + max((entry["revision"] for entry in owned), default=0),
            },
        )

    def _pods_of(self, wanted: Object) -> dict[int, Object]:
        """By ordinal."""
        pods = [
            pod
            for pod in self._store.all(PODS, namespace_of(wanted))
            if (owner := owner_of(pod, "StatefulSet")) and owner["uid"] == uid_of(wanted)
        ]
        return {int(name_of(pod).rpartition("-")[2]): pod for pod in pods}

    def _step(self, wanted: Object, current: str, update: str) -> None:
        """One pod is made or deleted, or nothing: in order,
        whoever is not ready keeps all the others waiting.
        """
        in_order = wanted["spec"]["podManagementPolicy"] == "OrderedReady"
        replicas, pods = wanted["spec"]["replicas"], self._pods_of(wanted)
        for ordinal in range(replicas):
            pod = pods.get(ordinal)
            if pod is None:
                old = ordinal < wanted["status"].get("currentReplicas", 0) and current != update
                self._make_pod(wanted, ordinal, current if old else update)
            if in_order and (pod is None or is_terminating(pod) or not is_ready(pod)):
                return
        surplus = sorted((ordinal for ordinal in pods if ordinal >= replicas), reverse=True)
        if surplus:
            for ordinal in surplus[:1] if in_order else surplus:
                self._delete_pod(wanted, pods[ordinal])
            return
        self._replace_one(wanted, pods, update)

    def _replace_one(self, wanted: Object, pods: dict[int, Object], update: str) -> None:
        strategy = wanted["spec"]["updateStrategy"]
        if strategy["type"] != "RollingUpdate":
            return
        partition = strategy.get("rollingUpdate", {}).get("partition", 0)
        for ordinal in range(wanted["spec"]["replicas"] - 1, partition - 1, -1):
            pod = pods.get(ordinal)
            if pod is None or is_terminating(pod):
                return
            if pod["metadata"].get("labels", {}).get(_LABEL) != update:
                self._delete_pod(wanted, pod)
                return
            if not is_ready(pod):
                return

    def _delete_pod(self, wanted: Object, pod: Object) -> None:
        if is_terminating(pod):
            return
        mark_deleted(self._store, PODS, pod)
        self._world.recorder.tell(
            wanted,
            "SuccessfulDelete",
            f"Delete Pod {name_of(pod)} in StatefulSet {name_of(wanted)} successful",
            _COMPONENT,
        )

    def _make_pod(self, wanted: Object, ordinal: int, revision: str) -> None:
        name = f"{name_of(wanted)}-{ordinal}"
        template = self._template(wanted, revision)
        labels = {
            "apps.kubernetes.io/pod-index": str(ordinal),
            _LABEL: revision,
            "statefulset.kubernetes.io/pod-name": name,
        }
        claims = [
            {
                "name": claim["metadata"]["name"],
                "persistentVolumeClaim": {"claimName": f"{claim['metadata']['name']}-{name}"},
            }
            for claim in wanted["spec"].get("volumeClaimTemplates", [])
        ]
        extra = {
            "hostname": name,
            "subdomain": wanted["spec"].get("serviceName", ""),
            "volumes": [*template["spec"].get("volumes", []), *claims],
        }
        self._world.make(PODS, pod_from(wanted, template, name, labels, extra))
        self._world.recorder.tell(
            wanted,
            "SuccessfulCreate",
            f"Create Pod {name} in StatefulSet {name_of(wanted)} successful",
            _COMPONENT,
        )

    def _template(self, wanted: Object, revision: str) -> Object:
        found = self._store.get(REVISIONS, namespace_of(wanted), revision)
        if found is None:
            return dict(wanted["spec"]["template"])
        return {
            key: value
            for key, value in found["data"]["spec"]["template"].items()
            if key != "$patch"
        }

    def _write_status(self, wanted: Object, current: str, update: str) -> None:
        pods = list(self._pods_of(wanted).values())
        ready = sum(is_ready(pod) for pod in pods)
        living = [
            pod["metadata"].get("labels", {}).get(_LABEL) for pod in pods if not is_terminating(pod)
        ]
        on_current, on_update = living.count(current), living.count(update)
        if (
            on_update == len(pods) == ready
            and current != update
            and len(pods) == wanted["spec"]["replicas"]
        ):
            current, on_current = update, on_update  # the roll-out is over
        wanted["status"] = without_zeros(
            {
                "observedGeneration": wanted["metadata"].get("generation", 0),
                "replicas": len(pods),
                "readyReplicas": ready,
                "currentReplicas": on_current,
                "updatedReplicas": on_update,
                "currentRevision": current,
                "updateRevision": update,
                "collisionCount": wanted["status"].get("collisionCount", 0),
                "availableReplicas": ready,
            },
            keep=_KEPT,
        )
        stored = self._world.write(STATEFUL_SETS, wanted)
        wanted["metadata"] = clone(stored["metadata"])
