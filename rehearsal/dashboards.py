"""Grafana's dashboards as code: what each panel asks, and the JSON that
Grafana is provisioned with.

`python -m rehearsal.dashboards` writes alerting/grafana/dashboards (so does `make
manifests`). Never here: a number.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

FOLDER = Path(__file__).resolve().parents[1] / "alerting" / "grafana" / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "paramedic-prometheus"}
SCHEMA_VERSION = 42
_COLUMNS = 24

Json: TypeAlias = dict[str, Any]  # Any: JSON


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and the legend of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel. `kind` and `unit` are Grafana's names for them."""

    title: str
    queries: Sequence[Query]
    about: str
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 7


@dataclass(frozen=True)
class Dashboard:
    """One dashboard. `text` stands above its panels, in Markdown."""

    uid: str
    title: str
    about: str
    panels: Sequence[Panel]
    text: str = ""
    variables: Sequence[Json] = field(default_factory=tuple)
    one_incident: bool = False  # what it shows is of the incident that is named above it


# Whose samples carry the incident's id as an exemplar; of histograms the buckets do.
EXEMPLARS = frozenset(
    {
        "paramedic_rulings_total",
        "paramedic_actions_total",
        "paramedic_outcomes_total",
        "paramedic_incidents_escalated_total",
        "paramedic_incidents_closed_total",
        "paramedic_incident_duration_seconds_bucket",
        "paramedic_diagnosis_duration_seconds_bucket",
        "paramedic_action_duration_seconds_bucket",
        "paramedic_time_to_evidence_seconds_bucket",
        "paramedic_time_to_action_seconds_bucket",
        "paramedic_time_to_healed_seconds_bucket",
    }
)

_HERE = 'playbook=~"$playbook"'
_RANGE = "$__range"
_RATE = "$__rate_interval"
_RECORD = {
    "title": "Record of incident ${incident}",
    "url": "${paramedic}/api/v1/incidents/${incident:percentencode}",
    "targetBlank": True,
}


def _grown(metric: str, by: str = "", where: str = "", over: str = _RATE) -> str:
    """By how much a counter has grown. One that is born at 1 has no
    increase: young, it counts whole.
    """
    chosen = f"{metric}{{{where}}}" if where else metric
    grown = f"({chosen} unless {metric} offset {over}) or increase({chosen}[{over}])"
    return f"sum by ({by}) ({grown})" if by else f"sum({grown})"


def _ever(metric: str, by: str, where: str) -> str:
    """By how much a total of the ledger or the journal has grown:
    the difference of two instants, which is exact.
    """
    last = f"max without (instance, pod) (max_over_time({metric}{{{where}}}[{_RANGE}]"
    return f"sum by ({by}) ({last})) - ({last} offset {_RANGE})) or {last})) * 0)) > 0"


def _quantile(q: float, histogram: str, by: str = "le", over: str = _RATE) -> str:
    return f"histogram_quantile({q}, sum by ({by}) (rate({histogram}_bucket[{over}])))"


def _stat(title: str, expr: str, about: str, *, unit: str = "short", legend: str = "") -> Panel:
    return Panel(title, [Query(expr, legend)], about, "stat", unit, width=6, height=4)


def _bars(title: str, expr: str, legend: str, about: str) -> Panel:
    return Panel(title, [Query(expr, legend)], about, "bargauge", width=12)


def _lines(
    title: str, expr: str, legend: str, about: str, *, unit: str = "short", width: int = 8
) -> Panel:
    return Panel(title, [Query(expr, legend)], about, unit=unit, width=width)


def _textbox(name: str, label: str, value: str) -> Json:
    return {
        "type": "textbox",
        "name": name,
        "label": label,
        "query": value,
        "current": {"text": value, "value": value},
        "hide": 0,
    }


_HEALED = _HERE + ', outcome="healed"'
_FIRING = 'ALERTS{alertstate="firing", remediate=~"true|diagnose", namespace=~"$namespace"}'

