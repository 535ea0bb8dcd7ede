"""A stage for kinds of action that write to Kubernetes: an emulated cluster,
a writer, and somebody behind it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rehearsal.cluster import Cluster, Cut, Delays, Fault, carbon_ingestion, too_many_requests
from rehearsal.cluster.faults import Injected
from service.act.kind import Deed, Hand, Permit, TargetState
from service.clients.kubernetes import Object, workload_path
from service.clients.kubernetes_write import KubernetesWriter
from service.kit.deadline import Deadline
from service.model.action import Intent, Mode, Request
from service.model.errors import ParamedicError
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings
from tests.unit.made import T0

NS = "carbon-ingestion"
TARGET = Target(TargetKind.DEPLOYMENT, NS, "normalization-service")
KAFKA = Target(TargetKind.STATEFULSET, NS, "kafka")
PATH = workload_path(TARGET)

Step = Callable[[], Awaitable[object] | object]


async def at_once() -> None:
    """Nothing stands against a write."""


class Staged(KubernetesWriter):
    """A writer with somebody behind it: `before` and `after` run around its first
    patch, whatever that does.
    """

    before: Step = staticmethod(lambda: None)
    after: Step = staticmethod(lambda: None)
    patches = 0

    async def patch(self, path: str, body: Object, **options: Any) -> Object:
        self.patches += 1
        if self.patches > 1:
            return await super().patch(path, body, **options)
        await _ran(self.before)
        try:
            return await super().patch(path, body, **options)
        finally:
            await _ran(self.after)


async def _ran(step: Step) -> None:
    outcome = step()
    if isinstance(outcome, Awaitable):
        await outcome


def intent(
    request: Request,
    kind: str,
    mode: Mode = Mode.AUTO,
    *,
    action_id: str = "act-1",
    uids: Mapping[str, str] | None = None,
) -> Intent[Any]:
    return Intent(action_id, "inc-1", "rung", kind, request, mode, T0, uids or {})


async def outcome(
    hand: Hand[Any],
    wanted: Intent[Any],
    *,
    confirm: Callable[[], Awaitable[None]] = at_once,
    within_s: float = 10.0,
) -> tuple[str, Reason]:
    """How one attempt ends: the deed's word or the error's, and the reason."""
    permit = Permit(wanted, Deadline.after(within_s), confirm)
    try:
        deed: Deed = await hand.apply(permit)
    except ParamedicError as error:
        return type(error).__name__, error.reason
    return str(deed.applied), deed.reason


@dataclass
class Stage:
    """One cluster, one kind's hand on it, and what became of the Deployment."""

    cluster: Cluster
    writer: Staged
    hand: Hand[Any]
    kind: str
    first_generation: int
    confirmed: int = field(default=0)

    async def act(
        self,
        request: Request,
        mode: Mode = Mode.AUTO,
        *,
        uids: Mapping[str, str] | None = None,
        within_s: float = 10.0,
    ) -> tuple[str, Reason]:
        async def confirm() -> None:
            self.confirmed += 1

        wanted = intent(request, self.kind, mode, uids=uids)
        return await outcome(self.hand, wanted, confirm=confirm, within_s=within_s)

    async def read_back(
        self, request: Request, *, uids: Mapping[str, str] | None = None
    ) -> TargetState:
        wanted = intent(request, self.kind, uids=uids)
        return await self.hand.read_back(wanted, Deadline.after(5.0))

    @property
    def sent(self) -> int:
        """Patches that reached the server, dry runs not counted."""
        return sum(a.method == "PATCH" and "dryRun" not in a.query for a in self.cluster.requests)

    @property
    def effects(self) -> int:
        """How often the spec was changed: its generation counts that."""
        return int(self.found["metadata"]["generation"]) - self.first_generation

    @property
    def found(self) -> Any:
        return self.cluster.get("deployments", NS, TARGET.name)

    @property
    def uid(self) -> str:
        return str(self.found["metadata"]["uid"])

    def meet(self, *trouble: Fault) -> list[Injected]:
        return [self.cluster.inject(fault) for fault in trouble]

    def edit(self, **spec: object) -> None:
        """By somebody else."""
        self.cluster.edit("deployments", NS, TARGET.name, lambda d: d["spec"].update(spec))

    def remove(self) -> None:
        self.cluster.remove("deployments", NS, TARGET.name)

    def make_anew(self) -> None:
        """Another object under the same name."""
        self.remove()
        self.cluster.seed(o for o in carbon_ingestion() if o["metadata"]["name"] == TARGET.name)

    def has_kafka(self, **spec: object) -> None:
        self.cluster.seed(o for o in carbon_ingestion() if o["metadata"]["name"] == "kafka")
        self.cluster.edit("statefulsets", NS, "kafka", lambda s: s["spec"].update(spec))


