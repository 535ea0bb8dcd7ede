"""The pods behind a label selector, whoever makes them: how many are ready, and which one is not and for how long.

Never here: what a missing pod means for a quorum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.probes.pods import PodState, as_pod
from service.diagnose.probes.snapshot import instant, metadata, pages
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason

MOST = 100


@dataclass(frozen=True, slots=True)
class SelectedPods:
    """The pods that carry the labels, without those that are being deleted."""

    selector: str
    total: int
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
    kubernetes: KubernetesReader,
    namespace: str,
    selector: str,
    now: datetime,
    *,
    deadline: Deadline,
) -> SelectedPods:
    """The pods now. None with these labels: Unavailable(no_data), for a wrong selector must not look healthy."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    found = [
        pod
        async for pod in pages(kubernetes, path, labels=selector, deadline=deadline, most=MOST)
        if not metadata(pod).get("deletionTimestamp")
    ]
    if not found:
        raise Unavailable(Reason.NO_DATA, f"no pod carries the labels {selector[:200]}")
    return summary(selector, found, now)


def summary(selector: str, found: Sequence[Object], now: datetime) -> SelectedPods:
    """The same from the objects. Pure."""
    states = sorted((as_pod(pod) for pod in found), key=lambda p: p.name)
    broken = [p for p in states if not p.ready]
    stuck = broken[0] if len(broken) == 1 else None
    since = {as_pod(pod).name: _unready_since(pod) for pod in found}
    at = since[stuck.name] if stuck else None
    return SelectedPods(
        selector=selector,
        total=len(states),
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
