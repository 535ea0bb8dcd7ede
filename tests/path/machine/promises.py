"""What has to hold, whatever happens: at the moment of each write,
and in the store after each rule.

Read from raw rows and from what people believe that they have said;
never from the code that is tried.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import sqlalchemy as sa
from pydantic import TypeAdapter

from service.desk.story import step_lines
from service.model import step as steps_of
from service.model.action import Intent, Mode
from service.model.incident import Incident
from service.model.limits import BreakerLimits
from service.model.playbook import Budget
from service.model.reasons import Reason
from tests.path.machine.people import Hold, People
from tests.path.machine.platform import Platform, Simulated
from tests.path.machine.playbook import OVERALL, PER_PLAYBOOK, PER_TARGET
from tests.unit.made import NAMESPACE

Line: TypeAlias = Mapping[Any, Any]  # Any: a row

LONGEST_WAIT = timedelta(hours=1)  # longer than any rest, expiry or pause of the settings
GRACE = timedelta(minutes=1)  # of a yes that came right before its proposal expired
AT_ONCE = timedelta(milliseconds=50)
SELDOM = timedelta(seconds=900)
OPEN = ("pending", "approved")


@dataclass
class Promises:
    """`accepted` are the fingerprints of deliveries that were answered with 200."""

    world: Simulated
    platform: Platform
    people: People
    accepted: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    decoded: int = 0  # the last step that was looked at

    # ------------------------------------------------------------------ at the moment of a write

    async def at_write(self, intent: Intent[Any]) -> None:
        """Every promise about a write."""
        await self.people.remember()
        world, said = self.world, f"{intent.action_id} was sent"
        incident = await world.incidents.get(intent.incident_id)
        assert incident is not None
        if intent.action_id in self.platform.effects:
            self.broken.append(f"{said} again although it was done")
        if NAMESPACE not in world.limits.namespaces:
            self.broken.append(f"{said} outside the namespaces")
        self.broken += [f"{said} {why}" for why in self._held(intent, incident)]
        returning = intent.returns is not None
        if returning:
            if any(done.returns == intent.returns for done in self.platform.effects.values()):
                self.broken.append(f"{intent.returns} was taken back twice")
            return
        if not incident.firing:
            self.broken.append(f"{said} for what has resolved")
        if world.seen.get(incident.id) not in ("as it is", "worse"):
            self.broken.append(f"{said} on {world.seen.get(incident.id)}")
        now = world.clock.now()
        wrong = await world.database.read(lambda c: self._not_let(c, intent, incident, now))
        self.broken += [f"{said} {why}" for why in wrong]

    def _held(self, intent: Intent[Any], incident: Incident) -> list[str]:
        """What people have forbidden, a return too."""
        people, now, wrong = self.people, self.world.clock.now(), []
        if intent.mode.height > people.mode().height:
            wrong.append(f"as {intent.mode} under the ceiling {people.mode()}")
        if people.pause_holds(now):
            wrong.append("while everything was paused")
        if any(_meant(window, incident) for window in people.open_windows(now)):
            wrong.append("inside a maintenance window")
        return wrong

    def _not_let(
        self, c: sa.Connection, intent: Intent[Any], incident: Incident, now: datetime
    ) -> list[str]:
        """What a remedy needs, and a return does not: a closed breaker, and the word of people."""
        wrong = []
        if breaker_open(c, self.world.limits.breaker, now):
            wrong.append("while the breaker was open")
        playbook = next(p for p in self.world.playbooks if p.name == incident.playbook)
        rung = next(r for r in playbook.remedies if r.name == intent.rung)
        if intent.mode.height > rung.mode.height:
            wrong.append(f"as {intent.mode} by a rung of {rung.mode}")
        if intent.mode is not Mode.AUTO:
            used = sa.text("SELECT * FROM approvals WHERE action_id = :id AND state = 'used'")
            row = c.execute(used, {"id": intent.action_id}).mappings().first()
            wrong += self._not_consented(intent, row)
        return wrong

    def _not_consented(self, intent: Intent[Any], row: Line | None) -> list[str]:
        if row is None:
            return [f"as {intent.mode} without a proposal"]
        people, wrong = self.people, []
        yes, due_at = people.yes.get(row["id"], []), instant(row["due_at"])
        assert due_at is not None
        if row["id"] in people.no:
            wrong.append(f"although {people.no[row['id']]} had said no")
        if row["rung"] != intent.rung:
            wrong.append(f"where {row['action']} was proposed")
        if row["action"] != str(intent.request):
            wrong.append(f"where {row['action']} was proposed")
        if intent.mode is Mode.APPROVE:
            needed = 2 if row["two_people"] and row["mode"] == Mode.APPROVE else 1
            if len(yes) < needed:
                wrong.append(f"with the yes of {yes}, and {needed} are needed")
            if intent.intended_at >= due_at + GRACE:
                wrong.append("with a yes that had expired")
        elif intent.intended_at < due_at:
            wrong.append("before people had had the time to say no")
        return wrong

    # ------------------------------------------------------------------ in the store, at any time

    def in_store(self, c: sa.Connection) -> None:
        """Every promise about what is written down."""
        incidents = c.execute(sa.text("SELECT * FROM incidents")).mappings().all()
        lines = c.execute(sa.text("SELECT * FROM ledger")).mappings().all()
        proposals = c.execute(sa.text("SELECT * FROM approvals")).mappings().all()
        told = c.execute(sa.text("SELECT fingerprint, status, incident_id FROM episodes")).all()
        new = sa.text("SELECT id, kind, data FROM steps WHERE id > :last ORDER BY id")
        steps = c.execute(new, {"last": self.decoded}).mappings().all()
        assert {row.fingerprint for row in told} >= self.accepted, "nothing accepted is lost"
        firing = {row.incident_id for row in told if row.status == "firing"}
        tripped = breaker_open(c, self.world.limits.breaker, self.world.clock.now())
        for row in incidents:
            self._is_sound(row, row["id"] in firing)
            self._is_not_forgotten(row, tripped=tripped)
        states = {row["id"]: row["state"] for row in incidents}
        for row in proposals:
            self._proposal_is_sound(row, states[row["incident_id"]])
        self._ledger_is_sound(lines, {row["action_id"] for row in proposals})
        for row in steps:
            decodes(row["kind"], json.loads(row["data"]))
            self.decoded = row["id"]

    def _is_sound(self, row: Line, fires: bool) -> None:
        state, now = row["state"], self.world.clock.now()
        due_at = instant(row["due_at"])
        if state == "closed":
            assert not fires, "what fires is not closed"
        if state in ("open", "waiting", "acting", "verifying", "healed") or (
            state == "escalated" and not fires
        ):
            assert due_at is not None, f"{state}, and never due"
            latest = max([now, *self._ends()]) + LONGEST_WAIT
            assert due_at <= latest, f"{state}, and due in {due_at - now}"
        if state != "open":
            assert row["reason"], f"{state} without a reason"

    def _ends(self) -> list[datetime]:
        """Of what people have said to hold."""
        people = self.people
        ends = [window.ends_at for window in people.windows.values()]
        return [*ends, people.paused_until] if people.paused_until else ends

    def _is_not_forgotten(self, row: Line, *, tripped: bool) -> None:
        """What held it back has ended: it is due."""
        people, now, reason = self.people, self.world.clock.now(), row["reason"]
        over = {
            Reason.SWITCHED_OFF: not people.pause_holds(now),
            Reason.MAINTENANCE: not people.open_windows(now),
            Reason.BREAKER_OPEN: not tripped,
        }
        if row["state"] == "closed" or not over.get(reason, False):
            return
        due_at = instant(row["due_at"])
        assert due_at is not None, f"{row['state']}, {reason} has ended, and it is never due"
        # With a person it may stay a little longer than the breaker's time.
        late = SELDOM if (row["state"], reason) == ("escalated", Reason.BREAKER_OPEN) else AT_ONCE
        assert due_at <= now + late, (
            f"{row['state']}, {reason} has ended, and due in {due_at - now}"
        )

    def _proposal_is_sound(self, row: Line, incident: str) -> None:
        state, reason, people = row["state"], row["reason"], self.people
        named = f"{row['id']}, {state}"
        if state in OPEN:
            assert incident == "waiting", f"{named}, and its incident is {incident}"
            assert row["ended_at"] is None, f"{named}, and ended"
            return
        if state == "rejected":
            assert row["by"], f"{named}, and by nobody"
            assert people.no.get(row["id"]) == row["by"], f"{named}, and nobody said no"
        else:
            assert row["id"] not in people.no, f"{named}, and {people.no[row['id']]} said no"
        assert state != "expired" or reason == Reason.APPROVAL_EXPIRED
        assert state == "rejected" or reason != Reason.REJECTED
        if state == "rejected" and incident == "waiting":
            return  # it ends in the next step
        assert row["ended_at"] is not None, f"{named}, and has no end"
        assert reason, f"{named} without a reason"
        if reason == Reason.PROPOSAL_CHANGED:
            assert row["detail"], f"{named} without what has changed"
        assert (state == "used") == (row["action_id"] is not None), named

    def _ledger_is_sound(self, lines: Sequence[Line], used: set[str]) -> None:
        open_on: dict[str, int] = {}
        for line in lines:
            assert line["applied"] is None or Reason(line["applied_reason"])
            assert line["outcome"] is None or Reason(line["outcome_reason"])
            assert (line["settled_at"] is None) == (line["outcome"] is None)
            if line["mode"] == Mode.DRY_RUN:
                continue
            if line["settled_at"] is None:
                open_on[line["target_key"]] = open_on.get(line["target_key"], 0) + 1
            asked = line["mode"] in (Mode.APPROVE, Mode.VETO) and line["returns"] is None
            assert asked == (line["action_id"] in used), f"{line['mode']}, and its proposal"
        assert all(count == 1 for count in open_on.values()), "one unsettled action a target"
        done = [line for line in lines if line["action_id"] in self.platform.effects]
        returned = [line["returns"] for line in lines if line["returns"] is not None]
        assert len(returned) == len(set(returned)), "an action is taken back once"
        done = [line for line in done if line["returns"] is None]
        _within(OVERALL, done, lambda line: "")
        _within(PER_PLAYBOOK, done, lambda line: line["playbook"])
        _within(PER_TARGET, done, lambda line: (line["playbook"], line["target_key"]))


def breaker_open(c: sa.Connection, limits: BreakerLimits, now: datetime) -> bool:
    """It has tripped and nobody has lifted it, or too many incidents are new."""
    newest = sa.text("SELECT until_at, lifted_at FROM breaker_trips ORDER BY id DESC LIMIT 1")
    trip = c.execute(newest).first()
    since = _stored(now - timedelta(seconds=limits.window_s))
    if trip is not None:
        if trip.lifted_at is None and trip.until_at > _stored(now):
            return True
        since = max(since, trip.lifted_at or 0)
    opened = sa.text("SELECT count(*) FROM incidents WHERE opened_at > :since")
    return int(c.execute(opened, {"since": since}).scalar_one()) > limits.opened


def _meant(window: Hold, incident: Incident) -> bool:
    more = {"playbook": incident.playbook, "namespace": incident.target.namespace}
    alerts = [{**alert.labels, **more} for alert in incident.firing]
    return not window.means or any(
        all(labels.get(name) == value for name, value in window.means.items()) for labels in alerts
    )


def _within(budget: Budget, lines: Sequence[Line], scope: Callable[[Line], object]) -> None:
    """No window of the budget's length holds more effects than it allows."""
    for last in lines:
        opens = last["intended_at"] - budget.window_s * 1_000_000
        its = [x for x in lines if scope(x) == scope(last)]
        spent = sum(opens < x["intended_at"] <= last["intended_at"] for x in its)
        assert spent <= budget.count, f"{spent} actions of {scope(last)} against {budget}"


_ZERO = datetime(1970, 1, 1, tzinfo=UTC)


def instant(stored: int | None) -> datetime | None:
    """As the store has it: microseconds."""
    return None if stored is None else _ZERO + timedelta(microseconds=stored)


def _stored(at: datetime) -> int:
    return (at - _ZERO) // timedelta(microseconds=1)


_ADAPTERS = {
    cls.kind: TypeAdapter(cls)
    for cls in (
        steps_of.Decided, steps_of.Ruled, steps_of.Tried, steps_of.Acted, steps_of.Read, steps_of.Verified,
        steps_of.Returning, steps_of.Kept, steps_of.Called, steps_of.Moved, steps_of.Proposed,
        steps_of.Answered, steps_of.Settled,
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
