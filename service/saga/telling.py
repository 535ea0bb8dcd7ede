"""What a person is told when a course has stopped: what is done, what is not,
and how to go on or back. Pure.
"""

from collections.abc import Sequence

from service.model.course import CourseStep
from service.saga.course import Ended


def said(ended: Ended) -> str:
    """One paragraph."""
    course = ended.course
    done = course.steps[: course.at]
    unsure = course.steps[course.at : len(course.steps) - len(ended.left)]
    parts = [f"{course.kind} has stopped: {ended.detail}."]
    parts.append(f"Done: {_names(done)}.")
    if unsure:
        parts.append(f"Written, and not seen to be complete: {_names(unsure)}.")
    parts.append(f"Not done: {_names(ended.left)}.")
    return " ".join(parts)


def commands(ended: Ended) -> tuple[str, ...]:
    """The exact commands: to go on from here, then, as comments say, to go back."""
    course = ended.course
    begun = course.steps[: len(course.steps) - len(ended.left)]
    on = tuple(command for step in ended.left for command in step.go_on)
    back = tuple(command for step in reversed(begun) for command in step.go_back)
    told: tuple[str, ...] = ()
    if on:
        told += ("# to go on:", *on)
    if back:
        told += ("# or to go back:", *back)
    return told


def _names(steps: Sequence[CourseStep]) -> str:
    return ", ".join(step.name for step in steps) or "nothing"
