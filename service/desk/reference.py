"""Tables of every setting, metric, reason and guard, made from the code.

A test holds the README and docs/reference.md against them.
"""

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from pydantic.fields import FieldInfo

from service.guard.chain import CHAIN
from service.guard.question import Guard
from service.model.reasons import Reason
from service.playbooks.format import LimitFields
from service.record.metrics import Metrics
from service.settings import variables

_PAGE = """\
# Reference

Made by `make manifests` from the code. Do not edit.

## Settings

From the environment, or from the YAML file that `PARAMEDIC_CONFIG` names: `PARAMEDIC_KAFKA__BOOTSTRAP`
is `kafka: {{bootstrap: ...}}` there.

{settings}

## Metrics

At `/metrics`, beside those of the process.

{metrics}

## Reasons

One word from a closed list, the same in the log, the metric, the ledger and the record.

{reasons}
"""


def page() -> str:
    """Markdown: docs/reference.md, whole."""
    return _PAGE.format(settings=settings_table(), metrics=metrics_table(), reasons=reasons_table())


def settings_table() -> str:
    """Markdown: the environment variable, its default, what it does."""
    rows = [
        f"| `{name}` | {_default(field)} | {field.description or ''} |"
        for name, field in variables()
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows])


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return "none"
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def metrics_table() -> str:
    """Markdown: the metric, its type, its labels, what it counts.
    Those of the Python process are left out.
    """
    rows = []
    for metric in vars(Metrics()).values():
        if not hasattr(metric, "_labelnames"):
            continue
        described = next(iter(metric.describe()))
        name = described.name + ("_total" if described.type == "counter" else "")
        labels = ", ".join(metric._labelnames) or "none"
        rows.append(f"| `{name}` | {described.type} | {labels} | {described.documentation} |")
    return "\n".join(
        ["| metric | type | labels | what it counts |", "| --- | --- | --- | --- |", *rows]
    )


def reasons_table() -> str:
    """Markdown: every reason under its heading, as the source explains it."""
    lines = ["| reason | meaning |", "| --- | --- |"]
    for line in inspect.getsource(Reason).splitlines():
        if heading := re.match(r"\s+# (.+ because \.\.\.)$", line):
            lines.append(f"| **{heading[1].removesuffix(' ...')}** | |")
        elif reason := re.match(r'\s+[A-Z_]+ = "(\w+)"  # (.+)$', line):
            lines.append(f"| `{reason[1]}` | {reason[2]} |")
    return "\n".join(lines)


_G = "PARAMEDIC_GUARD__"
# Where each guard's limits are written: variables, or the fields of a playbook.
WRITTEN: Mapping[str, Sequence[str]] = {
    "firing": (),
    "heard": ("PARAMEDIC_INTAKE__REPEAT_INTERVAL_S", "PARAMEDIC_INTAKE__SLACK_S"),
    "still_firing": ("PARAMEDIC_ALERTMANAGER__URLS",),
    "namespace": (f"{_G}NAMESPACES",),
    "protected": (f"{_G}PROTECTED", f"{_G}OWN_NAMESPACE"),
    "freshness": (f"{_G}EVIDENCE_MAX_AGE_S",),
    "mode": ("PARAMEDIC_MODE", "remedies[].mode"),
    "switch": ("paramedic pause",),
    "window": ("paramedic window",),
    "same_object": (),
    "owned_elsewhere": (),
    "attempts": (
        f"{_G}ATTEMPTS_RUNG", f"{_G}ATTEMPTS_RETURNS", f"{_G}ATTEMPTS_PLAYBOOK", f"{_G}ATTEMPTS_WINDOW_S",
    ),
    "clock": (f"{_G}CLOCK_HOLD_S",),
    "breaker": (f"{_G}BREAKER_OPENED", f"{_G}BREAKER_WINDOW_S", f"{_G}BREAKER_COOLDOWN_S"),
    "explained": ("causes.yaml",),
    "changed_by_person": (f"{_G}PERSON_REST_S", f"{_G}PERSON_MANAGERS"),
    "rollout": (),
    "min_ready": (f"{_G}MIN_READY",),
    "disruption_budget": (),
    "busy": (),
    "cooldown": ("limits.cooldown",),
    "canary": (f"{_G}CANARY_WINDOW_S",),
    "blast_radius": (f"{_G}BLAST_SHARE_PERCENT", f"{_G}BLAST_TARGETS"),
    "budgets": (
        "limits.per_rung", "limits.per_target", "limits.per_playbook", f"{_G}NAMESPACE_COUNT",
        f"{_G}NAMESPACE_WINDOW_S", f"{_G}OVERALL_COUNT", f"{_G}OVERALL_WINDOW_S",
    ),
    "consent": (f"{_G}APPROVAL_EXPIRES_S", f"{_G}VETO_S"),
}  # fmt: skip


def guards_table() -> str:
    """Markdown: each guard in its order, where its limits are written with their
    defaults, its reason words.
    """
    lines = [
        "| guard | no action ... | written in (default) | reason |",
        "| --- | --- | --- | --- |",
    ]
    for name, guard in CHAIN.items():
        written = "<br>".join(_written(place) for place in WRITTEN[name]) or "always on"
        words = ", ".join(f"`{reason}`" for reason in reasons_of(guard))
        lines.append(f"| `{name}` | {_sentence(guard)} | {written} | {words} |")
    return "\n".join(lines)


def reasons_of(guard: Guard) -> tuple[Reason, ...]:
    """The words that stand in a guard's file, in the list's order."""
    named = set(re.findall(r"Reason\.([A-Z_]+)", inspect.getsource(_module(guard))))
    return tuple(reason for reason in Reason if reason.name in named)


def _sentence(guard: Guard) -> str:
    told = inspect.getdoc(_module(guard)) or ""
    return " ".join(told.split("\n\n")[0].split()).replace("|", "\\|")


def _module(guard: Guard) -> ModuleType:
    return sys.modules[guard.__module__]


def _written(place: str) -> str:
    found = dict(variables()).get(place)
    if found is not None:
        return f"`{place}` ({_default(found)})"
    limits = LimitFields().limits()
    shown = {
        "limits.per_rung": "none",
        "limits.per_target": limits.per_target,
        "limits.per_playbook": limits.per_playbook,
        "limits.cooldown": f"{limits.cooldown_s:g} s",
    }
    return f"`{place}` ({shown[place]})" if place in shown else f"`{place}`"
