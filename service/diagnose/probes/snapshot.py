"""What several probes of one diagnosis need alike, read once: the workload,
its pods, ReplicaSets and events.

Each part is asked for by whichever probe needs it first, and the others wait for the same
answer. Lists come in small pages and have an end, so that neither memory nor one turn of the
loop grows with the cluster.
Never here: what any of it means.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from service.clients.kubernetes import KubernetesReader, Object, workload_path
from service.diagnose.probes.workload import selector
from service.diagnose.sources import Sources, configured
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason
from service.model.target import Target, TargetKind

PAGE = 100  # objects; a page of pods takes about 8 ms to parse
MOST_PODS = 1_000
MOST_EVENTS = 3_000


class Snapshot:
    """One target's objects within one diagnosis. Errors are those of the
    reader: Unavailable, Refused.
    """

    def __init__(self, sources: Sources, target: Target, deadline: Deadline) -> None:
        self._sources, self.target, self.deadline = sources, target, deadline
        self._tasks: dict[str, asyncio.Task[Any]] = {}  # Any: each part has a type of its own

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @property
    def kubernetes(self) -> KubernetesReader:
        """The reader, or Unavailable(not_configured)."""
        return configured(self._sources.kubernetes, "Kubernetes")

    async def workload(self) -> Object:
        """The Deployment or StatefulSet. Raises Refused(not_found) for one that does not exist."""
        found: Object = await self._once("workload", self._workload)
        return found

    async def pods(self) -> Sequence[Object]:
        """The pods that its selector selects and that are not being deleted, at most MOST_PODS."""
        found: Sequence[Object] = await self._once("pods", self._pods)
        return found

    async def replica_sets(self) -> Sequence[Object]:
        """The ReplicaSets that the Deployment owns; none of a StatefulSet."""
        found: Sequence[Object] = await self._once("replica sets", self._replica_sets)
        return found

    async def events(self) -> Sequence[Object]:
        """The events about the workload, its ReplicaSets and its pods,
        of at most MOST_EVENTS looked through.
        """
        found: Sequence[Object] = await self._once("events", self._events)
        return found

    async def _once(self, name: str, read: Callable[[], Awaitable[Any]]) -> Any:  # Any: see _tasks
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(_run(read), name=f"snapshot {name}")
        # The probe that is late may be cancelled; the others still want the answer.
        return await asyncio.shield(task)

    async def _workload(self) -> Object:
        return await self.kubernetes.get(workload_path(self.target), deadline=self.deadline)

    async def _pods(self) -> Sequence[Object]:
        path = f"/api/v1/namespaces/{self.target.namespace}/pods"
        labels = selector((await self.workload()).get("spec", {}).get("selector") or {})
        found = pages(self.kubernetes, path, labels=labels, deadline=self.deadline)
        present = [pod async for pod in found if not metadata(pod).get("deletionTimestamp")]
        return present[:MOST_PODS]

    async def _replica_sets(self) -> Sequence[Object]:
        if self.target.kind is not TargetKind.DEPLOYMENT:
            return ()
        workload = await self.workload()
        path = f"/apis/apps/v1/namespaces/{self.target.namespace}/replicasets"
        labels = selector(workload.get("spec", {}).get("selector") or {})
        owner = metadata(workload).get("uid")
        found = pages(self.kubernetes, path, labels=labels, deadline=self.deadline)
        return [one async for one in found if owner in _owners(one)]

    async def _events(self) -> Sequence[Object]:
        async with asyncio.TaskGroup() as tasks:
            pods = tasks.create_task(self.pods())
            sets = tasks.create_task(self.replica_sets())
        wanted = {(self.target.kind.value, self.target.name)}
        wanted |= {("Pod", name(pod)) for pod in pods.result()}
        wanted |= {("ReplicaSet", name(one)) for one in sets.result()}
        path = f"/api/v1/namespaces/{self.target.namespace}/events"
        found = pages(self.kubernetes, path, deadline=self.deadline, most=MOST_EVENTS)
        return [event async for event in found if _about(event) in wanted]


async def _run(read: Callable[[], Awaitable[Any]]) -> Any:  # Any: see Snapshot._tasks
    return await read()


async def pages(
    kubernetes: KubernetesReader,
    path: str,
    *,
    labels: str | None = None,
    deadline: Deadline,
    most: int = MOST_PODS,
) -> AsyncIterator[Object]:
    """The objects of a collection, a small page at a time, until `most` were looked at."""
    query = {"limit": str(PAGE)}
    if labels is not None:
        query["labelSelector"] = labels
    seen = 0
    while seen < most:
        page = await kubernetes.get(path, query=query, deadline=deadline)
        items = page.get("items") or ()
        if not isinstance(items, list | tuple):
            raise Unavailable(Reason.WRONG_ANSWER, f"{path}: the answer is not a list")
        for item in items:
            yield item
        seen += len(items)
        token = (page.get("metadata") or {}).get("continue")
        if not token:
            return
        query["continue"] = token


def metadata(found: Object) -> Mapping[str, Any]:  # Any: JSON
    """An object's metadata."""
    return found.get("metadata") or {}


def name(found: Object) -> str:
    """An object's name."""
    return str(metadata(found).get("name", ""))


def instant(text: object) -> datetime | None:
    """An instant as the API writes it, aware; None where there is none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo else None


def _owners(found: Object) -> set[object]:
    return {owner.get("uid") for owner in metadata(found).get("ownerReferences") or ()}


def _about(event: Object) -> tuple[str, str]:
    involved = event.get("involvedObject") or {}
    return str(involved.get("kind", "")), str(involved.get("name", ""))