@asynccontextmanager
async def stage(
    folder: Path, kind: str, hand: Callable[[KubernetesWriter], Hand[Any]]
) -> AsyncIterator[Stage]:
    wanted = {"Namespace", "Node"}
    seeds = [
        o for o in carbon_ingestion() if o["kind"] in wanted or o["metadata"]["name"] == TARGET.name
    ]
    async with Cluster(seeds, delays=Delays(0, 0, 0, 0)) as cluster:
        settings = KubernetesSettings(kubeconfig=cluster.kubeconfig(folder / "kubeconfig"))
        async with Staged(settings) as writer:
            generation = cluster.get("deployments", NS, TARGET.name)["metadata"]["generation"]
            yield Stage(cluster, writer, hand(writer), kind, generation)


def answer(code: int, text: str = "", *, done: bool = False) -> Fault:
    body = {"kind": "Status", "status": "Failure", "code": code, "message": text}
    return Fault("PATCH", status=code, body=body, times=1, after_commit=done)


def cut(how: Cut, *, done: bool) -> Fault:
    return Fault("PATCH", cut=how, times=1, after_commit=done)


DONE = ("done", Reason.DONE)
ALREADY_DONE = ("done", Reason.ALREADY_DONE)
DRY = ("dry", Reason.MODE_DRY_RUN)
LOST = ("Indeterminate", Reason.INDETERMINATE)
WEBHOOK = 'Internal error occurred: failed calling webhook "policy.example.com": connection refused'
PAGE = Fault("PATCH", status=200, body="<html>a proxy</html>", after_commit=True, times=1)


def failed(reason: Reason) -> tuple[str, Reason]:
    return "failed", reason


# One attempt: trouble, how it ends, patches that arrived, changes that came of it.
# Whatever is lost is said to be lost, and nothing is sent twice: that is the executor's to
# decide, after reading back.
ATTEMPTS: dict[str, tuple[Fault | None, tuple[str, Reason], int, int]] = {
    "no trouble": (None, DONE, 1, 1),
    "the reply is lost after the write": (cut(Cut.RESET, done=True), LOST, 1, 1),
    "the reply is lost before the write": (cut(Cut.RESET, done=False), LOST, 1, 0),
    "the reply breaks off": (cut(Cut.TRUNCATE, done=True), LOST, 1, 1),
    "the reply cannot be read": (PAGE, LOST, 1, 1),
    "500 after the write": (answer(500, "etcd", done=True), LOST, 1, 1),
    "500 before the write": (answer(500, "etcd"), LOST, 1, 0),
    "503 after the write": (answer(503, "proxy", done=True), LOST, 1, 1),
    "504 after the write": (answer(504, "Timeout", done=True), LOST, 1, 1),
    "a webhook fails": (answer(500, WEBHOOK), ("Unavailable", Reason.SERVER_ERROR), 1, 0),
    "shed": (too_many_requests("PATCH", times=1), ("Unavailable", Reason.THROTTLED), 1, 0),
    "400": (answer(400), ("Refused", Reason.INVALID_REQUEST), 1, 0),
    "403": (answer(403), ("Refused", Reason.FORBIDDEN), 1, 0),
    "404": (answer(404), ("Refused", Reason.NOT_FOUND), 1, 0),
    "415": (answer(415), ("Refused", Reason.INVALID_REQUEST), 1, 0),
    "422": (answer(422), ("Refused", Reason.INVALID_REQUEST), 1, 0),
    "a 401 once": (answer(401), DONE, 2, 1),
    "reading fails": (Fault("GET", cut=Cut.RESET), ("Unavailable", Reason.CONNECTION_LOST), 0, 0),
    "reading is refused": (Fault("GET", status=403), ("Refused", Reason.FORBIDDEN), 0, 0),
}
