"""Whether the workloads that the target depends on are up:
their ready replicas against those wanted.

Never here: which workload depends on which (a playbook says so).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.clients.kubernetes import KubernetesReader
from service.diagnose.probes.workload import desired
from service.kit.deadline import Deadline
from service.model.errors import BadInput, Refused
from service.model.reasons import Reason

MOST = 20
_PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


@dataclass(frozen=True, slots=True)
class Dependency:
    """One workload that the target needs."""

    workload: str  # Kind/name
    exists: bool
    desired: int  # 0 for one that does not exist
    ready: int
    stopped: bool  # scaled to 0 on purpose, or not there


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The workloads that the target needs."""

    needed: tuple[Dependency, ...]
    down: tuple[str, ...]  # Kind/name of those without one ready pod
    degraded: tuple[str, ...]  # Kind/name of those with fewer ready pods than wanted, not down
    healthy: bool  # none is down


# Of a target's name the workloads it needs, each as Kind/name;
# "*" is for all names that are not listed.
Needs = Mapping[str, Sequence[str]]


async def dependencies(
    kubernetes: KubernetesReader, namespace: str, target: str, needs: Needs, *, deadline: Deadline
) -> Dependencies:
    """The dependencies of the workload `target` now, all at once. Raises what the reader raises."""
    wanted = list(needs.get(target, needs.get("*", ())))[:MOST]
    found = await asyncio.gather(
        *(_read(kubernetes, namespace, one, deadline=deadline) for one in wanted)
    )
    return Dependencies(
        needed=tuple(found),
        down=tuple(d.workload for d in found if d.ready == 0),
        degraded=tuple(d.workload for d in found if 0 < d.ready < d.desired),
        healthy=all(d.ready > 0 for d in found),
    )


async def _read(
    kubernetes: KubernetesReader, namespace: str, workload: str, *, deadline: Deadline
) -> Dependency:
    kind, _, name = workload.partition("/")
    if kind not in _PLURALS or not name:
        raise BadInput(
            Reason.INVALID_REQUEST, f"{workload!r} is not Deployment/name or StatefulSet/name"
        )
    path = f"/apis/apps/v1/namespaces/{namespace}/{_PLURALS[kind]}/{name}"
    try:
        found = await kubernetes.get(path, deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return Dependency(workload, False, 0, 0, True)
        raise
    wanted = desired(found)
    ready = int((found.get("status") or {}).get("readyReplicas") or 0)
    return Dependency(workload, True, wanted, ready, wanted == 0)
