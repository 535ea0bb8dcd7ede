"""The workload's pods in detail, and its containers by name: why they wait,
how they ended, what they may use.

Never here: what to do about a container.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from service.clients.kubernetes import Object
from service.diagnose.probes.plain_text import safe
from service.diagnose.probes.snapshot import Snapshot, instant, metadata, name
from service.diagnose.probes.usage import quantity
from service.diagnose.probes.workload import desired, rollout_complete
from service.model.target import TargetKind

MOST_SHOWN = 20  # pods in full; all are counted
_READ = 600  # characters of a message that are kept until it is shown
_IMAGE = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName"})


@dataclass(frozen=True, slots=True)
class ContainerState:
    """One container of one pod, from its status."""

    name: str
    init: bool  # an init container
    ready: bool
    started: bool  # its startup probe has passed, or it has none and runs
    restarts: int
    waiting: str  # reason, "" when it does not wait
    message: str  # of the waiting state; bounded, redacted
    last_reason: (
        str  # of the last termination: Error, OOMKilled, Completed ...; "" when none is known
    )
    last_exit: int | None  # exit code of that termination; 137 is SIGKILL; None when none is known
    last_finished_at: datetime | None  # None when none is known
    last_ran_s: float | None  # seconds from its start to its end; None when none is known


@dataclass(frozen=True, slots=True)
class PodState:
    """One pod."""

    name: str
    uid: str
    phase: str  # Pending, Running, Succeeded, Failed, Unknown
    ready: bool  # its Ready condition
    node: str  # "" when it is not scheduled
    revision: str  # pod-template-hash or controller-revision-hash; "" when it has neither
    created_at: datetime | None
    problems: tuple[str, ...]  # reasons of the conditions that are not True
    unschedulable: str  # what the scheduler says; "" when it is scheduled
    restarts: int  # of all its containers
    containers: tuple[ContainerState, ...]


@dataclass(frozen=True, slots=True)
class ContainerGroup:
    """One container of the workload's template, over all pods that have it.
    Limits are the template's.
    """

    name: str
    pods: int  # that have a status of it
    ready: int
    started: int
    restarts: int  # of all pods together
    restarts_max: int  # of one pod
    waiting: tuple[str, ...]  # distinct reasons
    message: str  # of one that waits, "" otherwise; bounded, redacted
    oom_killed: int  # pods whose last (or present) termination was OOMKilled
    killed: int  # pods whose last termination was exit 137 for another reason than memory
    crashed: int  # pods whose last termination was another exit code than 0, 137 and 143
    last_exit: int | None  # of the newest termination; None when none is known
    last_finished_at: datetime | None  # of the newest termination; None when none is known
    memory_limit: str  # as written: 1Gi; "" for none
    memory_limit_bytes: int | None  # None for no limit
    memory_request_bytes: int | None  # None for none
    cpu_limit_cores: float | None  # None for none
    liveness: bool  # it has a liveness probe
    liveness_initial_delay_s: int | None  # None without a liveness probe
    liveness_period_s: int | None
    liveness_failures: int | None  # in a row that kill it
    startup_probe: bool  # it has one, and then liveness waits for it


@dataclass(frozen=True, slots=True)
class PodDetails:
    """The workload's pods. Counts are of all pods that are not being deleted;
    `pods` are the worst of them.
    """

    desired: int  # spec.replicas
    total: int
    ready: int
    restarts: int  # of all containers
    rollout_complete: bool  # every pod is of the newest template, and ready
    paused: bool  # a paused Deployment does not roll out
    waiting: tuple[str, ...]  # distinct reasons of waiting containers
    unschedulable: (
        str  # of one pod that no node takes, what the scheduler says; "" when there is none
    )
    unschedulable_pod: str
    not_ready: tuple[str, ...]  # names, at most MOST_SHOWN
    crash_looping: bool  # a container waits with CrashLoopBackOff
    image_failing: bool  # one waits with ErrImagePull, ImagePullBackOff or InvalidImageName
    waiting_container: str  # one that waits and says why; "" when none does
    waiting_message: str  # what it says
    oom_container: (
        str  # the one with a memory limit that most pods lost to OOMKilled; "" when none did
    )
    oom_memory_limit: str  # its limit as written: 1Gi
    limited_container: str  # the only one with a memory limit; "" when none or several have one
    limited_memory_limit: str  # its limit as written
    # The one with a liveness probe and no startup probe that most pods lost to exit 137 for another
    # reason than memory: "" when there is none.
    killed_container: str
    killed_initial_delay_s: int  # of its liveness probe; 0 when there is none
    containers: tuple[ContainerGroup, ...]
    pods: tuple[PodState, ...]  # not ready and most restarted first, at most MOST_SHOWN


async def pods(snapshot: Snapshot) -> PodDetails:
    """The pods now. Raises what the reader raises;
    Refused(not_found) for a workload that does not exist.
    """
    found = await snapshot.workload()
    return details(snapshot.target.kind, found, await snapshot.pods())


def details(kind: TargetKind, workload: Object, found: Sequence[Object]) -> PodDetails:
    """The same from the objects, without waiting."""
    states = sorted((as_pod(pod) for pod in found), key=_worst_first)
    spec = (((workload.get("spec") or {}).get("template") or {}).get("spec")) or {}
    unplaced = next((pod for pod in states if pod.unschedulable), None)
    groups = tuple(_groups(spec, states))
    waits = next((g for g in groups if g.message), None)
    limited = [g for g in groups if g.memory_limit]
    oom = max((g for g in limited if g.oom_killed), key=lambda g: g.oom_killed, default=None)
    impatient = [g for g in groups if g.killed and g.liveness and not g.startup_probe]
    killed = max(impatient, key=lambda g: g.killed, default=None)
    waiting = _distinct(c.waiting for pod in states for c in pod.containers)
    return PodDetails(
        desired=desired(workload),
        total=len(states),
        ready=sum(pod.ready for pod in states),
        restarts=sum(pod.restarts for pod in states),
        rollout_complete=rollout_complete(kind, workload),
        paused=bool((workload.get("spec") or {}).get("paused")),
        waiting=waiting,
        unschedulable=safe(unplaced.unschedulable) if unplaced else "",
        unschedulable_pod=unplaced.name if unplaced else "",
        not_ready=tuple(pod.name for pod in states if not pod.ready)[:MOST_SHOWN],
        crash_looping="CrashLoopBackOff" in waiting,
        image_failing=not _IMAGE.isdisjoint(waiting),
        waiting_container=waits.name if waits else "",
        waiting_message=waits.message if waits else "",
        oom_container=oom.name if oom else "",
        oom_memory_limit=oom.memory_limit if oom else "",
        limited_container=limited[0].name if len(limited) == 1 else "",
        limited_memory_limit=limited[0].memory_limit if len(limited) == 1 else "",
        killed_container=killed.name if killed else "",
        killed_initial_delay_s=(killed.liveness_initial_delay_s or 0) if killed else 0,
        containers=groups,
        pods=tuple(shown(pod) for pod in states[:MOST_SHOWN]),
    )


def _worst_first(pod: PodState) -> tuple[bool, int, str]:
    return pod.ready, -pod.restarts, pod.name


def _distinct(reasons: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({reason for reason in reasons if reason}))


def as_pod(pod: Object) -> PodState:
    """One pod from its object, its texts as they are: redacting takes a while,
    and few of many pods are shown.
    """
    status, labels = pod.get("status") or {}, metadata(pod).get("labels") or {}
    conditions = status.get("conditions") or ()
    untrue = [c for c in conditions if c.get("status") != "True"]
    unplaced = next((c for c in untrue if c.get("reason") == "Unschedulable"), None)
    containers = [_container(c, init=True) for c in status.get("initContainerStatuses") or ()]
    containers += [_container(c, init=False) for c in status.get("containerStatuses") or ()]
    return PodState(
        name=name(pod),
        uid=str(metadata(pod).get("uid", "")),
        phase=str(status.get("phase", "Unknown")),
        ready=any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions),
        node=str((pod.get("spec") or {}).get("nodeName") or ""),
        revision=str(
            labels.get("pod-template-hash") or labels.get("controller-revision-hash") or ""
        ),
        created_at=instant(metadata(pod).get("creationTimestamp")),
        problems=_distinct(str(c.get("reason") or c.get("type")) for c in untrue),
        unschedulable=str(unplaced.get("message") or "Unschedulable")[:_READ] if unplaced else "",
        restarts=sum(c.restarts for c in containers),
        containers=tuple(containers),
    )


def shown(pod: PodState) -> PodState:
    """The same pod, its texts bounded and redacted."""
    containers = tuple(replace(c, message=safe(c.message)) for c in pod.containers)
    return replace(pod, unschedulable=safe(pod.unschedulable), containers=containers)


def _container(status: Mapping[str, Any], *, init: bool) -> ContainerState:  # Any: JSON
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    # A container that is dead now and has not been started again has its end in `state`.
    end = state.get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
    began, ended = instant(end.get("startedAt")), instant(end.get("finishedAt"))
    return ContainerState(
        name=str(status.get("name", "")),
        init=init,
        ready=bool(status.get("ready")),
        started=bool(status.get("started")),
        restarts=int(status.get("restartCount") or 0),
        waiting=str(waiting.get("reason") or ""),
        message=str(waiting.get("message") or "")[:_READ],
        last_reason=str(end.get("reason") or ""),
        last_exit=int(end["exitCode"]) if end.get("exitCode") is not None else None,
        last_finished_at=ended,
        last_ran_s=(ended - began).total_seconds() if began and ended else None,
    )


def _groups(spec: Mapping[str, Any], states: Sequence[PodState]) -> Iterable[ContainerGroup]:
    by_name: dict[str, list[ContainerState]] = {}
    for pod in states:
        for container in pod.containers:
            by_name.setdefault(container.name, []).append(container)
    written = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    for container in written:
        yield _group(container, by_name.get(str(container.get("name", "")), []))


def _group(written: Mapping[str, Any], states: Sequence[ContainerState]) -> ContainerGroup:
    resources = written.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    liveness = written.get("livenessProbe")
    ended = [s for s in states if s.last_exit is not None]
    newest = max(
        ended, key=lambda s: s.last_finished_at.timestamp() if s.last_finished_at else 0.0,
        default=None,
    )  # fmt: skip
    oom = [s for s in ended if s.last_reason == "OOMKilled"]
    return ContainerGroup(
        name=str(written.get("name", "")),
        pods=len(states),
        ready=sum(s.ready for s in states),
        started=sum(s.started for s in states),
        restarts=sum(s.restarts for s in states),
        restarts_max=max((s.restarts for s in states), default=0),
        waiting=_distinct(s.waiting for s in states),
        message=safe(next((s.message for s in states if s.message), "")),
        oom_killed=len(oom),
        killed=sum(s.last_exit == 137 for s in ended) - sum(s.last_exit == 137 for s in oom),
        crashed=sum(s.last_exit not in (0, 137, 143) for s in ended),
        last_exit=newest.last_exit if newest else None,
        last_finished_at=newest.last_finished_at if newest else None,
        memory_limit=str(limits.get("memory", "")),
        memory_limit_bytes=_bytes(limits.get("memory")),
        memory_request_bytes=_bytes(requests.get("memory")),
        cpu_limit_cores=quantity(limits["cpu"]) if limits.get("cpu") is not None else None,
        liveness=liveness is not None,
        liveness_initial_delay_s=_probe(liveness, "initialDelaySeconds", 0),
        liveness_period_s=_probe(liveness, "periodSeconds", 10),
        liveness_failures=_probe(liveness, "failureThreshold", 3),
        startup_probe=written.get("startupProbe") is not None,
    )


def _bytes(written: object) -> int | None:
    return None if written is None else int(quantity(str(written)))


def _probe(probe: Mapping[str, Any] | None, field: str, default: int) -> int | None:
    return None if probe is None else int(probe.get(field) or default)
