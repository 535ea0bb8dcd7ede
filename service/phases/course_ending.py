"""The end of a course before its last proof: a person is called with what is done,
what is not, and how to go on.

Never here: whether it ends (saga/course.py).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from service.incident.lifecycle import Event, EventKind, advance
from service.model.change import Change, CourseChange
from service.model.course import Course, CourseState
from service.model.incident import Held, Incident
from service.model.reasons import Reason
from service.model.step import Called, Coursed, Step
from service.phases.moving import frees, moved
from service.phases.rooms import Rooms
from service.saga import telling
from service.saga.course import Ended, place


async def end(held: Held, ended: Ended, taken: Sequence[Step], rooms: Rooms) -> None:
    """The course is over between two steps."""
    change = over(held.incident, ended, taken, rooms, rooms.clock.now())
    await write(held, change, rooms)


async def write(held: Held, change: Change, rooms: Rooms) -> None:
    """Writes a change that was made whole, and tells of it."""
    written = await rooms.incidents.write(held.claim, change, rooms.clock.now())
    if written.told:
        rooms.journal.tell(held.incident, change.steps)


def over(
    incident: Incident,
    ended: Ended,
    taken: Sequence[Step],
    rooms: Rooms,
    now: datetime,
    kind: EventKind = EventKind.PEOPLE,
) -> Change:
    """What is written: where the course has stopped, and the call with its commands."""
    stopped = ended.reason is Reason.STOPPED
    course = replace(
        ended.course,
        state=CourseState.STOPPED if stopped else CourseState.FAILED,
        reason=ended.reason,
        detail=ended.detail,
        ended_at=now,
    )
    say = telling.said(ended)
    called = Called(now, course.rung, say, telling.commands(ended))
    to = advance(incident, Event(kind, ended.reason, say), rooms.patience, now)
    told = (coursed(course, ended.reason, ended.detail, now), called, moved(incident, to, now))
    new = incident.course is None or incident.course.id != course.id
    # What was asked for and has changed nothing is over with its no;
    # anything else is a person's to end.
    untouched = bool(course.asked_by) and len(ended.left) == len(course.steps)
    was = incident.course.state if untouched and incident.course is not None else None
    return Change(
        to,
        (*taken, *told),
        frees=frees(incident, to, rooms),
        course=CourseChange(course, new=new, over=untouched, was=was),
    )


def coursed(course: Course, reason: Reason, detail: str, now: datetime, by: str = "") -> Coursed:
    """The step that tells where a course stands."""
    where = place(course) if course.step is not None else ""
    who = by or (course.stop_by if course.state is CourseState.STOPPED else "")
    return Coursed(now, course.id, course.kind, course.state, where, reason, detail, who)
