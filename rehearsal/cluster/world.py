"""What every controller is handed: the store, the clock's timers, the delays,
the recorder of events, the logs.

Never here: behaviour of one kind.
"""

from dataclasses import dataclass

from rehearsal.cluster import defaults, managed
from rehearsal.cluster.custom import CustomResources
from rehearsal.cluster.logs import Logs
from rehearsal.cluster.managed import Manager
from rehearsal.cluster.objects import (
    Object,
    clone,
    name_of,
    namespace_of,
    short_hash,
    stamp,
    uid_of,
)
from rehearsal.cluster.recorder import Recorder
from rehearsal.cluster.resources import Resource
from rehearsal.cluster.store import Store
from rehearsal.cluster.timers import Timers
from rehearsal.cluster.writes import type_of
from service.kit.clock import Clock


@dataclass(frozen=True, slots=True)
class Delays:
    """Seconds of the cluster's clock."""

    react_s: float = 0.05  # between a write and the controller that answers it
    start_s: float = 0.5  # scheduled -> containers run
    ready_s: float = 0.5  # containers run (and the embedder's start returned) -> Ready
    stop_s: float = 0.5  # told to end (and the embedder's stop returned) -> gone
    autoscaler_s: float = 15.0
    back_off_s: float = 10.0  # doubles with each crash, up to 300


CONTROLLER = "kube-controller-manager"
AT_ONCE = Delays(0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class World:
    store: Store
    clock: Clock
    timers: Timers
    delays: Delays
    logs: Logs
    recorder: Recorder
    custom: CustomResources

    def now(self) -> str:
        return stamp(self.clock.now())

    def write(
        self,
        resource: Resource,
        obj: Object,
        manager: str = CONTROLLER,
        subresource: str = "status",
    ) -> Object:
        """A controller's own write of an object that is there: managedFields follow."""
        old = self.store.get(resource, namespace_of(obj), name_of(obj))
        if old is not None and old is not obj and old.get("metadata", {}).get("managedFields"):
            managed.updated(
                old, obj, type_of(resource), Manager(manager, "Update", subresource), self.now()
            )
            if managed.without_times(old) == managed.without_times(obj):
                return old
        return self.store.write(resource, obj)

    def make(self, resource: Resource, obj: Object) -> Object:
        """What a controller makes."""
        managed.updated(None, obj, type_of(resource), Manager(CONTROLLER), self.now())
        return self.store.adopt(resource, obj)


def owner_reference(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_from(owner: Object, template: Object, name: str, labels: Object, extra: Object) -> Object:
    """A pod as a controller creates it: Pending, on no node."""
    metadata: Object = {
        "name": name,
        "generateName": f"{name_of(owner)}-",
        "namespace": namespace_of(owner),
        "generation": 1,
        "labels": template["metadata"].get("labels", {}) | labels,
        "ownerReferences": [owner_reference(owner)],
    }
    if template["metadata"].get("annotations"):
        metadata["annotations"] = dict(template["metadata"]["annotations"])
    spec = (
        clone(template["spec"])
        | extra
        | {"priority": 0, "enableServiceLinks": True, "preemptionPolicy": "PreemptLowerPriority"}
    )
    defaults.requests_from_limits(spec)
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": "Pending"},
    }


def random_suffix(world: World, seed: str, length: int = 5) -> str:
    return short_hash([seed, world.store.revision], length)
