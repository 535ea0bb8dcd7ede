"""The Events that controllers, scheduler and kubelet write, in the recorded form.

Never here: events that clients write (those go through `writes`).
"""

from collections import OrderedDict

from rehearsal.cluster.objects import (
    Object,
    clone,
    micro_stamp,
    name_of,
    namespace_of,
    stamp,
    uid_of,
)
from rehearsal.cluster.resources import EVENTS
from rehearsal.cluster.store import Store
from service.kit.clock import Clock

_KEPT = 1000  # the real server keeps an hour; a demo may run for days

_Key = tuple[str, ...]


class Recorder:
    """Counts what is said again. Old events go when there are too many;
    those that clients wrote stay.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._told: OrderedDict[_Key, tuple[str, str]] = (
            OrderedDict()
        )  # to namespace and name of the event

    def tell(
        self,
        about: Object,
        reason: str,
        message: str,
        component: str,
        *,
        kind: str = "Normal",
        host: str = "",
        field_path: str = "",
    ) -> None:
        """Old style, as controllers and kubelets write them. The same words again raise the
        count.
        """
        now = stamp(self._clock.now())
        key = (uid_of(about), field_path, reason, message, component)
        old = self._store.get(EVENTS, *self._told.get(key, ("", "")))
        if old is not None:
            again = clone(old) | {"count": old.get("count", 1) + 1, "lastTimestamp": now}
            self._store.write(EVENTS, again)
            return
        self._write(
            about,
            key,
            {
                "involvedObject": _reference(about, field_path),
                "reason": reason,
                "message": message,
                "source": {"component": component} | ({"host": host} if host else {}),
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "type": kind,
                "eventTime": None,
                "reportingComponent": component,
                "reportingInstance": host,
            },
        )

    def tell_of_scheduling(
        self, pod: Object, reason: str, message: str, action: str, kind: str = "Normal"
    ) -> None:
        """New style, as the scheduler writes them: eventTime, and none of the old timestamps."""
        self._write(
            pod,
            (uid_of(pod), reason, str(self._store.revision)),
            {
                "involvedObject": _reference(pod, ""),
                "reason": reason,
                "message": message,
                "source": {},
                "firstTimestamp": None,
                "lastTimestamp": None,
                "type": kind,
                "eventTime": micro_stamp(self._clock.now()),
                "action": action,
                "reportingComponent": "default-scheduler",
                "reportingInstance": "default-scheduler-control-plane-1",
            },
        )

    def _write(self, about: Object, key: _Key, content: Object) -> None:
        moment = f"{int(self._clock.now().timestamp() * 1e9) + self._store.revision:x}"
        place = namespace_of(about) or "default", f"{name_of(about)}.{moment}"
        metadata = {"name": place[1], "namespace": place[0]}
        self._store.adopt(
            EVENTS, {"kind": "Event", "apiVersion": "v1", "metadata": metadata} | content
        )
        self._told[key] = place
        if len(self._told) > _KEPT:
            oldest = self._store.get(EVENTS, *self._told.popitem(last=False)[1])
            if oldest is not None:
                self._store.remove(EVENTS, oldest)


def _reference(about: Object, field_path: str) -> Object:
    reference = {
        "kind": about["kind"],
        "namespace": namespace_of(about),
        "name": name_of(about),
        "uid": uid_of(about),
        "apiVersion": about["apiVersion"],
    }
    if field_path:
        return reference | {"fieldPath": field_path}
    return reference | {"resourceVersion": about["metadata"]["resourceVersion"]}
