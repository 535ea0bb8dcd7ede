"""Whether a pod of the workload finds room: its requests against what the nodes
can give and what is taken.

A coarse answer to one question: selectors, taints by name and affinities are the scheduler's.
Never here: whose pod should go.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.clients.kubernetes import Object
from service.diagnose.probes.snapshot import Snapshot, name, pages
from service.diagnose.probes.usage import quantity
from service.model.errors import ParamedicError

MOST_PODS = 10_000  # of the whole cluster


@dataclass(frozen=True, slots=True)
class Capacity:
    """One pod of the workload against the nodes that are ready and take pods."""

    request_cpu_cores: float  # of all containers of one pod
    request_memory_bytes: int
    nodes: int  # ready and not cordoned
    allocatable_cpu_cores: float  # of the largest such node
    allocatable_memory_bytes: int
    fits_allocatable: bool  # it would fit on an empty node
    # None where the pods of other namespaces may not be read: what is taken is then unknown.
    fits_now: bool | None
    free_cpu_cores: float | None  # of the node with the most CPU free
    free_memory_bytes: int | None  # of the node with the most memory free
    short_of: tuple[str, ...]  # `cpu`, `memory`: what no node has enough of, empty or as it is now


@dataclass(frozen=True, slots=True)
class _Room:
    cpu: float
    memory: float


async def capacity(snapshot: Snapshot) -> Capacity:
    """The room now. Raises what the reader raises; Refused(forbidden) where nodes may not be
    read.
    """
    kubernetes, deadline = snapshot.kubernetes, snapshot.deadline
    async with asyncio.TaskGroup() as tasks:
        workload = tasks.create_task(snapshot.workload())
        taken = tasks.create_task(_taken(snapshot))
        nodes = tasks.create_task(kubernetes.list("/api/v1/nodes", deadline=deadline))
    return room(workload.result(), nodes.result(), taken.result())


def room(
    workload: Object, nodes: Sequence[Object], taken: Mapping[str, tuple[float, float]] | None
) -> Capacity:
    """The same from the objects; `taken` is node -> (cores, bytes),
    None where it could not be read.
    """
    spec = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    cpu, memory = requests_of(spec)
    whole = {name(node): _allocatable(node) for node in nodes if _takes_pods(node)}
    free = (
        None if taken is None else {node: _left(of, taken.get(node)) for node, of in whole.items()}
    )
    rooms = whole if free is None else free
    short = [
        resource
        for resource, wanted in (("cpu", cpu), ("memory", memory))
        if all(getattr(of, resource) < wanted for of in rooms.values())
    ]
    return Capacity(
        request_cpu_cores=cpu,
        request_memory_bytes=int(memory),
        nodes=len(whole),
        allocatable_cpu_cores=max((of.cpu for of in whole.values()), default=0.0),
        allocatable_memory_bytes=int(max((of.memory for of in whole.values()), default=0.0)),
        fits_allocatable=_fits(whole, cpu, memory),
        fits_now=None if free is None else _fits(free, cpu, memory),
        free_cpu_cores=None if free is None else max((of.cpu for of in free.values()), default=0.0),
        free_memory_bytes=None
        if free is None
        else int(max((of.memory for of in free.values()), default=0.0)),
        short_of=tuple(short),
    )


def requests_of(spec: Mapping[str, Any]) -> tuple[float, float]:  # Any: JSON
    """Cores and bytes that one pod of this spec asks for; an init container
    counts where it asks for more.
    """
    totals = []
    for resource in ("cpu", "memory"):
        running = sum(_request(c, resource) for c in spec.get("containers") or ())
        first = max((_request(c, resource) for c in spec.get("initContainers") or ()), default=0.0)
        totals.append(max(running, first))
    return totals[0], totals[1]


async def _taken(snapshot: Snapshot) -> Mapping[str, tuple[float, float]] | None:
    taken: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    found = pages(snapshot.kubernetes, "/api/v1/pods", deadline=snapshot.deadline, most=MOST_PODS)
    try:
        async for pod in found:
            node = str((pod.get("spec") or {}).get("nodeName") or "")
            if node and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
                cpu, memory = requests_of(pod.get("spec") or {})
                taken[node] = (taken[node][0] + cpu, taken[node][1] + memory)
    except ParamedicError:
        return None  # a role for one namespace may not read the pods of all
    return taken


def _request(container: Mapping[str, Any], resource: str) -> float:
    resources = container.get("resources") or {}
    # Without a request the limit stands for it.
    for of in (resources.get("requests") or {}, resources.get("limits") or {}):
        if of.get(resource) is not None:
            return quantity(of[resource])
    return 0.0


def _allocatable(node: Object) -> _Room:
    of = (node.get("status") or {}).get("allocatable") or {}
    return _Room(quantity(of.get("cpu", "0")), quantity(of.get("memory", "0")))


def _left(whole: _Room, taken: tuple[float, float] | None) -> _Room:
    cpu, memory = taken or (0.0, 0.0)
    return _Room(whole.cpu - cpu, whole.memory - memory)


def _fits(rooms: Mapping[str, _Room], cpu: float, memory: float) -> bool:
    return any(of.cpu >= cpu and of.memory >= memory for of in rooms.values())


def _takes_pods(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and not (node.get("spec") or {}).get("unschedulable")
