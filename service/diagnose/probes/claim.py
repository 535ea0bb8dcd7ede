"""One volume claim with its volume, and what Kubernetes says about it.

Never here: which claims a namespace has (volumes.py), or what may be deleted.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.probes.events import as_event, shown
from service.diagnose.probes.snapshot import metadata
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError, Refused
from service.model.reasons import Reason

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OneClaim:
    """One PersistentVolumeClaim. A text is "" where there is nothing to say,
    or the right to read it is not given.
    """

    name: str
    exists: bool
    phase: str  # Pending, Bound, Lost; "" for a claim that does not exist
    deleting: bool  # it goes when no pod uses it any more
    storage_class: str
    volume: str  # the name of its PersistentVolume, kept in the claim also when that is gone
    volume_phase: str  # Available, Bound, Released, Failed; Missing: it is gone
    reclaim_policy: str  # of the volume: Retain keeps it when its claim goes, Delete does not
    says: str  # the newest event about the claim, bounded and redacted


async def one_claim(
    kubernetes: KubernetesReader, namespace: str, name: str, *, deadline: Deadline
) -> OneClaim:
    """The claim now. Raises what the reader raises; the volume and the events may be out of
    reach.
    """
    path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
    async with asyncio.TaskGroup() as tasks:
        says = tasks.create_task(_says(kubernetes, namespace, name, deadline))
        claim = await _found(kubernetes, path, deadline)
        volume_name = str(((claim or {}).get("spec") or {}).get("volumeName") or "")
        phase, policy = await _volume(kubernetes, volume_name, deadline)
    return OneClaim(
        name=name,
        exists=claim is not None,
        phase=str(((claim or {}).get("status") or {}).get("phase") or "") if claim else "",
        deleting=bool(claim and metadata(claim).get("deletionTimestamp")),
        storage_class=str(((claim or {}).get("spec") or {}).get("storageClassName") or ""),
        volume=volume_name,
        volume_phase=phase,
        reclaim_policy=policy,
        says=says.result(),
    )


async def _volume(kubernetes: KubernetesReader, name: str, deadline: Deadline) -> tuple[str, str]:
    """Phase and reclaim policy; empty where a role for one namespace may not read volumes."""
    if not name:
        return "", ""
    try:
        found = await _found(kubernetes, f"/api/v1/persistentvolumes/{name}", deadline)
    except ParamedicError:
        return "", ""
    if found is None:
        return "Missing", ""
    spec, status = found.get("spec") or {}, found.get("status") or {}
    return str(status.get("phase") or ""), str(spec.get("persistentVolumeReclaimPolicy") or "")


async def _says(kubernetes: KubernetesReader, namespace: str, name: str, deadline: Deadline) -> str:
    about = f"involvedObject.kind=PersistentVolumeClaim,involvedObject.name={name}"
    path = f"/api/v1/namespaces/{namespace}/events"
    try:
        found = await kubernetes.list(path, fields=about, deadline=deadline)
    except ParamedicError:
        return ""
    events = (as_event(event) for event in found)
    ours = [e for e in events if (e.kind, e.name) == ("PersistentVolumeClaim", name)]
    newest = max(ours, key=lambda e: e.last_at or _LONG_AGO, default=None)
    return shown(newest).message if newest is not None else ""


async def _found(kubernetes: KubernetesReader, path: str, deadline: Deadline) -> Object | None:
    try:
        return await kubernetes.get(path, deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return None
        raise
