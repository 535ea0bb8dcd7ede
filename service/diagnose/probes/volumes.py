"""Volume claims and their volumes: phase, size, use and, where it grows,
the time until they are full.

Use is what the kubelet measures, by way of Prometheus; without Prometheus it is None.
Never here: which data may go.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.clients.kubernetes import KubernetesReader, Object
from service.clients.prometheus import PrometheusClient
from service.diagnose.probes.snapshot import metadata, name, pages
from service.diagnose.probes.usage import quantity
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError

MOST = 100
_CLAIM = "persistentvolumeclaim"


@dataclass(frozen=True, slots=True)
class Claim:
    """One PersistentVolumeClaim."""

    name: str
    phase: str  # Pending, Bound, Lost
    deleting: bool  # it goes when no pod uses it any more
    storage_class: str  # "" for none
    volume: str  # name of its PersistentVolume, "" while it has none
    volume_phase: (
        str | None
    )  # Available, Bound, Released, Failed; None where volumes may not be read
    size_bytes: int | None  # of the volume; None while it has none
    used_ratio: float | None  # 0.0 to 1.0; None where nobody measures it
    free_bytes: int | None  # None where nobody measures it
    full_in_s: (
        float | None
    )  # at the growth of the last hour; None where it does not grow or nobody knows


@dataclass(frozen=True, slots=True)
class Volumes:
    """The claims of a namespace, those in trouble and the fullest first."""

    claims: tuple[Claim, ...]  # at most MOST
    pending: tuple[str, ...]  # names
    lost: tuple[str, ...]  # names; the volume is gone, and with it the data
    failed_volumes: tuple[str, ...]  # volumes in phase Failed that a claim here is bound to
    released_volumes: tuple[
        str, ...
    ]  # volumes whose claim in this namespace was deleted: the data is still there
    healthy: bool  # every claim is Bound and none is being deleted
    fullest: str  # name of the claim with the highest used_ratio; "" where nobody measures
    fullest_ratio: float | None


@dataclass(frozen=True, slots=True)
class _Use:
    free: Mapping[str, float]
    size: Mapping[str, float]
    growth: Mapping[str, float]  # bytes a second


async def volumes(
    kubernetes: KubernetesReader,
    prometheus: PrometheusClient | None,
    namespace: str,
    *,
    deadline: Deadline,
) -> Volumes:
    """The claims now. Raises what the reader raises; volumes or Prometheus out of reach
    leave their fields None.
    """
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
    async with asyncio.TaskGroup() as tasks:
        bound = tasks.create_task(_volumes(kubernetes, deadline))
        use = tasks.create_task(_use(prometheus, namespace, deadline))
        claims = [c async for c in pages(kubernetes, path, deadline=deadline, most=10 * MOST)]
    return joined(claims, bound.result(), use.result(), namespace)


def joined(
    claims: Sequence[Object],
    listed: Sequence[Object] | None,
    use: _Use | None,
    namespace: str,
) -> Volumes:
    """Claims with their volumes and their use."""
    phases = None if listed is None else {name(v): _phase(v) for v in listed}
    found = sorted((_claim(c, phases, use) for c in claims), key=_worst_first)
    measured = [c for c in found if c.used_ratio is not None]
    fullest = max(measured, key=lambda c: c.used_ratio or 0.0, default=None)
    return Volumes(
        claims=tuple(found[:MOST]),
        pending=tuple(c.name for c in found if c.phase == "Pending")[:MOST],
        lost=tuple(c.name for c in found if c.phase == "Lost")[:MOST],
        failed_volumes=tuple(c.volume for c in found if c.volume_phase == "Failed")[:MOST],
        released_volumes=tuple(
            name(v) for v in listed or () if _phase(v) == "Released" and _of(v) == namespace
        )[:MOST],
        healthy=all(c.phase == "Bound" and not c.deleting for c in found),
        fullest=fullest.name if fullest else "",
        fullest_ratio=fullest.used_ratio if fullest else None,
    )


def _worst_first(claim: Claim) -> tuple[bool, float, str]:
    return claim.phase == "Bound", -(claim.used_ratio or 0.0), claim.name


def _claim(claim: Object, phases: Mapping[str, str] | None, use: _Use | None) -> Claim:
    spec, status = claim.get("spec") or {}, claim.get("status") or {}
    size = (status.get("capacity") or {}).get("storage")
    volume = str(spec.get("volumeName") or "")
    free = use.free.get(name(claim)) if use else None
    whole = use.size.get(name(claim)) if use else None
    growth = use.growth.get(name(claim), 0.0) if use else 0.0
    return Claim(
        name=name(claim),
        phase=str(status.get("phase") or "Pending"),
        deleting=bool(metadata(claim).get("deletionTimestamp")),
        storage_class=str(spec.get("storageClassName") or ""),
        volume=volume,
        volume_phase=None if phases is None or not volume else phases.get(volume, "Missing"),
        size_bytes=None if size is None else int(quantity(str(size))),
        used_ratio=None if free is None or not whole else min(1.0, max(0.0, 1.0 - free / whole)),
        free_bytes=None if free is None else int(free),
        full_in_s=free / growth if free is not None and growth > 0 else None,
    )


async def _volumes(kubernetes: KubernetesReader, deadline: Deadline) -> Sequence[Object] | None:
    """The volumes of the whole cluster; None where a role for one namespace may not read them."""
    found = pages(kubernetes, "/api/v1/persistentvolumes", deadline=deadline, most=50 * MOST)
    try:
        return [v async for v in found]
    except ParamedicError:
        return None


async def _use(
    prometheus: PrometheusClient | None, namespace: str, deadline: Deadline
) -> _Use | None:
    if prometheus is None:
        return None
    names = ("kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes")
    chosen = f'{{namespace="{namespace}"}}', f'{{exported_namespace="{namespace}"}}'
    free, size = (
        f"min by ({_CLAIM}) ({metric}{chosen[0]} or {metric}{chosen[1]})" for metric in names
    )
    growth = f"max by ({_CLAIM}) (" + " or ".join(
        f"deriv(kubelet_volume_stats_used_bytes{which}[1h])" for which in chosen
    )
    try:
        asked = await asyncio.gather(
            *(_measured(prometheus, q, deadline) for q in (free, size, growth + ")"))
        )
    except ParamedicError:
        return None
    return _Use(*asked)


async def _measured(
    prometheus: PrometheusClient, promql: str, deadline: Deadline
) -> Mapping[str, float]:
    samples = await prometheus.query(promql, deadline=deadline)
    return {s.labels.get(_CLAIM, ""): s.value for s in samples}


def _phase(volume: Object) -> str:
    return str((volume.get("status") or {}).get("phase") or "")


def _of(volume: Object) -> str:
    return str(((volume.get("spec") or {}).get("claimRef") or {}).get("namespace") or "")
