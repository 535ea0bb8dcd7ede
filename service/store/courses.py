"""What people ask of courses: to begin one, to approve it, to stop it; and how each stands.

Each wish is one transaction that checks and writes, so that of two people who
approve at once one is told no.
Never here: a step of a course, which the worker takes under its claim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.model.alert import AlertStatus
from service.model.course import Course, CourseState
from service.model.errors import Refused
from service.model.reasons import Reason
from service.model.step import Coursed
from service.model.target import Target
from service.store import bulk
from service.store.changes import write_steps
from service.store.course_rows import course_of, end_request, insert_course
from service.store.database import Database
from service.store.episodes import open_incidents, open_new
from service.store.inbox import only_sorter
from service.store.schema import Row, courses, episodes, incidents, ledger, steps


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks for: a course under one rung of one playbook, at one target."""

    playbook: str
    target: Target
    labels: Mapping[str, str]  # of the alert that stands for the wish
    summary: str


@dataclass(frozen=True, slots=True)
class Found:
    """A course with the row of its incident and the lines of the ledger that are
    its steps, in their order.

    `called` is what a person was told when it had ended.
    """

    course: Course
    incident: Row
    lines: Sequence[Row]
    called: Mapping[str, Any] | None  # Any: JSON


class Courses:
    """Courses in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, asked: Asked, course: Course) -> Course:
        """Opens the incident of what a person asks for.
        Raises Refused(target_busy) while there is one.
        """

        def commit(tx: sa.Connection) -> Course:
            only_sorter(tx)  # sorting opens incidents: never two in one place
            target, now = asked.target, course.since
            there = open_incidents(tx, [target.key]).get((asked.playbook, target.key))
            if there is not None:
                last = tx.execute(
                    sa.select(incidents.c.course_id).where(incidents.c.id == there)
                ).scalar()
                told = f"{asked.playbook} is open on {target} already: {last or there}"
                raise Refused(Reason.TARGET_BUSY, told, 409)
            open_new(tx, [(course.incident_id, asked.playbook, target)], now)
            bulk.put(tx, episodes, [_episode(asked, course)])
            insert_course(tx, course)
            write_steps(tx, course.incident_id, [_told(course, course.asked_by, now)])
            return course

        return await self._database.write(commit)

    async def approve(self, course_id: str, by: str, now: datetime) -> Course:
        """Another person's yes. Raises Refused: not_found,
        role_missing (the same person), target_changed.
        """

        def commit(tx: sa.Connection) -> Course:
            course = _locked(tx, course_id)
            if course.state is not CourseState.ASKED:
                told = f"{course.id} is {course.state}: there is nothing to approve"
                raise Refused(Reason.TARGET_CHANGED, told, 409)
            if by == course.asked_by:
                told = f"{by} has asked for it; another person has to approve it"
                raise Refused(Reason.APPROVAL_REQUIRED, told, 403)
            if course.expires_at is not None and now >= course.expires_at:
                told = f"{course.id} could be approved until {course.expires_at:%H:%M:%S} UTC"
                raise Refused(Reason.APPROVAL_EXPIRED, told, 409)
            if not course.steps:
                told = f"the steps of {course.id} are not known yet; look again in a moment"
                raise Refused(Reason.TARGET_BUSY, told, 409)
            said = replace(
                course, state=CourseState.APPROVED, approved_by=by, approved_at=now,
                detail=f"approved by {by}",
            )  # fmt: skip
            values = {
                "state": said.state, "approved_by": by, "approved_at": now, "detail": said.detail,
            }  # fmt: skip
            return _wanted(tx, said, values, by, now)

        return await self._database.write(commit)

    async def stop(self, course_id: str, by: str, now: datetime) -> Course:
        """A person's wish that it ends: at once before its first step, then between two steps.

        One that has ended with a person is taken as dealt with: its incident closes.
        Raises Refused(not_found), or target_changed for one that has nothing left to stop.
        """

        def commit(tx: sa.Connection) -> Course:
            course = _locked(tx, course_id)
            if course.state in (CourseState.ASKED, CourseState.APPROVED):
                detail = f"withdrawn by {by} before its first step"
                said = replace(
                    course, state=CourseState.WITHDRAWN, reason=Reason.WITHDRAWN, detail=detail,
                    stop_by=by, ended_at=now,
                )  # fmt: skip
                end_request(tx, course.incident_id, now)
                values = {
                    "state": said.state, "reason": said.reason, "detail": detail, "stop_by": by,
                    "ended_at": now,
                }  # fmt: skip
                return _wanted(tx, said, values, by, now)
            if course.state is CourseState.RUNNING:
                said = replace(course, stop_by=course.stop_by or by)
                return _wanted(tx, said, {"stop_by": said.stop_by}, by, now)
            if course.asked_by and course.state in (CourseState.STOPPED, CourseState.FAILED):
                end_request(tx, course.incident_id, now)
                return _wanted(tx, course, {"stop_by": course.stop_by or by}, by, now)
            told = f"{course.id} is {course.state}: there is nothing to stop"
            raise Refused(Reason.TARGET_CHANGED, told, 409)

        return await self._database.write(commit)

    async def get(self, course_id: str) -> Found | None:
        """The course and what belongs to it; None where there is none of this id."""
        query = sa.select(courses).where(courses.c.id == course_id)

        def load(connection: sa.Connection) -> Found | None:
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            of = sa.select(incidents).where(incidents.c.id == row["incident_id"])
            incident = dict(connection.execute(of).mappings().one())
            lines = (
                sa.select(ledger)
                .where(ledger.c.incident_id == row["incident_id"], ledger.c.rung == row["rung"])
                .where(ledger.c.intended_at >= row["began_at"])
                .order_by(ledger.c.intended_at, ledger.c.action_id)
                .limit(200)
            )
            found = [dict(line) for line in connection.execute(lines).mappings()]
            course, called = course_of(dict(row)), None
            if course.state.ended and course.ended_at is not None:
                told = (
                    sa.select(steps.c.data)
                    .where(steps.c.incident_id == course.incident_id, steps.c.kind == "called")
                    .where(steps.c.at >= course.ended_at)
                    .order_by(steps.c.id)
                    .limit(1)
                )
                called = connection.execute(told).scalar()
            return Found(course, incident, found, called)

        return await self._database.read(load)

    async def listing(self, limit: int) -> Sequence[Course]:
        """The newest courses."""
        newest = sa.select(courses).order_by(courses.c.began_at.desc()).limit(limit)
        return await self._database.read(
            lambda c: [course_of(dict(row)) for row in c.execute(newest).mappings()]
        )


def _locked(tx: sa.Connection, course_id: str) -> Course:
    query = sa.select(courses).where(courses.c.id == course_id)
    if tx.dialect.name == "postgresql":
        query = query.with_for_update()
    row = tx.execute(query).mappings().first()
    if row is None:
        raise Refused(Reason.NOT_FOUND, f"no saga is called {course_id}", 404)
    return course_of(dict(row))


def _wanted(
    tx: sa.Connection, course: Course, values: Mapping[str, Any], by: str, now: datetime
) -> Course:
    """Writes a person's wish, tells of it, and makes the incident due. Any: what columns take."""
    tx.execute(sa.update(courses).where(courses.c.id == course.id).values(values))
    write_steps(tx, course.incident_id, [_told(course, by, now)])
    due = sa.update(incidents).where(incidents.c.id == course.incident_id)
    tx.execute(due.where(incidents.c.state != "closed").values(due_at=now))
    return course


def _told(course: Course, by: str, now: datetime) -> Coursed:
    wants = f"{by} wants it stopped" if course.stop_by == by and not course.state.ended else ""
    reason = course.reason or Reason.APPROVAL_REQUIRED
    detail = wants or course.detail
    return Coursed(now, course.id, course.kind, course.state, "", reason, detail, by)


def _episode(asked: Asked, course: Course) -> Row:
    """The alert that stands for a person's wish: it fires until the wish is over."""
    return {
        "fingerprint": course.id, "starts_at": course.since, "ends_at": None,
        "status": AlertStatus.FIRING.value, "labels": dict(asked.labels),
        "annotations": {"summary": asked.summary}, "generator_url": "", "deliveries": 1,
        "first_seen_at": course.since, "last_seen_at": course.since, "resolved_seen_at": None,
        "incident_id": course.incident_id, "unrouted": None, "end_reason": None,
    }  # fmt: skip
