"""A whole service without backends: the real store, sorter,
guards and pipeline; a scripted platform.

The clock is virtual, so hours pass in no time.
"""

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

import sqlalchemy as sa

from service.act import KINDS
from service.act.executor import Executor
from service.act.kill_query import KillQuery
from service.act.kind import AnyKind, Deed, Permit, TargetState
from service.act.scale import Scale
from service.desk.speaking import Desk
from service.guard.chain import CHAIN
from service.guard.question import Guard, Policy
from service.incident.lifecycle import Patience
from service.intake.budget import ByteBudget
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode
from service.model.causes import Causes
from service.model.course import CourseStep
from service.model.errors import Unavailable
from service.model.evidence import Evidence, Known, Reading, Unknown
from service.model.incident import Held, Incident
from service.model.objects import Surroundings, Survey, Write
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.model.target import Owner, Target, TargetKind
from service.phases.rooms import Attempts, FindOwner, Rooms
from service.record.journal import Journal
from service.record.metrics import Metrics
from service.route.sorting import Rules
from service.settings import GuardSettings
from service.sorter import Sorter
from service.store.approvals import Approvals
from service.store.controls import Controls
from service.store.database import Database
from service.store.episodes import Episodes
from service.store.inbox import Inbox
from service.store.incidents import Incidents
from service.store.ledger import Ledger
from service.worker import LEASE_S, Worker
from tests.unit.made import body, evidence, item, shipped

T = TypeVar("T")

LEASE = timedelta(seconds=LEASE_S)


class Crash(BaseException):
    """The process dies here: nothing may catch it."""


class SteppedClock(VirtualClock):
    """A virtual clock whose wall time may be set, as NTP or a person does it."""

    def step(self, seconds: float) -> None:
        """Sets the wall clock forward, or back; no time passes."""
        self._now += timedelta(seconds=seconds)


class MortalDatabase(Database):
    """A store under a process that may die, or lose the store, around one of its next writes.

    `fate`: "die" raises Crash, "away" raises Unavailable(store_down). `after`:
    the write is committed before that.
    """

    writes_left: int | None = None  # until the fatal one; None: none is
    fate: Literal["die", "away"] = "die"
    after: bool = False

    async def write(
        self, transaction: Callable[[sa.Connection], T], *, optional: bool = False
    ) -> T:
        if self.writes_left is None:
            return await super().write(transaction, optional=optional)
        self.writes_left -= 1
        if self.writes_left >= 0:
            return await super().write(transaction, optional=optional)
        self.writes_left = None
        if self.after:
            await super().write(transaction, optional=optional)
        if self.fate == "die":
            raise Crash
        raise Unavailable(Reason.STORE_DOWN, "the connection broke")


@dataclass
class Platform:
    """What is acted on. Every write is idempotent by its action's id, and every effect is
    counted.
    """

    replicas: int = 2
    queries: set[str] = field(default_factory=lambda: {"q1"})
    effects: list[str] = field(default_factory=list)  # action ids, one per effect
    on_apply: Callable[[Intent[Any]], None] = lambda intent: None  # may raise, before the effect
    after_apply: Callable[[Intent[Any]], None] = lambda intent: None  # may raise, after it
    before_read: Callable[[Intent[Any]], None] = lambda intent: (
        None
    )  # may raise: it cannot be read back
    surveys: Callable[[Sequence[Write]], Reading[tuple[Survey, ...]]] | None = None

    async def apply(self, permit: Permit[Any]) -> Deed:
        intent = permit.intent
        self.on_apply(intent)
        if intent.mode is Mode.DRY_RUN:
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, "the server would take it")
        if self._state(intent) is not TargetState.APPLIED:
            await permit.confirm()
            match intent.request:
                case Scale() as scale:
                    self.replicas = scale.to_replicas
                case KillQuery() as kill:
                    self.queries.discard(kill.query_id)
                case _:  # a restart changes nothing that is looked at here
                    pass
            self.effects.append(intent.action_id)
        self.after_apply(intent)
        return Deed(Applied.DONE, Reason.DONE, "taken")

    async def read_back(self, intent: Intent[Any], deadline: Deadline) -> TargetState:
        self.before_read(intent)
        return self._state(intent)

    def _state(self, intent: Intent[Any]) -> TargetState:
        if intent.action_id in self.effects:
            return TargetState.APPLIED
        match intent.request:
            case Scale() as scale if self.replicas == scale.to_replicas:
                return TargetState.APPLIED
            case Scale() as scale if self.replicas != scale.from_replicas:
                return TargetState.CHANGED
            case KillQuery() as kill if kill.query_id not in self.queries:
                return TargetState.APPLIED
        return TargetState.UNTOUCHED


