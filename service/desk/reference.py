"""Tables of every setting, metric and reason, made from the code itself; a test holds the README against them."""

import inspect
import re

from pydantic.fields import FieldInfo

from service.model.reasons import Reason
from service.record.metrics import Metrics
from service.settings import variables


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
    """Markdown: the metric, its type, its labels, what it counts. Those of the Python process are left out."""
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
