"""The story of one incident, one short step at a time: diagnose, decide, admit, act, verify, record.

A worker claims a due incident and takes one step of it; what has to wait is a state with a due time, never a
sleeping worker. After a crash the next step goes on from what is durable: an intent whose action may have been sent
is read back before anything else is sent.
"""

from dataclasses import replace
from typing import Any

from service.incident.lifecycle import Event, EventKind, from_proposal, resolved
from service.model.action import Intent
from service.model.change import ActionChange
from service.model.evidence import Evidence, facts
from service.model.incident import Held, IncidentState, Outcome, OutcomeKind, Progress, UnderWay
from service.model.reasons import Reason
from service.phases.acting import act
from service.phases.admitting import admit
from service.phases.aiming import aim, to_be_aimed
from service.phases.looking import call, decide, diagnose
from service.phases.moving import move
from service.phases.proving import close, settled, verify
from service.phases.rooms import Rooms
from service.phases.waiting import stay, wait


async def step(held: Held, rooms: Rooms) -> None:
    """Takes one step of one incident and writes it. Raises Refused(claim_lost) when another process has it by now."""
    incident, under_way = held.incident, held.incident.under_way
    if (
        under_way is not None
    ):  # look first: the target tells what a crash or a slow server left open
        if under_way.result is None:
            return await act(held, under_way, rooms, look_first=True)
        if incident.state is IncidentState.VERIFYING:
            return await verify(held, under_way, rooms)
        return await settled(held, under_way, rooms)
    if not incident.firing:
        return await close(held, rooms)
    if incident.state is IncidentState.ESCALATED:
        return await stay(held, rooms)
    if (
        incident.state is IncidentState.WAITING
    ):  # a person's word, the end of its time, or neither yet
        answered = await wait(held, rooms)
        return await act_on(held, *answered, rooms) if answered is not None else None
    if to_be_aimed(incident, rooms):
        return await aim(held, rooms)  # a pod: what it belongs to is meant
    diagnosed, evidence = await diagnose(
        incident, rooms
    )  # concurrent, one deadline, late = Unknown
    proposal, decided = await decide(incident, evidence, rooms)  # pure: the first rung that holds
    if proposal.request is None:
        return await move(held, from_proposal(proposal), (diagnosed, decided), rooms)
    if proposal.kind is not None and rooms.kinds[proposal.kind].for_people:
        return await call(held, proposal, (diagnosed, decided), rooms)
    intent = await admit(
        held, proposal, evidence, (diagnosed, decided), rooms
    )  # durable, if allowed
    return await act_on(held, intent, evidence, rooms) if intent is not None else None


async def act_on(held: Held, intent: Intent[Any], evidence: Evidence, rooms: Rooms) -> None:
    """The intent is durable: its first attempt follows in the same step."""
    under_way = UnderWay(intent, None, facts(evidence), Progress())
    acting = replace(held.incident, state=IncidentState.ACTING, under_way=under_way, approval=None)
    return await act(replace(held, incident=acting), under_way, rooms, look_first=False)


async def set_aside(held: Held, reason: Reason, detail: str, rooms: Rooms) -> None:
    """Something is wrong on our side: no more automatic steps on this incident, and its target is free again."""
    incident, action = held.incident, None
    if incident.under_way is not None:
        outcome = Outcome(OutcomeKind.INCONCLUSIVE, reason, detail, rooms.clock.now())
        action = ActionChange(incident.under_way.intent.action_id, outcome=outcome)
    elif not incident.firing:
        return await move(held, resolved(incident), (), rooms)
    return await move(held, Event(EventKind.BROKEN, reason, detail), (), rooms, action=action)
