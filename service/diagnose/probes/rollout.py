"""The workload's rollout: its revisions, when the present one began,
and whether the one before it was well.

Never here: whether to go back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.clients.kubernetes import Object
from service.diagnose.probes.plain_text import safe
from service.diagnose.probes.snapshot import Snapshot, instant, metadata, name
from service.diagnose.probes.workload import desired, rollout_complete
from service.model.target import TargetKind

MOST_SHOWN = 10
_REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Revision:
    """One template that the Deployment has or had, as its ReplicaSet keeps it."""

    number: int
    name: str  # of the ReplicaSet
    replicas: int  # pods it has now
    ready: int  # of these
    created_at: datetime | None  # of the ReplicaSet: an undo uses an old one again
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rollout:
    """The rollout as the controller and the ReplicaSets tell it.
    Of a StatefulSet there are no revisions here.
    """

    complete: bool
    current: int | None  # number of the present revision; None of a StatefulSet
    began_at: datetime | None  # when the present revision's pods were first made; None when unknown
    current_failing: bool | None  # not one of its pods is ready; None of a StatefulSet
    previous: int | None  # number of the revision before; None when there is none
    # A revision is known to be well while pods of it still run: a rolling update keeps
    # them until the new ones are ready. True: all of those that are left are ready. None:
    # none is left, so nobody knows.
    previous_healthy: bool | None
    deadline_exceeded: bool  # the controller says ProgressDeadlineExceeded
    replica_failure: (
        str  # why pods cannot be made (quota, admission); "" when they can; bounded, redacted
    )
    # A StatefulSet replaces its pods in order and waits for a pod that is not ready, even when the
    # new template would mend it: the name of that pod, "" when nothing waits.
    waits_for_pod: str
    revisions: tuple[Revision, ...]  # newest first, at most MOST_SHOWN


async def rollout(snapshot: Snapshot) -> Rollout:
    """The rollout now. Raises what the reader raises."""
    found = await snapshot.workload()
    if snapshot.target.kind is TargetKind.STATEFULSET:
        return of_stateful_set(found, await snapshot.pods())
    return of_deployment(found, await snapshot.replica_sets())


def of_deployment(found: Object, sets: Sequence[Object]) -> Rollout:
    """A Deployment's rollout, from it and its ReplicaSets."""
    revisions = sorted((_revision(s) for s in sets), key=lambda r: r.number, reverse=True)
    number = _number(metadata(found).get("annotations"))
    current = next((r for r in revisions if r.number == number), None)
    older = [r for r in revisions if current and r.number < current.number]
    previous = next(iter(older), None)
    conditions = (found.get("status") or {}).get("conditions") or ()
    failure: Mapping[str, Any] = next(
        (c for c in conditions if c.get("type") == "ReplicaFailure"), {}
    )
    # A ReplicaSet that is older than its predecessor came back by an undo: its birth says nothing.
    born = current.created_at if current else None
    reused = any(r.created_at and born and r.created_at > born for r in older)
    return Rollout(
        complete=rollout_complete(TargetKind.DEPLOYMENT, found),
        current=current.number if current else None,
        began_at=None if reused else born,
        current_failing=current.ready == 0 if current else None,
        previous=previous.number if previous else None,
        previous_healthy=_well(previous),
        deadline_exceeded=any(c.get("reason") == "ProgressDeadlineExceeded" for c in conditions),
        replica_failure=safe(str(failure.get("message") or "")),
        waits_for_pod="",
        revisions=tuple(revisions[:MOST_SHOWN]),
    )


def of_stateful_set(found: Object, pods: Sequence[Object]) -> Rollout:
    """A StatefulSet's rollout, from it and its pods."""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    update = status.get("updateRevision")
    ordered = spec.get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    waiting = desired(found) > 0 and update != status.get("currentRevision") and ordered
    stale = sorted(
        (name(pod) for pod in pods if _old(pod, update) and not _ready(pod)), key=_ordinal
    )
    return Rollout(
        complete=rollout_complete(TargetKind.STATEFULSET, found),
        current=None,
        began_at=None,
        current_failing=None,
        previous=None,
        previous_healthy=None,
        deadline_exceeded=False,
        replica_failure="",
        waits_for_pod=stale[0] if waiting and stale else "",
        revisions=(),
    )


def _revision(found: Object) -> Revision:
    spec, status = found.get("spec") or {}, found.get("status") or {}
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    return Revision(
        number=_number(metadata(found).get("annotations")),
        name=name(found),
        replicas=int(status.get("replicas") or 0),
        ready=int(status.get("readyReplicas") or 0),
        created_at=instant(metadata(found).get("creationTimestamp")),
        images=tuple(str(c.get("image", ""))[:200] for c in containers)[:10],
    )


def _number(annotations: Mapping[str, Any] | None) -> int:  # Any: JSON
    text = str((annotations or {}).get(_REVISION, ""))
    return int(text) if text.isdecimal() else 0


def _well(revision: Revision | None) -> bool | None:
    if revision is None or revision.replicas == 0:
        return None
    return revision.ready == revision.replicas


def _old(pod: Object, update: object) -> bool:
    labels = metadata(pod).get("labels") or {}
    return bool(labels.get("controller-revision-hash") != update)


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _ordinal(pod: str) -> int:
    tail = pod.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else 0
