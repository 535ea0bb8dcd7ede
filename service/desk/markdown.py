"""A decision record as a page of Markdown, for the post-mortem. Pure: JSON in, text out.

Labels, annotations, log lines and names are strangers' text. Everything of them stands in code
spans and fences that are longer than any run of backticks inside, on one line, without control
characters: no markup, no HTML, no mention, no link of theirs, and nothing that a terminal obeys.
A link is made of a URL with a scheme of the web alone.
"""

import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from service.desk.story import step_lines

Json: TypeAlias = Mapping[str, Any]  # Any: JSON of the API

_LONGEST = 300  # characters of one value
_MOST_ROWS = 60  # of one table
_MOST_STEPS = 1_000


def page(record: Json) -> str:
    """The whole page. Times are UTC."""
    parts = [
        _head(record), _alerts(record), _timeline(record), _evidence(record), _considered(record),
        _guards(record), _changes(record), _links(record),
    ]  # fmt: skip
    return "\n".join("\n".join(part) for part in parts if part)


def code(value: object, *, longest: int = _LONGEST) -> str:
    """One line in a code span, fit for a cell of a table."""
    text = _plain(value)
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    if not text.strip():
        return "-"
    # In a row of a table `\\|` is a backslash and the end of the cell: a blank parts the two.
    text = text.replace("\\|", "\\ |").replace("|", "\\|")
    runs = [len(run) for run in re.findall("`+", text)]
    fence = "`" * (max(runs, default=0) + 1)
    pad = " " if text.startswith(("`", " ")) or text.endswith(("`", " ")) else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def fenced(lines: Sequence[str], language: str = "") -> list[str]:
    """Lines in a fence that none of them can close."""
    plain = [_plain(line) for line in lines]
    longest = max((len(run) for line in plain for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence + language, *plain, fence]


def _plain(value: object) -> str:
    text = value if isinstance(value, str) else _shown(value)
    return "".join(
        c if c.isprintable() else " " if c in "\n\r\t" else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )


def _shown(value: object) -> str:
    if isinstance(value, Mapping) and value.keys() == {"kind", "namespace", "name"}:
        return "/".join(str(part) for part in value.values())  # a target
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows[:_MOST_ROWS]]
    left = len(rows) - _MOST_ROWS
    return [*lines, *(["", f"... and {left} more."] if left > 0 else []), ""]


def _head(record: Json) -> list[str]:
    rows = [
        ("Playbook", code(record["playbook"])),
        ("Target", code(record["target"])),
        ("State", f"{code(record['state'])} ({code(record['reason'] or 'new')})"),
        ("Outcome", code(record["outcome"] or "none")),
        ("Opened", code(_day(record["opened_at"]))),
        ("Closed", code(_day(record["closed_at"]) if record["closed_at"] else "not yet")),
        ("Lasted", code(_lasted(record))),
    ]
    return [f"# Incident {code(record['id'])}", "", *_table(("", "Times are UTC"), rows)]


def _alerts(record: Json) -> list[str]:
    rows = [
        (
            code(_day(alert["starts_at"])),
            code(alert["labels"].get("alertname", "?")),
            code(alert["status"]),
            code(alert["annotations"].get("summary", "")),
            code(", ".join(f"{k}={v}" for k, v in sorted(alert["labels"].items()) if k != "alertname")),
        )
        for alert in record["alerts"]
    ]  # fmt: skip
    return ["## Alerts", "", *_table(("Since", "Alert", "Status", "Summary", "Labels"), rows)]


def _timeline(record: Json) -> list[str]:
    lines = ["## Timeline", ""]
    if not record["steps"]:
        return [*lines, "Nothing has happened yet.", ""]
    told: list[str] = []
    day = ""
    for step in record["steps"][:_MOST_STEPS]:
        if step["at"][:10] != day:
            day = step["at"][:10]
            told.append(day)
        told += [line for line in step_lines(step) if not line.startswith(" ")]
        told += [line for line in step_lines(step)[1:] if step["step"] == "called"]
    return [*lines, *fenced(told, "text"), ""]


def _evidence(record: Json) -> list[str]:
    """What was seen when it was decided, and what was seen last."""
    seen = [s for s in record["steps"] if s["step"] in ("diagnosed", "read")]
    if not seen:
        return []
    acted = [s["at"] for s in record["steps"] if s["step"] in ("acted", "tried")]
    looks = [s for s in seen if s["step"] == "diagnosed" and (not acted or s["at"] <= acted[0])]
    before, after = (looks or seen)[-1], seen[-1]
    lines = ["## Evidence", "", f"Before: {code(_day(before['at']))}."]
    first, last = dict(_values(before)), dict(_values(after))
    if after is before:
        rows = [(code(name), code(value)) for name, value in first.items()]
        return [*lines, "", *_table(("Reading", "Value"), rows)]
    lines[-1] += f" After: {code(_day(after['at']))}. What changed comes first."
    names = list(dict.fromkeys([*first, *last]))
    names.sort(key=lambda name: first.get(name) == last.get(name))
    rows3 = [(code(n), code(first.get(n, "")), code(last.get(n, ""))) for n in names]
    return [*lines, "", *_table(("Reading", "Before", "After"), rows3)]


