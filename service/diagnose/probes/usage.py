"""CPU and memory of the workload's pods and of the nodes, as metrics.k8s.io
measured them a moment ago.

Never here: what usage is too much.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.clients.kubernetes import KubernetesReader, Object, workload_path
from service.diagnose.probes.workload import pods_of, selector
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError, Unavailable
from service.model.reasons import Reason
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class Usage:
    """What metrics.k8s.io says the workload's pods and the nodes use now."""

    cpu_cores: float  # of all pods of the workload
    memory_bytes: int
    cpu_of_limit: float | None  # share of the summed limits, None where one has no limit
    memory_of_limit: float | None
    node_cpu_max: float | None  # share of the busiest node's allocatable
    node_memory_max: float | None


_METRICS = "/apis/metrics.k8s.io/v1beta1"
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i))?")
_SUFFIX = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", start=1)},
}


async def usage(kubernetes: KubernetesReader, target: Target, *, deadline: Deadline) -> Usage:
    """The usage now. No measurement of any pod: no_data;
    nodes that may not be read: their fields are None.
    """
    async with asyncio.TaskGroup() as tasks:
        nodes = tasks.create_task(_nodes(kubernetes, deadline))
        found = await kubernetes.get(workload_path(target), deadline=deadline)
        pods = tasks.create_task(pods_of(kubernetes, target.namespace, found, deadline=deadline))
        labels = selector((found.get("spec") or {}).get("selector") or {})
        path = f"{_METRICS}/namespaces/{target.namespace}/pods"
        measured = await kubernetes.list(path, labels=labels, deadline=deadline)
    if not measured:
        raise Unavailable(Reason.NO_DATA, f"metrics.k8s.io has measured no pod of {target}")
    names = {pod["metadata"]["name"] for pod in measured}
    counted = [pod for pod in pods.result() if pod["metadata"]["name"] in names]
    cpu, memory = _used(measured, "cpu"), _used(measured, "memory")
    node_cpu, node_memory = nodes.result()
    return Usage(
        cpu_cores=cpu,
        memory_bytes=int(memory),
        cpu_of_limit=_share(cpu, _limit(counted, "cpu")),
        memory_of_limit=_share(memory, _limit(counted, "memory")),
        node_cpu_max=node_cpu,
        node_memory_max=node_memory,
    )


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: cores or bytes. 250m, 34Mi, 12345678n,
    1e3. Otherwise wrong_answer.
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise Unavailable(Reason.WRONG_ANSWER, f"{str(text)[:40]!r} is no quantity")
    number, exponent, suffix = match.groups()
    return float(number + (exponent or "")) * _SUFFIX.get(suffix or "", 1.0)


def _used(measured: Iterable[Object], resource: str) -> float:
    containers = (c for pod in measured for c in pod.get("containers") or ())
    return sum(quantity((c.get("usage") or {}).get(resource, "0")) for c in containers)


def _limit(pods: Iterable[Object], resource: str) -> float | None:
    """The sum of the limits, None where one container has none."""
    total = 0.0
    for pod in pods:
        for container in (pod.get("spec") or {}).get("containers") or ():
            limit = ((container.get("resources") or {}).get("limits") or {}).get(resource)
            if limit is None:
                return None
            total += quantity(limit)
    return total


def _share(part: float, whole: float | None) -> float | None:
    return part / whole if whole else None


async def _nodes(
    kubernetes: KubernetesReader, deadline: Deadline
) -> tuple[float | None, float | None]:
    """The busiest node's share of CPU and of memory."""
    try:
        measured = await kubernetes.list(f"{_METRICS}/nodes", deadline=deadline)
        listed = await kubernetes.list("/api/v1/nodes", deadline=deadline)
    except ParamedicError:
        # Nodes belong to the whole cluster, and a role for one namespace may not read them.
        return None, None
    return _busiest(measured, listed, "cpu"), _busiest(measured, listed, "memory")


def _busiest(measured: Sequence[Object], listed: Sequence[Object], resource: str) -> float | None:
    allocatable = {
        node["metadata"]["name"]: ((node.get("status") or {}).get("allocatable") or {}).get(
            resource
        )
        for node in listed
    }
    shares = []
    for node in measured:
        whole = allocatable.get(node["metadata"]["name"])
        if whole is not None and quantity(whole) > 0:
            shares.append(quantity((node.get("usage") or {}).get(resource, "0")) / quantity(whole))
    return max(shares, default=None)