OVERVIEW = Dashboard(
    "paramedic-overview",
    "Paramedic / Overview",
    "Is it well, and what is it busy with?",
    [
        _stat(
            "Running",
            "max by (version, mode) ((paramedic_mode == 1)"
            " * on (instance, job) group_left (version) paramedic_build_info)",
            "The version, and the ceiling over every playbook.",
            legend="{{version}} {{mode}}",
        ),
        _stat("Open incidents", "sum(paramedic_incidents)", "Incidents that are not closed."),
        _stat(
            "Actions done",
            _grown("paramedic_actions_total", where=_HERE + ', applied="done"', over=_RANGE),
            "Writes that were taken, in the time shown.",
        ),
        _stat(
            "Healed",
            f"{_grown('paramedic_outcomes_total', where=_HEALED, over=_RANGE)}"
            f" / {_grown('paramedic_outcomes_total', where=_HERE, over=_RANGE)}",
            "Of the actions whose outcome is known, in the time shown.",
            unit="percentunit",
        ),
        _lines(
            "Alerts that fire",
            f"sum by (alertname) ({_FIRING})",
            "{{alertname}}",
            "What Prometheus says, as far as it is sent to Paramedic.",
        ),
        _lines(
            "Incidents by state",
            "sum by (state) (paramedic_incidents)",
            "{{state}}",
            "Incidents that are not closed.",
        ),
        Panel(
            "Opened, closed, escalated",
            [
                Query(_grown(f"paramedic_incidents_{what}_total", where=_HERE), what)
                for what in ("opened", "closed", "escalated")
            ],
            "Escalated: a person has it.",
        ),
        _lines(
            "Webhooks by answer",
            f"sum by (result) (rate(paramedic_webhooks_total[{_RATE}]))",
            "{{result}}",
            "Anything but `accepted` is a dead letter, or is sent again.",
            unit="reqps",
        ),
        Panel(
            "Time to commit a webhook",
            [
                Query(_quantile(q, "paramedic_webhook_duration_seconds"), f"p{int(q * 100)}")
                for q in (0.5, 0.99)
            ],
            "Nearly all of it is the store's.",
            unit="s",
        ),
        _lines(
            "Oldest webhook that waits",
            "max(paramedic_inbox_oldest_seconds)",
            "age",
            "Committed, and not sorted yet.",
            unit="s",
        ),
        Panel(
            "How long incidents last",
            [
                Query(
                    _quantile(q, "paramedic_incident_duration_seconds", over=_RANGE),
                    f"p{int(q * 100)}",
                )
                for q in (0.5, 0.9)
            ],
            "From opening to close.",
            unit="s",
        ),
        _lines(
            "Time in the store",
            _quantile(0.99, "paramedic_store_duration_seconds", "operation, le"),
            "{{operation}} p99",
            "One read or write, its wait for others included.",
            unit="s",
        ),
        _lines(
            "Receivers that are behind",
            "max by (sink) (paramedic_sink_lag_seconds)",
            "{{sink}}",
            "Age of the oldest step that each has not got.",
            unit="s",
        ),
        _lines(
            "Dead letters",
            "max(paramedic_dead_letters)",
            "kept",
            "What could not be taken, and why: `/api/v1/dead-letters`.",
        ),
        _lines(
            "Faults of its own",
            _grown("paramedic_faults_total", "where"),
            "{{where}}",
            "Bugs, and outages of its store.",
        ),
        _lines(
            "Since the Watchdog came",
            "time() - max(paramedic_watchdog_last_received_timestamp_seconds > 0)",
            "age",
            "The alert that always fires: its age is that of the way from Prometheus to here.",
            unit="s",
        ),
    ],
)

