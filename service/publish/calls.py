"""A call for help as an alert of Paramedic's own: its name, labels and what a person reads. Pure.

The labels are the alert's identity: they say who and what, and never what may change while the call
stands. The name begins with `Paramedic`: that is how one that a catch-all route brings back is
known (route/sorting.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.model.reasons import Reason
from service.store.escalations import Told, Waiting

NEEDS_HUMAN = "ParamedicNeedsHuman"  # a person has something to do, and is told what
GAVE_UP = "ParamedicGaveUp"  # Paramedic has tried, or does not know any further
APPROVAL_WAITING = "ParamedicApprovalWaiting"  # an action waits for a person's word

_LONGEST = 2_000  # characters of one annotation
_FACTS = 8  # of one reading

Link = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `since` is when the incident came to where it stands."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    since: datetime
    link: str


def call_of(waiting: Waiting, told: Sequence[Told], link: Link) -> Call:
    """The call of an incident that waits for a person, from what was told of it."""
    moved, before = _last_move(waiting, told)
    approval = next((s for s in reversed(told) if s.kind == "proposed"), None)
    named = _name(waiting, before)
    labels = {
        "alertname": named,
        "severity": "critical" if named == GAVE_UP else "warning",
        "incident": waiting.incident_id,
        "playbook": waiting.playbook,
        "namespace": waiting.namespace,
        "workload_kind": waiting.kind,
        "workload": waiting.name,
    }
    where = link(waiting.incident_id) or ""
    read = where or f"paramedic incidents {waiting.incident_id}"
    texts = {
        "summary": f"{waiting.playbook} on {waiting.kind} {waiting.namespace}/{waiting.name}: {waiting.reason}",
        "reason": waiting.reason,
        "incident": read,
        "seen": _seen(told),
        "done": _done(told),
    }
    if waiting.state == "waiting" and approval is not None:
        texts |= _asked(approval)
    else:
        texts |= _left(moved, before, told)
    return Call(
        {name: _plain(value) for name, value in labels.items() if value},
        {name: _plain(value) for name, value in texts.items() if value},
        moved.at if moved is not None else waiting.opened_at,
        where,
    )


def _last_move(waiting: Waiting, told: Sequence[Told]) -> tuple[Told | None, Sequence[Told]]:
    """The step in which it came to its state, and the steps before it."""
    for place in range(len(told) - 1, -1, -1):
        step = told[place]
        state = step.data.get("state")
        if step.kind == "moved" and state == waiting.state != step.data.get("was"):
            return step, told[:place]
    return None, told


def _name(waiting: Waiting, before: Sequence[Told]) -> str:
    if waiting.state == "waiting":
        return APPROVAL_WAITING
    last = before[-1].kind if before else ""
    return NEEDS_HUMAN if last in ("called", "ruled") else GAVE_UP


def _asked(approval: Told) -> dict[str, str]:
    """What waits for a person's word, and how it is given."""
    data = approval.data
    changes = "\n".join(
        f"{c['object']} {c['field']}: {_value(c['was'])} -> {_value(c['to'])}"
        for c in data.get("difference") or ()
    )
    approval_id = data.get("approval_id", "")
    return {
        "description": f"wants to {data.get('action', '')}; until {data.get('due_at', '')}",
        "change": changes,
        "commands": f"paramedic approve {approval_id} --why ...\nparamedic reject {approval_id} --why ...",
    }


def _left(moved: Told | None, before: Sequence[Told], told: Sequence[Told]) -> dict[str, str]:
    """Why a person goes on, and the commands that are left to do."""
    last = before[-1] if before else None
    texts = {"description": str(moved.data.get("detail", "")) if moved is not None else ""}
    if last is None:
        return texts
    if last.kind == "called":
        texts["description"] = str(last.data.get("say", ""))
    kept = next((s for s in reversed(told) if s.kind == "kept"), None)
    source = last if last.kind in ("called", "ruled") else kept
    if source is not None:
        texts["commands"] = "\n".join(source.data.get("commands") or ())
        texts["action"] = str(source.data.get("action") or "")
    if last.kind == "ruled" and last.data.get("reason") == Reason.OWNED_ELSEWHERE:
        texts["owner"] = str(last.data.get("detail", ""))
    return texts


def _done(told: Sequence[Told]) -> str:
    """The actions that were tried, and what each came to."""
    lines = []
    for step in told:
        if step.kind == "verified":
            outcome, returns = step.data["outcome"], step.data.get("returns")
            what = f"return of {returns}" if returns else step.data["rung"]
            lines.append(f"{what}: {outcome['kind']} ({outcome['reason']})")
    return "\n".join(lines)


def _seen(told: Sequence[Told]) -> str:
    """The last evidence, a line for each reading: its plain values,
    as many as can be taken in at a glance.
    """
    last = next((s for s in reversed(told) if s.kind == "diagnosed"), None)
    readings: Mapping[str, Any] = last.data.get("evidence") or {} if last is not None else {}
    lines = []
    for name, reading in readings.items():
        if "value" not in reading:
            lines.append(f"{name}: unknown, {reading.get('reason', '')}")
            continue
        value = reading["value"]
        facts = value.items() if isinstance(value, Mapping) else ()
        shown = [
            f"{k}={v}" for k, v in facts if isinstance(v, bool | int | float | str) and v != ""
        ]
        if shown:
            lines.append(f"{name}: {', '.join(shown[:_FACTS])}")
    return "\n".join(lines)


def _value(value: object) -> str:
    return "not there" if value is None else str(value)


def _plain(text: str) -> str:
    """Bounded, and without control characters: what is in it may be a stranger's text."""
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
