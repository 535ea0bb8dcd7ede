"""What a write does to the pods of a workload while it goes on,
and whether a rollout goes on already. Pure.

Never here: reading an object (probes/surroundings.py), or what follows from it (guard).
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from service.model.objects import Write

Object: TypeAlias = Mapping[str, Any]  # Any: the JSON of an API object

_REPLICAS = ("spec", "replicas")
_TEMPLATE = ("spec", "template")


def desired(kind: str, found: Object) -> int:
    """How many pods are wanted."""
    if kind == "DaemonSet":
        return int(_status(found).get("desiredNumberScheduled") or 0)
    replicas = _spec(found).get("replicas")
    return 1 if replicas is None else int(replicas)


def ready(kind: str, found: Object) -> int:
    """How many pods are ready."""
    return int(_status(found).get("numberReady" if kind == "DaemonSet" else "readyReplicas") or 0)


def least(kind: str, found: Object, writes: Sequence[Write], taken: int = 0) -> int:
    """The fewest ready pods while these writes to the workload take effect,
    and `taken` ready ones go besides.
    """
    wanted, left = desired(kind, found), ready(kind, found)
    for write in writes:
        if write.path == _REPLICAS and isinstance(write.value, int):
            left = min(left, write.value)
            wanted = min(wanted, write.value)
    if any(write.path[:2] == _TEMPLATE for write in writes):
        left = min(left, max(0, wanted - _gone_at_once(kind, found, wanted)))
    return max(0, left - taken)


def _gone_at_once(kind: str, found: Object, wanted: int) -> int:
    """How many of the wanted pods a rolling update lets be away at once."""
    field = "strategy" if kind == "Deployment" else "updateStrategy"
    strategy = _spec(found).get(field) or {}
    rolling = strategy.get("rollingUpdate") or {}
    match strategy.get("type") or "RollingUpdate":
        case "OnDelete":
            return 0
        case "Recreate":
            return wanted
        case _:
            pass
    if kind != "Deployment":
        # Rounded up, and one where it is not written; a DaemonSet with a surge takes none away.
        surge = _share(rolling.get("maxSurge"), wanted, 0, up=True)
        return 0 if surge else max(1, _share(rolling.get("maxUnavailable"), wanted, 1, up=True))
    quarter = wanted // 4
    away = _share(rolling.get("maxUnavailable"), wanted, quarter, up=False)
    surge = _share(rolling.get("maxSurge"), wanted, max(1, quarter), up=True)
    return away if away or surge else 1  # the controller takes one where both are nought


def _share(value: object, wanted: int, absent: int, *, up: bool) -> int:
    """A number, or a percentage of the wanted pods."""
    if value is None:
        return absent
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    hundredths = wanted * int(text[:-1])
    return -(-hundredths // 100) if up else hundredths // 100


def rollout(kind: str, found: Object) -> str:
    """What is being rolled out, as a sentence; empty where nothing is.

    A workload whose pods crash is not in a rollout: the controller says when it is
    through, and when it gave up.
    """
    spec, status = _spec(found), _status(found)
    metadata = found.get("metadata") or {}
    if int(status.get("observedGeneration") or 0) < int(metadata.get("generation") or 0):
        return "its controller has not seen its newest change yet"
    wanted, updated = desired(kind, found), int(status.get("updatedReplicas") or 0)
    if kind == "Deployment":
        said = {c.get("type"): c for c in status.get("conditions") or ()}.get("Progressing") or {}
        going = said.get("status") == "True" and said.get("reason") in _GOING
        return f"{updated} of {wanted} pods are of the new version" if going else ""
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return ""
    if kind == "DaemonSet":
        updated = int(status.get("updatedNumberScheduled") or 0)
        return f"{updated} of {wanted} pods are of the new version" if updated < wanted else ""
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    new, old = status.get("updateRevision"), status.get("currentRevision")
    going = bool(new and old and new != old) and updated < wanted - partition
    return f"{updated} of {wanted} pods are of the new version" if going else ""


_GOING = ("ReplicaSetUpdated", "NewReplicaSetCreated", "FoundNewReplicaSet")


def selects(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects these labels; an empty one selects all,
    none at all selects nothing.
    """
    if selector is None:
        return False
    equal = (selector.get("matchLabels") or {}).items()
    terms = selector.get("matchExpressions") or ()
    return all(labels.get(k) == v for k, v in equal) and all(_holds(t, labels) for t in terms)


def _holds(term: Object, labels: Mapping[str, str]) -> bool:
    key, values = term.get("key"), term.get("values") or ()
    match term.get("operator"):
        case "In":
            return labels.get(str(key)) in values
        case "NotIn":
            return labels.get(str(key)) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:  # of a newer version: rather too many budgets than too few
            return True


def _spec(found: Object) -> Object:
    spec: Object = found.get("spec") or {}
    return spec


def _status(found: Object) -> Object:
    status: Object = found.get("status") or {}
    return status
