"""Whatever happens in whatever order: alerts, time, crashes, outages, other hands, operators. The promises hold.

A few hundred sequences run with the other tests; `make simulate` runs thousands (PARAMEDIC_SEQUENCES says how many).
A red sequence is printed as the calls that lead to it.
"""

import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter

from service.act import KINDS
from service.act.kill_query import KillQuery
from service.act.kind import Deed, Permit, TargetState
from service.act.scale import Scale
from service.desk.story import step_lines
from service.incident.lifecycle import Patience
from service.kit.deadline import Deadline
from service.model import step as steps_of
from service.model.action import Applied, Intent, Mode
from service.model.errors import Indeterminate, Refused, Unavailable
from service.model.evidence import Evidence, Known, Reading
from service.model.incident import Incident
from service.model.objects import Survey, Write
from service.model.playbook import Budget, Playbook
from service.model.reasons import Reason
from service.settings import GuardSettings
from service.store.database import Database, _Sqlite
from tests.path.world import LEASE, Crash, MortalDatabase, SteppedClock, World
from tests.unit.made import GOOD, NAMESPACE, T0, evidence, item, playbooks_in

T = TypeVar("T")

SEQUENCES = int(os.environ.get("PARAMEDIC_SEQUENCES", "100"))
# Shrinking a red sequence takes minutes: PARAMEDIC_SHRINK=0 shows it as it was found.
PHASES = (
    (Phase.generate, Phase.shrink)
    if os.environ.get("PARAMEDIC_SHRINK") != "0"
    else (Phase.generate,)
)
LONGEST_WAIT = timedelta(hours=1)  # longer than any window, rest or pause below
PER_TARGET, PER_PLAYBOOK, OVERALL = Budget(2, 600.0), Budget(3, 600.0), Budget(4, 900.0)
WORKLOADS = ("normalization-service", "enrichment-service")
ALERTS = ("ConsumerLagHigh", "Other")  # a playbook each, on the same targets

LADDER = """\
remedies:
  - name: kill-query
    when: evidence.clickhouse.longest_query_s > 300.0
    do: {kill_query: {query_id: q1, user: analyst, min_elapsed_s: 300}}
    mode: auto
  - name: scale-out
    when: evidence.kafka.lag_growing
    do: {scale: {from: "{{ evidence.pods.desired }}", by: 1, max: 5}}
    mode: auto
    times: 3
    return: not_healed
  - name: ask-somebody
    when: evidence.pods.ready < 1
    do: {human: {say: no pod is ready}}
    mode: auto
healed: evidence.kafka.lag_total < 5000
worse: evidence.pods.ready < before.pods.ready
verify: {settle: 5s, within: 1m, every: 10s, readings: 2}
limits: {per_target: 2/10m, per_playbook: 3/10m, cooldown: 30s}
"""


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Thousands of incidents log nothing."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)


@cache
def playbooks() -> tuple[Playbook, ...]:
    """Two playbooks for the same targets."""
    one = GOOD[: GOOD.index("remedies:")] + LADDER
    other = one.replace("playbook: lag", "playbook: other").replace(*ALERTS)
    with tempfile.TemporaryDirectory() as folder:
        return playbooks_in(Path(folder), one, other)


@cache
def migrated() -> Path:
    """An empty store, migrated once for all sequences."""
    folder = Path(tempfile.mkdtemp(prefix="paramedic-machine-", dir=_fast()))

    async def make() -> None:
        await (await Database.open(f"sqlite:///{folder / 'empty.db'}")).close()

    asyncio.run(make())
    return folder / "empty.db"


def _fast() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class InPlace(Database):
    """Transactions run in the caller's thread: a hop to another one and back costs more than all else here."""

    async def write(
        self, transaction: Callable[[sa.Connection], T], *, optional: bool = False
    ) -> T:
        return self._whole(transaction, reading=False)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        return self._whole(query, reading=True)

    def _whole(self, work: Callable[[sa.Connection], T], *, reading: bool) -> T:
        assert isinstance(self._backend, _Sqlite)
        engine = self._backend.engine
        # SQLAlchemy keeps what it compiled by dialect: one for the engines of all sequences.
        engine.dialect = _DIALECTS.setdefault("sqlite", engine.dialect)
        engine = engine.execution_options(compiled_cache=_COMPILED)
        with engine.connect() as connection, connection.execution_options(reading=reading).begin():
            return work(connection)


