"""Alerts as the shipped rules would fire them: labels and annotations come from rules/prometheus.

Never here: when one fires.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rehearsal.platform import NAMESPACE

RULES = Path(__file__).parents[2] / "rules" / "prometheus"
_VALUE = re.compile(r"\{\{\s*\$value\b[^}]*\}\}")
_TEMPLATE = re.compile(r"\{\{[^}]*\}\}")
_LABEL = re.compile(r"\{\{\s*\$labels\.(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Fired:
    """An alert. `labels` are those of its series, beside namespace and workload."""

    alert: str
    workload: str = ""  # Kind/name; "" for an alert that concerns none
    labels: Mapping[str, str] = field(default_factory=dict)
    value: str = ""  # as its summary shows it

    def all_labels(self) -> dict[str, str]:
        """As Alertmanager posts them: the rule's own, and the series'."""
        rule = shipped()[self.alert]
        kind, _, name = self.workload.partition("/")
        target = {"workload_kind": kind, "workload": name} if name else {}
        # A template decides by the workload: the scenarios' are all Deployments and StatefulSets.
        own = {k: "true" if "{{" in v else v for k, v in rule["labels"].items()}
        return {
            "alertname": self.alert, **own, "namespace": NAMESPACE, **target, **self.labels,
        }  # fmt: skip

    def annotations(self) -> dict[str, str]:
        """The rule's, with labels and value filled in; what else its templates do is left out."""
        labels, filled = self.all_labels(), {}
        for name, text in shipped()[self.alert]["annotations"].items():
            said = _LABEL.sub(lambda found: labels.get(found[1], ""), text)
            filled[name] = _TEMPLATE.sub("", _VALUE.sub(self.value, said))
        return filled


@cache
def shipped() -> dict[str, dict[str, Any]]:
    """The alert rules by name. Any: YAML."""
    rules = (
        rule
        for file in sorted(RULES.glob("*.rules.yaml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    )
    return {rule["alert"]: rule for rule in rules if "alert" in rule}
