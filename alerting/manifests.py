"""The rules and the Alertmanager configuration as objects of prometheus-operator;
`make manifests` renews them.

Made from the same files that a Prometheus and an Alertmanager without the operator read,
so that there is one truth.
Pure but for reading them. Run: `python alerting/manifests.py`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

Object: TypeAlias = dict[str, Any]  # Any: YAML

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / "rules" / "prometheus"
CONFIG = ROOT / "alerting" / "alertmanager" / "alertmanager.yml"
MADE = ROOT / "alerting" / "kubernetes"
# As prometheus-operator selects by them: change them to what your Prometheus object says.
LABELS = {"app.kubernetes.io/part-of": "paramedic"}

_MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*')
_ROUTE = {
    "receiver": "receiver",
    "group_by": "groupBy",
    "group_wait": "groupWait",
    "group_interval": "groupInterval",
    "repeat_interval": "repeatInterval",
    "continue": "continue",
}
_HEAD = """\
# Made by `make manifests` from {source}. Do not edit.
"""
_SCOPE = """\
# prometheus-operator adds a matcher of this object's own namespace to its routes, unless the Alertmanager object says
#   spec: {alertmanagerConfigMatcherStrategy: {type: None}}
# and Paramedic would hear of no other namespace. The token is the Secret `paramedic-token`, key `paramedic-token`.
# Of `global` nothing is here: resolve_timeout is the Alertmanager's own.
"""


def prometheus_rules(folder: Path = RULES) -> list[Object]:
    """A PrometheusRule for each file of rules, its groups as they are."""
    return [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {
                "name": f"paramedic-{path.name.split('.')[0].replace('_', '-')}",
                "labels": dict(LABELS),
            },
            "spec": {"groups": yaml.safe_load(path.read_text())["groups"]},
        }
        for path in sorted(folder.glob("*.rules.yaml"))
    ]


def alertmanager_config(path: Path = CONFIG) -> Object:
    """The configuration as an AlertmanagerConfig. Raises KeyError for what it has no form for."""
    config = yaml.safe_load(path.read_text())
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": "paramedic", "labels": dict(LABELS)},
        "spec": {
            "route": _route(config["route"]),
            "receivers": [_receiver(one) for one in config["receivers"]],
            "inhibitRules": [_inhibition(one) for one in config.get("inhibit_rules", ())],
        },
    }


def _route(route: Mapping[str, Any]) -> Object:
    made: Object = {}
    for name, value in route.items():
        if name == "matchers":
            made["matchers"] = _matchers(value)
        elif name == "routes":
            made["routes"] = [_route(one) for one in value]
        else:
            made[_ROUTE[name]] = value
    return made


def _receiver(receiver: Mapping[str, Any]) -> Object:
    known = {"name", "webhook_configs"}
    if unknown := set(receiver) - known:
        raise KeyError(f"receiver {receiver['name']}: no form for {sorted(unknown)}")
    hooks = [_webhook(one) for one in receiver.get("webhook_configs", ())]
    return {"name": receiver["name"], **({"webhookConfigs": hooks} if hooks else {})}


def _webhook(hook: Mapping[str, Any]) -> Object:
    made: Object = {}
    for name, value in hook.items():
        match name:
            case "url":
                made["url"] = value
            case "send_resolved":
                made["sendResolved"] = value
            case "http_config":
                made["httpConfig"] = _http(value)
            case _:
                raise KeyError(f"webhook_configs: no form for {name}")
    return made


def _http(config: Mapping[str, Any]) -> Object:
    made: Object = {}
    for name, value in config.items():
        match name:
            case "authorization":
                secret = Path(value["credentials_file"]).name
                credentials = {"name": secret, "key": secret}
                made["authorization"] = {"type": value["type"], "credentials": credentials}
            case "follow_redirects":
                made["followRedirects"] = value
            case _:
                raise KeyError(f"http_config: no form for {name}")
    return made


def _inhibition(rule: Mapping[str, Any]) -> Object:
    return {
        "sourceMatch": _matchers(rule["source_matchers"]),
        "targetMatch": _matchers(rule["target_matchers"]),
        "equal": rule["equal"],
    }


def _matchers(matchers: Sequence[str]) -> list[Object]:
    made = []
    for text in matchers:
        found = _MATCHER.fullmatch(text)
        if found is None:
            raise KeyError(f"no form for the matcher {text}")
        name, kind, value = found.groups()
        made.append({"name": name, "matchType": kind, "value": value})
    return made


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they are written, which a diff can show."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]  # kubectl takes none


def files() -> Mapping[Path, str]:
    """What is made, by its place."""
    return {
        MADE / "prometheusrules.yaml": _HEAD.format(source="rules/prometheus")
        + _dumped(prometheus_rules()),
        MADE / "alertmanagerconfig.yaml": _HEAD.format(source=CONFIG.relative_to(ROOT))
        + _SCOPE
        + _dumped([alertmanager_config()]),
    }


def _dumped(objects: Sequence[Object]) -> str:
    return yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    MADE.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)