class MortalInPlace(MortalDatabase, InPlace):
    """Both."""


_COMPILED: dict[Any, Any] = {}
_DIALECTS: dict[str, sa.Dialect] = {}


@dataclass
class Thing:
    """One workload as it stands."""

    replicas: int = 2
    needs: int = 3  # so many heal it
    uid: str = "uid-1"
    runaway: bool = False
    view: str = "as it is"  # what a diagnosis sees: as it is, unknown, worse, healthy, a bug


@dataclass
class Platform:
    """What is acted on: the hand of every kind, with faults in the order in which calls meet them."""

    world: "Simulated" = field(init=False)
    things: dict[str, Thing] = field(default_factory=lambda: {name: Thing() for name in WORKLOADS})
    faults: list[str] = field(default_factory=list)
    effects: dict[str, Intent[Any]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)  # promises

    def _fault(self) -> str:
        return self.faults.pop(0) if self.faults else ""

    async def apply(self, permit: Permit[Any]) -> Deed:
        intent, fault = permit.intent, self._fault()
        before = {
            "unreachable": Unavailable(Reason.UNREACHABLE, "connection refused"),
            "throttled": Unavailable(Reason.THROTTLED, "429", retry_after_s=7.0),
            "refused": Refused(Reason.FORBIDDEN, "no", 403),
            "crash before": Crash(),
            "lost before": Indeterminate("no reply"),
            "late before": Unavailable(Reason.LATE, "no answer"),
        }
        if fault in before:
            raise before[fault]
        if intent.mode is Mode.DRY_RUN:
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, "the server would take it")
        thing = self.things[intent.request.target.name]
        if intent.uids and thing.uid not in intent.uids.values():
            return Deed(Applied.FAILED, Reason.TARGET_REPLACED, "another one")
        await permit.confirm()
        await self._may(intent)
        self.effects[intent.action_id] = intent
        match intent.request:
            case Scale() as scale:
                thing.replicas = scale.to_replicas
            case KillQuery():
                thing.runaway = False
            case other:
                raise AssertionError(f"no rung of these playbooks makes {other}")
        after = {
            "crash after": Crash(),
            "lost after": Indeterminate("no reply"),
            "late after": Unavailable(Reason.LATE, "no answer"),
        }
        if fault in after:
            raise after[fault]
        if fault == "started":
            return Deed(Applied.STARTED, Reason.DONE, "it goes on", 5.0)
        return Deed(Applied.DONE, Reason.DONE, "taken")

    async def _may(self, intent: Intent[Any]) -> None:
        """Every promise about a write, at the moment of the write."""
        world = self.world
        incident = await world.incidents.get(intent.incident_id)
        assert incident is not None
        if intent.action_id in self.effects:
            self.broken.append(f"{intent.action_id} was sent again although it was done")
        if world.mode is not Mode.AUTO:
            self.broken.append(f"{intent.action_id} was sent under the ceiling {world.mode}")
        if NAMESPACE not in world.limits.namespaces:
            self.broken.append(f"{intent.action_id} was sent outside the namespaces")
        returning = intent.returns is not None
        if returning and any(done.returns == intent.returns for done in self.effects.values()):
            self.broken.append(f"{intent.returns} was taken back twice")
        if not incident.firing and not returning:
            self.broken.append(f"{intent.action_id} was sent for what has resolved")
        if not returning and world.seen.get(incident.id) not in ("as it is", "worse"):
            self.broken.append(f"{intent.action_id} was sent on {world.seen.get(incident.id)}")

    async def read_back(self, intent: Intent[Any], deadline: Deadline) -> TargetState:
        match self._fault():
            case "unreachable" | "throttled" | "late before" | "late after":
                raise Unavailable(Reason.UNREACHABLE, "connection refused")
            case "refused":
                raise Refused(Reason.FORBIDDEN, "no", 403)
            case "crash before" | "crash after":
                raise Crash
            case _:  # no fault, or one that only a write meets
                pass
        thing = self.things[intent.request.target.name]
        if intent.uids and thing.uid not in intent.uids.values():
            return TargetState.REPLACED
        match intent.request:
            case Scale() as scale if thing.replicas == scale.to_replicas:
                return TargetState.APPLIED
            case Scale() as scale if thing.replicas != scale.from_replicas:
                return TargetState.CHANGED
            case KillQuery() if not thing.runaway:
                return TargetState.APPLIED
        return TargetState.UNTOUCHED


