"""Several services of a platform at once: what chapter 1.1 sees of one,
for each of them, in the order given.

Never here: in which order they are to be restarted.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from service.diagnose.probes.capacity import Capacity, capacity
from service.diagnose.probes.events import Events, events
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.pods import PodDetails, pods
from service.diagnose.probes.references import References, references
from service.diagnose.probes.rollout import Rollout, rollout
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.sources import Sources
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError
from service.model.target import Target, TargetKind

MOST = 10


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """One service."""

    name: str
    down: bool  # wanted, and not one pod is ready
    pods: PodDetails
    rollout: Rollout
    references: References
    events: Events
    logs: Logs
    capacity: Capacity | None  # None where nodes may not be read
    # What no restart mends, as one sentence: a missing ConfigMap, Secret or key, an image that
    # cannot be pulled, no node with room, a quota. "" when there is none.
    cause: str


@dataclass(frozen=True, slots=True)
class Outage:
    """The services of the platform."""

    services: tuple[ServiceHealth, ...]  # in the order asked for
    down: tuple[str, ...]  # names
    stopped: tuple[str, ...]  # names of those that are scaled to 0: a planned stop is no outage
    all_down: bool  # of those that are not stopped, and at least one is
    all_ready: bool  # every one has all its pods ready and its rollout complete
    cause: (
        str  # the first service with a cause that no restart mends, and it; "" when there is none
    )


async def outage(
    sources: Sources, namespace: str, services: Sequence[str], *, deadline: Deadline, clock: Clock
) -> Outage:
    """The services now, all at once. Raises what the reader raises:
    one that cannot be read leaves all unknown.
    """
    found = await asyncio.gather(
        *(_service(sources, namespace, name, deadline, clock) for name in services[:MOST])
    )
    return together(found)


def together(found: Sequence[ServiceHealth]) -> Outage:
    """The whole of the parts."""
    wanted = [s for s in found if s.pods.desired > 0]
    caused = next((s for s in found if s.cause), None)
    return Outage(
        services=tuple(found),
        down=tuple(s.name for s in found if s.down),
        stopped=tuple(s.name for s in found if s.pods.desired == 0),
        all_down=bool(wanted) and all(s.down for s in wanted),
        all_ready=bool(wanted)
        and all(s.pods.rollout_complete and s.pods.ready >= s.pods.desired for s in wanted),
        cause=f"{caused.name}: {caused.cause}" if caused else "",
    )


async def _service(
    sources: Sources, namespace: str, name: str, deadline: Deadline, clock: Clock
) -> ServiceHealth:
    target = Target(TargetKind.DEPLOYMENT, namespace, name)
    async with Snapshot(sources, target, deadline) as snapshot, asyncio.TaskGroup() as tasks:
        of_pods = tasks.create_task(pods(snapshot))
        of_rollout = tasks.create_task(rollout(snapshot))
        of_references = tasks.create_task(references(snapshot))
        of_events = tasks.create_task(events(snapshot))
        of_logs = tasks.create_task(logs(snapshot, clock.now()))
        room = tasks.create_task(_room(snapshot))
    seen = of_pods.result()
    return ServiceHealth(
        name=name,
        down=seen.desired > 0 and seen.ready == 0,
        pods=seen,
        rollout=of_rollout.result(),
        references=of_references.result(),
        events=of_events.result(),
        logs=of_logs.result(),
        capacity=room.result(),
        cause=_cause(seen, of_rollout.result(), of_references.result()),
    )


async def _room(snapshot: Snapshot) -> Capacity | None:
    try:
        return await capacity(snapshot)
    except (ParamedicError, ExceptionGroup):
        return None  # a role for one namespace may not read nodes; the rest is worth having


def _cause(seen: PodDetails, rolled: Rollout, named: References) -> str:
    if named.missing:
        return named.missing[0].said
    if seen.image_failing:
        return seen.waiting_message or "the image cannot be pulled"
    return seen.unschedulable or rolled.replica_failure
