"""metadata.managedFields: who owns which field of an object, and how each kind of write moves it.

An ordinary write takes what it changes; an apply takes what it names, is refused where another
holds another value, and gives up what it names no more; a write through /scale takes the number
from whoever had it and leaves no trace where nobody had. Objects without any entry are not tracked
until their first apply, as on the real server.
Never here: storing, rules about values, the forms of a patch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rehearsal.cluster import fieldsets, refusal
from rehearsal.cluster.fieldsets import FieldSet, Path
from rehearsal.cluster.objects import Object, clone
from rehearsal.cluster.refusal import Cause
from rehearsal.cluster.schema import Type

REPLICAS: Path = ("f:spec", "f:replicas")
_BEFORE_FIRST_APPLY = "before-first-apply"
_SERVERS = (
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
    "managedFields", "resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip
_NEVER_OWNED = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(("f:metadata", f"f:{name}") for name in _SERVERS),
    }
)
# What an object of the kind has before anything is in it: the server's types have
# no "absent" for these.
_EMPTY: dict[str, Object] = {
    "Deployment": {
        "spec": {"selector": None, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": None}}},
        "status": {},
    },
    "StatefulSet": {
        "spec": {
            "selector": None,
            "serviceName": "",
            "template": {"metadata": {}, "spec": {"containers": None}},
            "updateStrategy": {},
        },
        "status": {"replicas": 0, "availableReplicas": 0},
    },
    "ReplicaSet": {
        "spec": {"selector": None, "template": {"metadata": {}, "spec": {"containers": None}}},
        "status": {"replicas": 0},
    },
    "Pod": {"spec": {"containers": None}, "status": {}},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "Namespace": {"spec": {"finalizers": ["kubernetes"]}, "status": {}},
    "Role": {"rules": None},
    "RoleBinding": {"roleRef": {"apiGroup": "", "kind": "", "name": ""}},
    "HorizontalPodAutoscaler": {
        "spec": {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0},
        "status": {"desiredReplicas": 0, "currentMetrics": None},
    },
    "PodDisruptionBudget": {"spec": {}, "status": {}},
    "Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    "PersistentVolume": {"spec": {}, "status": {}},
    "SelfSubjectAccessReview": {"spec": {}},
    "SubjectAccessReview": {"spec": {}},
    "Event": {"involvedObject": {}, "source": {}, "firstTimestamp": None, "lastTimestamp": None},
}  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Manager:
    """Who writes. `operation` is Update or Apply."""

    name: str
    operation: str = "Update"
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    fields: FieldSet
    time: str | None
    api_version: str


@dataclass(slots=True)
class Owners:
    """The entries of one object, decoded."""

    held: dict[Manager, Held] = field(default_factory=dict)

    @classmethod
    def of(cls, obj: Object) -> "Owners":
        return cls.read(obj["metadata"].get("managedFields", []))

    @classmethod
    def read(cls, entries: Any) -> "Owners":
        """Of a list that a client may have written: what is no entry is left out."""
        held = {}
        for entry in entries or []:
            if entry.get("manager") is None or not isinstance(entry.get("fieldsV1"), dict):
                continue
            who = Manager(
                entry["manager"], entry.get("operation", ""), entry.get("subresource", "")
            )
            fields = fieldsets.from_json(entry["fieldsV1"])
            held[who] = Held(fields, entry.get("time"), entry.get("apiVersion", ""))
        return cls(held)

    def entries(self) -> list[Object]:
        """As metadata shows them: applies first, then by time, then by name."""

        def place(item: tuple[Manager, Held]) -> tuple[str, str, str, str, str]:
            who, has = item
            return who.operation, has.time or "", who.name, has.api_version, who.subresource

        return [_entry(who, has) for who, has in sorted(self.held.items(), key=place)]

    def put_on(self, obj: Object) -> None:
        entries = self.entries()
        if entries:
            obj["metadata"]["managedFields"] = entries
        else:
            obj["metadata"].pop("managedFields", None)

    def take(self, who: Manager, fields: FieldSet) -> None:
        has = self.held[who]
        left = has.fields - fields
        if left:
            self.held[who] = Held(left, has.time, has.api_version)
        else:
            del self.held[who]


def _entry(who: Manager, has: Held) -> Object:
    entry: Object = {
        "manager": who.name,
        "operation": who.operation,
        "apiVersion": has.api_version,
    }
    if has.time is not None:
        entry["time"] = has.time
    entry |= {"fieldsType": "FieldsV1", "fieldsV1": fieldsets.to_json(has.fields)}
    return entry | ({"subresource": who.subresource} if who.subresource else {})


def empty(kind: str) -> Object:
    return {"metadata": {}} | clone(_EMPTY.get(kind, {}))


def _comparable(obj: Object) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _SERVERS}
    rest = {key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}}
    return rest | {"metadata": metadata}


def _outside(subresource: str, obj: Object) -> Object:
    """What a write of this part of the object cannot reach."""
    if subresource == "status":
        metadata = {key: value for key, value in obj["metadata"].items() if key != "labels"}
        return {key: value for key, value in obj.items() if key != "spec"} | {"metadata": metadata}
    return {key: value for key, value in obj.items() if key != "status"}


def is_reset(entries: Any) -> bool:
    """`managedFields: [{}]`, the way to forget everything."""
    return bool(entries == [{}])


def updated(old: Object | None, new: Object, kind: Type, who: Manager, now: str) -> None:
    """Puts onto `new` the entries that follow from an ordinary write. `old` None: it is being
    made.
    """
    sent = new["metadata"].get("managedFields")
    live = Owners.of(old) if old is not None else Owners()
    owners = Owners.read(sent) if not who.subresource else live
    if not owners.held:
        owners = Owners() if is_reset(sent) else live
    before = empty(new["kind"]) if old is None else old
    if old is not None and not owners.held:
        owners.put_on(new)
        return
    _taken_by(owners, before, new, kind, who, now)
    owners.put_on(new)


def _taken_by(
    owners: Owners, before: Object, new: Object, kind: Type, who: Manager, now: str
) -> None:
    found = fieldsets.difference(
        _comparable(_outside(who.subresource, before)),
        _comparable(_outside(who.subresource, new)),
        kind,
    )
    lost = found.taken | frozenset(found.removed)
    own = owners.held.get(who)
    for other in list(owners.held):
        owners.take(other, lost)
    taken = found.taken - _NEVER_OWNED
    if taken:
        kept = own.fields - frozenset(found.removed) if own else frozenset()
        owners.held[who] = Held(kept | taken, now, new["apiVersion"])


def scaled(old: Object, new: Object, who: str) -> None:
    """Through /scale: the number goes to the writer, without a time;
    where nobody had it nobody gets it.
    """
    owners = Owners.of(old)
    having = [other for other, has in owners.held.items() if REPLICAS in has.fields]
    if having and old["spec"].get("replicas") != new["spec"].get("replicas"):
        for other in having:
            owners.take(other, frozenset({REPLICAS}))
        me = Manager(who, "Update", "scale")
        owners.held[me] = Held(frozenset({REPLICAS}), None, new["apiVersion"])
    owners.put_on(new)


@dataclass(frozen=True, slots=True)
class Applied:
    obj: Object
    owners: Owners


def applied(
    live: Object | None, config: Object, kind: Type, who: str, now: str, *, force: bool
) -> Applied:
    """Server-side apply: the new object before defaults, and its owners. Conflicts raise 409."""
    me = Manager(who, "Apply")
    current = empty(config["kind"]) if live is None else live
    owners = Owners.of(current)
    if live is not None and not owners.held:
        first = Manager(_BEFORE_FIRST_APPLY)
        _taken_by(owners, empty(config["kind"]), live, kind, first, now)
    last = owners.held.get(me)
    body, stored = _comparable(_outside("", config)), _comparable(_outside("", current))
    named = fieldsets.fields_of(body, kind) - _NEVER_OWNED
    owners.held[me] = Held(named, last.time if last else None, config["apiVersion"])
    new = fieldsets.merged(stored, body, kind)
    if last is not None:
        new = _pruned(new, last.fields, owners, kind)
    found = fieldsets.difference(stored, new, kind)
    _settle(owners, me, found, force=force)
    if found.taken or found.removed:
        owners.held[me] = Held(named, now, config["apiVersion"])
    if not named:
        owners.held.pop(me, None)
    return Applied(_whole(current, config, new), owners)


def _whole(current: Object, config: Object, new: Object) -> Object:
    """The merged part with the server's own fields back, and those that the
    manifest names as guards.
    """
    own = {key: value for key, value in current["metadata"].items() if key in _SERVERS}
    asked = {key: value for key, value in config["metadata"].items() if key in _SERVERS}
    metadata = own | asked | (new.get("metadata") or {})
    whole = (
        {"kind": config["kind"], "apiVersion": config["apiVersion"]} | new | {"metadata": metadata}
    )
    return whole | ({"status": current["status"]} if "status" in current else {})


def _pruned(new: Object, last: FieldSet, owners: Owners, kind: Type) -> Object:
    """Without what this manager applied before and names no more, unless somebody else owns it
    too.
    """
    wide = fieldsets.with_named_parents
    given_up = wide(last, kind)
    held = wide(frozenset().union(*(has.fields for has in owners.held.values())), kind)
    everything = wide(fieldsets.fields_of(new, kind), kind)

    def left(obj: Any) -> FieldSet:
        return wide(fieldsets.fields_of(obj or {}, kind), kind)

    pruned = fieldsets.without(new, given_up, kind)
    pruned = fieldsets.without(new, everything - (left(pruned) | held), kind)
    pruned = fieldsets.without(new, (everything - left(pruned)) & given_up, kind)
    return dict(pruned or {})


def _settle(owners: Owners, me: Manager, found: fieldsets.Difference, *, force: bool) -> None:
    conflicts = {
        other: has.fields & found.taken
        for other, has in owners.held.items()
        if other != me and has.fields & found.taken
    }
    if conflicts and not force:
        raise _conflict(conflicts, owners)
    removed = frozenset(found.removed)
    for other in [other for other in owners.held if other != me]:
        owners.take(other, conflicts.get(other, frozenset()) | removed)


def _conflict(conflicts: Mapping[Manager, FieldSet], owners: Owners) -> refusal.Refusal:
    listed = [
        (_named(who, owners.held[who].api_version), fieldsets.spelled(path))
        for who in sorted(conflicts)
        for path in sorted(conflicts[who])
    ]
    causes = [Cause("FieldManagerConflict", path, f"conflict with {who}") for who, path in listed]
    if len(listed) == 1:
        who, path = listed[0]
        return refusal.apply_conflict(f"1 conflict: conflict with {who}: {path}", causes)
    lines = []
    for who in dict.fromkeys(who for who, _ in listed):
        lines += [
            f"conflicts with {who}:",
            *(f"- {path}" for other, path in listed if other == who),
        ]
    return refusal.apply_conflict(f"{len(listed)} conflicts: " + "\n".join(lines), causes)


def _named(who: Manager, api_version: str) -> str:
    text = f'"{who.name}"' + (f' with subresource "{who.subresource}"' if who.subresource else "")
    return text if who.operation == "Apply" else f"{text} using {api_version}"


def without_times(obj: Object) -> Object:
    """For the question whether a write changed anything: a newer time alone is no change."""
    metadata = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    if "managedFields" in metadata:
        metadata["managedFields"] = [
            {key: value for key, value in entry.items() if key != "time"}
            for entry in metadata["managedFields"]
        ]
    return obj | {"metadata": metadata}