@dataclass
class Simulated(World):
    """A world whose diagnosis and surveys come from the platform's things."""

    seen: dict[str, str] = field(default_factory=dict)  # incident -> view of its last diagnosis
    lowered_while_looking: Mode | None = None
    replaced_while_looking: bool = False

    async def diagnose(self, playbook: Playbook, incident: Incident) -> Evidence:
        thing, now = self.platform.things[incident.target.name], self.clock.now()
        uid = thing.uid
        if self.lowered_while_looking is not None:
            self.mode, self.lowered_while_looking = self.lowered_while_looking, None
        if self.replaced_while_looking:
            self.replaced_while_looking, thing.uid = False, thing.uid + "'"
        self.seen[incident.id] = thing.view
        healthy = thing.view == "healthy" or (thing.view == "as it is" and _well(thing))
        if thing.view == "a bug":
            raise ZeroDivisionError("a bug")
        ready = 0 if thing.view == "worse" else thing.replicas
        changes: dict[str, Mapping[str, Any]] = {
            "target": {"uid": uid},
            "pods": {"desired": thing.replicas, "ready": ready},
        }
        if healthy:
            changes["kafka"] = {"lag_total": 10, "lag_growing": False}
        if thing.runaway:
            changes["clickhouse"] = {"longest_query_s": 600.0, "longest_query_id": "q1"}
        unknown = ["kafka", "clickhouse", "pods"] if thing.view == "unknown" else []
        return evidence(now, unknown=[*unknown, "series"], **changes)

    async def survey(self, writes: Sequence[Write]) -> Reading[tuple[Survey, ...]]:
        found = tuple(
            Survey(
                write.ref,
                self.platform.things[write.ref.name].uid,
                values={".".join(write.path): self.platform.things[write.ref.name].replicas},
            )
            for write in writes
        )
        return Known(found, "platform", self.clock.now(), 0.0)


def _well(thing: Thing) -> bool:
    return thing.replicas >= thing.needs and not thing.runaway


FAULTS = (
    "unreachable", "throttled", "refused", "crash before", "crash after", "lost before", "lost after",
    "late before", "late after", "started",
)  # fmt: skip
NAMES = st.sampled_from(WORKLOADS)
BOTH = st.sampled_from(ALERTS)


