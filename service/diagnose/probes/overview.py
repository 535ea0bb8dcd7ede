"""A namespace at a glance: its workloads, its pods by state, its newest warnings, its nodes.

Never here: details of one workload (the other probes have them).
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.probes.events import ClusterEvent, as_event
from service.diagnose.probes.events import shown as shown_event
from service.diagnose.probes.pods import MOST_SHOWN, PodState, as_pod, shown
from service.diagnose.probes.snapshot import MOST_EVENTS, name, pages
from service.diagnose.probes.usage import quantity
from service.diagnose.probes.workload import desired, rollout_complete
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError
from service.model.target import TargetKind

MOST = 200
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_METRICS = "/apis/metrics.k8s.io/v1beta1"


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """One Deployment or StatefulSet."""

    workload: str  # Kind/name
    desired: int
    ready: int
    complete: bool  # its rollout
    problem: str  # "" for none, otherwise: down, not all ready, rolling out


@dataclass(frozen=True, slots=True)
class Workloads:
    """The workloads of the namespace."""

    workloads: tuple[WorkloadState, ...]  # those with a problem first, at most MOST
    down: tuple[str, ...]  # Kind/name of those that are wanted and have no ready pod
    degraded: tuple[str, ...]  # Kind/name of those with some
    replicas: Mapping[str, int]  # Kind/name -> wanted, of the first MOST


@dataclass(frozen=True, slots=True)
class PodsOverview:
    """The pods of the namespace; those that are being deleted are not counted."""

    total: int
    ready: int
    restarts: int
    waiting: Mapping[str, int]  # reason -> containers
    oom_killed: tuple[str, ...]  # pod/container, at most MOST_SHOWN
    worst: tuple[PodState, ...]  # not ready and most restarted first, at most MOST_SHOWN
    top: Mapping[
        str, str
    ]  # pod -> "cores bytes" used, the hungriest by memory, at most MOST_SHOWN; {} without metrics


@dataclass(frozen=True, slots=True)
class Warnings:
    """Warning events of the namespace that are still kept."""

    newest: tuple[ClusterEvent, ...]  # at most MOST_SHOWN
    by_reason: Mapping[str, int]  # reason -> times


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node. Shares are of what it can give to pods; None without metrics."""

    name: str
    ready: bool
    cordoned: bool
    pressures: tuple[str, ...]  # MemoryPressure, DiskPressure, PIDPressure, NetworkUnavailable
    cpu_share: float | None
    memory_share: float | None


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of the cluster."""

    nodes: tuple[NodeState, ...]  # those with a problem first, at most MOST
    total: int
    not_ready: tuple[str, ...]  # names


async def workloads(
    kubernetes: KubernetesReader, namespace: str, *, deadline: Deadline
) -> Workloads:
    """Deployments and StatefulSets now. Raises what the reader raises."""
    path = f"/apis/apps/v1/namespaces/{namespace}"
    async with asyncio.TaskGroup() as tasks:
        one = tasks.create_task(_all(kubernetes, f"{path}/deployments", deadline))
        other = tasks.create_task(_all(kubernetes, f"{path}/statefulsets", deadline))
    found = [_workload(TargetKind.DEPLOYMENT, o) for o in one.result()]
    found += [_workload(TargetKind.STATEFULSET, o) for o in other.result()]
    found.sort(key=lambda w: (not w.problem, w.ready, w.workload))
    return Workloads(
        workloads=tuple(found[:MOST]),
        down=tuple(w.workload for w in found if w.desired and not w.ready),
        degraded=tuple(w.workload for w in found if 0 < w.ready < w.desired),
        replicas={w.workload: w.desired for w in found[:MOST]},
    )


async def all_pods(
    kubernetes: KubernetesReader, namespace: str, *, deadline: Deadline
) -> PodsOverview:
    """The pods now, and what they use where it is measured. Raises what the reader raises."""
    used = asyncio.create_task(
        _used(kubernetes, f"{_METRICS}/namespaces/{namespace}/pods", deadline)
    )
    try:
        path = f"/api/v1/namespaces/{namespace}/pods"
        found = [
            as_pod(p)
            async for p in pages(kubernetes, path, deadline=deadline, most=5_000)
            if not p["metadata"].get("deletionTimestamp")
        ]
        usage = await used
    finally:
        used.cancel()
    found.sort(key=lambda p: (p.ready or p.phase == "Succeeded", -p.restarts, p.name))
    containers = [(p, c) for p in found for c in p.containers]
    hungriest = sorted(usage, key=lambda n: -usage[n][1])[:MOST_SHOWN]
    return PodsOverview(
        total=len(found),
        ready=sum(p.ready for p in found),
        restarts=sum(p.restarts for p in found),
        waiting=dict(Counter(c.waiting for _, c in containers if c.waiting)),
        oom_killed=tuple(
            f"{p.name}/{c.name}" for p, c in containers if c.last_reason == "OOMKilled"
        )[:MOST_SHOWN],
        worst=tuple(shown(p) for p in found[:MOST_SHOWN]),
        top={n: f"{usage[n][0]:.3f} {int(usage[n][1])}" for n in hungriest},
    )


async def warnings(kubernetes: KubernetesReader, namespace: str, *, deadline: Deadline) -> Warnings:
    """The Warning events now. Raises what the reader raises."""
    found = pages(
        kubernetes, f"/api/v1/namespaces/{namespace}/events", deadline=deadline, most=MOST_EVENTS
    )
    seen = [as_event(e) async for e in found if e.get("type") == "Warning"]
    seen.sort(key=lambda e: e.last_at or _LONG_AGO, reverse=True)
    reasons: Counter[str] = Counter()
    for event in seen:
        reasons[event.reason] += event.count
    return Warnings(tuple(shown_event(e) for e in seen[:MOST_SHOWN]), dict(reasons.most_common(30)))


async def nodes(kubernetes: KubernetesReader, *, deadline: Deadline) -> Nodes:
    """The nodes now. Raises what the reader raises."""
    async with asyncio.TaskGroup() as tasks:
        listed = tasks.create_task(_all(kubernetes, "/api/v1/nodes", deadline))
        used = tasks.create_task(_used(kubernetes, f"{_METRICS}/nodes", deadline))
    found = [_node(n, used.result().get(name(n))) for n in listed.result()]
    found.sort(key=lambda n: (n.ready and not n.pressures, n.name))
    not_ready = tuple(n.name for n in found if not n.ready)
    return Nodes(tuple(found[:MOST]), len(found), not_ready)


async def _all(kubernetes: KubernetesReader, path: str, deadline: Deadline) -> Sequence[Object]:
    return [o async for o in pages(kubernetes, path, deadline=deadline)]


async def _used(
    kubernetes: KubernetesReader, path: str, deadline: Deadline
) -> Mapping[str, tuple[float, float]]:
    """Name -> (cores, bytes); nothing where there is no metrics server: it is extra."""
    try:
        return {name(m): _measured(m) async for m in pages(kubernetes, path, deadline=deadline)}
    except ParamedicError:
        return {}


def _measured(of: Object) -> tuple[float, float]:
    parts = of.get("containers", [of])
    usages = [part.get("usage") or {} for part in parts or ()]
    cpu = sum(quantity(u.get("cpu", "0")) for u in usages)
    return cpu, sum(quantity(u.get("memory", "0")) for u in usages)


def _workload(kind: TargetKind, found: Object) -> WorkloadState:
    wanted, complete = desired(found), rollout_complete(kind, found)
    ready = int((found.get("status") or {}).get("readyReplicas") or 0)
    problem = "" if complete else "rolling out"
    if ready < wanted:
        problem = "not all ready" if ready else "down"
    return WorkloadState(f"{kind.value}/{name(found)}", wanted, ready, complete, problem)


def _node(node: Object, used: tuple[float, float] | None) -> NodeState:
    status = node.get("status") or {}
    true = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    allocatable = status.get("allocatable") or {}
    whole = tuple(quantity(allocatable.get(r, "0")) for r in ("cpu", "memory"))
    return NodeState(
        name=name(node),
        ready="Ready" in true,
        cordoned=bool((node.get("spec") or {}).get("unschedulable")),
        pressures=tuple(p for p in _PRESSURES if p in true),
        cpu_share=used[0] / whole[0] if used and whole[0] else None,
        memory_share=used[1] / whole[1] if used and whole[1] else None,
    )
