"""A whole service without backends: the real store, sorter, guard and pipeline; scripted sources and hands.

Called by the tests of this folder. The clock is virtual, so hours pass in no time.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from service.act.executor import Executor
from service.act.kill_query import KillQuery
from service.act.kind import Deed, TargetState
from service.act.rollout_restart import RolloutRestart
from service.act.scale import Scale
from service.decide.course import Patience
from service.intake.sorter import Sorter
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode
from service.model.evidence import Evidence
from service.model.incident import Incident
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.pipeline import remediate
from service.record.metrics import Metrics
from service.settings import GuardSettings
from service.stages import Stages
from service.store.database import Database
from service.store.episodes import Episodes
from service.store.inbox import Inbox
from service.store.incidents import Incidents
from service.store.ledger import Ledger
from tests.unit.made import body, evidence, item, shipped


class Crash(BaseException):
    """The process dies here: nothing may catch it."""


@dataclass
class Platform:
    """What is acted on. Every write is idempotent by its action's id, and every effect is counted."""

    replicas: int = 2
    queries: set[str] = field(default_factory=lambda: {"q1"})
    effects: list[str] = field(default_factory=list)  # action ids, one an effect
    on_apply: Callable[[Intent], None] = lambda intent: None  # may raise, before the effect
    after_apply: Callable[[Intent], None] = lambda intent: None  # may raise, after it

    async def apply(self, intent: Intent, deadline: Deadline) -> Deed:
        self.on_apply(intent)
        if intent.mode is Mode.DRY_RUN:
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, "the server would take it")
        if await self.read_back(intent, deadline) is not TargetState.APPLIED:
            match intent.action:
                case Scale() as scale:
                    self.replicas = scale.to_replicas
                case KillQuery() as kill:
                    self.queries.discard(kill.query_id)
                case RolloutRestart():
                    pass
            self.effects.append(intent.action_id)
        self.after_apply(intent)
        return Deed(Applied.DONE, Reason.DONE, "taken")

    async def read_back(self, intent: Intent, deadline: Deadline) -> TargetState:
        if intent.action_id in self.effects:
            return TargetState.APPLIED
        match intent.action:
            case Scale() as scale if self.replicas == scale.to_replicas:
                return TargetState.APPLIED
            case Scale() as scale if self.replicas != scale.from_replicas:
                return TargetState.CHANGED
            case KillQuery() as kill if kill.query_id not in self.queries:
                return TargetState.APPLIED
        return TargetState.UNTOUCHED


