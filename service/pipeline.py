"""The story of one incident, one short step at a time: diagnose, decide,
admit, act, verify, record.

A worker claims a due incident and takes one step of it; what has to wait is a state with a
due time, never a sleeping worker. After a crash the next step goes on from what is durable:
an intent whose action may have been sent is read back before anything else is sent.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from service.incident.lifecycle import Event, EventKind, from_proposal, resolved
from service.model.action import Intent
from service.model.change import ActionChange, CourseChange
from service.model.course import CourseState
from service.model.evidence import Evidence, facts
from service.model.incident import Held, IncidentState, Outcome, OutcomeKind, Progress, UnderWay
from service.model.reasons import Reason
from service.model.ruling import Proposal
from service.model.step import Step
from service.phases.acting import act
from service.phases.admitting import admit
from service.phases.aiming import aim, to_be_aimed
from service.phases.asking import await_approval, only_by_people
from service.phases.coursing import begin, follow
from service.phases.looking import call, decide, diagnose
from service.phases.moving import move
from service.phases.proving import close, settled, verify
from service.phases.rooms import Rooms
from service.phases.waiting import stay, wait


async def step(held: Held, rooms: Rooms) -> None:
    """Takes one step of one incident and writes it. Raises Refused(claim_lost) when
    another process has it by now.
    """
    incident, under_way = held.incident, held.incident.under_way
    course = incident.course
    if course is not None and not course.state.ended:  # several actions, one after the other
        asked = course.state in (CourseState.ASKED, CourseState.APPROVED)
        return await (await_approval if asked else follow)(held, course, rooms)
    # Look first: the target tells what a crash or a slow server left open.
    if under_way is not None:
        if under_way.result is None:
            return await act(held, under_way, rooms, look_first=True)
        if incident.state is IncidentState.VERIFYING:
            return await verify(held, under_way, rooms)
        return await settled(held, under_way, rooms)
    if not incident.firing:
        return await close(held, rooms)
    if incident.state is IncidentState.ESCALATED:
        return await stay(held, rooms)
    # For a person's word, or the end of its time.
    if incident.state is IncidentState.WAITING:
        answered = await wait(held, rooms)
        return await act_on(held, *answered, rooms) if answered is not None else None
    if to_be_aimed(incident, rooms):
        return await aim(held, rooms)  # a pod: what it belongs to is meant
    # Concurrent, one deadline, late = Unknown; then pure: the first rung that holds.
    diagnosed, evidence = await diagnose(incident, rooms)
    proposal, decided = await decide(incident, evidence, rooms)
    return await take_up(held, proposal, evidence, (diagnosed, decided), rooms)


async def take_up(
    held: Held, proposal: Proposal, evidence: Evidence, taken: Sequence[Step], rooms: Rooms
) -> None:
    """What the ladder proposes: nothing, a call, a course of several actions, or one action."""
    if proposal.request is None or proposal.kind is None:
        return await move(held, from_proposal(proposal), taken, rooms)
    kind = rooms.kinds[proposal.kind]
    if kind.for_people:
        return await call(held, proposal, taken, rooms)
    if kind.by_people:
        return await only_by_people(held, proposal, taken, rooms)
    if kind.course is not None:
        return await begin(held, proposal, evidence, taken, rooms)
    intent = await admit(held, proposal, evidence, taken, rooms)  # durable, if allowed
    return await act_on(held, intent, evidence, rooms) if intent is not None else None


async def act_on(held: Held, intent: Intent[Any], evidence: Evidence, rooms: Rooms) -> None:
    """The intent is durable: its first attempt follows in the same step."""
    under_way = UnderWay(intent, None, facts(evidence), Progress())
    acting = replace(held.incident, state=IncidentState.ACTING, under_way=under_way, approval=None)
    return await act(replace(held, incident=acting), under_way, rooms, look_first=False)


async def set_aside(held: Held, reason: Reason, detail: str, rooms: Rooms) -> None:
    """Something is wrong on our side: no more automatic steps on this incident,
    and its target is free again.
    """
    incident, action, course = held.incident, None, _course_failed(held, reason, detail, rooms)
    if incident.under_way is not None:
        outcome = Outcome(OutcomeKind.INCONCLUSIVE, reason, detail, rooms.clock.now())
        action = ActionChange(incident.under_way.intent.action_id, outcome=outcome)
    elif not incident.firing and course is None:
        return await move(held, resolved(incident), (), rooms)
    event = Event(EventKind.BROKEN, reason, detail)
    return await move(held, event, (), rooms, action=action, course=course)


def _course_failed(held: Held, reason: Reason, detail: str, rooms: Rooms) -> CourseChange | None:
    """The course that goes on, as one that has failed; None where there is none."""
    course = held.incident.course
    if course is None or course.state.ended:
        return None
    now = rooms.clock.now()
    failed = replace(course, state=CourseState.FAILED, reason=reason, detail=detail, ended_at=now)
    return CourseChange(failed)
