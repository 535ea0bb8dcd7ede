"""A cluster, a writer on it, and attempts at actions as the executor makes them.
Used by the tests of the kinds.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rehearsal.cluster import Cluster, Delays, carbon_ingestion
from service.act import KINDS
from service.act.executor import Attempt, Executor
from service.act.kind import Deed, Writers
from service.clients.kubernetes_write import KubernetesWriter
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NS = "carbon-ingestion"
SERVICE = Target(TargetKind.DEPLOYMENT, NS, "normalization-service")
CONFIG = "carbon-ingestion-config"

DONE = (Applied.DONE, Reason.DONE)
ALREADY = (Applied.DONE, Reason.ALREADY_DONE)
DRY = (Applied.DRY, Reason.MODE_DRY_RUN)
GOING_ON = (Applied.STARTED, Reason.IN_PROGRESS)


def failed(reason: Reason) -> tuple[Applied, Reason]:
    return Applied.FAILED, reason


def planned(kind: str, target: Target, /, **arguments: Any) -> Any:
    """The request of a kind, or NotPossible, from arguments as YAML has them."""
    known = KINDS[kind]
    return known.plan(target, known.arguments(**arguments))


def intent(
    kind: str,
    request: Any,
    *,
    mode: Mode = Mode.AUTO,
    action_id: str = "act-1",
    uids: Mapping[str, str] | None = None,
) -> Intent[Any]:
    assert not isinstance(request, NotPossible), request.detail
    return Intent(action_id, "inc-1", "rung", kind, request, mode, T0, uids or {})


class Raced(KubernetesWriter):
    """A writer with somebody behind it, who acts once: after the object was read,
    right before the first write.
    """

    race: Callable[[], object] | None = None

    async def patch(self, path: str, body: Any, **options: Any) -> Any:
        self._run(options)
        return await super().patch(path, body, **options)

    async def apply(self, path: str, body: Any, **options: Any) -> Any:
        self._run(options)
        return await super().apply(path, body, **options)

    def _run(self, options: dict[str, Any]) -> None:
        race = self.race
        if race is not None and not options.get("dry_run"):
            self.race = None
            race()


@dataclass
class Stage:
    """One cluster, and the executor on it."""

    cluster: Cluster
    writer: Raced
    executor: Executor
    clock: VirtualClock
    confirmed: list[str] = field(default_factory=list)

    async def attempt(
        self, intended: Intent[Any], *, look_first: bool = False, lapsed: Reason | None = None
    ) -> Attempt:
        async def confirm() -> None:
            self.confirmed.append(intended.action_id)

        return await self.executor.attempt(
            intended,
            look_first=look_first,
            lapsed=lapsed,
            confirm=confirm,
            deadline=Deadline.after(10.0),
        )

    async def said(self, intended: Intent[Any], **options: Any) -> tuple[Applied, Reason]:
        attempt = await self.attempt(intended, **options)
        assert isinstance(attempt, Deed), attempt
        return attempt.applied, attempt.reason

    @property
    def writes(self) -> list[str]:
        """Methods and paths of what was written, dry runs left out."""
        return [
            f"{asked.method} {asked.path}"
            for asked in self.cluster.requests
            if asked.method != "GET" and "dryRun" not in f"{asked.query} {asked.body}"
        ]

    def get(self, plural: str, name: str) -> Any:
        return self.cluster.get(plural, NS, name)

    def replace(self, plural: str, name: str) -> None:
        """Somebody deletes the object and makes another one under its name."""
        found = self.get(plural, name)
        self.cluster.remove(plural, NS, name)
        for gone in ("uid", "resourceVersion", "creationTimestamp"):
            found["metadata"].pop(gone, None)
        self.cluster.seed([found])


def platform(*names: str) -> Sequence[dict[str, Any]]:
    """The objects of the platform that have one of these names, and what they need to run."""
    wanted = {"Namespace", "Node"}
    return [o for o in carbon_ingestion() if o["kind"] in wanted or o["metadata"]["name"] in names]


@asynccontextmanager
async def staged(
    folder: Path, seeds: Sequence[dict[str, Any]], *, known_good: Path | None = None, **more: Any
) -> AsyncIterator[Stage]:
    async with Cluster(seeds, delays=Delays(0, 0, 0, 0), **more) as cluster:
        settings = KubernetesSettings(kubeconfig=cluster.kubeconfig(folder / "kubeconfig"))
        async with Raced(settings) as writer:
            clock = VirtualClock(T0)
            writers = Writers(clock, kubernetes=writer, known_good=known_good)
            yield Stage(cluster, writer, Executor.of(KINDS, writers), clock)


def dry(intended: Intent[Any]) -> Intent[Any]:
    return replace(intended, mode=Mode.DRY_RUN)
