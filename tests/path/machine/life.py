"""The rules: incidents of two playbooks on two targets, and everything that may happen to them."""

import asyncio
import json
import shutil
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.act import KINDS
from service.incident.lifecycle import Patience
from service.model.action import Mode
from service.model.approval import Answer
from service.model.errors import Unavailable
from service.model.playbook import ConsentPlan
from service.settings import GuardSettings
from tests.path.machine.people import People
from tests.path.machine.platform import FAULTS, STORM, WORKLOADS, Platform, Simulated, Thing
from tests.path.machine.playbook import ALERTS, ALONE, LETS, OVERALL, playbooks
from tests.path.machine.promises import OPEN, Promises, instant
from tests.path.machine.store import MortalInPlace, migrated, new_folder
from tests.path.world import LEASE, Crash, SteppedClock
from tests.unit.made import NAMESPACE, T0, item

T = TypeVar("T")

NAMES = st.sampled_from(WORKLOADS)
BOTH = st.sampled_from(ALERTS)
WHO = st.sampled_from(["anna", "anna", "ben", "ben", "carl"])
# What the store does to a word on its way: nothing, or the process dies,
# or the store is away; before or after.
FATES = st.sampled_from(["", "", "", "", "die before", "die after", "away before", "away after"])
# How many steps the service takes after a rule: most of what happens matters to what is under way.
THEN = st.sampled_from([0, 0, 1, 2, 4])
SOON_S = 70.0  # no proposal expires meanwhile
BREAKER_OPENED = 5
HELD = "('switched_off', 'maintenance', 'breaker_open', 'clock_stepped')"


