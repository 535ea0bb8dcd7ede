"""A workload and its pods: how many, how ready, what they wait for,
whether the rollout is complete.

Never here: what to do about a pod.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from service.clients.kubernetes import KubernetesReader, Object, workload_path
from service.kit.deadline import Deadline
from service.model.target import Target, TargetKind


@dataclass(frozen=True, slots=True)
class Pods:
    """The workload and its pods."""

    desired: int
    ready: int
    updated: int
    available: int
    restarts: int  # of all containers of all present pods
    waiting: tuple[
        str, ...
    ]  # reasons of waiting containers: CrashLoopBackOff, ImagePullBackOff ...
    rollout_complete: bool
    paused: bool
    autoscaled: bool  # a HorizontalPodAutoscaler names this workload


async def workload(kubernetes: KubernetesReader, target: Target, *, deadline: Deadline) -> Pods:
    """The workload now. Raises an ExceptionGroup; for a workload that does not exist
    it has Refused(not_found).
    """
    autoscalers = f"/apis/autoscaling/v2/namespaces/{target.namespace}/horizontalpodautoscalers"
    async with asyncio.TaskGroup() as tasks:
        scaled = tasks.create_task(kubernetes.list(autoscalers, deadline=deadline))
        read = tasks.create_task(_with_pods(kubernetes, target, deadline))
    found, pods = read.result()
    spec, status = found.get("spec") or {}, found.get("status") or {}
    # Absent is 0 in a status and 1 in spec.replicas; a pod that is being deleted is of the past.
    present = [pod for pod in pods if not (pod.get("metadata") or {}).get("deletionTimestamp")]
    ready = int(status.get("readyReplicas") or 0)
    return Pods(
        desired=desired(found),
        ready=ready,
        updated=int(status.get("updatedReplicas") or 0),
        available=_available(target.kind, status),
        restarts=sum(int(c.get("restartCount") or 0) for c in _containers(present)),
        waiting=tuple(sorted(_waiting(present))),
        rollout_complete=rollout_complete(target.kind, found),
        paused=bool(spec.get("paused")),
        autoscaled=any(_scales(autoscaler, target) for autoscaler in scaled.result()),
    )


async def _with_pods(
    kubernetes: KubernetesReader, target: Target, deadline: Deadline
) -> tuple[Object, Sequence[Object]]:
    found = await kubernetes.get(workload_path(target), deadline=deadline)
    return found, await pods_of(kubernetes, target.namespace, found, deadline=deadline)


async def pods_of(
    kubernetes: KubernetesReader, namespace: str, found: Object, *, deadline: Deadline
) -> Sequence[Object]:
    """The pods that the workload's selector selects."""
    labels = selector((found.get("spec") or {}).get("selector") or {})
    return await kubernetes.list(
        f"/api/v1/namespaces/{namespace}/pods", labels=labels, deadline=deadline
    )


def selector(of: Object) -> str:
    """A LabelSelector as the text that lists take."""
    terms = [f"{key}={value}" for key, value in sorted((of.get("matchLabels") or {}).items())]
    for expression in of.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(expression.get("values") or ())
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }[expression["operator"]]
        )
    return ",".join(terms)


def desired(found: Object) -> int:
    """spec.replicas, which is 1 when it is absent."""
    replicas = (found.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def rollout_complete(kind: TargetKind, found: Object) -> bool:
    """True when the controller has seen the newest spec and every pod is of it.

    Right after a patch the status is still the old, complete one: only observedGeneration tells.
    availableReplicas alone never does, for with a surge it is never below spec.replicas.
    """
    spec, status = found.get("spec") or {}, found.get("status") or {}
    generation = int((found.get("metadata") or {}).get("generation") or 0)
    if int(status.get("observedGeneration") or 0) < generation:
        return False
    wanted = desired(found)
    counts = {int(status.get(n) or 0) for n in ("replicas", "readyReplicas", "updatedReplicas")}
    if kind is TargetKind.DEPLOYMENT:
        return counts | {_available(kind, status)} == {wanted}
    if int(status.get("readyReplicas") or 0) < wanted:
        return False
    partition = int(
        ((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0
    )
    if partition > 0:
        return int(status.get("updatedReplicas") or 0) >= wanted - partition
    return status.get("updateRevision") == status.get("currentRevision")


def _available(kind: TargetKind, status: Object) -> int:
    if kind is TargetKind.STATEFULSET and "availableReplicas" not in status:
        return int(status.get("readyReplicas") or 0)  # before Kubernetes 1.22
    return int(status.get("availableReplicas") or 0)


def _containers(pods: Iterable[Object]) -> Iterable[dict[str, Any]]:
    for pod in pods:
        status = pod.get("status") or {}
        yield from status.get("initContainerStatuses") or ()
        yield from status.get("containerStatuses") or ()


def _waiting(pods: Sequence[Object]) -> set[str]:
    """Reasons of waiting containers, and Unschedulable for a pod that has none
    because no node takes it.
    """
    states = ((c.get("state") or {}).get("waiting") or {} for c in _containers(pods))
    reasons = {str(state["reason"]) for state in states if state.get("reason")}
    conditions = (c for pod in pods for c in (pod.get("status") or {}).get("conditions") or ())
    if any(c.get("reason") == "Unschedulable" and c.get("status") == "False" for c in conditions):
        reasons.add("Unschedulable")
    return reasons


def _scales(autoscaler: Object, target: Target) -> bool:
    reference = (autoscaler.get("spec") or {}).get("scaleTargetRef") or {}
    return bool(reference.get("kind") == target.kind and reference.get("name") == target.name)
