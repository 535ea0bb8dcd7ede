"""The objects, and the one counter that all kinds share.

Stored objects are never changed in place: whoever writes hands in a new one, so a list taken
earlier stays what it was (that is what makes pages consistent). Never here: rules, HTTP, time-outs.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from uuid import uuid4

from rehearsal.cluster.objects import Object, clone, name_of, namespace_of, stamp
from rehearsal.cluster.resources import Resource
from service.kit.clock import Clock

Listener = Callable[[Resource, Object | None, Object | None], None]

_SNAPSHOTS = 32  # page sequences that may be open at once; the real server keeps five minutes


class Store:
    """Objects by kind, namespace and name; every write gets the next resourceVersion."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.revision = 100
        self._objects: dict[Resource, dict[tuple[str, str], Object]] = {}
        self._listeners: list[Listener] = []
        self._snapshots: OrderedDict[tuple[Resource, str, int], list[Object]] = OrderedDict()

    def listen(self, listener: Listener) -> None:
        """Told of each write: the resource, the object before (None: made),
        the object after (None: gone).
        """
        self._listeners.append(listener)

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return self._objects.get(resource, {}).get((namespace, name))

    def all(self, resource: Resource, namespace: str = "") -> list[Object]:
        """In the order of namespace and name, as etcd gives them. No namespace: all."""
        found = self._objects.get(resource, {})
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def resources(self) -> Iterable[Resource]:
        return list(self._objects)

    def keep_snapshot(self, resource: Resource, namespace: str) -> None:
        """Remembers the list as it is now, for the pages that follow a first one."""
        self._snapshots[resource, namespace, self.revision] = self.all(resource, namespace)
        while len(self._snapshots) > _SNAPSHOTS:
            self._snapshots.popitem(last=False)

    def snapshot(self, resource: Resource, namespace: str, revision: int) -> list[Object] | None:
        """The list as it was at a revision at which its first page was read;
        None when that is too long ago.
        """
        return self._snapshots.get((resource, namespace, revision))

    def forget_snapshots(self) -> None:
        """What compaction does: continue tokens of before are 410."""
        self._snapshots.clear()

    def adopt(self, resource: Resource, obj: Object) -> Object:
        """Put in as it is, with uid, creation time and resourceVersion where it brings none."""
        new = clone(obj)
        metadata = new["metadata"]
        metadata.setdefault("uid", str(uuid4()))
        metadata.setdefault("creationTimestamp", stamp(self.clock.now()))
        if "resourceVersion" in metadata:
            self.revision = max(self.revision, int(metadata["resourceVersion"]))
        else:
            self.revision += 1
            metadata["resourceVersion"] = str(self.revision)
        return self._put(resource, new)

    def write(self, resource: Resource, obj: Object) -> Object:
        """Stores a new state. An equal one is no write: the resourceVersion
        stays and nobody is told.
        """
        old = self.get(resource, namespace_of(obj), name_of(obj))
        if old is not None and _unversioned(old) == _unversioned(obj):
            return old
        new = clone(obj)
        self.revision += 1
        new["metadata"]["resourceVersion"] = str(self.revision)
        return self._put(resource, new)

    def remove(self, resource: Resource, obj: Object) -> None:
        old = self._objects.get(resource, {}).pop((namespace_of(obj), name_of(obj)), None)
        if old is not None:
            self.revision += 1
            self._tell(resource, old, None)

    def forget(self, resource: Resource) -> None:
        """A kind that is no more, with all its objects: nobody is told,
        as nobody can ask about them.
        """
        self._objects.pop(resource, None)
        self.revision += 1

    def _put(self, resource: Resource, new: Object) -> Object:
        kept = self._objects.setdefault(resource, {})
        key = (namespace_of(new), name_of(new))
        old = kept.get(key)
        kept[key] = new
        self._tell(resource, old, new)
        return new

    def _tell(self, resource: Resource, old: Object | None, new: Object | None) -> None:
        for listener in self._listeners:
            listener(resource, old, new)


def _unversioned(obj: Object) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return obj | {"metadata": metadata}
