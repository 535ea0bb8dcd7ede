"""Admitting a step of a course: its guards are asked inside the transaction that writes its intent.

Before the first step all that the steps write is looked at, so that what somebody else would put
back is found while nothing is done yet. Never here: doing it, or what follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from service.guard.chain import rule
from service.guard.question import Policy, Question
from service.incident.lifecycle import Event, EventKind, advance, from_denial, resolved
from service.model.action import Intent, Mode, NotPossible, Request
from service.model.change import Change, CourseChange
from service.model.course import Course, CourseState, CourseStep
from service.model.evidence import Evidence, Reading, facts
from service.model.incident import Held, Incident, IncidentState, Progress, UnderWay
from service.model.objects import Survey, Write
from service.model.reasons import Reason
from service.model.ruling import History, Proposal, Ruling, Verdict
from service.model.step import Step
from service.phases.course_ending import coursed, over
from service.phases.moving import frees, labels_of, moved, quiet_looks
from service.phases.rooms import Rooms
from service.phases.ruling import ruled, scopes_of
from service.saga.course import Ended, begin, held

# What is asked before the first step alone: the alert may resolve once the first service is back,
# and what a course as a whole may do was allowed with it. Every other guard, also one that is new,
# is asked before each step.
BEFORE_THE_FIRST = frozenset(
    {
        "firing",
        "heard",
        "still_firing",
        "cooldown",
        "budgets",
        "attempts",
        "breaker",
        "canary",
        "blast_radius",
    }
)


@dataclass(frozen=True, slots=True)
class Due:
    """The step that is due. `first`: nothing of the course has been done, and every guard is
    asked.
    """

    course: Course
    step: CourseStep
    request: Request
    action_id: str
    surveys: Reading[tuple[Survey, ...]]
    first: bool


async def admit(
    held_: Held,
    due: Due,
    proposal: Proposal,
    evidence: Evidence,
    taken: Sequence[Step],
    rooms: Rooms,
) -> Held | None:
    """The incident with the step's intent under way, durable; or None, and the no is written."""
    incident, course, on, now = held_.incident, due.course, due.step.target, rooms.clock.now()
    playbook, policy = rooms.playbooks[incident.playbook], policy_of(course, rooms)
    wanted = replace(proposal, mode=Mode.AUTO) if course.approved_by else proposal
    chain = {n: g for n, g in rooms.chain.items() if due.first or n not in BEFORE_THE_FIRST}
    seen_uid = course.uids.get(on.ref.path) if on.ref is not None else None
    mode = wanted.mode.capped(policy.ceiling)
    intent: Intent[Any] = Intent(
        due.action_id, incident.id, course.rung, due.step.kind, due.request, mode, now, course.uids
    )

    def judge(history: History) -> tuple[Ruling, Change]:
        question = Question(
            wanted, on, playbook.limits, replace(policy, control=history.control), history, seen_uid,
            due.surveys, now, incident.diagnose_only and due.first,
            labels=labels_of(incident), playbook=playbook.name,
        )  # fmt: skip
        ruling = rule(question, chain)
        if ruling.guard == "consent":
            ruling = replace(ruling, retry_at=None)  # people say yes to a course as a whole
        if ruling.allowed and history.stop_by:
            told = f"{history.stop_by} wants it stopped"
            ruling = replace(
                ruling, verdict=Verdict.DENY, guard="course", reason=Reason.STOPPED, detail=told
            )
        because = ruled(ruling, intent, now)
        if not ruling.allowed:
            return ruling, _denied(incident, due, ruling, (*taken, because), history, rooms, now)
        event = Event(EventKind.ADMITTED, ruling.reason, str(due.request))
        to = advance(incident, event, rooms.patience, now)
        told_of = coursed(course, ruling.reason, str(due.request), now)
        new = due.first and not course.asked_by
        was = CourseState.APPROVED if due.first and course.asked_by else None
        change = CourseChange(course, new=new, was=was)
        return ruling, Change(to, (*taken, because, told_of), course=change)

    own = "" if due.first and not course.asked_by else course.id
    causes = rooms.causes.of(playbook.name)
    scopes = scopes_of(playbook.limits, policy, course.rung, causes, own)
    ruling, change = await rooms.ledger.admit(
        replace(incident, target=on), held_.claim, intent, judge,
        scopes=scopes, before=facts(evidence), now=now,
    )  # fmt: skip
    rooms.journal.tell(incident, change.steps)
    if not ruling.allowed:
        return None
    under_way = UnderWay(intent, None, facts(evidence), Progress())
    acting = replace(incident, state=IncidentState.ACTING, under_way=under_way, course=course)
    return replace(held_, incident=acting)


def _denied(
    incident: Incident,
    due: Due,
    ruling: Ruling,
    taken: Sequence[Step],
    history: History,
    rooms: Rooms,
    now: datetime,
) -> Change:
    """What follows from a guard's no: what an alert would begin is looked at anew,
    anything else waits or ends.
    """
    course = due.course
    if due.first and not course.asked_by:
        event = from_denial(ruling)
        if ruling.reason is Reason.ALERT_RESOLVED:
            event = resolved(incident)
        to = advance(incident, event, rooms.patience, now)
        return Change(to, (*taken, moved(incident, to, now)), frees=frees(incident, to, rooms))
    stored = incident.course or course
    # Another object under the name is a new look's to find for an alert;
    # a course was about the one it has seen.
    retry_at = None if ruling.reason is Reason.TARGET_REPLACED else ruling.retry_at
    then = held(stored, ruling.reason, ruling.detail, now, retry_at)
    if history.stop_by and ruling.reason is Reason.STOPPED:
        stopped = begin(replace(stored, stop_by=history.stop_by))
        then = stopped if isinstance(stopped, Ended) else then
    if isinstance(then, Ended):
        return over(incident, then, taken, rooms, now)
    event = Event(EventKind.COURSE_WAITS, ruling.reason, ruling.detail, then.due_at)
    to = advance(incident, event, rooms.patience, now)
    steps = (*taken, moved(incident, to, now))
    was = CourseState.APPROVED if due.first else None
    change = CourseChange(then.course, was=was)
    return Change(to, steps, quiet=quiet_looks(incident, to), course=change)


def request_of(step: CourseStep, rooms: Rooms) -> Request | NotPossible:
    """The step's request, within the bounds of its kind.
    Raises LookupError for a kind that is gone.
    """
    kind = rooms.kinds[step.kind]
    try:
        arguments: Any = TypeAdapter(kind.arguments).validate_python(dict(step.arguments))
    except ValueError as error:
        return NotPossible(Reason.ARGUMENT_OUT_OF_BOUNDS, str(error)[:500])
    made: Request | NotPossible = kind.plan(step.target, arguments)
    return made


def policy_of(course: Course, rooms: Rooms) -> Policy:
    """The limits as they are now. Two people are what the ceiling `approve` asks for."""
    policy = rooms.policy()
    lifted = course.approved_by and policy.ceiling is Mode.APPROVE
    return replace(policy, ceiling=Mode.AUTO) if lifted else policy


async def survey(
    steps: Sequence[CourseStep], requests: Sequence[Request], action_id: str, rooms: Rooms
) -> Reading[tuple[Survey, ...]]:
    """All that the steps write, as it stands now; a field that several of them
    write is asked for once.
    """
    writes: dict[tuple[str, str], Write] = {}
    for step, request in zip(steps, requests, strict=True):
        for write in rooms.kinds[step.kind].writes(request, action_id):
            writes.setdefault((write.ref.path, write.key), write)
    return await rooms.survey(tuple(writes.values()))
