"""How a course goes on: act, look again, or end. Pure; the index and the
instants are the caller's row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from service.model.action import ActionResult, Applied
from service.model.course import Course, CourseStep, Settles
from service.model.reasons import Reason

_SOONEST_S = 5.0  # between two looks at what holds a step back
_HELD_S = 60.0  # the same, where people hold it
_BY_PEOPLE = (Reason.SWITCHED_OFF, Reason.MAINTENANCE)
_LOOK_SOONEST_S, _LOOK_LATEST_S = 1.0, 5.0  # between two looks at a step's target


@dataclass(frozen=True, slots=True)
class Act:
    """The step's action is to be admitted and done now."""

    step: CourseStep
    course: Course


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The step's action is done, and its target has not settled yet; or it may not begin yet."""

    step: CourseStep
    course: Course
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The course is over. `left` are the steps that were not done,
    for a person to go on with or to leave.
    """

    reason: Reason
    detail: str
    course: Course
    left: Sequence[CourseStep] = ()


Next: TypeAlias = Act | LookAgain | Ended


def begin(course: Course) -> Act | Ended:
    """The step that is due; or the end, where a person has asked for it or there is none left."""
    steps, left = course.steps, course.steps[course.at :]
    if not left:
        return Ended(Reason.DONE, f"all {len(steps)} steps are done", course)
    if course.stop_by:
        told = f"stopped by {course.stop_by} before {place(course)}"
        return Ended(Reason.STOPPED, told, course, left)
    return Act(left[0], course)


def after_action(course: Course, result: ActionResult) -> Next:
    """The step's action has ended: it is looked at until it has settled, or the course ends
    here.
    """
    step = course.steps[course.at]
    if result.applied is not Applied.DONE:
        dry = result.applied is Applied.DRY
        reason = Reason.MODE_DRY_RUN if dry else Reason.ACTION_FAILED
        detail = f"{place(course)}: {result.reason}: {result.detail}"
        # Of a reply that was lost nobody can say that the step was not done.
        unsure = result.reason is Reason.INDETERMINATE
        return Ended(reason, detail, course, course.steps[course.at + unsure :])
    if step.settles is Settles.AT_ONCE:
        return begin(_next(course, result.at))
    return LookAgain(step, course, result.at)


def after_look(
    course: Course,
    settled: bool | None,
    acted_at: datetime,
    now: datetime,
) -> Next:
    """The step's target was looked at: `settled` is None where that could not be read.
    Looks are a second apart at first, and later up to five.

    What cannot be read is not settled, and its time is the step's own: no step begins on a guess.
    """
    step = course.steps[course.at]
    if settled:
        return begin(_next(course, now))
    waited_s = (now - acted_at).total_seconds()
    if waited_s >= step.within_s:
        reason = Reason.READINGS_UNKNOWN if settled is None else Reason.TIMED_OUT
        detail = f"{place(course)}, had not settled after {waited_s:.0f} s"
        return Ended(reason, detail, course, course.steps[course.at + 1 :])
    every_s = min(_LOOK_LATEST_S, max(_LOOK_SOONEST_S, waited_s / 4))
    return LookAgain(step, course, now + timedelta(seconds=every_s))


def held(
    course: Course, reason: Reason, detail: str, now: datetime, retry_at: datetime | None
) -> LookAgain | Ended:
    """The step that is due may not begin now. It waits as long as the step may
    last, then the course ends.

    What people hold by a pause or a window is held for as long as they say:
    that time is none of the step's, and is left out of it to within a minute.
    """
    step = course.steps[course.at]
    if retry_at is not None and reason in _BY_PEOPLE:
        again_at = now + timedelta(seconds=_HELD_S)
        return LookAgain(step, replace(course, since=now), min(retry_at, again_at))
    waited_s = (now - course.since).total_seconds()
    if retry_at is None or waited_s >= step.within_s:
        told = f"{place(course)}, was not begun: {reason}: {detail}"
        return Ended(reason, told, course, course.steps[course.at :])
    # No guard's wish is longer than what is left: a step that may not begin at all
    # is told of in its time.
    ends_at = course.since + timedelta(seconds=step.within_s)
    soon_at = now + timedelta(seconds=_SOONEST_S)
    return LookAgain(step, course, max(soon_at, min(retry_at, ends_at)))


def place(course: Course) -> str:
    """Where it stands, for people: `step 2 of 3, restart-enrichment-service`."""
    step = course.step
    return f"step {course.at + 1} of {len(course.steps)}{f', {step.name}' if step else ''}"


def _next(course: Course, now: datetime) -> Course:
    return replace(course, at=course.at + 1, since=now)
