"""A decision record as text that can be read at three in the morning. Pure: JSON in, text out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]  # Any: JSON of the API


def listing(incidents: Sequence[Json]) -> str:
    """A line an incident."""
    if not incidents:
        return "no incidents"
    return "\n".join(
        harmless(
            f"{i['id']}  {_day(i['opened_at'])}  {i['state']:<11} {i['outcome'] or '-':<12} {i['playbook']:<18}"
            f" {i['target']}  ({i['reason'] or 'new'})"
        )
        for i in incidents
    )


def story(record: Json) -> str:
    """The whole record, step by step. Times are UTC."""
    ended = f", closed {_day(record['closed_at'])}" if record["closed_at"] else ""
    lines = [
        f"{record['id']}: {record['playbook']} on {record['target']}",
        f"{record['state']} ({record['reason'] or 'new'}), outcome {record['outcome'] or 'none'}, "
        f"opened {_day(record['opened_at'])}{ended} (UTC)",
    ]
    runbooks = {
        a["annotations"]["runbook_url"]
        for a in record["alerts"]
        if a["annotations"].get("runbook_url")
    }
    if record["state"] == "escalated":
        lines.append(
            "Paramedic does nothing more here: it is yours. It closes by itself when its alerts resolve."
        )
    lines += [f"runbook {url}" for url in sorted(runbooks)]
    lines.append("")
    for alert in record["alerts"]:
        name = alert["labels"].get("alertname", "?")
        summary = alert["annotations"].get("summary", "")
        lines.append(
            f"{_clock(alert['starts_at'])}  alert {name} {alert['status']}, seen {alert['deliveries']}x  {summary}"
        )
    for step in record["steps"]:
        lines += step_lines(step)
    return "\n".join(harmless(line) for line in lines)


def step_lines(step: Json) -> list[str]:
    """One step, its details indented below it."""
    head, *more = _TELL.get(step["step"], _plain)(step)
    return [
        harmless(f"{_clock(step['at'])}  {head}"),
        *(harmless(f"          {line}") for line in more),
    ]


def _diagnosed(step: Json) -> list[str]:
    lines = [f"diagnosed {step['diagnosis']} in {step['took_s']:.2f} s"]
    for name, reading in step["evidence"].items():
        if "value" in reading:
            value = reading["value"]
            shown = ", ".join(f"{k}={_short(v)}" for k, v in value.items() if _tells(v))
            lines.append(f"{name}: {shown}  ({reading['source']}, {reading['took_s']:.2f} s)")
        else:
            lines.append(f"{name}: UNKNOWN, {reading['reason']}: {reading['detail']}")
    return lines


def _decided(step: Json) -> list[str]:
    head = (
        f"decided: {step['action']}" if step["action"] else f"decided: nothing ({step['reason']})"
    )
    return [
        head,
        *(
            f"{c['rung']}: {c['reason'] or 'CHOSEN'} {c['detail']}".rstrip()
            for c in step["considered"]
        ),
    ]


def _ruled(step: Json) -> list[str]:
    answers = step.get("answers") or ()
    passed = [a["guard"] for a in answers if a["reason"] is None]
    return [
        f"guard {step['guard']}: {step['verdict']} ({step['reason']}) {step['detail']}",
        *(
            f"also {a['guard']}: {a['reason']} {a['detail']}"
            for a in answers
            if a["reason"] is not None and a["guard"] != step["guard"]
        ),
        *(f"$ {command}" for command in step.get("commands", ())),
        *([f"passed: {', '.join(passed)}"] if passed else []),
    ]


def _proposed(step: Json) -> list[str]:
    due = f"{step['due_at'][:10]} {_clock(step['due_at'])}"
    waits = {"veto": f"done at {due} unless somebody says no"}
    two = ", two people" if step["two_people"] else ""
    says = waits.get(step["mode"], f"waits for a yes until {due}{two}")
    return [
        f"proposed: {step['action']}: {says}",
        *(f"{c['object']} {c['field']}: {c['was']} -> {c['to']}" for c in step["difference"]),
        f"$ paramedic approve {step['approval_id']} --why ...",
        f"$ paramedic reject {step['approval_id']} --why ...",
    ]


def _answered(step: Json) -> list[str]:
    return [f"{step['by']} {step['answer']} {step['approval_id']}: {step['why']}"]


def _settled(step: Json) -> list[str]:
    return [f"{step['approval_id']} {step['state']} ({step['reason']}) {step['detail']}"]


def _tried(step: Json) -> list[str]:
    again = f"; asked again at {_clock(step['again_at'])}"
    return [f"tried: {step['action']}: ({step['reason']}) {step['detail']}{again}"]


def _called(step: Json) -> list[str]:
    return [
        f"a person is called: {step['say']}",
        *(f"$ {line}" for c in step["commands"] for line in c.splitlines()),
    ]


def _again(step: Json) -> list[str]:
    looks = f"looked again {step['times']}x, last at {_clock(step['last_at'])}, nothing changed"
    moved = step["last"].get("moved", {})
    return [f"{looks} ({moved['reason']})" if moved else looks]


def _acted(step: Json) -> list[str]:
    result = step["result"]
    return [f"acted: {step['action']}: {result['applied']} ({result['reason']}) {result['detail']}"]


def _read(step: Json) -> list[str]:
    kafka = step["facts"].get("kafka", {})
    lag = f", lag {kafka['lag_total']}" if "lag_total" in kafka else ""
    return [f"read again: healed {step['healed']}, {step['in_a_row']} in a row{lag}"]


def _verified(step: Json) -> list[str]:
    outcome = step["outcome"]
    what = f"the return of {step['returns']} verified" if step.get("returns") else "verified"
    return [f"{what}: {outcome['kind']} ({outcome['reason']}) {outcome['detail']}"]


def _returning(step: Json) -> list[str]:
    return [f"takes {step['returns']} back: {step['action']}"]


def _kept(step: Json) -> list[str]:
    head = f"what {step['action_id']} changed stays: ({step['reason']}) {step['detail']}"
    return [head, *(f"$ {command}" for command in step["commands"])]


def _moved(step: Json) -> list[str]:
    return [f"now {step['state']} ({step['reason']}) {step['detail']}"]


def _retargeted(step: Json) -> list[str]:
    joined = f"; {step['joined']} is about it already" if step["joined"] else ""
    return [f"about {step['target']} now: {' <- '.join(step['chain'])}{joined}"]


def _coursed(step: Json) -> list[str]:
    who = f" by {step['by']}" if step["by"] else ""
    where = f" {step['place']}:" if step["place"] else ""
    head = f"saga {step['course_id']} {step['state']}{who}:{where}"
    return [f"{head} ({step['reason']}) {step['detail']}".rstrip()]


def _plain(step: Json) -> list[str]:
    return [str(dict(step))]


_TELL: Mapping[str, Callable[[Json], list[str]]] = {
    "diagnosed": _diagnosed,
    "decided": _decided,
    "ruled": _ruled,
    "proposed": _proposed,
    "answered": _answered,
    "settled": _settled,
    "tried": _tried,
    "called": _called,
    "again": _again,
    "acted": _acted,
    "read": _read,
    "verified": _verified,
    "returning": _returning,
    "kept": _kept,
    "moved": _moved,
    "retargeted": _retargeted,
    "coursed": _coursed,
}


def harmless(line: str) -> str:
    """One line without control characters: labels and annotations are strangers'
    text, and terminals obey it.
    """
    return "".join(
        c if c.isprintable() else " " if c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in line
    )


def _tells(value: object) -> bool:
    return not isinstance(value, dict) and value not in ("", None, [])


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)[:120]


def _clock(instant: str) -> str:
    return instant[11:19]


def _day(instant: str) -> str:
    return instant[:19].replace("T", " ")
