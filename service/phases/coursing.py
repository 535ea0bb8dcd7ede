"""Coursing: one step of a course of several actions, from its beginning to the
proof after its last step.

Each action is admitted, sent, read back and looked at as any other, under the
incident's claim; where the course stands is written in the same transaction.
What comes next is asked of saga/course.py.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from service.act.kind import AnyKind
from service.incident.lifecycle import Event, EventKind, outcome_of
from service.model.action import ActionResult, Intent, Mode, NotPossible, Request
from service.model.change import ActionChange, CourseChange
from service.model.course import Course, CourseState
from service.model.evidence import Evidence, Known, facts
from service.model.incident import (
    Held,
    Incident,
    IncidentState,
    Outcome,
    OutcomeKind,
    UnderWay,
)
from service.model.playbook import Truth
from service.model.reasons import Reason
from service.model.ruling import Proposal
from service.model.step import Acted, Step, Verified
from service.phases.acting import BELOW_AUTO, act
from service.phases.course_admitting import Due, admit, policy_of, request_of, survey
from service.phases.course_ending import coursed, end, over, write
from service.phases.looking import diagnose
from service.phases.moving import move
from service.phases.proving import plan_of, verify
from service.phases.rooms import Rooms
from service.phases.ruling import uids_of
from service.saga.course import Act, Ended, LookAgain, Next, after_action, after_look, held, place
from service.saga.course import begin as begin_step
from service.store.names import new_id
from service.verify.judge import begin as begin_proof

_UNKNOWN_AGAIN_S = 10.0


async def follow(held_: Held, course: Course, rooms: Rooms) -> None:
    """One step of a course that has begun: its action, a look at what it has done,
    or the next one's admission.
    """
    under_way = held_.incident.under_way
    if under_way is None:
        return await _next_step(held_, course, rooms)
    if under_way.result is None:
        return await _act(held_, under_way, rooms, look_first=True)
    if course.state is CourseState.PROVING:
        return await verify(held_, under_way, rooms)
    return await _look(held_, course, under_way, under_way.result, rooms)


async def begin(
    held_: Held, proposal: Proposal, evidence: Evidence, taken: Sequence[Step], rooms: Rooms
) -> None:
    """The first step of a course, after every guard."""
    incident, now = held_.incident, rooms.clock.now()
    kind = rooms.kinds[proposal.kind or ""]
    if kind.course is None or proposal.request is None or proposal.rung is None:
        raise ValueError(f"{proposal.kind} is no course")
    course = _course(incident, kind, proposal, now)
    requests: list[Request] = []
    for step in course.steps:
        request = request_of(step, rooms)
        if isinstance(request, NotPossible):
            ended = Ended(request.reason, f"{step}: {request.detail}", course, course.steps)
            return await end(held_, ended, taken, rooms)
        requests.append(request)
    action_id = new_id("act", now)
    surveys = await survey(course.steps, requests, action_id, rooms)
    course = replace(course, uids=uids_of(surveys))
    due = Due(course, course.steps[0], requests[0], action_id, surveys, first=True)
    admitted = await admit(held_, due, proposal, evidence, taken, rooms)
    if admitted is None or admitted.incident.under_way is None:
        return None
    return await _act(admitted, admitted.incident.under_way, rooms, look_first=False)


def _course(incident: Incident, kind: AnyKind, proposal: Proposal, now: datetime) -> Course:
    """The course as it begins: the one that was asked for, or a new one."""
    if kind.by_people:
        if incident.course is None or incident.course.state is not CourseState.APPROVED:
            raise ValueError(f"{kind.name} was not approved")
        return replace(incident.course, state=CourseState.RUNNING, at=0, since=now)
    steps = kind.course(proposal.request) if kind.course is not None else ()
    return Course(
        id=new_id("saga", now),
        incident_id=incident.id,
        kind=kind.name,
        rung=proposal.rung or "",
        state=CourseState.RUNNING,
        steps=tuple(steps),
        at=0,
        since=now,
    )


async def _next_step(held_: Held, course: Course, rooms: Rooms) -> None:
    """The step that is due: nothing has become worse, and its guards let it pass."""
    incident = held_.incident
    due = begin_step(course)
    if isinstance(due, Ended):
        return await end(held_, due, (), rooms)
    diagnosed, evidence = await diagnose(incident, rooms)
    now = rooms.clock.now()
    worse = _worse(incident, evidence, rooms, now)
    if worse is Truth.HOLDS:
        written = rooms.playbooks[incident.playbook].worse
        told = f"before {place(course)}: {written.text.strip() if written else ''}"
        ended = Ended(Reason.READINGS_WORSE, told, course, course.steps[course.at :])
        return await end(held_, ended, (diagnosed,), rooms)
    if worse is Truth.UNKNOWN:
        return await _wait(held_, course, now, rooms)
    request = request_of(due.step, rooms)
    if isinstance(request, NotPossible):
        told = f"{place(course)}: {request.reason}: {request.detail}"
        ended = Ended(request.reason, told, course, course.steps[course.at :])
        return await end(held_, ended, (diagnosed,), rooms)
    action_id = new_id("act", now)
    surveys = await survey((due.step,), (request,), action_id, rooms)
    proposal = Proposal(
        (), None, course.rung, due.step.kind, request, Mode.AUTO, evidence.seen_at(now)
    )
    wanted = Due(course, due.step, request, action_id, surveys, first=False)
    admitted = await admit(held_, wanted, proposal, evidence, (diagnosed,), rooms)
    if admitted is None or admitted.incident.under_way is None:
        return None
    return await _act(admitted, admitted.incident.under_way, rooms, look_first=False)


async def _wait(held_: Held, course: Course, now: datetime, rooms: Rooms) -> None:
    """Unknown never argues for acting: the next step waits, for as long as it may last itself."""
    told = "whether anything has become worse is not known"
    again_at = now + timedelta(seconds=_UNKNOWN_AGAIN_S)
    then = held(course, Reason.EVIDENCE_UNKNOWN, told, now, again_at)
    if isinstance(then, Ended):
        return await end(held_, then, (), rooms)
    event = Event(EventKind.COURSE_WAITS, Reason.EVIDENCE_UNKNOWN, told, then.due_at)
    return await move(held_, event, (), rooms, course=CourseChange(course))


async def _act(held_: Held, under_way: UnderWay, rooms: Rooms, *, look_first: bool) -> None:
    await act(held_, under_way, rooms, look_first=look_first, lapse=_lapsed, then=_acted)


async def _acted(
    held_: Held, under_way: UnderWay, result: ActionResult, took_s: float, rooms: Rooms
) -> None:
    """The step's action has ended: it is looked at, or it has settled with its
    end, or the course is over.
    """
    intent, course = under_way.intent, _of(held_.incident)
    acted = Acted(
        result.at, intent.action_id, intent.rung, intent.kind, str(intent.request), result, took_s
    )
    then = after_action(course, result)
    if isinstance(then, LookAgain):
        action = ActionChange(intent.action_id, result=result)
        event = Event(EventKind.DONE, result.reason, "done; to be looked at", then.due_at)
        return await move(held_, event, (acted,), rooms, action=action)
    outcome = outcome_of(result) or _settled(course, result.at)
    return await _onward(held_, under_way, then, outcome, (acted,), rooms, result)


async def _look(
    held_: Held, course: Course, under_way: UnderWay, result: ActionResult, rooms: Rooms
) -> None:
    """One look at the step's target."""
    step = course.steps[course.at]
    reading = await rooms.settled(step)
    settled = reading.value if isinstance(reading, Known) else None
    now = rooms.clock.now()
    then = after_look(course, settled, result.at, now)
    if isinstance(then, LookAgain):
        progress = replace(under_way.progress, read_at=now, due_at=then.due_at)
        action = ActionChange(under_way.intent.action_id, progress=progress)
        event = Event(EventKind.READ, Reason.READINGS_PENDING, str(step), then.due_at)
        return await move(held_, event, (), rooms, action=action)
    outcome = _settled(course, now) if settled else _unsettled(then, now)
    return await _onward(held_, under_way, then, outcome, (), rooms)


