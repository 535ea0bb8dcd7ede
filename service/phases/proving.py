"""Proving: one reading of an action that was done, its verdict, and the close of an incident."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from service.incident.lifecycle import Event, EventKind, outcome_of, resolved
from service.model.action import Intent
from service.model.change import ActionChange
from service.model.evidence import Known, facts
from service.model.incident import Held, Incident, OutcomeKind, UnderWay
from service.model.playbook import Playbook, Remedy, Truth, VerifyPlan
from service.model.reasons import Reason
from service.model.step import Read
from service.phases.moving import conclude, move
from service.phases.returning import end
from service.phases.rooms import Rooms
from service.record.journal import closing_outcome
from service.verify.judge import Again, Reading, begin, judge
from service.verify.lasting import reverted
from service.verify.returned import judge_return


async def verify(held: Held, under_way: UnderWay, rooms: Rooms) -> None:
    """One reading: a verdict, or the next reading's time."""
    incident, intent = held.incident, under_way.intent
    playbook = rooms.playbooks[incident.playbook]
    rung = remedy(playbook, intent.rung)
    if under_way.progress.verdict is not None:  # read already, and waiting to go back
        return await end(held, under_way, under_way.progress.verdict, rung, (), rooms)
    plan = plan_of(incident, intent, rooms)
    began_at = rooms.clock.now()
    if due_at := _not_before(under_way, plan, began_at):
        event = Event(EventKind.READ, Reason.READINGS_PENDING, "an alert changed", due_at)
        return await move(held, event, (), rooms)
    evidence = await rooms.diagnose(playbook, incident)
    gone = await changed_back(intent, rooms)
    now = rooms.clock.now()
    seen = facts(evidence)
    view = {
        "evidence": seen,
        "before": under_way.before,
        "target": incident.target.view,
        "now": now,
    }
    healed = playbook.healed.judge(view)
    worse = playbook.worse.judge(view) if playbook.worse is not None else Truth.FAILS
    progress = under_way.progress
    if intent.returns is not None:
        verdict = judge_return(worse, gone, progress, plan, playbook, began_at=began_at, now=now)
    else:
        reading = Reading(healed, worse, gone)
        verdict = judge(reading, progress, plan, playbook, began_at=began_at, now=now)
    good = worse is Truth.FAILS if intent.returns is not None else healed is Truth.HOLDS
    in_a_row = progress.in_a_row + 1 if good else 0
    read = Read(now, healed, in_a_row, seen)
    if isinstance(verdict, Again):
        action = ActionChange(intent.action_id, progress=verdict.progress)
        event = Event(EventKind.READ, Reason.READINGS_PENDING, f"healed {healed}", verdict.due_at)
        return await move(held, event, (read,), rooms, action=action)
    return await end(held, under_way, verdict, rung, (read,), rooms)


def _not_before(under_way: UnderWay, plan: VerifyPlan, now: datetime) -> datetime | None:
    """When the next reading is wanted, if an alert woke the incident before:
    a change has to settle first.

    Farther away than any pause of the plan, it is an instant of before the clock was set back.
    """
    due_at = under_way.progress.due_at
    if due_at is None:
        return None
    early_s = (due_at - now).total_seconds()
    return due_at if 0.0 < early_s <= max(plan.settle_s, plan.every_s) else None


async def changed_back(intent: Intent[Any], rooms: Rooms) -> str | None:
    """Who has changed back what the action wrote, where it can be told."""
    kind = rooms.kinds.get(intent.kind)
    writes = kind.writes(intent.request, intent.action_id) if kind is not None else ()
    if not writes:
        return None
    surveys = await rooms.survey(writes)
    return reverted(writes, surveys.value) if isinstance(surveys, Known) else None


async def close(held: Held, rooms: Rooms) -> None:
    """No alert fires any more, and nothing is under way. What was written is looked at once
    more.
    """
    incident, outcome = held.incident, None
    last = await rooms.ledger.last_done(rooms.kinds, incident.id)
    event = resolved(incident)
    if last is not None and incident.outcome is OutcomeKind.HEALED:
        gone = await changed_back(last, rooms)
        if gone is not None:
            outcome = OutcomeKind.REVERTED
            event = replace(event, reason=Reason.REVERTED, detail=gone)
    await move(held, event, (), rooms, outcome=closing_outcome(incident, outcome))


def remedy(playbook: Playbook | None, rung: str) -> Remedy | None:
    return next((r for r in playbook.remedies if r.name == rung), None) if playbook else None


def plan_of(incident: Incident, intent: Intent[Any], rooms: Rooms) -> VerifyPlan:
    """The rung's plan. Of a rung that was renamed since, any rung's plan proves the same
    condition.
    """
    playbook = rooms.playbooks[incident.playbook]
    rung = remedy(playbook, intent.rung) or next(iter(playbook.remedies), None)
    return rung.verify if rung is not None else VerifyPlan(30.0, 600.0, 3, 10.0)


async def settled(held: Held, under_way: UnderWay, rooms: Rooms) -> None:
    """An action that ended before waiting was a state of its own: it is verified, or concluded."""
    incident, result = held.incident, under_way.result
    outcome = outcome_of(result) if result is not None else None
    if outcome is not None:
        return await conclude(held, under_way, outcome, (), rooms)
    again = begin(plan_of(incident, under_way.intent, rooms), under_way.progress, rooms.clock.now())
    action = ActionChange(under_way.intent.action_id, progress=again.progress)
    event = Event(EventKind.DONE, Reason.DONE, "done; to be verified", again.due_at)
    return await move(held, event, (), rooms, action=action)