INCIDENT = Dashboard(
    "paramedic-incident",
    "Paramedic / One incident",
    "What was seen, ruled, done and read again around one incident.",
    [
        _lines(
            "Alerts of the namespace",
            f"sum by (alertname, workload) ({_FIRING})",
            "{{alertname}} {{workload}}",
            "What fired, and when it stopped.",
            width=12,
        ),
        _lines(
            "Where incidents stand",
            "sum by (state) (paramedic_incidents)",
            "{{state}}",
            "Of all playbooks.",
            width=12,
        ),
        _lines(
            "Looks",
            _grown("paramedic_diagnosis_duration_seconds_count", "diagnosis"),
            "{{diagnosis}}",
            "Diagnoses; readings after an action are among them.",
        ),
        _lines(
            "How long a look takes",
            _quantile(0.9, "paramedic_diagnosis_duration_seconds", "diagnosis, le"),
            "{{diagnosis}}",
            "All probes of a diagnosis together, nine of ten.",
            unit="s",
        ),
        _lines(
            "What could not be seen",
            _grown(
                "paramedic_probe_readings_total", "probe, result", 'result!~"known|not_configured"'
            ),
            "{{probe}} {{result}}",
            "Unknown never argues for acting.",
        ),
        _lines(
            "Rulings",
            _grown("paramedic_rulings_total", "rung, verdict, reason", _HERE),
            "{{rung}} {{verdict}} {{reason}}",
            "What was asked of the guards, and their word.",
        ),
        _lines(
            "Actions",
            _grown("paramedic_actions_total", "rung, action, applied", _HERE),
            "{{rung}} {{action}} {{applied}}",
            "What was done.",
        ),
        _lines(
            "Outcomes",
            _grown("paramedic_outcomes_total", "rung, outcome", _HERE),
            "{{rung}} {{outcome}}",
            "Whether it helped.",
        ),
    ],
    text="Write the incident's id above: the regions are its remediations, from action to outcome (those of others"
    " can be switched on), and the panels' links lead to its record. No metric has the id of an incident, which would"
    " be a series for each: choose its playbook and namespace above, and its time. Exemplars, the dots, do have it."
    " On a terminal: `paramedic incidents $incident --markdown`.",
    variables=[
        _textbox("incident", "incident", ""),
        _textbox("paramedic", "Paramedic's URL", "https://paramedic.example"),
    ],
    one_incident=True,
)

AUDIT = Dashboard(
    "paramedic-audit",
    "Paramedic / Audit",
    "What did it do, to what kind of thing, did it help, and what was it kept from?",
    [
        _bars(
            "What did it do",
            _ever(
                "paramedic_ledger_actions_total",
                "playbook, rung, action, target_kind",
                _HERE + ', applied="done"',
            ),
            "{{playbook}} {{rung}} {{action}} {{target_kind}}",
            "Actions taken, in the time shown, as the ledger has them.",
        ),
        _bars(
            "Did it help",
            _ever("paramedic_ledger_outcomes_total", "playbook, rung, outcome", _HERE),
            "{{playbook}} {{rung}} {{outcome}}",
            "Outcomes, in the time shown.",
        ),
        _bars(
            "What was it kept from",
            _ever(
                "paramedic_journal_rulings_total",
                "playbook, rung, guard, reason",
                _HERE + ', verdict="deny"',
            ),
            "{{playbook}} {{rung}} {{guard}} {{reason}}",
            "Rulings that denied; the same one at each look counts once.",
        ),
        _bars(
            "Who was called",
            _ever("paramedic_journal_escalations_total", "playbook, reason", _HERE),
            "{{playbook}} {{reason}}",
            "Escalations to people, in the time shown.",
        ),
        _stat("Chain", "max(paramedic_audit_chain_length)", "Lines of the audit chain; 0: no key."),
        _stat(
            "Intact",
            "min(paramedic_audit_chain_intact)",
            "1: the newest checkpoint still fits. That is no verification: `paramedic audit verify` is.",
        ),
        _stat(
            "Last line",
            "max by (hash, key) (paramedic_audit_chain_head_info)",
            "Its hash, and the key's id.",
            legend="{{hash}} {{key}}",
        ),
        _stat(
            "Checkpoint",
            "time() - max(paramedic_audit_checkpoint_timestamp_seconds)",
            "Its age.",
            unit="s",
        ),
        _lines(
            "How the chain grows",
            "max(paramedic_audit_chain_length)",
            "lines",
            "It never gets shorter: pruning leaves its lines.",
            width=24,
        ),
    ],
)

GUARD = Dashboard(
    "paramedic-guard",
    "Paramedic / Guard",
    "What holds actions back, and is each guard asked?",
    [
        _lines(
            "Rulings",
            _grown("paramedic_rulings_total", "verdict", _HERE),
            "{{verdict}}",
            "Allowed and denied.",
            width=12,
        ),
        _lines(
            "Why not",
            _grown("paramedic_rulings_total", "reason", _HERE + ', verdict="deny"'),
            "{{reason}}",
            "The first objection of each ruling that denied.",
            width=12,
        ),
        _bars(
            "Objections by guard",
            _grown("paramedic_guard_answers_total", "guard, answer", 'answer!="pass"', _RANGE)
            + " > 0",
            "{{guard}} {{answer}}",
            "Every guard's word, also where another one had denied already.",
        ),
        _bars(
            "Guards that were asked",
            _grown("paramedic_guard_answers_total", "guard", over=_RANGE),
            "{{guard}}",
            "All alike: each guard answers each question. One at 0 protects nobody.",
        ),
        _lines(
            "Budgets left",
            "min by (playbook) (paramedic_budget_left_actions)",
            "{{playbook}}",
            "Actions that may still be taken; without a playbook: of all together.",
            width=12,
        ),
        _lines(
            "Guards that failed",
            _grown("paramedic_rulings_total", where='reason="guard_failed"') + " or vector(0)",
            "failed",
            "A bug; a guard that raises denies.",
            width=12,
        ),
    ],
)