async def _onward(
    held_: Held,
    under_way: UnderWay,
    then: Next,
    outcome: Outcome,
    taken: Sequence[Step],
    rooms: Rooms,
    result: ActionResult | None = None,
) -> None:
    """The step has its outcome: the next one is due, or all are done and are
    proved, or the course is over.
    """
    incident, intent, now = held_.incident, under_way.intent, outcome.at
    verified = Verified(now, intent.action_id, intent.rung, outcome)
    action = ActionChange(intent.action_id, result=result, outcome=outcome)
    if isinstance(then, Act):
        told = coursed(then.course, Reason.STEP_SETTLED, outcome.detail, now)
        event = Event(EventKind.STEPPED, Reason.STEP_SETTLED, f"{place(then.course)}, is due")
        change = CourseChange(then.course)
        await move(held_, event, (*taken, verified, told), rooms, action=action, course=change)
    elif isinstance(then, Ended) and then.reason is Reason.DONE:
        await _prove(held_, under_way, then, taken, rooms, result)
    elif isinstance(then, Ended):
        ending = over(incident, then, (*taken, verified), rooms, now, EventKind.OVER)
        await write(held_, replace(ending, action=action), rooms)


async def _prove(
    held_: Held,
    under_way: UnderWay,
    ended: Ended,
    taken: Sequence[Step],
    rooms: Rooms,
    result: ActionResult | None,
) -> None:
    """Every step is done: the last one's line stays open until the playbook's healed
    condition has been read.
    """
    incident, intent, now = held_.incident, under_way.intent, ended.course.since
    again = begin_proof(plan_of(incident, intent, rooms), under_way.progress, now)
    course = replace(ended.course, state=CourseState.PROVING, detail=ended.detail)
    told = coursed(course, Reason.READINGS_PENDING, ended.detail, now)
    action = ActionChange(intent.action_id, result=result, progress=again.progress)
    kind = EventKind.READ if incident.state is IncidentState.VERIFYING else EventKind.DONE
    event = Event(kind, Reason.READINGS_PENDING, ended.detail, again.due_at)
    change = CourseChange(course)
    await move(held_, event, (*taken, told), rooms, action=action, course=change)


