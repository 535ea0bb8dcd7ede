"""The end of every step: where the incident goes, written whole under its claim, then told."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from service.incident.lifecycle import Event, EventKind, advance, from_outcome, from_return
from service.model.action import ActionResult
from service.model.approval import ApprovalChange, ApprovalState
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
from service.model.reasons import Reason
from service.model.step import Coursed, Moved, Step, Verified
from service.phases.rooms import Rooms
from service.phases.touched import touched

_SILENT = (EventKind.READ, EventKind.WAITING)  # their own step says it all


async def move(
    held: Held,
    event: Event,
    steps: Sequence[Step],
    rooms: Rooms,
    *,
    action: ActionChange | None = None,
    outcome: OutcomeKind | None = None,
    seen_control: int | None = None,
    course: CourseChange | None = None,
) -> None:
    """Writes the end of a step, and tells of it."""
    incident, now = held.incident, rooms.clock.now()
    to = advance(incident, event, rooms.patience, now)
    silent = event.kind in _SILENT or (
        event.kind is EventKind.ASKED and event.reason is incident.reason
    )
    told = (*steps,) if silent else (*steps, moved(incident, to, now, outcome))
    quiet = quiet_looks(incident, to) if action is None else 0
    change = Change(
        to, told, action, outcome, quiet, frees(incident, to, rooms),
        approval=settles(incident, to), seen_approval=seen(incident, to), seen_control=seen_control,
        course=course,
    )  # fmt: skip
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
    """How many looks in a row have found the same: they share one record,
    for an alert may fire for weeks.
    """
    same = (incident.state, incident.reason) == (to.state, to.reason)
    resting = to.state in (IncidentState.OPEN, IncidentState.HEALED)
    return incident.quiet + 1 if same and resting else 0


def settles(incident: Incident, to: Move, action_id: str | None = None) -> ApprovalChange | None:
    """What becomes of the proposal that the incident waited with, when it waits no longer."""
    if incident.state is not IncidentState.WAITING or to.state is IncidentState.WAITING:
        return None
    approval = incident.approval
    if to.state is IncidentState.ACTING:
        asked = approval is not None and approval.state is ApprovalState.APPROVED
        reason = Reason.APPROVED if asked else Reason.NO_VETO
        return ApprovalChange(ApprovalState.USED, reason, to.detail, action_id)
    ends = {
        Reason.APPROVAL_EXPIRED: ApprovalState.EXPIRED,
        Reason.REJECTED: ApprovalState.REJECTED,
    }
    return ApprovalChange(ends.get(to.reason, ApprovalState.WITHDRAWN), to.reason, to.detail)


def seen(incident: Incident, to: Move) -> ApprovalState | None:
    """How the proposal stood that the incident goes on waiting with."""
    if to.state is not IncidentState.WAITING:
        return None
    return incident.approval.state if incident.approval is not None else ApprovalState.PENDING


def labels_of(incident: Incident) -> tuple[Mapping[str, str], ...]:
    """The labels of the alerts that fire, with what a matcher of people may also
    name: playbook and namespace.
    """
    more = {"playbook": incident.playbook, "namespace": incident.target.namespace}
    return tuple({**alert.labels, **more} for alert in incident.firing)


def frees(incident: Incident, to: Move, rooms: Rooms) -> tuple[str, ...]:
    """The playbooks whose incidents need not wait for this one any more."""
    return rooms.causes.effects(incident.playbook) if to.state is IncidentState.CLOSED else ()


def moved(incident: Incident, to: Move, now: datetime, outcome: OutcomeKind | None = None) -> Moved:
    return Moved(now, incident.state, to.state, to.reason, to.detail, to.due_at, outcome)
