"""The pods of a workload, or behind a label selector: how many are ready,
and which one is not and for how long.

Never here: what a missing pod means for a quorum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.clients.kubernetes import KubernetesReader, Object, workload_path
from service.diagnose.probes.pods import PodState, as_pod
from service.diagnose.probes.snapshot import instant, metadata, pages
from service.diagnose.probes.workload import desired, selector
from service.kit.deadline import Deadline
from service.model.errors import BadInput, Unavailable
from service.model.reasons import Reason
from service.model.target import Target, TargetKind

MOST = 100


@dataclass(frozen=True, slots=True)
class SelectedPods:
    """The pods that carry the labels, without those that are being deleted."""

    selector: str  # labels, as kubectl's -l takes them
    total: (
        int  # that there ought to be: spec.replicas where a workload was named, or those there are
    )
    ready: int
    not_ready: tuple[str, ...]  # names
    # The only one that is not ready: "" when all are, or several are not.
    stuck: str
    stuck_uid: str
    stuck_for_s: float | None  # seconds since it was last ready, or was made; None as above
    stuck_waiting: str  # why its container waits: CrashLoopBackOff; "" when it does not
    unschedulable: str  # what the scheduler says of a pod that no node takes; "" when none
    oom_killed: int  # pods a container of which ended last by OOMKilled
    restarts: int  # of all containers
    node_of_stuck: str  # "" as above, or while it is not scheduled
    pods: tuple[PodState, ...]  # by name, at most MOST


async def selected_pods(
    kubernetes: KubernetesReader, namespace: str, which: str, now: datetime, *, deadline: Deadline
) -> SelectedPods:
    """The pods now. `which` is Kind/name of a workload, or a label selector
    (`strimzi.io/name=carbon-kafka`).

    No pod with these labels: Unavailable(no_data), for a wrong selector must not look healthy.
    """
    labels, wanted = which, 0
    if "=" not in which:
        kind, _, workload = which.partition("/")
        if kind not in tuple(TargetKind):
            raise BadInput(Reason.INVALID_REQUEST, f"{which[:80]!r}: write Kind/name, or labels")
        of = Target(TargetKind(kind), namespace, workload)
        found = await kubernetes.get(workload_path(of), deadline=deadline)
        labels, wanted = selector((found.get("spec") or {}).get("selector") or {}), desired(found)
    path = f"/api/v1/namespaces/{namespace}/pods"
    present = [
        pod
        async for pod in pages(kubernetes, path, labels=labels, deadline=deadline, most=MOST)
        if not metadata(pod).get("deletionTimestamp")
    ]
    if not present and not wanted:
        raise Unavailable(Reason.NO_DATA, f"no pod carries the labels {labels[:200]}")
    return summary(labels, present, wanted, now)


def summary(labels: str, found: Sequence[Object], wanted: int, now: datetime) -> SelectedPods:
    """The same from the objects. Pure."""
    states = sorted((as_pod(pod) for pod in found), key=lambda p: p.name)
    broken = [p for p in states if not p.ready]
    # Where pods are missing altogether, the one that is not ready is not the only one that is away.
    whole = len(states) >= wanted
    stuck = broken[0] if len(broken) == 1 and whole else None
    since = {as_pod(pod).name: _unready_since(pod) for pod in found}
    at = since[stuck.name] if stuck else None
    return SelectedPods(
        selector=labels,
        total=max(len(states), wanted),
        ready=len(states) - len(broken),
        not_ready=tuple(p.name for p in broken),
        stuck=stuck.name if stuck else "",
        stuck_uid=stuck.uid if stuck else "",
        stuck_for_s=max(0.0, (now - at).total_seconds()) if at else None,
        stuck_waiting=next((c.waiting for c in stuck.containers if c.waiting), "") if stuck else "",
        unschedulable=next((p.unschedulable for p in states if p.unschedulable), ""),
        oom_killed=sum(any(c.last_reason == "OOMKilled" for c in p.containers) for p in states),
        restarts=sum(p.restarts for p in states),
        node_of_stuck=stuck.node if stuck else "",
        pods=tuple(states),
    )


def _unready_since(pod: Object) -> datetime | None:
    """When its Ready condition became untrue; when it was made, for one that has none yet."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready: Object = next((c for c in conditions if c.get("type") == "Ready"), {})
    return instant(ready.get("lastTransitionTime")) or instant(
        metadata(pod).get("creationTimestamp")
    )