def _settled(course: Course, now: datetime) -> Outcome:
    return Outcome(OutcomeKind.HEALED, Reason.STEP_SETTLED, f"{place(course)}, is complete", now)


def _unsettled(then: Next, now: datetime) -> Outcome:
    if not isinstance(then, Ended):
        raise TypeError("a step that has not settled has no next one")
    unknown = then.reason is Reason.READINGS_UNKNOWN
    kind = OutcomeKind.INCONCLUSIVE if unknown else OutcomeKind.NOT_HEALED
    return Outcome(kind, then.reason, then.detail, now)


def _worse(incident: Incident, evidence: Evidence, rooms: Rooms, now: datetime) -> Truth:
    worse, seen = rooms.playbooks[incident.playbook].worse, facts(evidence)
    if worse is None:
        return Truth.FAILS
    view = {"evidence": seen, "before": seen, "target": incident.target.view, "now": now}
    return worse.judge(view)


def _lapsed(incident: Incident, intent: Intent[Any], rooms: Rooms, now: datetime) -> Reason | None:
    """Why a step that was not sent yet may not be sent now.

    Not its age: a course that a crash has broken off goes on, for the write itself compares what it
    would change with what was seen.
    """
    course = _of(incident)
    policy = policy_of(course, rooms)
    if course.steps[course.at].target.namespace not in policy.namespaces:
        return Reason.NAMESPACE_NOT_ALLOWED
    if policy.ceiling is Mode.VETO:
        return (
            None  # what two people approved goes on; for anything else `acting.forbidden` says no
        )
    return BELOW_AUTO.get(policy.ceiling) if policy.ceiling.height < intent.mode.height else None


def _of(incident: Incident) -> Course:
    if incident.course is None:
        raise ValueError(f"{incident.id} has no course")
    return incident.course
