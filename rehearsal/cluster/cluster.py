"""The emulator as an embedder holds it: seed, start, look, disturb, wait, stop.

Never here: the API (server) and the behaviour of kinds (controllers, kubelet).
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from rehearsal.cluster import defaults, managed
from rehearsal.cluster.access import Identity
from rehearsal.cluster.controllers import Controllers
from rehearsal.cluster.custom import CustomResources, custom
from rehearsal.cluster.failures import Broken, Failure
from rehearsal.cluster.faults import Fault, Faults, Injected
from rehearsal.cluster.kubelet import ContainerExitedError, Kubelet, Node
from rehearsal.cluster.logs import Logs, line
from rehearsal.cluster.managed import Manager
from rehearsal.cluster.metrics import UsageSource
from rehearsal.cluster.objects import Object, clone
from rehearsal.cluster.recorder import Recorder
from rehearsal.cluster.resources import NAMESPACES, PODS, Generation, Resource, by_kind, by_plural
from rehearsal.cluster.server import Asked, Server
from rehearsal.cluster.store import Store
from rehearsal.cluster.timers import Timers
from rehearsal.cluster.world import AT_ONCE, Delays, World
from rehearsal.cluster.writes import type_of
from service.kit.clock import Clock, SystemClock

_SEEDED_BY = "kubectl-create"


class Cluster:
    """A Kubernetes API server with its controllers, one process, one port.

    `async with Cluster(objects=...)` returns when the seeded workloads are ready:
    their pods take no time to come up (`warm`), what happens later takes the `delays`.
    Without `identities` every caller is the administrator.
    """

    def __init__(
        self,
        objects: Iterable[Object] = (),
        *,
        kubelet: Kubelet | None = None,
        clock: Clock | None = None,
        delays: Delays | None = None,
        identities: Mapping[str, Identity] | None = None,
        usage: UsageSource | None = None,
        controllers: bool = True,
        warm: bool = True,
        remembered: int = 1000,
    ) -> None:
        self._seeds = list(objects)
        self._clock = clock or SystemClock()
        self._delays = delays or Delays()
        self._warm = warm
        self._identities = dict(identities or {})
        self._faults = Faults()
        self._timers = Timers(self._clock)
        self._store = Store(self._clock)
        self._world = World(
            self._store,
            self._clock,
            self._timers,
            AT_ONCE if warm else self._delays,
            Logs(),
            Recorder(self._store, self._clock),
            CustomResources(),
        )
        self._world.custom.follow(self._store)
        self._node = Node(self._world, kubelet)
        self._controllers = Controllers(self._world, self._node)
        self._controllers.running = controllers
        self._server = Server(self._world, self._identities, self._faults, usage, remembered)
        self._loop: asyncio.Task[None] | None = None
        self.url = ""

    async def __aenter__(self) -> "Cluster":
        self.seed(self._seeds)
        self._loop = asyncio.create_task(self._timers.run(), name="cluster-timers")
        self.url = f"http://127.0.0.1:{await self._server.start()}"
        if self._warm:
            try:
                await self.settled()
            except BaseException:
                await self._stop()
                raise
            self._world.delays = self._delays
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends everything; a failure in the background or inside the server is
        raised, unless one already is.
        """
        await self._stop()
        failures = [
            *self._server.failures,
            *([self._timers.failure] if self._timers.failure else []),
        ]
        if failures and error is None:
            raise failures[0]

    async def _stop(self) -> None:
        self._controllers.running = False
        await self._server.stop()
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._loop
        await self._timers.stop()

    @property
    def requests(self) -> deque[Asked]:
        """What was asked, oldest first, bounded."""
        return self._server.requests

    def kubeconfig(self, path: Path, token: str | None = None) -> Path:
        """A file that kubernetes_asyncio and kubectl read. JSON is YAML."""
        user = {"token": token} if token else {}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "rehearsal",
                    "clusters": [{"name": "rehearsal", "cluster": {"server": self.url}}],
                    "users": [{"name": "rehearsal", "user": user}],
                    "contexts": [
                        {
                            "name": "rehearsal",
                            "context": {"cluster": "rehearsal", "user": "rehearsal"},
                        }
                    ],
                }
            ),
            "utf-8",
        )
        return path

    def seed(self, objects: Iterable[Object]) -> None:
        """Puts objects in as an all-powerful writer: no rules, but defaults,
        and uid and versions where they lack.

        Namespaces that objects name are made. An object of the same name is replaced.
        Without managedFields it is owned as if by `kubectl create`; with an empty list it is
        not tracked until its first apply.
        """
        for obj in objects:
            resource = self._kind(obj["apiVersion"], obj["kind"])
            if resource is None:
                raise ValueError(f"not emulated: {obj['apiVersion']} {obj['kind']}")
            namespace = obj["metadata"].get("namespace", "default") if resource.namespaced else ""
            for needed in {namespace, "default", "kube-system"} - {""}:
                if self._store.get(NAMESPACES, "", needed) is None and resource is not NAMESPACES:
                    self.seed(
                        [{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": needed}}]
                    )
            filled = defaults.fill(obj["kind"], clone(obj))
            if resource.namespaced:
                filled["metadata"].setdefault("namespace", namespace)
            if resource.generation is not Generation.NEVER:
                filled["metadata"].setdefault("generation", 1)
            if "managedFields" not in filled["metadata"]:
                who = Manager(_SEEDED_BY)
                managed.updated(None, filled, type_of(resource), who, self._world.now())
            self._store.adopt(resource, filled)

    def install(
        self, group: str, version: str, plural: str, kind: str, *, namespaced: bool = True
    ) -> None:
        """A custom resource with an open schema, as its definition would bring it:
        `kafkas` of Strimzi, `applications` of Argo CD. What is not installed is 404.
        Before seeding objects of the kind.
        """
        self._world.custom.install(custom(group, version, plural, kind, namespaced=namespaced))

    def _kind(self, api_version: str, kind: str) -> Resource | None:
        return by_kind(api_version, kind) or self._world.custom.by_kind(api_version, kind)

    def _plural(self, plural: str) -> Resource:
        return self._world.custom.by_plural(plural) or by_plural(plural)

    def find(self, plural: str, namespace: str, name: str) -> Object | None:
        """A copy of one object, or None. Cluster-scoped kinds have namespace ""."""
        return clone(self._store.get(self._plural(plural), namespace, name))

    def get(self, plural: str, namespace: str, name: str) -> Object:
        """A copy of one object that must be there."""
        found = self.find(plural, namespace, name)
        if found is None:
            raise KeyError(f"{plural} {namespace}/{name}")
        return found

    def objects(self, plural: str, namespace: str = "") -> list[Object]:
        return clone(self._store.all(self._plural(plural), namespace))

    def edit(
        self,
        plural: str,
        namespace: str,
        name: str,
        change: Callable[[Object], None],
        *,
        manager: str = "kubectl-edit",
        subresource: str = "",
    ) -> Object:
        """Another writer changes an object behind everyone's back:
        generation and managedFields follow.
        """
        resource = self._plural(plural)
        old = self._store.get(resource, namespace, name)
        if old is None:
            raise KeyError(f"{plural} {namespace}/{name}")
        new = clone(old)
        change(new)
        if resource.generation is not Generation.NEVER and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        who = Manager(manager, "Update", subresource)
        managed.updated(old, new, type_of(resource), who, self._world.now())
        return clone(self._store.write(resource, new))

    def remove(self, plural: str, namespace: str, name: str) -> None:
        """Gone at once, without a graceful end."""
        found = self._store.get(self._plural(plural), namespace, name)
        if found is not None:
            self._store.remove(self._plural(plural), found)

    def on_change(self, listener: Callable[[str, Object | None, Object | None], None]) -> None:
        """Called at each write: plural, object before, object after.
        They are the store's own: do not change them.
        """
        self._store.listen(lambda resource, old, new: listener(resource.plural, old, new))

    def inject(self, fault: Fault) -> Injected:
        """A rule for requests to come, until removed; also a context manager."""
        return self._faults.inject(fault)

    def crash(
        self,
        namespace: str,
        pod: str,
        container: str = "",
        *,
        exit_code: int = 1,
        reason: str = "Error",
        lines: tuple[str, ...] = (),
    ) -> None:
        """The container ends now and is restarted: at once the first time, then after the
        back-off.
        """
        found = self._pod(namespace, pod)
        self._node.crash(
            found,
            container or found["spec"]["containers"][0]["name"],
            ContainerExitedError(exit_code, reason, lines),
        )

    def break_pods(
        self, namespace: str, workload: str, failure: Failure, *, pod: str = "", container: str = ""
    ) -> Broken:
        """The pods of a Deployment or StatefulSet fail as scripted (see `failures`), running and
        new ones, until `heal()` or the remedy. `pod`: that one alone; `container`: not the first.
        """
        broken = Broken(namespace, workload, failure, pod, container, self._node.heal)
        self._node.broken.append(broken)
        self._node.break_running(broken)
        return broken

    def set_ready(self, namespace: str, pod: str, *, ready: bool) -> None:
        """The readiness probe fails or succeeds; nothing is restarted."""
        self._node.set_ready(self._pod(namespace, pod), ready=ready)

    def log(self, namespace: str, pod: str, text: str, container: str = "") -> None:
        """A line in the log of a container, in the recorded form."""
        found = self._pod(namespace, pod)
        name = container or found["spec"]["containers"][0]["name"]
        self._world.logs.add(found, name, *line(self._clock.now(), name, text))

    @property
    def missing_images(self) -> set[str]:
        """Images that cannot be pulled: their pods stay in ImagePullBackOff
        until taken off this set.
        """
        return self._node.missing_images

    @property
    def identities(self) -> dict[str, Identity]:
        """By bearer token; may be changed while the cluster runs."""
        return self._identities

    def stop_controllers(self) -> None:
        """The API goes on; nothing reacts to what is written any more."""
        self._controllers.running = False

    def resume_controllers(self) -> None:
        self._controllers.resume()

    def compact(self) -> None:
        """Continue tokens of before are 410 from now on."""
        self._store.forget_snapshots()

    async def settled(self) -> None:
        """Returns when nothing is on its way but back-offs, autoscaler ticks and deadlines."""
        await self._timers.at_rest()

    def _pod(self, namespace: str, name: str) -> Object:
        found = self._store.get(PODS, namespace, name)
        if found is None:
            raise KeyError(f"pod {namespace}/{name}")
        return found