@dataclass
class World:
    """One store and what works on it. `see` answers each diagnosis; `restart` is a new process on the same file."""

    url: str
    clock: VirtualClock
    platform: Platform
    mode: Mode = Mode.AUTO
    limits: GuardSettings = field(default_factory=GuardSettings)
    patience: Patience = field(default_factory=lambda: Patience(60.0, 7_200.0))
    playbooks: tuple[Playbook, ...] = field(default_factory=lambda: (shipped(),))
    see: Callable[["World", Playbook], Evidence] = lambda world, playbook: world.as_it_is()
    looks: int = 0
    database: Database = field(init=False)
    inbox: Inbox = field(init=False)
    incidents: Incidents = field(init=False)
    ledger: Ledger = field(init=False)
    metrics: Metrics = field(init=False)
    episodes: Episodes = field(init=False)
    stages: Stages = field(init=False)
    sorter: Sorter = field(init=False)
    committing: "asyncio.Task[None]" = field(init=False)
    woken: int = 0

    async def start(self) -> None:
        """Opens the store and builds the rooms on it."""
        self.database = await Database.open(self.url)
        self.inbox = Inbox(self.database, self.clock, max_waiting=1_000, max_dead_letters=10)
        await self.inbox.open()
        self.episodes, self.incidents = Episodes(self.database), Incidents(self.database)
        self.ledger, self.metrics = Ledger(self.database), Metrics()
        await self.incidents.release_all()
        hands = dict.fromkeys((Scale.kind, KillQuery.kind, RolloutRestart.kind), self.platform)
        self.stages = Stages(
            playbooks={p.name: p for p in self.playbooks}, look=self._look,
            executor=Executor(hands, self.clock, 30.0), incidents=self.incidents, ledger=self.ledger,
            metrics=self.metrics, limits=self.limits, ceiling=self.mode, patience=self.patience, clock=self.clock,
        )  # fmt: skip
        self.sorter = Sorter(
            self.inbox,
            self.episodes,
            self.playbooks,
            self.limits.namespaces,
            self.metrics,
            self.clock,
            self._wake,
        )
        self.committing = asyncio.create_task(self.inbox.run())

    async def stop(self) -> None:
        """The process is gone."""
        self.committing.cancel()
        await asyncio.wait([self.committing])
        await self.database.close()

    async def restart(self) -> None:
        """A new process on the same store and the same platform."""
        await self.stop()
        await self.start()

    def _wake(self) -> None:
        self.woken += 1

    async def _look(self, playbook: Playbook, incident: Incident) -> Evidence:
        self.looks += 1
        return self.see(self, playbook)

    def as_it_is(self) -> Evidence:
        """A platform that three consumers heal, if no runaway query holds it back."""
        now = self.clock.now()
        if self.replicas_suffice and not self.runaway:
            pods = {"desired": self.platform.replicas, "ready": self.platform.replicas}
            return evidence(now, kafka={"lag_total": 10, "lag_growing": False}, pods=pods)
        pods = {"desired": self.platform.replicas, "ready": self.platform.replicas}
        query: dict[str, Any] = {}
        if self.runaway:
            query = {
                "longest_query_s": 600.0,
                "longest_query_id": "q1",
                "longest_query_user": "analyst",
            }
        return evidence(now, pods=pods, clickhouse=query)

    runaway_matters: bool = False
    replicas_needed: int = 3

    @property
    def runaway(self) -> bool:
        return self.runaway_matters and "q1" in self.platform.queries

    @property
    def replicas_suffice(self) -> bool:
        return self.platform.replicas >= self.replicas_needed

    # ------------------------------------------------------------------ what happens

    async def deliver(self, *items: dict[str, Any]) -> None:
        """A webhook arrives and is sorted."""
        await self.inbox.accept(json.dumps(body(items)).encode())
        while await self.sorter.sort_batch():
            pass

    async def fires(self, fingerprint: str = "f1", **labels: str) -> None:
        await self.deliver(item(fingerprint, labels={**item()["labels"], **labels}))

    async def resolves(self, fingerprint: str = "f1", **labels: str) -> None:
        ends_at = f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}"
        told = item(
            fingerprint, status="resolved", ends_at=ends_at, labels={**item()["labels"], **labels}
        )
        await self.deliver(told)

    async def round(self, owner: str = "w1") -> bool:
        """Claims what is due and takes it one round further; False when nothing is due."""
        incident = await self.incidents.claim(owner, self.clock.now(), timedelta(seconds=60))
        if incident is None:
            return False
        await remediate(incident, self.stages)
        await self.incidents.release(incident, owner)
        return True

    async def settle(self, rounds: int = 80) -> None:
        """Works until nothing is due, or every incident is healed, with a person or closed."""
        for _ in range(rounds):
            if await self.round():
                continue
            due = await self.incidents.next_due("w1", self.clock.now())
            counts = await self.incidents.counts()
            if due is None or not counts.get("open"):
                return
            self.clock.advance(max(0.0, (due - self.clock.now()).total_seconds()))
        raise AssertionError(f"not settled after {rounds} rounds: {await self.told()}")

    # ------------------------------------------------------------------ what became of it

    async def only(self) -> Incident:
        """The one incident there is."""
        (row,) = await self.incidents.listing(10)
        found = await self.incidents.get(row["id"])
        assert found is not None
        return found

    async def told(self) -> list[tuple[str, str]]:
        """The steps of the newest incident: kind, and the word that matters."""
        row = (await self.incidents.listing(1))[0]
        record = await self.incidents.record(row["id"])
        assert record is not None
        return [(s["kind"], _word(s["kind"], s["data"])) for s in record[2]]

    async def actions(self) -> list[tuple[str, str | None, str | None]]:
        """Lines of the ledger, oldest first: rung, applied, outcome."""
        rows = sorted(
            await self.ledger.entries(None, 100), key=lambda r: (r["intended_at"], r["action_id"])
        )
        return [(r["rung"], r["applied"], r["outcome"]) for r in rows]

    def count(self, metric: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(metric, labels) or 0.0


def _word(kind: str, data: dict[str, Any]) -> str:
    match kind:
        case "decided":
            return str(data["chosen"] or data["reason"])
        case "ruled":
            return str(data["reason"])
        case "acted":
            return str(data["result"]["applied"])
        case "verified":
            return str(data["outcome"]["kind"])
        case "moved":
            return str(data["state"])
        case "read":
            return str(data["healed"])
        case _:
            return ""


@asynccontextmanager
async def world(url: str, clock: VirtualClock, **more: Any) -> AsyncIterator[World]:
    """A running world."""
    made = World(url, clock, Platform(), **more)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