class Life(RuleBasedStateMachine):
    """Incidents of two playbooks on two targets, and everything that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="paramedic-machine-", dir=_fast()))
        shutil.copy(migrated(), self.folder / "p.db")
        self.clock = SteppedClock()
        self.platform = Platform()
        self.world = Simulated(
            f"sqlite:///{self.folder / 'p.db'}",
            self.clock,
            self.platform,
            MortalInPlace,
            limits=GuardSettings(overall_count=OVERALL.count, overall_window_s=OVERALL.window_s),
            patience=Patience(60.0, 600.0),
            playbooks=playbooks(),
            hands=dict.fromkeys(KINDS, self.platform),
        )
        self.platform.world = self.world
        self.started: dict[str, datetime] = {}  # fingerprint -> when its firing episode began
        self.accepted: set[str] = set()
        self.decoded = 0  # the last step that was looked at

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(needs=st.sampled_from([3, 3, 99]), runaway=st.booleans())
    def begin(self, needs: int, runaway: bool) -> None:
        self.run(self.world.start())
        for thing in self.platform.things.values():
            thing.needs, thing.runaway = needs, runaway
        self.fires(WORKLOADS[0], ALERTS[0])

    def teardown(self) -> None:
        """Left alone with all faults gone, everything comes to rest; and once all has resolved, to its close."""
        try:
            self.run(self._rest())
        finally:
            self.run(self.world.stop())
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _rest(self) -> None:
        world = self.world
        self.platform.faults.clear()
        world.mode, world.limits = Mode.AUTO, _allowing(NAMESPACE)
        for thing in self.platform.things.values():
            thing.view, thing.runaway, thing.needs = "as it is", False, 0
        while await world.sorter.sort_batch():
            pass
        # A clock that was set back for hours makes the same hours long.
        await world.settle(rounds=2_000)
        for fingerprint in list(self.started):
            await self._tell(fingerprint, "resolved")
        for _ in range(100):
            if not await world.round():
                due = await world.incidents.next_due(self.clock.now(), LEASE)
                if due is None:
                    break
                self.clock.advance(max(0.0, (due - self.clock.now()).total_seconds()))
        assert await world.incidents.counts() == {}, "what has resolved is closed in the end"

    # ------------------------------------------------------------------ alerts

    def _theirs(self) -> datetime:
        """Prometheus has a clock of its own, which nobody sets."""
        return T0 + timedelta(seconds=self.clock.monotonic())

    async def _tell(self, fingerprint: str, status: str) -> None:
        name, workload = fingerprint.split("@")
        starts_at, now = self.started[fingerprint], self._theirs()
        labels = {**item()["labels"], "alertname": name, "workload": workload}
        ends_at = max(now, starts_at + timedelta(milliseconds=1))
        told = item(fingerprint, status=status, labels=labels, starts_at=starts_at.isoformat())
        if status == "resolved":
            told["endsAt"] = ends_at.isoformat()
            del self.started[fingerprint]
        await self.world.deliver(told)
        self.accepted.add(fingerprint)

    @rule(workload=NAMES, name=BOTH)
    def fires(self, workload: str, name: str) -> None:
        """Begins to fire, or is told again."""
        fingerprint = f"{name}@{workload}"
        self.started.setdefault(fingerprint, self._theirs())
        self.run(self._tell(fingerprint, "firing"))

    @rule(workload=NAMES, name=BOTH)
    def resolves(self, workload: str, name: str) -> None:
        if (fingerprint := f"{name}@{workload}") in self.started:
            self.run(self._tell(fingerprint, "resolved"))

    @rule(workload=NAMES, name=BOTH)
    def begins_anew(self, workload: str, name: str) -> None:
        """Its "resolved" was lost on the way."""
        if (fingerprint := f"{name}@{workload}") in self.started:
            self.clock.advance(1.0)
            self.started[fingerprint] = self._theirs()
            self.run(self._tell(fingerprint, "firing"))

    @rule()
    def a_stale_repeat(self) -> None:
        """An hour-old delivery of something that has resolved since, or was never told."""
        fingerprint = f"{ALERTS[0]}@{WORKLOADS[1]}"
        if fingerprint not in self.started and fingerprint in self.accepted:
            self.started[fingerprint] = self._theirs() - timedelta(hours=2)
            self.run(self._tell(fingerprint, "firing"))

    # ------------------------------------------------------------------ the service

    @rule(count=st.integers(1, 6))
    def steps(self, count: int) -> None:
        self._through(self._steps(count))

    async def _steps(self, count: int) -> None:
        for _ in range(count):
            if not await self.world.round():
                due = await self.world.incidents.next_due(self.clock.now(), LEASE)
                if due is None:
                    return
                # The real clock goes on for at least an instant; nothing is due before its time.
                self.clock.advance(max(0.02, (due - self.clock.now()).total_seconds()))

    def _through(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something that may die; then a new process goes on."""
        try:
            self.run(work)
        except Crash:
            self.run(self.world.restart())
        except Unavailable:  # the store was away for the claim: the worker goes on later
            self.clock.advance(5.0)
        self.world.database.writes_left = None  # type: ignore[attr-defined]

    @rule(writes=st.integers(0, 3), after=st.booleans(), fate=st.sampled_from(["die", "away"]))
    def breaks_off(self, writes: int, after: bool, fate: str) -> None:
        """The process dies, or loses its store, around one of the writes of its next steps."""
        database: Any = self.world.database
        database.writes_left, database.after, database.fate = writes, after, fate
        self._through(self._steps(4))

    @rule(workload=NAMES, after=st.booleans())
    def dies_while_sorting(self, workload: str, after: bool) -> None:
        fingerprint = f"{ALERTS[0]}@{workload}"
        self.started.setdefault(fingerprint, self._theirs())
        database: Any = self.world.database

        async def sort() -> None:
            await self.world.inbox.accept(b'{"version": "4", "alerts": []}')
            database.writes_left, database.after, database.fate = 0, after, "die"
            while await self.world.sorter.sort_batch():
                pass

        self._through(sort())
        self.run(self._tell(fingerprint, "firing"))

    @rule()
    def restarts(self) -> None:
        self.run(self.world.restart())

    @rule(pause_s=st.sampled_from([1.0, 11.0, 60.0]))
    def is_paused(self, pause_s: float) -> None:
        """One replica is stopped right after its claim; another one goes on; then the first wakes up."""

        async def both() -> None:
            claimed = await self.world.claim("w1")
            self.clock.advance(pause_s)
            await self.world.round("w2")
            for held in claimed:
                await self.world.worker.take_step(held)

        self._through(both())

    # ------------------------------------------------------------------ time

    @rule(seconds=st.sampled_from([0.5, 10.0, 61.0, 601.0, 7_200.0, 20_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.sampled_from([-3_600.0, -30.0, 30.0, 3_600.0]))
    def the_clock_is_set(self, seconds: float) -> None:
        """As the watchman sees it; the clock by which alerts are told goes on as it did."""
        self.clock.step(seconds)
        self.world.clock_sound_at = self.clock.now() + timedelta(seconds=600)
        self.run(self.world.incidents.wake_all(self.clock.now()))

    # ------------------------------------------------------------------ operators, backends, other hands

    @rule(mode=st.sampled_from([*Mode, Mode.AUTO, Mode.AUTO]))
    def the_ceiling_is(self, mode: Mode) -> None:
        self.world.mode = mode

    @rule(mode=st.sampled_from([Mode.OBSERVE, Mode.DRY_RUN]))
    def the_ceiling_is_lowered_during_the_next_look(self, mode: Mode) -> None:
        self.world.lowered_while_looking = mode

    @rule(namespace=st.sampled_from([NAMESPACE, NAMESPACE, "other"]))
    def the_namespaces_are(self, namespace: str) -> None:
        self.world.limits = _allowing(namespace)

    @rule(faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=6))
    def the_backend_will(self, faults: list[str]) -> None:
        self.platform.faults = list(faults)

    @rule(
        workload=NAMES,
        view=st.sampled_from(["as it is", "as it is", "unknown", "worse", "healthy", "a bug"]),
    )
    def it_looks(self, workload: str, view: str) -> None:
        self.platform.things[workload].view = view

    @rule(workload=NAMES)
    def is_replaced(self, workload: str) -> None:
        self.platform.things[workload].uid += "'"

    @rule()
    def is_replaced_during_the_next_look(self) -> None:
        self.world.replaced_while_looking = True

    @rule(workload=NAMES, replicas=st.integers(1, 5))
    def somebody_scales(self, workload: str, replicas: int) -> None:
        if not self._unsure(workload):
            self.platform.things[workload].replicas = replicas

    def _unsure(self, workload: str) -> bool:
        """A scaling whose reply was lost, and which somebody takes back at once, looks as if it was never done."""
        open_ones = sa.text("SELECT action_id FROM ledger WHERE applied IS NULL")
        ids = self.run(self.world.database.read(lambda c: c.execute(open_ones).scalars().all()))
        return any(
            self.platform.effects[i].request.target.name == workload
            for i in ids
            if i in self.platform.effects
        )

    # ------------------------------------------------------------------ what holds at any time

    @invariant()
    def the_promises_hold(self) -> None:
        assert self.platform.broken == []

    @precondition(lambda self: self.accepted)
    @invariant()
    def the_store_is_sound(self) -> None:
        self.run(self.world.database.read(self._look_into))

    def _look_into(self, c: sa.Connection) -> None:
        incidents = c.execute(sa.text("SELECT * FROM incidents")).mappings().all()
        lines = c.execute(sa.text("SELECT * FROM ledger")).mappings().all()
        told = c.execute(sa.text("SELECT fingerprint, status, incident_id FROM episodes")).all()
        new = sa.text("SELECT id, kind, data FROM steps WHERE id > :last ORDER BY id")
        steps = c.execute(new, {"last": self.decoded}).mappings().all()
        assert {row.fingerprint for row in told} >= self.accepted, "nothing accepted is lost"
        firing = {row.incident_id for row in told if row.status == "firing"}
        for row in incidents:
            self._is_sound(row, row["id"] in firing)
        self._ledger_is_sound(lines)
        for row in steps:
            decodes(row["kind"], json.loads(row["data"]))
            self.decoded = row["id"]

    def _is_sound(self, row: Mapping[Any, Any], fires: bool) -> None:
        state, now = row["state"], self.clock.now()
        due_at = _instant(row["due_at"])
        if state == "closed":
            assert not fires, "what fires is not closed"
        if state in ("open", "acting", "verifying", "healed") or (
            state == "escalated" and not fires
        ):
            assert due_at is not None, f"{state}, and never due"
            assert due_at <= now + LONGEST_WAIT, f"{state}, and due in {due_at - now}"
        if state != "open":
            assert row["reason"], f"{state} without a reason"

    def _ledger_is_sound(self, lines: Sequence[Mapping[Any, Any]]) -> None:
        open_on: dict[str, int] = {}
        for line in lines:
            assert line["applied"] is None or Reason(line["applied_reason"])
            assert line["outcome"] is None or Reason(line["outcome_reason"])
            assert (line["settled_at"] is None) == (line["outcome"] is None)
            if line["settled_at"] is None and line["mode"] == Mode.AUTO:
                open_on[line["target_key"]] = open_on.get(line["target_key"], 0) + 1
        assert all(count == 1 for count in open_on.values()), "one unsettled action a target"
        done = [line for line in lines if line["action_id"] in self.platform.effects]
        returned = [line["returns"] for line in lines if line["returns"] is not None]
        assert len(returned) == len(set(returned)), "an action is taken back once"
        done = [line for line in done if line["returns"] is None]
        self._within(OVERALL, done, lambda line: "")
        self._within(PER_PLAYBOOK, done, lambda line: line["playbook"])
        self._within(PER_TARGET, done, lambda line: (line["playbook"], line["target_key"]))

    def _within(self, budget: Budget, lines: Sequence[Mapping[Any, Any]], scope: Any) -> None:
        """No window of the budget's length holds more effects than it allows."""
        for last in lines:
            opens = last["intended_at"] - budget.window_s * 1_000_000
            its = [x for x in lines if scope(x) == scope(last)]
            spent = sum(opens < x["intended_at"] <= last["intended_at"] for x in its)
            assert spent <= budget.count, f"{spent} actions of {scope(last)} against {budget}"


def _allowing(namespace: str) -> GuardSettings:
    return GuardSettings(
        namespaces=(namespace,), overall_count=OVERALL.count, overall_window_s=OVERALL.window_s
    )


def _instant(stored: int | None) -> datetime | None:
    if stored is None:
        return None
    return datetime.fromisoformat("1970-01-01T00:00:00+00:00") + timedelta(microseconds=stored)


_ADAPTERS = {
    cls.kind: TypeAdapter(cls)
    for cls in (
        steps_of.Decided, steps_of.Ruled, steps_of.Tried, steps_of.Acted, steps_of.Read, steps_of.Verified,
        steps_of.Returning, steps_of.Kept, steps_of.Called, steps_of.Moved,
    )
}  # fmt: skip
_AT = "2026-01-01T00:00:00Z"


def decodes(kind: str, data: Mapping[str, Any]) -> None:
    """A row of `steps` is what the model says it is, and can be told as text."""
    assert step_lines({"step": kind, "at": _AT, **data})
    if kind == "again":
        for inner, its in data["last"].items():
            decodes(inner, its)
    elif kind != "diagnosed":  # whose evidence differs from chapter to chapter
        _ADAPTERS[kind].validate_python({"at": _AT, **data})


Life.TestCase.settings = settings(
    max_examples=SEQUENCES,
    stateful_step_count=25,
    derandomize="PARAMEDIC_SEQUENCES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    deadline=None,
    database=None,
    phases=PHASES,
)
TestLife = Life.TestCase


if "PARAMEDIC_SEQUENCES" in os.environ:
    _done = 0
    _teardown = Life.teardown

    def _counting(self: Life) -> None:
        global _done
        _teardown(self)
        _done += 1
        if _done % 100 == 0:
            print(f"{_done} of {SEQUENCES} sequences", file=sys.__stderr__, flush=True)

    Life.teardown = _counting  # type: ignore[method-assign]
