"""Who reacts to which change: hears every write of the store and calls the
controllers, a moment later.

Never here: what a controller does, except the two small ones about deletion.
"""

import functools
from collections.abc import Callable

from rehearsal.cluster.autoscaler import Autoscalers, scales
from rehearsal.cluster.budgets import Budgets, protects
from rehearsal.cluster.deployments import Deployments
from rehearsal.cluster.endpoints import Endpoints, selects
from rehearsal.cluster.kubelet import Node
from rehearsal.cluster.objects import Object, is_terminating, name_of, namespace_of, uid_of
from rehearsal.cluster.replicasets import ReplicaSets
from rehearsal.cluster.resources import (
    AUTOSCALERS,
    BUDGETS,
    CLAIMS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    VOLUMES,
    Resource,
)
from rehearsal.cluster.statefulsets import StatefulSets
from rehearsal.cluster.volumes import Volumes
from rehearsal.cluster.world import World
from rehearsal.cluster.writes import mark_deleted

_Sync = Callable[[str, str], None]
_OWNERS = {"Deployment": DEPLOYMENTS, "ReplicaSet": REPLICA_SETS, "StatefulSet": STATEFUL_SETS}


class Controllers:
    """A queue without doubles: an object that changed twice before its turn is looked at once."""

    def __init__(self, world: World, node: Node) -> None:
        self._world = world
        self._node = node
        self._queued: set[tuple[str, str, str]] = set()
        self.running = True
        volumes = Volumes(world)
        self._syncs: dict[str, _Sync] = {
            BUDGETS.plural: Budgets(world).sync,
            VOLUMES.plural: volumes.sync_volume,
            CLAIMS.plural: volumes.sync_claim,
            DEPLOYMENTS.plural: Deployments(world).sync,
            REPLICA_SETS.plural: ReplicaSets(world).sync,
            STATEFUL_SETS.plural: StatefulSets(world).sync,
            AUTOSCALERS.plural: Autoscalers(world).sync,
            SERVICES.plural: Endpoints(world).sync,
            NAMESPACES.plural: self._empty_namespace,
            "orphans": self._collect_orphans,
        }
        world.store.listen(self.changed)

    def changed(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        obj = new or old
        if not self.running or obj is None or resource is EVENTS:
            return
        if resource.plural in self._syncs and (new is not None or resource in {VOLUMES, CLAIMS}):
            self._queue(resource.plural, namespace_of(obj), name_of(obj))
        self._queue_owners(obj)
        if resource is PODS:
            self._node.changed(old, new)
            for service in self._world.store.all(SERVICES, namespace_of(obj)):
                if selects(service, obj):
                    self._queue(SERVICES.plural, namespace_of(service), name_of(service))
            for budget in self._world.store.all(BUDGETS, namespace_of(obj)):
                if protects(budget, obj):
                    self._queue(BUDGETS.plural, namespace_of(budget), name_of(budget))
        if resource in {DEPLOYMENTS, STATEFUL_SETS}:
            self._queue_scalers(resource, obj)
        if new is None:
            self._queue("orphans", namespace_of(obj), uid_of(obj))
            self._queue_dying_namespace(namespace_of(obj))

    def _queue_owners(self, obj: Object) -> None:
        for reference in obj["metadata"].get("ownerReferences", []):
            if reference["kind"] in _OWNERS:
                self._queue(_OWNERS[reference["kind"]].plural, namespace_of(obj), reference["name"])

    def _queue_scalers(self, resource: Resource, workload: Object) -> None:
        for scaler in self._world.store.all(AUTOSCALERS, namespace_of(workload)):
            if scales(scaler, resource.kind, workload):
                self._queue(AUTOSCALERS.plural, namespace_of(scaler), name_of(scaler))

    def _queue_dying_namespace(self, name: str) -> None:
        found = self._world.store.get(NAMESPACES, "", name)
        if found is not None and is_terminating(found):
            self._queue(NAMESPACES.plural, "", name)

    def _queue(self, what: str, namespace: str, name: str) -> None:
        key = (what, namespace, name)
        if key in self._queued:
            return
        self._queued.add(key)
        slow = what == AUTOSCALERS.plural
        delay_s = self._until_tick() if slow else self._world.delays.react_s
        self._world.timers.after(delay_s, functools.partial(self._sync, key), patient=slow)

    def _until_tick(self) -> float:
        """The autoscaler looks every so many seconds; between two looks it is
        as if it were not there.
        """
        period = self._world.delays.autoscaler_s
        return period - self._world.clock.monotonic() % period

    def _sync(self, key: tuple[str, str, str]) -> None:
        self._queued.discard(key)
        if self.running:
            what, namespace, name = key
            self._syncs[what](namespace, name)

    def resume(self) -> None:
        """Everything is looked at again, as after a restart of the controller manager."""
        self.running = True
        for resource in self._world.store.resources():
            for obj in self._world.store.all(resource):
                self.changed(resource, obj, obj)

    def _collect_orphans(self, namespace: str, uid: str) -> None:
        store = self._world.store
        for resource in store.resources():
            for obj in store.all(resource, namespace):
                owners = [
                    reference["uid"] for reference in obj["metadata"].get("ownerReferences", [])
                ]
                if owners == [uid]:
                    mark_deleted(store, resource, obj)

    def _empty_namespace(self, _: str, name: str) -> None:
        store = self._world.store
        namespace = store.get(NAMESPACES, "", name)
        if namespace is None or not is_terminating(namespace):
            return
        left = 0
        for resource in store.resources():
            for obj in store.all(resource, name) if resource.namespaced else []:
                mark_deleted(store, resource, obj)
                left += store.get(resource, name, name_of(obj)) is not None
        if not left:
            store.remove(NAMESPACES, namespace)