@dataclass
class World:
    """One store and what works on it. `see` answers each diagnosis;
    `restart` is a new process on the same store.
    """

    url: str
    clock: VirtualClock
    platform: Any  # Platform, or another one that a test brings
    opener: type[Database] = Database
    mode: Mode = Mode.AUTO
    limits: GuardSettings = field(default_factory=GuardSettings)
    patience: Patience = field(default_factory=lambda: Patience(60.0, 7_200.0))
    attempts: Attempts = field(default_factory=Attempts)
    playbooks: tuple[Playbook, ...] = field(default_factory=lambda: (shipped(),))
    causes: Causes = field(default_factory=Causes)
    kinds: Mapping[str, AnyKind] = field(default_factory=lambda: KINDS)
    chain: Mapping[str, Guard] = field(default_factory=lambda: CHAIN)
    hands: Mapping[str, Any] | None = None  # by kind; without them the platform is the hand of all
    executor: Executor | None = None  # instead of one that holds the hands
    see: Callable[["World", Playbook], Evidence] = lambda world, playbook: world.as_it_is()
    owners: FindOwner | None = None  # without them nobody can say whose a pod is
    settles: Callable[[CourseStep], bool] = lambda step: True
    heard_within_s: float = 18_000.0
    clock_sound_at: datetime | None = None
    people: bool = False  # somebody is there who may say yes or no
    looks: int = 0
    database: Database = field(init=False)
    inbox: Inbox = field(init=False)
    incidents: Incidents = field(init=False)
    ledger: Ledger = field(init=False)
    metrics: Metrics = field(init=False)
    desk: Desk = field(init=False)
    episodes: Episodes = field(init=False)
    rooms: Rooms = field(init=False)
    worker: Worker = field(init=False)
    sorter: Sorter = field(init=False)
    woken: int = 0
    starts: int = 0

    async def start(self) -> None:
        """Opens the store and builds the rooms on it."""
        self.database = await self.opener.open(self.url)
        self.inbox = Inbox(self.database, self.clock, max_waiting=1_000, max_dead_letters=10)
        # Replicas draw a number of their own by chance; under a clock that
        # stands still two might meet.
        self.starts += 1
        self.inbox._own = self.starts
        await self.inbox.open()
        self.episodes, self.ledger = Episodes(self.database), Ledger(self.database)
        self.incidents, self.metrics = Incidents(self.database, self.kinds), Metrics()
        self.desk = Desk(
            Controls(self.database), Approvals(self.database), self.metrics, self.mode, self.clock,
            self._wake,
        )  # fmt: skip
        if self.database.dialect == "sqlite":
            await self.incidents.release_all()
        self.rooms = Rooms(
            playbooks={p.name: p for p in self.playbooks},
            causes=self.causes,
            kinds=self.kinds,
            diagnose=self.diagnose,
            survey=self.survey,
            around=self.around,
            owner=self.find_owner,
            settled=self.has_settled,
            executor=self.executor
            or Executor(self.hands or dict.fromkeys(self.kinds, self.platform)),
            incidents=self.incidents,
            ledger=self.ledger,
            journal=Journal(self.metrics),
            policy=self.policy,
            patience=self.patience,
            attempts=self.attempts,
            clock=self.clock,
            chain=self.chain,
        )
        self.worker = self.worker_of(self.rooms)
        self.sorter = Sorter(
            self.database,
            self.inbox,
            Rules(self.playbooks, self.limits.namespaces, timedelta(seconds=self.heard_within_s)),
            self.metrics,
            self.clock,
            self._wake,
            budget=ByteBudget(64 * 2**20),
            unheard_after=timedelta(days=1),
        )

    def worker_of(
        self, rooms: Rooms, *, slots: int = 1, step_within_s: float = 60.0, lease_s: float = LEASE_S
    ) -> Worker:
        """A worker on this store."""
        return Worker(
            self.incidents,
            rooms,
            self.metrics,
            self.clock,
            slots=slots,
            step_within_s=step_within_s,
            lease_s=lease_s,
        )

    def policy(self) -> Policy:
        return Policy(
            self.mode,
            self.limits.namespaces,
            self.limits.overall,
            self.limits.evidence_max_age_s,
            self.heard_within_s,
            self.clock_sound_at,
            protected=self.limits.protected,
            in_namespace=self.limits.in_namespace,
            blast=self.limits.blast,
            persons=self.limits.persons,
            canary=self.limits.canary,
            breaker=self.limits.breaker,
            attempts=self.limits.attempts,
            people=self.people,
        )

    async def stop(self) -> None:
        """The process is gone."""
        await self.database.close()

    async def restart(self) -> None:
        """A new process on the same store and the same platform;
        on PostgreSQL it waits for the claim to run out.
        """
        await self.stop()
        await self.start()
        if self.database.dialect != "sqlite":
            self.clock.advance(LEASE_S + 0.1)

    def _wake(self) -> None:
        self.woken += 1

    async def diagnose(self, playbook: Playbook, incident: Incident) -> Evidence:
        self.looks += 1
        return self.see(self, playbook)

    async def survey(self, writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        if self.platform.surveys is not None:
            surveyed: Reading[tuple[Survey, ...]] = self.platform.surveys(writes)
            return surveyed
        found = tuple(
            Survey(ref, "uid-1", values={".".join(w.path): w.value for w in writes if w.ref == ref})
            for ref in dict.fromkeys(write.ref for write in writes)
        )
        return Known(found, "platform", self.clock.now(), 0.0)

    async def around(
        self, target: Target, writes: Sequence[Write], takes: Sequence[str]
    ) -> Reading[Surroundings]:
        found = Surroundings(workloads=self.workloads, ready=2, least=2)
        return Known(found, "platform", self.clock.now(), 0.0)

    async def find_owner(self, pod: Target, kinds: Collection[TargetKind]) -> Reading[Owner]:
        if self.owners is not None:
            return await self.owners(pod, kinds)
        return Unknown(Reason.NOT_CONFIGURED, "platform", self.clock.now(), 0.0)

    async def has_settled(self, step: CourseStep) -> Reading[bool]:
        return Known(self.settles(step), "platform", self.clock.now(), 0.0)

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
    workloads: int = 10_000  # in the namespace

    @property
    def runaway(self) -> bool:
        return self.runaway_matters and "q1" in self.platform.queries

    @property
    def replicas_suffice(self) -> bool:
        return bool(self.platform.replicas >= self.replicas_needed)

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

    async def claim(self, owner: str = "w1", limit: int = 1) -> list[Held]:
        """What is due, claimed."""
        return await self.incidents.claim(owner, self.clock.now(), LEASE, limit)

    async def round(self, owner: str = "w1") -> bool:
        """Claims what is due and takes one step of it; False when nothing is due."""
        claimed = await self.claim(owner)
        for held in claimed:
            await self.worker.take_step(held)
        return bool(claimed)

    async def step_when_due(self) -> None:
        """One step, after waiting until something is due."""
        if not await self.round():
            due = await self.incidents.next_due(self.clock.now(), LEASE)
            assert due is not None, "nothing will ever be due"
            self.clock.advance(max(0.0, (due - self.clock.now()).total_seconds()))

    async def settle(self, rounds: int = 400) -> None:
        """Works until nothing is due, or every incident is healed, with a person or closed."""
        for _ in range(rounds):
            if await self.round():
                continue
            due = await self.incidents.next_due(self.clock.now(), LEASE)
            counts = await self.incidents.counts()
            working = sum(counts.get(state, 0) for state in ("open", "acting", "verifying"))
            if due is None or not working:
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
