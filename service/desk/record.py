"""The decision record of one incident: what fired, what was seen, considered, ruled,
done, and whether it worked.
"""

from typing import Any, TypeAlias

from pydantic_core import to_jsonable_python

from service.diagnose.redact import redacted_labels, redacted_line
from service.store.incidents import Incidents
from service.store.ledger import Ledger

Json: TypeAlias = dict[str, Any]  # Any: JSON as it goes out


STEPS = 500  # of one answer; the next ones are asked for by the last one's number


async def decision_record(
    incidents: Incidents, ledger: Ledger, incident_id: str, after: int = 0
) -> Json | None:
    """The record as JSON, or None for an unknown incident.

    Its steps are in the order of time, at most `STEPS` of those after the step `after`;
    `more_after` is the number to ask on with, or None when these are the last.
    """
    found = await incidents.record(incident_id, after, STEPS)
    if found is None:
        return None
    row, episodes, steps = found
    actions = await ledger.entries(incident_id, limit=100)
    record: Json = {
        **summary(row),
        "alerts": [_alert(episode) for episode in episodes],
        "actions": [
            {k: v for k, v in action.items() if k not in ("before", "incident_id")}
            for action in actions
        ],
        "steps": [{"at": s["at"], "step": s["kind"], **s["data"]} for s in steps],
        "more_after": steps[-1]["id"] if len(steps) == STEPS else None,
    }
    plain: Json = to_jsonable_python(record)
    return plain


def summary(row: Json) -> Json:
    """An incident in one line."""
    shown = ("id", "playbook", "state", "outcome", "reason", "opened_at", "due_at", "closed_at")
    return {**{name: row[name] for name in shown}, "target": row["target_key"]}


def alert(episode: Json) -> Json:
    """One firing of one alert as people see it: without the secrets that labels
    and annotations may carry.
    """
    shown = {**episode, "generator_url": redacted_line(episode["generator_url"])}
    for texts in ("labels", "annotations"):
        shown[texts] = redacted_labels(episode[texts] or {})
    return shown


def _alert(episode: Json) -> Json:
    hidden = ("incident_id", "unrouted", "resolved_seen_at")
    return {name: value for name, value in alert(episode).items() if name not in hidden}
