"""Pods: put on a node, started, ready, crashed, backed off, stopped.
The embedder does the pod's work.

Never here: why a pod exists.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rehearsal.cluster import logs as log_lines
from rehearsal.cluster import podstatus, quantity
from rehearsal.cluster.failures import (
    Broken,
    MissingReference,
    SlowStart,
    Unready,
    ends_after_s,
    names,
)
from rehearsal.cluster.objects import (
    Object,
    clone,
    is_ready,
    is_terminating,
    name_of,
    namespace_of,
    uid_of,
)
from rehearsal.cluster.resources import CONFIG_MAPS, NODES, PODS, SECRETS
from rehearsal.cluster.world import World


class Kubelet(Protocol):
    """The work behind the pods. Each call gets the pod as it is;
    start and stop of one pod never overlap.
    """

    async def start(self, pod: Object) -> None:
        """Begins the work; the pod becomes ready after this returned.
        Raise `ContainerExitedError` to crash it.
        """

    async def stop(self, pod: Object) -> None:
        """Ends the work: the pod is being deleted, or a container of it died
        (also by failing to start).

        A deleted pod is gone only after this returned. At the end of the cluster nothing is
        stopped: whoever began the work outlives it.
        """


class ContainerExitedError(Exception):
    """Raised out of `start`: the container ended. It is restarted,
    at once and then after the usual back-off.
    """

    def __init__(
        self, exit_code: int = 1, reason: str = "Error", lines: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"exit code {exit_code}: {reason}")
        self.exit_code = exit_code
        self.reason = reason
        self.lines = lines


@dataclass(slots=True)
class _Life:
    """What the node knows of one pod. `turn` tells a stale timer that its pod has moved on."""

    working: bool = False  # start was called and stop was not
    turn: int = 0
    crashes: int = 0
    ending: bool = False
    hand: asyncio.Lock | None = None


class Node:
    """The scheduler and all kubelets in one."""

    def __init__(self, world: World, kubelet: Kubelet | None) -> None:
        self._world = world
        self._kubelet = kubelet
        self._lives: dict[str, _Life] = {}
        self.missing_images: set[str] = set()
        self.broken: list[Broken] = []

    def changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None:
                self._vanished(old)
            return
        life = self._lives.get(uid_of(new))
        if life is None:
            life = self._lives[uid_of(new)] = _Life(hand=asyncio.Lock())
            self._met(new, life)
        if is_terminating(new) and not life.ending and new["spec"].get("nodeName"):
            self._end(new, life)

    def _met(self, pod: Object, life: _Life) -> None:
        delays = self._world.delays
        if not pod["spec"].get("nodeName"):
            self._later(pod, life, delays.react_s, self._schedule)
        elif not pod["status"].get("containerStatuses"):
            self._later(pod, life, delays.start_s, self._start)
        elif is_ready(pod) and not is_terminating(pod):
            self._begin_work(pod, life, lambda: None)  # seeded as running: its work must run too

    def _later(
        self,
        pod: Object,
        life: _Life,
        delay_s: float,
        step: Callable[[Object, _Life], None],
        *,
        patient: bool = False,
    ) -> None:
        """The step happens unless the pod is gone, is ending or has moved on by then."""
        life.turn += 1
        turn, uid, namespace, name = life.turn, uid_of(pod), namespace_of(pod), name_of(pod)

        def act() -> None:
            current = self._world.store.get(PODS, namespace, name)
            if (
                current is not None
                and uid_of(current) == uid
                and life.turn == turn
                and not life.ending
            ):
                step(clone(current), life)

        self._world.timers.after(delay_s, act, patient=patient)

    def _save(self, pod: Object) -> None:
        self._world.write(PODS, pod, "kubelet")

    def _schedule(self, pod: Object, life: _Life) -> None:
        nodes = self._world.store.all(NODES)
        fitting = [node for node in nodes if _fits(pod, node)]
        if not fitting:
            text = (
                f"0/{len(nodes)} nodes are available: {len(nodes)} Insufficient memory."
                if nodes
                else ("no nodes available to schedule pods")
            )
            podstatus.unschedulable(pod, self._world.now(), text)
            self._save(pod)
            self._world.recorder.tell_of_scheduling(
                pod, "FailedScheduling", text, "Scheduling", "Warning"
            )
            return
        placed = [other["spec"].get("nodeName") for other in self._world.store.all(PODS)]
        node = min(
            fitting, key=lambda candidate: (placed.count(name_of(candidate)), name_of(candidate))
        )
        pod["spec"]["nodeName"] = name_of(node)
        podstatus.scheduled(pod, node, self._world.now())
        self._save(pod)
        self._world.recorder.tell_of_scheduling(
            pod,
            "Scheduled",
            f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {name_of(node)}",
            "Binding",
        )
        self._later(pod, life, self._world.delays.start_s, self._start)

    def _start(self, pod: Object, life: _Life) -> None:
        for container in pod["spec"]["containers"]:
            self._tell(pod, container, "Pulling", f'Pulling image "{container.get("image", "")}"')
        missing = [
            container
            for container in pod["spec"]["containers"]
            if container["image"] in self.missing_images
        ]
        if missing:
            for container in missing:
                self._tell(
                    pod, container, "Failed", podstatus.pull_failure(container["image"]), "Warning"
                )
            podstatus.pull_failed(
                pod, {container["name"] for container in missing}, self._world.now()
            )
            self._save(pod)
            self._later(pod, life, self._world.delays.back_off_s, self._start, patient=True)
            return
        if self._misses_a_reference(pod, life):
            return
        for container in pod["spec"]["containers"]:
            self._tell(
                pod, container, "Pulled", f'Successfully pulled image "{container["image"]}"'
            )
            self._begin_container(pod, container)
        podstatus.running(pod, self._world.now())
        self._save(pod)
        self._begin_work(pod, life, lambda: self._started(pod, life))

    def _misses_a_reference(self, pod: Object, life: _Life) -> bool:
        for entry in self.broken:
            failure = entry.failure
            if not isinstance(failure, MissingReference) or not entry.concerns(pod):
                continue
            if not names(pod, failure) or self._is_there(namespace_of(pod), failure):
                continue
            container, message = entry.container_of(pod), failure.message(namespace_of(pod))
            podstatus.config_error(pod, container["name"], message, self._world.now())
            self._save(pod)
            self._tell(pod, container, "Failed", f"Error: {message}", "Warning")
            self._later(pod, life, self._world.delays.back_off_s, self._start, patient=True)
            return True
        return False

    def _is_there(self, namespace: str, failure: MissingReference) -> bool:
        resource = CONFIG_MAPS if failure.kind == "configmap" else SECRETS
        found = self._world.store.get(resource, namespace, failure.name)
        return found is not None and (not failure.key or failure.key in found.get("data", {}))

    def _begin_container(self, pod: Object, container: Object) -> None:
        self._world.logs.began(pod, container["name"])
        for at, text in log_lines.starting_lines(pod, container["name"], self._world.clock.now()):
            self._world.logs.add(pod, container["name"], at, text)
        self._tell(pod, container, "Created", "Container created")
        self._tell(pod, container, "Started", "Container started")

    def _begin_work(self, pod: Object, life: _Life, then: Callable[[], None]) -> None:
        life.working = True
        if self._kubelet is None:
            then()
        else:
            self._world.timers.spawn(self._work(self._kubelet, pod, life, then))

    async def _work(
        self, kubelet: Kubelet, pod: Object, life: _Life, then: Callable[[], None]
    ) -> None:
        assert life.hand is not None
        try:
            async with life.hand:
                if life.ending:
                    return
                await kubelet.start(clone(pod))
        except ContainerExitedError as exited:
            self.crash(pod, pod["spec"]["containers"][0]["name"], exited)
        else:
            then()

    def _started(self, pod: Object, life: _Life) -> None:
        for entry in self.broken:
            if entry.concerns(pod) and self._strike(pod, life, entry):
                return
        self._later(pod, life, self._world.delays.ready_s, self._ready)

    def _strike(self, pod: Object, life: _Life, entry: Broken) -> bool:
        """What is scripted for a container that has just started: an end later, or no readiness."""
        container = entry.container_of(pod)
        if isinstance(entry.failure, Unready):
            self._tell_unready(pod, container)
            return True
        if isinstance(entry.failure, MissingReference):
            return False
        after_s = ends_after_s(entry.failure, container)
        if after_s is None:
            return False
        self._later(
            pod,
            life,
            after_s,
            lambda now, _: self._end_scripted(now, entry, container),
            patient=True,
        )
        return True

    def _end_scripted(self, pod: Object, entry: Broken, container: Object) -> None:
        failure = entry.failure
        if entry not in self.broken or isinstance(failure, Unready | MissingReference):
            self._ready(pod, self._lives[uid_of(pod)])  # healed while it ran
            return
        if isinstance(failure, SlowStart):
            address = f"http://{pod['status'].get('podIP', '')}"
            refused = f'Liveness probe failed: Get "{address}": connect: connection refused'
            self._tell(pod, container, "Unhealthy", refused, "Warning")
            killing = f"Container {container['name']} failed liveness probe, will be restarted"
            self._tell(pod, container, "Killing", killing)
        exited = ContainerExitedError(failure.exit_code, failure.reason, failure.lines)
        self.crash(pod, container["name"], exited)

    def break_running(self, entry: Broken) -> None:
        """Pods that run already: they end or become unready now.
        A missing reference waits for a new pod.
        """
        for pod in self._world.store.all(PODS, entry.namespace):
            if not entry.concerns(pod) or not is_ready(pod):
                continue
            if isinstance(entry.failure, Unready):
                self.set_ready(pod, ready=False)
            elif not isinstance(entry.failure, MissingReference) and (
                ends_after_s(entry.failure, entry.container_of(pod)) is not None
            ):
                self._end_scripted(clone(pod), entry, entry.container_of(pod))

    def heal(self, entry: Broken) -> None:
        if entry in self.broken:
            self.broken.remove(entry)
        if isinstance(entry.failure, Unready):
            for pod in self._world.store.all(PODS, entry.namespace):
                if (
                    entry.concerns(pod)
                    and not is_terminating(pod)
                    and pod["status"]["phase"] == "Running"
                ):
                    self.set_ready(pod, ready=True)

    def _ready(self, pod: Object, life: _Life) -> None:
        podstatus.set_ready(pod, self._world.now(), ready=True)
        self._save(pod)

    def set_ready(self, pod: Object, *, ready: bool) -> None:
        """Injected: the readiness probe fails, or succeeds again. Nothing restarts."""
        changed = clone(pod)
        podstatus.set_ready(changed, self._world.now(), ready=ready)
        if not ready:
            self._tell_unready(changed, changed["spec"]["containers"][0])
        self._save(changed)

    def _tell_unready(self, pod: Object, container: Object) -> None:
        failed = "Readiness probe failed: HTTP probe failed with statuscode: 503"
        self._tell(pod, container, "Unhealthy", failed, "Warning")

    def crash(self, pod: Object, container: str, exited: ContainerExitedError) -> None:
        """The container ends now. First restart at once, then after 10 s,
        20 s, 40 s ... up to 300 s.
        """
        life, current = (
            self._lives.get(uid_of(pod)),
            self._world.store.get(PODS, namespace_of(pod), name_of(pod)),
        )
        if life is None or life.ending or current is None or uid_of(current) != uid_of(pod):
            return
        dying = clone(current)
        for text in exited.lines:
            self._world.logs.add(dying, container, self._world.clock.now(), text)
        self._world.logs.ended(dying, container)
        podstatus.terminated(dying, container, exited.exit_code, exited.reason, self._world.now())
        self._save(dying)
        self._stop_work(dying, life, lambda: None)
        life.crashes += 1
        self._later(
            dying,
            life,
            self._world.delays.react_s,
            lambda now, its: self._restart(now, its, container),
        )

    def _restart(self, pod: Object, life: _Life, container: str) -> None:
        if life.crashes == 1:
            self._run_again(pod, life, container)
            return
        wait_s = min(self._world.delays.back_off_s * 2 ** (life.crashes - 2), 300.0)
        podstatus.backing_off(pod, container, wait_s)
        self._save(pod)
        spec = next(entry for entry in pod["spec"]["containers"] if entry["name"] == container)
        self._tell(
            pod,
            spec,
            "BackOff",
            f"Back-off restarting failed container {container} in pod {name_of(pod)}_"
            f"{namespace_of(pod)}({uid_of(pod)})",
            "Warning",
        )
        self._later(
            pod, life, wait_s, lambda now, its: self._run_again(now, its, container), patient=True
        )

    def _run_again(self, pod: Object, life: _Life, container: str) -> None:
        spec = next(entry for entry in pod["spec"]["containers"] if entry["name"] == container)
        self._tell(
            pod,
            spec,
            "Pulled",
            f'Container image "{spec["image"]}" already present on machine and can be accessed by the pod',
        )
        self._begin_container(pod, spec)
        podstatus.restarted(pod, container, self._world.now())
        self._save(pod)
        self._begin_work(pod, life, lambda: self._started(pod, life))

    def _stop_work(self, pod: Object, life: _Life, then: Callable[[], None]) -> None:
        if self._kubelet is None or not life.working:
            then()
            return
        life.working = False
        self._world.timers.spawn(self._unwork(self._kubelet, pod, life, then))

    async def _unwork(
        self, kubelet: Kubelet, pod: Object, life: _Life, then: Callable[[], None]
    ) -> None:
        assert life.hand is not None
        async with life.hand:
            await kubelet.stop(clone(pod))
        then()

    def _end(self, pod: Object, life: _Life) -> None:
        life.ending = True
        for container in pod["spec"]["containers"]:
            self._tell(pod, container, "Killing", f"Stopping container {container['name']}")

        def gone() -> None:
            current = self._world.store.get(PODS, namespace_of(pod), name_of(pod))
            if current is not None and uid_of(current) == uid_of(pod):
                self._world.store.remove(PODS, current)

        self._stop_work(
            pod, life, lambda: self._world.timers.after(self._world.delays.stop_s, gone)
        )

    def _vanished(self, pod: Object) -> None:
        """Removed from the store: by us after its end, or by force (grace period 0),
        and then the work ends late.
        """
        life = self._lives.pop(uid_of(pod), None)
        if life is not None:
            life.ending = True
            self._stop_work(pod, life, lambda: None)
        self._world.logs.forget(pod)

    def _tell(
        self, pod: Object, container: Object, reason: str, message: str, kind: str = "Normal"
    ) -> None:
        self._world.recorder.tell(
            pod,
            reason,
            message,
            "kubelet",
            kind=kind,
            host=pod["spec"].get("nodeName", ""),
            field_path=f"spec.containers{{{container['name']}}}",
        )


def _fits(pod: Object, node: Object) -> bool:
    """By the memory that this pod alone asks for: enough to have pods that fit nowhere."""
    if node.get("spec", {}).get("unschedulable"):
        return False
    asked = [
        container.get("resources", {}).get("requests", {}).get("memory", "0")
        for container in pod["spec"]["containers"]
    ]
    room = quantity.value(node.get("status", {}).get("allocatable", {}).get("memory", "64Gi"))
    return room is None or sum(quantity.value(text) or 0 for text in asked) <= room
