"""The end of every step: where the incident goes, written whole under its claim, then told."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from service.incident.lifecycle import Event, EventKind, advance, from_outcome, from_return
from service.model.action import ActionResult
from service.model.change import ActionChange, Change, CourseChange
from service.model.course import CourseState
from service.model.incident import (
    Held,
    Incident,
    IncidentState,
    Move,
    Outcome,
    OutcomeKind,
    UnderWay,
)
from service.model.step import Coursed, Moved, Step, Verified
from service.phases.rooms import Rooms
from service.phases.touched import touched


async def move(
    held: Held,
    event: Event,
    steps: Sequence[Step],
    rooms: Rooms,
    *,
    action: ActionChange | None = None,
    outcome: OutcomeKind | None = None,
    course: CourseChange | None = None,
) -> None:
    """Writes the end of a step, and tells of it."""
    incident, now = held.incident, rooms.clock.now()
    to = advance(incident, event, rooms.patience, now)
    silent = event.kind in (EventKind.READ, EventKind.WAITING)  # their own step says it all
    told = (*steps,) if silent else (*steps, moved(incident, to, now, outcome))
    quiet = quiet_looks(incident, to) if action is None else 0
    change = Change(to, told, action, outcome, quiet, frees(incident, to, rooms), course)
    written = await rooms.incidents.write(held.claim, change, now)
    if written.told:
        rooms.journal.tell(incident, told)


async def conclude(
    held: Held,
    under_way: UnderWay,
    outcome: Outcome,
    steps: Sequence[Step],
    rooms: Rooms,
    *,
    result: ActionResult | None = None,
    after: Sequence[Step] = (),
) -> None:
    """The action has its outcome. `after` are the steps that follow from it."""
    intent, returns = under_way.intent, under_way.intent.returns
    action = ActionChange(intent.action_id, result=result, outcome=outcome)
    about = touched(intent, rooms.kinds)
    verified = Verified(
        outcome.at, intent.action_id, intent.rung, outcome, intent.mode, about, returns
    )
    # Told before, where a return has waited.
    told = (verified,) if under_way.progress.verdict is None else ()
    steps = (*steps, *told, *after)
    if returns is None:
        event = from_outcome(outcome)
        course, over = _course_over(held.incident, outcome)
        return await move(
            held, event, (*steps, *over), rooms,
            action=action, outcome=outcome.kind, course=course,
        )  # fmt: skip
    # The incident keeps the outcome of what was taken back.
    event = from_return(held.incident.outcome, outcome, result or under_way.result)
    return await move(held, event, steps, rooms, action=action)


def _course_over(
    incident: Incident, outcome: Outcome
) -> tuple[CourseChange | None, tuple[Step, ...]]:
    """A course whose steps were all done has the outcome of its proof."""
    course = incident.course
    if course is None or course.state is not CourseState.PROVING:
        return None, ()
    well = outcome.kind is OutcomeKind.HEALED
    state = CourseState.DONE if well else CourseState.FAILED
    ended = replace(
        course, state=state, reason=outcome.reason, detail=outcome.detail, ended_at=outcome.at
    )
    told = Coursed(outcome.at, course.id, course.kind, state, "", outcome.reason, outcome.detail)
    return CourseChange(ended, over=well and bool(course.asked_by)), (told,)


def quiet_looks(incident: Incident, to: Move) -> int:
    """How many looks in a row have found the same: they share one record, for an alert may fire for weeks."""
    same = (incident.state, incident.reason) == (to.state, to.reason)
    resting = to.state in (IncidentState.OPEN, IncidentState.HEALED)
    return incident.quiet + 1 if same and resting else 0


def frees(incident: Incident, to: Move, rooms: Rooms) -> tuple[str, ...]:
    """The playbooks whose incidents need not wait for this one any more."""
    return rooms.causes.effects(incident.playbook) if to.state is IncidentState.CLOSED else ()


def moved(incident: Incident, to: Move, now: datetime, outcome: OutcomeKind | None = None) -> Moved:
    return Moved(now, incident.state, to.state, to.reason, to.detail, to.due_at, outcome)