class Life(RuleBasedStateMachine):
    """One service, its people and its platform."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = new_folder()
        shutil.copy(migrated(), self.folder / "p.db")
        self.clock = SteppedClock()
        self.platform = Platform()
        self.world = Simulated(
            f"sqlite:///{self.folder / 'p.db'}",
            self.clock,
            self.platform,
            MortalInPlace,
            limits=_allowing(NAMESPACE),
            patience=Patience(60.0, 600.0),
            playbooks=(),  # `begin` draws them
            hands=dict.fromkeys(KINDS, self.platform),
            people=True,
        )
        self.people = People(self.world)
        self.promises = Promises(self.world, self.platform, self.people)
        self.platform.may = self.promises.at_write
        self.started: dict[str, datetime] = {}  # fingerprint -> when its firing episode began
        self.storms = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(
        needs=st.sampled_from([3, 3, 99]),
        runaway=st.booleans(),
        lets=st.tuples(*[st.sampled_from([ALONE, *LETS])] * 2),
        then=THEN,
    )
    def begin(
        self, needs: int, runaway: bool, lets: Sequence[tuple[Mode, ConsentPlan]], then: int
    ) -> None:
        self.world.playbooks = playbooks(lets)
        self.run(self.world.start())
        for thing in self.platform.things.values():
            thing.needs, thing.runaway = needs, runaway
        self.fires(WORKLOADS[0], ALERTS[0], then)

    # ------------------------------------------------------------------ the end

    def teardown(self) -> None:
        """Left alone, with no faults and no holds, everything comes to rest;
        once all has resolved, to its close.
        """
        try:
            self.run(self._rest())
        finally:
            self.run(self.world.stop())
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _rest(self) -> None:
        world = self.world
        self.platform.faults.clear()
        world.limits = _allowing(NAMESPACE)
        for thing in self.platform.things.values():
            thing.view, thing.runaway, thing.needs = "as it is", False, 0
        while await world.sorter.sort_batch():
            pass
        held = await self._ids(f"state IN ('open', 'waiting', 'escalated') AND reason IN {HELD}")
        await self._lift_all()
        ended_at = self.clock.monotonic()
        # A clock that was set back for hours makes the same hours long.
        await world.settle(rounds=2_000)
        for _ in range(500):
            if not await self._ids(
                f"state != 'closed' AND (state = 'waiting' OR reason IN {HELD})"
            ):
                break
            await world.step_when_due()
        else:
            raise AssertionError("what was held back is stuck")
        still = set(await self._ids("state != 'closed'"))
        missed = [i for i in held if i in still and world.looked_at.get(i, 0.0) < ended_at]
        assert missed == [], "what was held back and still fires is looked at again"
        for fingerprint in list(self.started):
            await self._tell(fingerprint, "resolved")
        for _ in range(100):
            if not await world.round():
                due = await world.incidents.next_due(self.clock.now(), LEASE)
                if due is None:
                    break
                self.clock.advance(max(0.0, (due - self.clock.now()).total_seconds()))
        assert await world.incidents.counts() == {}, "what has resolved is closed in the end"
        assert self.promises.broken == [], self.promises.broken
        await world.database.read(self.promises.in_store)
        assert not [row for row in await self._proposals() if row["state"] in OPEN]

    async def _lift_all(self) -> None:
        people = self.people
        await people.remember()
        assert await people.set_mode("anna", Mode.AUTO) == 200
        assert await people.resume("anna") == 200
        for window_id in list(people.windows):
            if people.windows[window_id].ends_at > self.clock.now():
                assert await people.end_window("anna", window_id) == 200
        assert await people.lift_breaker("anna") == 200

    async def _ids(self, where: str) -> Sequence[str]:
        query = sa.text(f"SELECT id FROM incidents WHERE {where}")
        return await self.world.database.read(lambda c: c.execute(query).scalars().all())

    async def _proposals(self) -> list[dict[str, Any]]:
        query = sa.text("SELECT * FROM approvals ORDER BY made_at DESC, id")
        return await self.world.database.read(
            lambda c: [dict(row) for row in c.execute(query).mappings()]
        )

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
        self.promises.accepted.add(fingerprint)

    @rule(workload=NAMES, name=BOTH, then=THEN)
    def fires(self, workload: str, name: str, then: int) -> None:
        """Begins to fire, or is told again."""
        fingerprint = f"{name}@{workload}"
        self.started.setdefault(fingerprint, self._theirs())
        self.run(self._tell(fingerprint, "firing"))
        self._goes_on(then)

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
        if fingerprint not in self.started and fingerprint in self.promises.accepted:
            self.started[fingerprint] = self._theirs() - timedelta(hours=2)
            self.run(self._tell(fingerprint, "firing"))

    @rule(then=THEN)
    def a_storm(self, then: int) -> None:
        self.run(self._storm())
        self._goes_on(then)

    async def _storm(self) -> None:
        """Many incidents at once, and all over again a moment later: enough to open the breaker."""
        self.storms += 1
        starts_at, alerts = self._theirs(), []
        for name in STORM:
            self.platform.things.setdefault(name, Thing(needs=0))
            labels = {**item()["labels"], "workload": name}
            told = item(f"{self.storms}-{name}", labels=labels, starts_at=starts_at.isoformat())
            alerts.append(told)
        ends_at = (starts_at + timedelta(milliseconds=1)).isoformat()
        over = [{**told, "status": "resolved", "endsAt": ends_at} for told in alerts]
        with suppress(Unavailable):  # its sender is told so, and knows that it was not taken
            await self.world.deliver(*alerts)
            await self.world.deliver(*over)

    # ------------------------------------------------------------------ the service

    @rule(count=st.integers(1, 6))
    def steps(self, count: int) -> None:
        self._through(self._steps(count))

    def _goes_on(self, count: int) -> None:
        if count:
            self._through(self._steps(count, SOON_S))

    async def _steps(self, count: int, within_s: float = 1e9) -> None:
        """So many steps, or as many as are due soon."""
        for _ in range(count):
            if not await self.world.round():
                due = await self.world.incidents.next_due(self.clock.now(), LEASE)
                if due is None or (due - self.clock.now()).total_seconds() > within_s:
                    return
                # The real clock goes on for at least an instant; nothing is due before its time.
                self.clock.advance(max(0.02, (due - self.clock.now()).total_seconds()))

    def _through(self, work: Coroutine[Any, Any, Any]) -> None:
        """Runs something that may die; then a new process goes on."""
        try:
            self.run(work)
        except Crash:
            self.run(self.world.restart())
        except Unavailable:  # the store was away for the claim: the worker goes on later
            self.clock.advance(5.0)
        self.world.database.writes_left = None  # type: ignore[attr-defined]
        self.run(self.people.remember())

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
    def is_stopped_for_a_while(self, pause_s: float) -> None:
        """One replica is stopped right after its claim; another one goes on;
        then the first wakes up.
        """

        async def both() -> None:
            claimed = await self.world.claim("w1")
            self.clock.advance(pause_s)
            await self.world.round("w2")
            for held in claimed:
                await self.world.worker.take_step(held)

        self._through(both())

    # ------------------------------------------------------------------ time

    @rule(seconds=st.sampled_from([0.5, 10.0, 61.0, 130.0, 601.0, 7_200.0, 20_000.0]), then=THEN)
    def time_passes(self, seconds: float, then: int) -> None:
        self.clock.advance(seconds)
        self._goes_on(then)

    @rule(seconds=st.sampled_from([-3_600.0, -30.0, 30.0, 3_600.0]))
    def the_clock_is_set(self, seconds: float) -> None:
        """As the watchman sees it; the clock by which alerts are told goes on as it did."""
        self.clock.step(seconds)
        self.world.clock_sound_at = self.clock.now() + timedelta(seconds=600)
        self.run(self.world.incidents.wake_all(self.clock.now()))

    # ------------------------------------------------------------------ people

    def _say(self, word: Coroutine[Any, Any, int], fate: str, then: int = 0) -> int | None:
        """Somebody says something; None where the process died over it. Then the service goes
        on.
        """
        database: Any = self.world.database
        if fate:
            kind, _, when = fate.partition(" ")
            database.writes_left, database.after, database.fate = 0, when == "after", kind
        status: list[int] = []

        async def said() -> None:
            status.append(await word)

        self._through(said())
        self._goes_on(then)
        return status[0] if status else None

    @rule(
        who=WHO, fate=FATES, which=st.integers(0, 3),
        answer=st.sampled_from([Answer.APPROVE, Answer.APPROVE, Answer.APPROVE, Answer.REJECT]),
        then=THEN,
    )  # fmt: skip
    def somebody_answers(self, who: str, answer: Answer, which: int, fate: str, then: int) -> None:
        """Mostly what waits; now and then what is over."""
        rows = self.run(self._proposals())
        rows.sort(key=lambda row: row["state"] not in OPEN)
        if rows:
            self._answer(rows[which % len(rows)], who, answer, fate)
            self._goes_on(then)

    @rule(who=WHO, fate=FATES, first=st.booleans())
    def what_waits_is_approved(self, who: str, fate: str, first: bool) -> None:
        """By everybody who is needed; then the service goes on."""
        for row in self._open_ones():
            self._answer(row, who, Answer.APPROVE, fate)
            if row["two_people"]:
                self._answer(row, who if first else "ben", Answer.APPROVE, "")
        self._through(self._steps(2))

    def _open_ones(self) -> list[dict[str, Any]]:
        return [row for row in self.run(self._proposals()) if row["state"] in OPEN]

    def _answer(self, row: dict[str, Any], who: str, answer: Answer, fate: str) -> None:
        people, id_ = self.people, row["id"]
        before, no_before = list(people.yes.get(id_, [])), people.no.get(id_)
        status = self._say(people.answer(who, answer, id_), fate)
        if who == "carl":
            assert status == 403, "an answer wants the role"
        if row["state"] == "pending" and row["mode"] == Mode.APPROVE and answer is Answer.APPROVE:
            due_at, now = instant(row["due_at"]), self.clock.now()
            assert due_at is not None
            if now >= due_at:
                assert status not in (200, None) or fate, "an expired proposal takes no yes"
            elif row["two_people"] and before == [who] and not fate:
                assert status in (403, 409), "the same person is one person"
        if status in (403, 409):
            after = (people.yes.get(id_, []), people.no.get(id_))
            assert after == (before, no_before), "what was refused was not said"

    @rule()
    def the_world_changes_before_the_yes(self) -> None:
        """Somebody else scales what waits; what was proposed is not done,
        and withdrawn with the difference.
        """
        waiting = [row for row in self._open_ones() if row["kind"] == "scale"]
        if not waiting or self._unsure(waiting[0]["target_key"].split("/")[-1]):
            return
        row = waiting[0]
        thing = self.platform.things[row["target_key"].split("/")[-1]]
        thing.replicas = json.loads(row["request"])["from_replicas"] % 4 + 1
        for somebody in ("anna", "ben"):
            self._answer(row, somebody, Answer.APPROVE, "")
        self._through(self._steps(2))
        (now_is,) = [other for other in self.run(self._proposals()) if other["id"] == row["id"]]
        assert now_is["state"] != "used", "what was proposed is another thing by now"
        if now_is["reason"] == "proposal_changed" and now_is["state"] == "withdrawn":
            assert row["action"] in now_is["detail"] or "mode" in now_is["detail"]

    @rule(mode=st.sampled_from([*Mode, Mode.APPROVE, *[Mode.AUTO] * 4]), fate=FATES, then=THEN)
    def the_ceiling_is(self, mode: Mode, fate: str, then: int) -> None:
        self._say(self.people.set_mode("carl", mode), fate, then)

    @rule(mode=st.sampled_from([*Mode, *[Mode.AUTO] * 5]))
    def the_setting_is(self, mode: Mode) -> None:
        """Written anew by somebody; the service is started again."""
        self.world.mode = mode
        self.run(self.world.restart())

    @rule(for_s=st.sampled_from([None, 30.0, 600.0, 3_000.0]), fate=FATES, then=THEN)
    def all_is_paused(self, for_s: float | None, fate: str, then: int) -> None:
        self._say(self.people.pause("carl", for_s), fate, then)

    @rule(fate=FATES, then=THEN)
    def somebody_resumes(self, fate: str, then: int) -> None:
        self._say(self.people.resume("anna"), fate, then)

    @rule(
        begins_s=st.sampled_from([0.0, 0.0, 60.0, 600.0]),
        lasts_s=st.sampled_from([30.0, 300.0, 3_000.0]),
        means=st.sampled_from([
            {}, {"workload": WORKLOADS[0]}, {"alertname": ALERTS[1]}, {"playbook": "lag"},
            {"severity": "none"},
        ]),
        fate=FATES, then=THEN,
    )  # fmt: skip
    def a_window_is_told(
        self, begins_s: float, lasts_s: float, means: dict[str, str], fate: str, then: int
    ) -> None:
        self._say(self.people.add_window("ben", begins_s, lasts_s, means), fate, then)

    @rule(fate=FATES, newest=st.booleans(), then=THEN)
    def a_window_is_ended(self, fate: str, newest: bool, then: int) -> None:
        ids = [i for i, w in self.people.windows.items() if w.ends_at > self.clock.now()]
        if ids:
            self._say(self.people.end_window("ben", ids[-1 if newest else 0]), fate, then)

    @rule(fate=FATES, then=THEN)
    def the_breaker_is_lifted(self, fate: str, then: int) -> None:
        self._say(self.people.lift_breaker("anna"), fate, then)

    @rule(
        looking=st.sampled_from([True, False, False]),
        word=st.sampled_from(["lower", "observe", "pause", "window", "resume", "reject", "storm"]),
        then=THEN,
    )
    def it_happens_in_the_middle(self, looking: bool, word: str, then: int) -> None:
        """While the next look goes on, or while the next write is on its way."""
        people = self.people

        async def reject() -> None:
            for row in await self._proposals():
                if row["state"] in OPEN:
                    await people.answer("anna", Answer.REJECT, row["id"])

        async def happens() -> None:
            match word:
                case "lower" | "observe":
                    await people.set_mode("anna", Mode.APPROVE if word == "lower" else Mode.OBSERVE)
                case "pause":
                    await people.pause("anna", None)
                case "window":
                    await people.add_window("anna", 0.0, 300.0, {"workload": WORKLOADS[0]})
                case "resume":
                    await people.resume("anna")
                case "reject":
                    await reject()
                case _:
                    await self._storm()

        if looking:
            self.world.meanwhile = happens
        else:
            self.platform.meanwhile = happens
            self.fires(WORKLOADS[0], ALERTS[0], 0)  # so that there is something to write
        self._goes_on(then)

    # ------------------------------------------------------------------ backends, other hands

    @rule(namespace=st.sampled_from([NAMESPACE, NAMESPACE, NAMESPACE, "other"]))
    def the_namespaces_are(self, namespace: str) -> None:
        self.world.limits = _allowing(namespace)

    @rule(faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=6), then=THEN)
    def the_backend_will(self, faults: list[str], then: int) -> None:
        self.platform.faults = list(faults)
        self._goes_on(then)

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
        """A scaling whose reply was lost, and which somebody takes back at once,
        looks as if it was never done.
        """
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
        assert self.promises.broken == [], self.promises.broken

    @precondition(lambda self: self.promises.accepted)
    @invariant()
    def the_store_is_sound(self) -> None:
        self.run(self.world.database.read(self.promises.in_store))


def _allowing(namespace: str) -> GuardSettings:
    return GuardSettings(
        namespaces=(namespace,), overall_count=OVERALL.count, overall_window_s=OVERALL.window_s,
        breaker_opened=BREAKER_OPENED, breaker_window_s=600.0, breaker_cooldown_s=300.0,
    )  # fmt: skip