ALL = (OVERVIEW, INCIDENT, AUDIT, GUARD)


def as_json(dashboard: Dashboard) -> Json:
    """The classic model, bare, as file provisioning wants it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.about,
        "tags": ["paramedic"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "1m",
        "timezone": "utc",
        "time": {"from": "now-12h", "to": "now"},
        "links": [
            {
                "type": "dashboards",
                "tags": ["paramedic"],
                "title": "Paramedic",
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "annotations": {"list": _annotations(dashboard)},
        "templating": {"list": [*_variables(), *dashboard.variables]},
        "panels": _laid_out(dashboard),
    }


def _builtin() -> Json:
    return {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }


def _annotations(dashboard: Dashboard) -> list[Json]:
    if not dashboard.one_incident:
        return [_builtin(), _regions("Remediations", "red")]
    return [
        _builtin(),
        _regions("All remediations", "rgba(128, 128, 128, 1)", enable=False),
        _regions("This incident", "red", "incident:$incident"),
    ]


def _regions(name: str, colour: str, *tags: str, enable: bool = True) -> Json:
    """By tag, so the sink that writes them needs to know no dashboard."""
    wanted = ["remediation", *tags]
    return {
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": enable,
        "iconColor": colour,
        "name": name,
        "target": {"type": "tags", "tags": wanted, "matchAny": False, "limit": 100},
    }


def _variables() -> list[Json]:
    return [
        _variable("namespace", 'label_values(ALERTS{remediate=~"true|diagnose"}, namespace)'),
        _variable("playbook", "label_values(paramedic_incidents_opened_total, playbook)"),
    ]


def _variable(name: str, query: str) -> Json:
    return {
        "type": "query",
        "name": name,
        "label": name,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _laid_out(dashboard: Dashboard) -> list[Json]:
    """Panels from left to right, a new row where one does not fit."""
    made: list[Json] = []
    x = y = row_height = 0
    if dashboard.text:
        made.append(_text(dashboard.text))
        y = 3
    for number, panel in enumerate(dashboard.panels, 2):
        if x + panel.width > _COLUMNS:
            x, y, row_height = 0, y + row_height, 0
        one = _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": panel.height})
        if dashboard.one_incident:
            one["fieldConfig"]["defaults"]["links"] = [_RECORD]
        made.append(one)
        x, row_height = x + panel.width, max(row_height, panel.height)
    return made


def _text(text: str) -> Json:
    return {
        "id": 1,
        "type": "text",
        "title": "",
        "gridPos": {"x": 0, "y": 0, "w": _COLUMNS, "h": 3},
        "options": {"mode": "markdown", "content": text},
    }


def _panel(panel: Panel, number: int, place: Json) -> Json:
    instant = panel.kind in ("bargauge", "stat")
    options: Json = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}}
    if instant:
        text = "value_and_name" if "{{" in panel.queries[0].legend else "value"
        options = {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": text,
            "orientation": "horizontal",
        }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": instant,
                "range": not instant,
                "exemplar": not instant and has_exemplars(query.expr),
            }
            for index, query in enumerate(panel.queries)
        ],
    }


def has_exemplars(expr: str) -> bool:
    """Whether a query asks for samples that carry the incident's id."""
    return not EXEMPLARS.isdisjoint(re.findall(r"\w+", expr))


def file_of(dashboard: Dashboard) -> Path:
    """Where it is provisioned from."""
    return FOLDER / f"{dashboard.uid.removeprefix('paramedic-')}.json"


def text_of(dashboard: Dashboard) -> str:
    """What stands in its file."""
    return json.dumps(as_json(dashboard), indent=2) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for one in ALL:
        file_of(one).write_text(text_of(one))
