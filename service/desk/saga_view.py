"""A course as JSON for the API, and as text that can be read at three in the morning. Pure.

Never here: asking the store, or the service.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pydantic_core import to_jsonable_python

from service.desk.story import harmless
from service.model.course import Course, CourseState

Json: TypeAlias = dict[str, Any]  # Any: JSON

_MARKS = {"done": "done", "under_way": "now", "failed": "FAILED", "left": "-"}


def summary(course: Course) -> Json:
    """One course in one line."""
    shown: Json = to_jsonable_python(
        {
            "id": course.id,
            "saga": course.kind,
            "incident": course.incident_id,
            "state": course.state,
            "reason": course.reason,
            "detail": course.detail,
            "done": course.at,
            "steps": len(course.steps),
            "asked_by": course.asked_by or None,
            "asked_at": course.asked_at,
            "expires_at": course.expires_at,
            "approved_by": course.approved_by or None,
            "approved_at": course.approved_at,
            "stop_wanted_by": course.stop_by or None,
            "ended_at": course.ended_at,
        }
    )
    return shown


def whole(
    course: Course, incident: Json, lines: Sequence[Json], called: Mapping[str, Any] | None
) -> Json:
    """One course with its steps; `lines` are those of the ledger,
    `called` what a person was told at its end.
    """
    record: Json = to_jsonable_python(
        {
            **summary(course),
            "playbook": incident["playbook"],
            "target": incident["target_key"],
            "waits_for": incident["reason"] if not course.state.ended else None,
            "due_at": incident["due_at"] if not course.state.ended else None,
            "steps": [_step(course, n, lines[n] if n < len(lines) else None) for n in range(len(course.steps))],
            "called": {"say": called["say"], "commands": called["commands"]} if called else None,
        }
    )  # fmt: skip
    return record


def _step(course: Course, number: int, line: Json | None) -> Json:
    step = course.steps[number]
    state = "done" if number < course.at else "left"
    if number == course.at and line is not None:
        state = "failed" if course.state.ended else "under_way"
    return {
        "name": step.name,
        "kind": step.kind,
        "target": step.target.key,
        "state": state,
        "within_s": step.within_s,
        "action_id": line["action_id"] if line else None,
        "applied": line["applied"] if line else None,
        "detail": (line["outcome_detail"] or line["applied_detail"] or "") if line else "",
        "intended_at": line["intended_at"] if line else None,
        "settled_at": line["settled_at"] if line else None,
        "by_hand": list(step.go_on),
    }


def as_text(record: Json) -> str:
    """The whole course: where it stands, its steps, and what a person does next."""
    lines = [
        f"{record['id']}: {record['saga']} on {record['target']}",
        f"{record['state']}{_reason(record)}",
        *_people(record),
        "",
    ]
    lines += [_line(number, step) for number, step in enumerate(record["steps"], 1)]
    if not record["steps"]:
        lines.append("its steps are not known yet")
    if record["called"]:
        lines += ["", record["called"]["say"]]
        lines += [c if c.startswith("#") else f"  $ {c}" for c in record["called"]["commands"]]
    if hint := next_command(record):
        lines += ["", hint]
    return "\n".join(harmless(line) for line in lines)


def next_command(record: Json) -> str:
    """What a person may do now, with the command; "" where there is nothing to do."""
    saga = record["id"]
    match record["state"]:
        case CourseState.ASKED if record["steps"]:
            until = f" until {record['expires_at'][11:19]} UTC" if record["expires_at"] else ""
            return (
                f"{record['asked_by']} has asked; another person approves{until}: "
                f"paramedic recover approve {saga} --token-file THEIR_TOKEN"
            )
        case CourseState.RUNNING | CourseState.PROVING:
            return f"to stop it before its next step: paramedic recover stop {saga}"
        case CourseState.STOPPED | CourseState.FAILED if record["asked_by"]:
            return (
                f"it is yours; while it is open, other playbooks wait for it. When the platform is whole: "
                f"paramedic recover stop {saga}"
            )
        case _:
            return ""


def listing(records: Sequence[Json]) -> str:
    """A line a course."""
    if not records:
        return "no sagas; start one with `paramedic recover start`"
    return "\n".join(
        harmless(
            f"{r['id']}  {r['state']:<9} {r['saga']:<16} {r['done']} of {r['steps']} steps"
            f"  {_who(r)}  ({r['reason'] or 'no reason yet'})"
        )
        for r in records
    )


def progress(before: Json | None, record: Json) -> list[str]:
    """What has changed since the last look, a line each."""
    told: list[str] = []
    if before is None or before["state"] != record["state"]:
        told.append(f"{record['state']}{_reason(record)}")
    known = {s["name"]: s["state"] for s in before["steps"]} if before else {}
    for number, step in enumerate(record["steps"], 1):
        was = known.get(step["name"])
        if step["state"] != was and (was is not None or step["state"] != "left"):
            told.append(_line(number, step))
    waits = record["waits_for"]
    if before is not None and waits != before["waits_for"] and waits:
        told.append(f"waits: {waits}")
    return [harmless(line) for line in told]


def _line(number: int, step: Json) -> str:
    detail = f"  {step['detail']}" if step["detail"] and step["state"] != "done" else ""
    return f"{number:>3}. {_MARKS[step['state']]:<6} {step['name']}  ({step['kind']} {step['target']}){detail}"


def _reason(record: Json) -> str:
    detail = f": {record['detail']}" if record["detail"] else ""
    return f" ({record['reason']}){detail}" if record["reason"] else detail


def _people(record: Json) -> list[str]:
    asked = f"asked by {record['asked_by']}" if record["asked_by"] else "begun by an alert"
    approved = f", approved by {record['approved_by']}" if record["approved_by"] else ""
    stop = f", {record['stop_wanted_by']} wants it stopped" if record["stop_wanted_by"] else ""
    return [f"{asked}{approved}{stop}; incident {record['incident']}"]


def _who(record: Json) -> str:
    people = [p for p in (record["asked_by"], record["approved_by"]) if p]
    return " + ".join(people) or "an alert"
