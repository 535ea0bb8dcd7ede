"""From an alert's labels to its playbook and its target, or to the reason why there is none."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from service.model.alert import Alert
from service.model.playbook import Playbook, TargetTemplate
from service.model.reasons import Reason
from service.model.target import Target, TargetKind

_EXPORTED = "exported_"
_OWN = re.compile(r"Paramedic[A-Z]")  # alert names

# Names of Kubernetes. Anything else would be a second key for one object
# (`svc-0/status`) or a path of its own.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_LONGEST_NAME = 253
# What a certificate or a destination may be called: it stands in queries,
# and in commands that a person copies.
_ADDRESS = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._:/@*,=+-]*")
_ADDRESSED = (TargetKind.CERTIFICATE, TargetKind.DESTINATION)

_PLAIN_LABEL = re.compile(r"\s*\{\{\s*labels\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}\s*")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an alert goes."""

    playbook: str
    target: Target


@dataclass(frozen=True, slots=True)
class Unrouted:
    """Why an alert goes nowhere; it is kept and shown all the same."""

    reason: Reason
    detail: str
    playbook: str | None = None


def true_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    """The labels with `exported_*` in the place of what they were pushed aside by.

    A scrape without honor_labels gives the exporter's own namespace and pod, and the real ones as
    `exported_namespace` and `exported_pod`: acting on the former would restart the exporter.
    """
    if _EXPORTED not in "\n".join(labels):  # nearly always, and asked of each alert
        return labels
    exported = {k.removeprefix(_EXPORTED): v for k, v in labels.items() if k.startswith(_EXPORTED)}
    return {**labels, **exported}


def destination(
    alert: Alert, playbooks: Sequence[Playbook], namespaces: Sequence[str]
) -> Destination | Unrouted:
    """The first playbook that matches, with the target it names.

    Paramedic's own alerts lead to none, whatever matches: an incident about a call for
    help would call for help.
    """
    if _OWN.match(alert.name):
        return Unrouted(Reason.OWN_ALERT, f"{alert.name} is one of Paramedic's own")
    labels = true_labels(alert.labels)
    playbook = next((p for p in playbooks if p.matches(labels)), None)
    if playbook is None:
        return Unrouted(
            Reason.NO_PLAYBOOK, f"no playbook matches alert {alert.name or '(no name)'}"
        )
    target = first(playbook.target, labels)
    if isinstance(target, str):
        return Unrouted(
            Reason.TARGET_UNRESOLVED, f"playbook {playbook.name}: {target}", playbook.name
        )
    if target.namespace not in namespaces:
        detail = f"{target} lies outside the allowed namespaces {', '.join(namespaces)}"
        return Unrouted(Reason.NAMESPACE_NOT_ALLOWED, detail, playbook.name)
    return Destination(playbook.name, target)


def first(templates: Sequence[TargetTemplate], labels: Mapping[str, str]) -> Target | str:
    """The target that the first of the templates names which can,
    or what is missing for each of them.
    """
    missing: list[str] = []
    for template in templates:
        target = resolve(template, labels)
        if isinstance(target, Target):
            return target
        missing.append(target)
    return "; ".join(missing)


def resolve(template: TargetTemplate, labels: Mapping[str, str]) -> Target | str:
    """The target that the labels name, or a sentence that says what is missing."""
    view = {"labels": labels}
    parts: dict[str, str] = {}
    for part in ("kind", "namespace", "name"):
        source = getattr(template, part)
        label = _plain_label(source.text)
        value = labels.get(label) if label else source.render(view)
        if not isinstance(value, str) or not value:
            return f"its target's {part} is {source.text!r}, and the alert has no such label"
        parts[part] = value
    if parts["kind"] not in template.kinds:
        return f"its target's kind would be {parts['kind']!r}, which is none of {', '.join(template.kinds)}"
    target = Target(TargetKind(parts["kind"]), parts["namespace"], parts["name"])
    return _misnamed(target) or target


@lru_cache(1_000)
def _plain_label(text: str) -> str | None:
    """The label that a template is nothing but: read directly,
    a hundred times as quick as by its expression.
    """
    found = _PLAIN_LABEL.fullmatch(text)
    return found[1] if found else None


def _misnamed(target: Target) -> str | None:
    """What is wrong with its names. Those of other systems have rules of their own;
    only what prints is taken.
    """
    if not _LABEL.fullmatch(target.namespace):
        return f"its target's namespace {target.namespace[:64]!r} is not a DNS-1123 label"
    if target.ref is None:
        good = len(target.name) <= _LONGEST_NAME and target.name.isprintable()
        if target.kind in _ADDRESSED:
            good = good and _ADDRESS.fullmatch(target.name) is not None
        return None if good else f"its target's name {target.name[:64]!r} is none that can be shown"
    if len(target.name) > _LONGEST_NAME or not _SUBDOMAIN.fullmatch(target.name):
        return f"its target's name {target.name[:64]!r} is not a DNS-1123 subdomain"
    return None
