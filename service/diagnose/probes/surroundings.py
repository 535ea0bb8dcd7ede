"""What stands around a target that is about to be acted on: its pods, its rollout,
its budgets, its neighbours.

Never here: what follows from it (guard).
"""

import asyncio
from collections.abc import Sequence

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.disruption import least, ready, rollout, selects
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.objects import DisruptionBudget, Surroundings, Write
from service.model.reasons import Reason
from service.model.target import Target

_WORKLOADS = ("deployments", "statefulsets")  # what playbooks treat
_RUNNING = ("Deployment", "StatefulSet", "DaemonSet")


async def surroundings(
    kubernetes: KubernetesReader,
    target: Target,
    writes: Sequence[Write],
    takes: Sequence[str],
    *,
    deadline: Deadline,
) -> Surroundings:
    """All at once. `takes` are the names of pods that the action takes away.
    Raises an ExceptionGroup.
    """
    namespace = target.namespace
    async with asyncio.TaskGroup() as tasks:
        counts = [
            tasks.create_task(
                kubernetes.list(f"/apis/apps/v1/namespaces/{namespace}/{plural}", deadline=deadline)
            )
            for plural in _WORKLOADS
        ]
        path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
        budgets = tasks.create_task(kubernetes.list(path, deadline=deadline))
        own = tasks.create_task(_own(kubernetes, target, deadline))
        pods = [
            tasks.create_task(_ready_pod(kubernetes, namespace, name, deadline)) for name in takes
        ]
    workloads = sum(len(count.result()) for count in counts)
    taken = sum(pod.result() for pod in pods)
    found, kind = own.result(), target.kind.value
    if found is None:
        # Its pods are another object's, an operator's for one:
        # how many stay cannot be told, only that some go.
        return Surroundings(workloads, *((taken, 0) if taken else (None, None)))
    written = [write for write in writes if write.ref == target.ref]
    template = (found.get("spec") or {}).get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    over = [b for b in budgets.result() if selects((b.get("spec") or {}).get("selector"), labels)]
    return Surroundings(
        workloads,
        ready=ready(kind, found),
        least=least(kind, found, written, taken),
        rollout=rollout(kind, found),
        budgets=tuple(_budget(budget) for budget in over),
    )


async def _own(kubernetes: KubernetesReader, target: Target, deadline: Deadline) -> Object | None:
    """The target's workload; None where it is none, or not there."""
    if target.ref is None or target.kind.value not in _RUNNING:
        return None
    try:
        return await kubernetes.get(target.ref.path, deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return None
        raise


async def _ready_pod(
    kubernetes: KubernetesReader, namespace: str, name: str, deadline: Deadline
) -> bool:
    """Whether the pod is there, and ready."""
    try:
        pod = await kubernetes.get(f"/api/v1/namespaces/{namespace}/pods/{name}", deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return False
        raise
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _budget(found: Object) -> DisruptionBudget:
    metadata, status = found.get("metadata") or {}, found.get("status") or {}
    name = f"PodDisruptionBudget {metadata.get('namespace', '')}/{metadata.get('name', '')}"
    # Not reckoned yet counts as no room.
    return DisruptionBudget(name, int(status.get("disruptionsAllowed") or 0))