def _values(step: Json) -> Iterator[tuple[str, str]]:
    if step["step"] == "read":
        for name, facts in step["facts"].items():
            yield from _leaves(name, facts)
        return
    for name, reading in step["evidence"].items():
        if "value" in reading:
            yield from _leaves(name, reading["value"])
        else:
            yield name, f"unknown: {reading['reason']} {reading.get('detail', '')}".rstrip()


def _leaves(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Two levels deep; what is deeper stands as it is, and is cut."""
    if not isinstance(value, Mapping):
        yield name, _shown(value)
        return
    for key, inner in value.items():
        if inner not in (None, "", [], {}):
            yield f"{name}.{key}", _shown(inner)


def _considered(record: Json) -> list[str]:
    decided = [s for s in record["steps"] if s["step"] == "decided" and s["considered"]]
    if not decided:
        return []
    told = [s for s in decided if s["chosen"]][:5] or decided[-1:]
    lines = ["## Considered", ""]
    for step in told:
        rows = [
            (
                code(c["rung"]),
                code(c["when"]),
                "**chosen**" if c["reason"] is None else code(c["reason"]),
                code(c["detail"]),
            )
            for c in step["considered"]
        ]
        head = f"At {code(_day(step['at']))}: {code(step['action'] or step['reason'])}."
        lines += [head, "", *_table(("Rung", "When", "Answer", "Detail"), rows)]
    return lines


def _guards(record: Json) -> list[str]:
    ruled = [s for s in record["steps"] if s["step"] == "ruled"]
    if not ruled:
        return []
    lines = ["## Guards", ""]
    for step in ruled[:10]:
        lines.append(
            f"At {code(_day(step['at']))}, rung {code(step['rung'])} in mode {code(step['mode'])}: "
            f"**{'allowed' if step['verdict'] == 'allow' else 'held back'}** by {code(step['guard'])}"
            f" ({code(step['reason'])}) {code(step['detail'])}."
        )
        answers = [
            (code(a["guard"]), code(a["reason"] or "pass"), code(a["detail"]))
            for a in step.get("answers", ())
        ]
        lines += ["", *(_table(("Guard", "Answer", "Detail"), answers) if answers else [])]
    return lines


def _changes(record: Json) -> list[str]:
    if not record["actions"]:
        return ["## Changes", "", "Nothing was changed.", ""]
    lines = ["## Changes", ""]
    for action in record["actions"]:
        lines += [
            f"### {code(action['kind'])} by rung {code(action['rung'])}",
            "",
            f"Action {code(action['action_id'])} in mode {code(action['mode'])}, intended at "
            f"{code(_day(action['intended_at']))}: {code(action['applied'] or 'under way')} "
            f"({code(action['applied_reason'] or 'none')}) {code(action['applied_detail'])}. "
            f"Outcome: {code(action['outcome'] or 'none yet')} ({code(action['outcome_reason'] or 'none')}) "
            f"{code(action['outcome_detail'])}.",
            "",
            *fenced(_diff(action["request"]), "diff"),
            "",
        ]
    return lines


def _diff(request: Json) -> list[str]:
    """What was there and what was to be there: a request names both as `from_x` and
    `to_x`, or `from_` and `to`.
    """
    was = {name[5:]: value for name, value in request.items() if name.startswith("from_")}
    to_be = {
        name[3:]: value
        for name, value in request.items()
        if name == "to" or (name.startswith("to_") and name[3:] in was)
    }
    if not to_be:
        return [f"+ {name}: {_shown(value)}" for name, value in request.items()]
    kept = [
        f"  {name}: {_shown(value)}"
        for name, value in request.items()
        if not name.startswith(("from_", "to_")) and name != "to"
    ]
    named = {name: name or "value" for name in to_be}
    return [
        *kept,
        *(f"- {named[name]}: {_shown(was.get(name))}" for name in to_be),
        *(f"+ {named[name]}: {_shown(value)}" for name, value in to_be.items()),
    ]


def _links(record: Json) -> list[str]:
    found: dict[str, str] = {}
    for alert in record["alerts"]:
        for what, url in (
            ("Runbook", alert["annotations"].get("runbook_url", "")),
            ("Dashboard", alert["annotations"].get("dashboard_url", "")),
            ("Rule", alert.get("generator_url", "")),
        ):
            if url:
                found.setdefault(url, what)
    if not found:
        return []
    return ["## Links", "", *(f"- {what}: {link(url)}" for url, what in found.items()), ""]


def link(url: str) -> str:
    """A link, when it leads to the web; else the text."""
    if not re.match(r"https?://[\w.-]+(:\d+)?(/|\?|#|$)", url):
        return code(url)
    # Quoted is whatever could end the link, begin another, or stand for markup.
    return f"<{urllib.parse.quote(url, safe=':/?#&=%+,;@-._~$!*')}>"


def _lasted(record: Json) -> str:
    if not record["closed_at"]:
        return "it is not closed"
    lasted = datetime.fromisoformat(record["closed_at"]) - datetime.fromisoformat(
        record["opened_at"]
    )
    return str(lasted).split(".", maxsplit=1)[0]


def _day(instant: str) -> str:
    return instant[:19].replace("T", " ")
