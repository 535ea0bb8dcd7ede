"""Courses as rows, written and read within a transaction that is under way.

Never here: what people ask for (courses.py), or what comes next.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from service.model.alert import AlertStatus
from service.model.change import CourseChange
from service.model.course import Course, CourseState, CourseStep
from service.model.reasons import Reason
from service.store.codec import plain
from service.store.schema import Row, courses, episodes, incidents

_STEPS: TypeAdapter[tuple[CourseStep, ...]] = TypeAdapter(tuple[CourseStep, ...])
ENDED = tuple(state.value for state in CourseState if state.ended)


def course_of(row: Row) -> Course:
    """The course that a row holds. Raises ValueError for one that cannot be read."""
    return Course(
        id=row["id"],
        incident_id=row["incident_id"],
        kind=row["kind"],
        rung=row["rung"],
        state=CourseState(row["state"]),
        steps=_STEPS.validate_python(row["steps"]),
        at=row["at"],
        since=row["since"],
        uids=row["uids"] or {},
        asked_by=row["asked_by"],
        asked_at=row["asked_at"],
        expires_at=row["expires_at"],
        approved_by=row["approved_by"],
        approved_at=row["approved_at"],
        stop_by=row["stop_by"],
        reason=Reason(row["reason"]) if row["reason"] else None,
        detail=row["detail"],
        ended_at=row["ended_at"],
    )


def courses_of(connection: sa.Connection, rows: Sequence[Mapping[Any, Any]]) -> dict[str, Row]:
    """The rows of the courses that some rows of incidents name, by incident.
    Mostly none does: nothing is asked.
    """
    ids = [row["course_id"] for row in rows if row["course_id"]]
    if not ids:
        return {}
    found = connection.execute(sa.select(courses).where(courses.c.id.in_(ids))).mappings()
    return {row["incident_id"]: dict(row) for row in found}


def write_course(tx: sa.Connection, change: CourseChange) -> bool:
    """Writes how a course stands. A person's own columns are not touched,
    unless it is asked for again.

    False, and nothing is written, when a person has changed its state since it was seen.
    """
    course = change.course
    values: Row = {
        "state": course.state,
        "steps": plain(course.steps),
        "at": course.at,
        "since": course.since,
        "uids": dict(course.uids),
        "reason": course.reason,
        "detail": course.detail,
        "ended_at": course.ended_at,
    }
    if change.new:
        insert_course(tx, course)
        return True
    if change.asks_again:
        values |= {
            "rung": course.rung, "approved_by": "", "approved_at": None,
            "expires_at": course.expires_at,
        }  # fmt: skip
    written = sa.update(courses).where(courses.c.id == course.id)
    if change.was is not None:
        written = written.where(courses.c.state == change.was)
    if tx.execute(written.values(values)).rowcount == 0:
        return False
    if change.over:
        end_request(tx, course.incident_id, course.ended_at or course.since)
    return True


def insert_course(tx: sa.Connection, course: Course) -> None:
    """A course that there was not before, as the last one of its incident."""
    row: Row = {
        "id": course.id, "incident_id": course.incident_id, "kind": course.kind, "rung": course.rung,
        "state": course.state, "steps": plain(course.steps), "at": course.at, "since": course.since,
        "uids": dict(course.uids), "asked_by": course.asked_by, "asked_at": course.asked_at,
        "expires_at": course.expires_at, "reason": course.reason, "detail": course.detail,
        "began_at": course.since,
    }  # fmt: skip
    tx.execute(sa.insert(courses).values(row))
    named = sa.update(incidents).where(incidents.c.id == course.incident_id)
    tx.execute(named.values(course_id=course.id))


def end_request(tx: sa.Connection, incident_id: str, now: datetime) -> None:
    """What a person asked for is over: its incident closes as one whose alerts have resolved."""
    asked = sa.update(episodes).where(
        episodes.c.incident_id == incident_id, episodes.c.status == AlertStatus.FIRING.value
    )
    ended = {"status": AlertStatus.RESOLVED.value, "ends_at": now, "resolved_seen_at": now}
    tx.execute(asked.values(ended))


def stop_wanted(tx: sa.Connection, course_id: str) -> str:
    """Who wants the course stopped; "" for nobody."""
    query = sa.select(courses.c.stop_by).where(courses.c.id == course_id)
    return tx.execute(query).scalar() or ""


def abandon(
    tx: sa.Connection, incident_id: str, reason: Reason, detail: str, now: datetime
) -> None:
    """Whatever course of the incident goes on has failed; it is not read for that."""
    going = sa.update(courses).where(
        courses.c.incident_id == incident_id, courses.c.state.not_in(ENDED)
    )
    failed = {"state": CourseState.FAILED, "reason": reason, "detail": detail, "ended_at": now}
    tx.execute(going.values(failed))
