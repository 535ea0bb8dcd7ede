"""Asking: a course that one person has asked for waits until another one has approved
it, or nobody did in time.

What is approved is what is done: the steps are written down before anybody can approve them, and
drawn up anew right before the first; where the platform has changed in between, it is asked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.incident.lifecycle import Event, EventKind
from service.model.change import CourseChange
from service.model.course import Course, CourseState, CourseStep
from service.model.evidence import Evidence, Facts
from service.model.incident import Held
from service.model.playbook import Truth
from service.model.reasons import Reason
from service.model.ruling import Proposal
from service.model.step import Called, Decided, Diagnosed, Step
from service.phases.course_ending import coursed
from service.phases.coursing import begin
from service.phases.looking import decide, diagnose
from service.phases.moving import move
from service.phases.rooms import Rooms

APPROVE_WITHIN_S = 1_800.0
_AGAIN_S = 15.0


@dataclass(frozen=True, slots=True)
class _NotHealed:
    """A person says that it is to be done, whatever the healed condition holds the platform for."""

    text: str = "a person has asked for it"

    def judge(self, facts: Facts) -> Truth:
        return Truth.FAILS


async def await_approval(held: Held, course: Course, rooms: Rooms) -> None:
    """One look at what was asked for: it is drawn up, waits, has expired, or begins."""
    now = rooms.clock.now()
    until_at = course.expires_at or now
    if not held.incident.firing or now >= until_at:
        return await _expired(held, course, now, rooms)
    approved = course.state is CourseState.APPROVED
    if course.steps and not approved:
        return await _wait(held, course, Reason.APPROVAL_REQUIRED, course.detail, until_at, rooms)
    proposal, evidence, taken = await _drawn_up(held, rooms)
    steps = _steps(proposal, rooms)
    if not steps:
        return await _nothing(held, course, proposal, taken, now, rooms)
    if approved and steps == course.steps:
        return await begin(held, proposal, evidence, taken, rooms)
    drawn = replace(
        course, state=CourseState.ASKED, steps=steps, rung=proposal.rung or "", since=now,
        detail=str(proposal.request),
        expires_at=now + timedelta(seconds=APPROVE_WITHIN_S),
    )  # fmt: skip
    if approved:
        told = f"the platform has changed since it was approved, and it would be this now: {proposal.request}"
        drawn = replace(drawn, detail=told)
    told_of = coursed(drawn, Reason.APPROVAL_REQUIRED, drawn.detail, now, course.asked_by)
    event = Event(EventKind.COURSE_WAITS, Reason.APPROVAL_REQUIRED, drawn.detail, drawn.expires_at)
    change = CourseChange(drawn, asks_again=True, was=course.state)
    return await move(held, event, (*taken, told_of), rooms, course=change)


async def _drawn_up(
    held: Held, rooms: Rooms
) -> tuple[Proposal, Evidence, tuple[Diagnosed, Decided]]:
    incident = held.incident
    diagnosed, evidence = await diagnose(incident, rooms)
    playbook = replace(rooms.playbooks[incident.playbook], healed=_NotHealed())
    asked = replace(rooms, playbooks={**rooms.playbooks, playbook.name: playbook})
    proposal, decided = await decide(incident, evidence, asked)
    return proposal, evidence, (diagnosed, decided)


def _steps(proposal: Proposal, rooms: Rooms) -> tuple[CourseStep, ...]:
    """What would be done; nothing where the first rung that holds is none of several actions."""
    kind = rooms.kinds.get(proposal.kind or "")
    if kind is None or kind.course is None or proposal.request is None:
        return ()
    return tuple(kind.course(proposal.request))


async def _nothing(
    held: Held,
    course: Course,
    proposal: Proposal,
    taken: Sequence[Step],
    now: datetime,
    rooms: Rooms,
) -> None:
    """What was asked for cannot be drawn up: a rung for people says why,
    or the evidence has to be read again.
    """
    kind = rooms.kinds.get(proposal.kind or "")
    request = proposal.request
    if kind is None or not kind.for_people:
        told = "; ".join(f"{c.rung}: {c.reason}" for c in proposal.considered) or "no rung holds"
        again_at = now + timedelta(seconds=_AGAIN_S)
        return await _wait(held, course, Reason.EVIDENCE_UNKNOWN, told, again_at, rooms)
    say, commands = getattr(request, "say", ""), tuple(getattr(request, "commands", ()))
    failed = replace(
        course, state=CourseState.FAILED, reason=Reason.HUMAN_NEEDED, detail=say, ended_at=now
    )
    told_of = (
        coursed(failed, Reason.HUMAN_NEEDED, say, now),
        Called(now, proposal.rung or "", say, commands),
    )
    event = Event(EventKind.PEOPLE, Reason.HUMAN_NEEDED, say)
    change = CourseChange(failed, over=True, was=course.state)
    return await move(held, event, (*taken, *told_of), rooms, course=change)


async def _wait(
    held: Held, course: Course, reason: Reason, detail: str, due_at: datetime, rooms: Rooms
) -> None:
    until_at = min(due_at, course.expires_at or due_at)
    event = Event(EventKind.COURSE_WAITS, reason, detail, until_at)
    await move(held, event, (), rooms, course=CourseChange(course, was=course.state))


async def _expired(held: Held, course: Course, now: datetime, rooms: Rooms) -> None:
    """Nobody approved it in time, or it could not begin in the time for that: nothing was done."""
    approved = course.state is CourseState.APPROVED
    detail = (
        f"it was approved by {course.approved_by}, and could not begin in time: {course.detail}"
        if approved
        else "nobody approved it in time; nothing was done"
    )
    ended = replace(
        course, state=CourseState.EXPIRED, reason=Reason.APPROVAL_EXPIRED, detail=detail,
        ended_at=now,
    )  # fmt: skip
    told = coursed(ended, Reason.APPROVAL_EXPIRED, detail, now)
    event = Event(EventKind.RESOLVED, Reason.APPROVAL_EXPIRED, detail)
    await move(held, event, (told,), rooms, course=CourseChange(ended, over=True, was=course.state))


async def only_by_people(
    held: Held, proposal: Proposal, taken: Sequence[Step], rooms: Rooms
) -> None:
    """An alert has led to what only people may ask for: they are told how."""
    say = f"Only a person may ask for this, and another one approves it: {proposal.request}."
    command = f"paramedic recover start --namespace {held.incident.target.namespace}"
    called = Called(rooms.clock.now(), proposal.rung or "", say, (command,))
    event = Event(EventKind.PEOPLE, Reason.HUMAN_NEEDED, say)
    await move(held, event, (*taken, called), rooms)
