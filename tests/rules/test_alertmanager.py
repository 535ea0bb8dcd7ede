"""The Alertmanager configuration: amtool accepts it, alerts go where they should,
inhibitions name what exists.
"""

import re
from typing import Any

import pytest
import yaml

from service.publish.calls import APPROVAL_WAITING, GAVE_UP, NEEDS_HUMAN
from tests.rules.rulebook import CONFIG, Alert, alerts, cases, expected, own, rules
from tests.servers.monitoring import run

ALERTS = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)


def config() -> dict[str, Any]:
    return dict(yaml.safe_load(CONFIG.read_text()))


def receiver(name: str) -> dict[str, Any]:
    return next(dict(one) for one in config()["receivers"] if one["name"] == name)


def routed(labels: dict[str, str]) -> list[str]:
    """The receivers that amtool finds for an alert with these labels, in order."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    done = run("amtool", "config", "routes", "test", f"--config.file={CONFIG}", *pairs)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split(",")


def test_amtool_accepts_the_configuration() -> None:
    done = run("amtool", "check-config", CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr


@ALERTS
def test_an_alert_reaches_paramedic_and_the_people_it_concerns(alert: Alert) -> None:
    assert alert.rule is not None
    seen: dict[
        str, dict[str, str]
    ] = {}  # one label set for each value of remediate that its tests expect
    for test in cases(alert.file):
        for look in expected(test, alert):
            for one in look:
                seen.setdefault(one["exp_labels"]["remediate"], one["exp_labels"])
    assert seen
    for remediate, labels in seen.items():
        if alert.name == "Watchdog":
            want = ["paramedic", "watchdog"]
        else:
            assert remediate in {"true", "diagnose"}
            want = [
                "paramedic",
                "people-page" if labels["severity"] == "critical" else "people-ticket",
            ]
        assert routed({"alertname": alert.name, **labels}) == want


@pytest.mark.parametrize("alert", own(), ids=lambda alert: alert.name)
def test_what_paramedic_says_of_itself_reaches_people_alone(alert: Alert) -> None:
    assert alert.rule is not None
    page = alert.rule["labels"]["severity"] == "critical"
    want = ["people-page" if page else "people-ticket"]
    assert routed({"alertname": alert.name, **alert.rule["labels"]}) == want


def test_the_watchdog_is_told_of_every_minute_on_both_sides() -> None:
    routes = [r for r in config()["route"]["routes"] if r["matchers"] == ['alertname="Watchdog"']]
    assert [(r["receiver"], r["repeat_interval"]) for r in routes] == [
        ("paramedic", "1m"),
        ("watchdog", "1m"),
    ]


def test_an_alert_of_somebody_else_reaches_people_only() -> None:
    assert routed({"alertname": "DiskOfTheirs", "severity": "warning"}) == ["people-ticket"]
    assert routed({"alertname": "DiskOfTheirs", "severity": "critical"}) == ["people-page"]
    assert routed({"alertname": "NoSeverity"}) == ["people-ticket"], "nothing is lost"


@pytest.mark.parametrize("severity", ["warning", "critical"])
@pytest.mark.parametrize("name", [NEEDS_HUMAN, GAVE_UP, APPROVAL_WAITING])
def test_a_call_for_help_reaches_people_only(name: str, severity: str) -> None:
    labels = {"alertname": name, "severity": severity, "playbook": "high-latency"}
    assert set(routed(labels)) <= {"people-page", "people-ticket"}
    for rule in config()["inhibit_rules"]:
        assert not any(name in matcher for matcher in rule["target_matchers"])


def test_paramedic_comes_first_and_lets_the_others_have_it_too() -> None:
    first = config()["route"]["routes"][0]
    assert first["receiver"] == "paramedic"
    assert first["continue"] is True
    assert first["group_by"] == ["chapter", "namespace", "workload_kind", "workload"]


def test_paramedic_gets_everything_with_a_bearer_from_a_file() -> None:
    (hook,) = receiver("paramedic")["webhook_configs"]
    assert hook["send_resolved"] is True
    assert "max_alerts" not in hook, "the cut tail would never arrive"
    assert "timeout" not in hook, "not known to Alertmanager 0.25"
    assert hook["http_config"]["authorization"] == {
        "type": "Bearer",
        "credentials_file": "/etc/alertmanager/secrets/paramedic-token",
    }
    assert hook["url"].endswith("/api/v1/alertmanager")
    assert "credentials:" not in CONFIG.read_text()


def test_inhibitions_name_alerts_and_labels_that_exist() -> None:
    names = {alert.name for alert in (*alerts(), *own())}
    for rule in config()["inhibit_rules"]:
        matchers = rule["source_matchers"] + rule["target_matchers"]
        named = re.findall(r'alertname=~?"([^"]+)"', " ".join(matchers))
        for name in (one for group in named for one in group.split("|")):
            assert name in names
        if "Paramedic" not in rule["source_matchers"][0]:
            assert rule["equal"][0] == "namespace", "a cause explains nothing next door"
        source = set(re.findall(r'alertname="(\w+)"', " ".join(rule["source_matchers"])))
        target = {
            n
            for g in re.findall(r'alertname=~?"([^"]+)"', " ".join(rule["target_matchers"]))
            for n in g.split("|")
        }
        assert source.isdisjoint(target), "an alert does not explain itself"


def test_the_outage_explains_the_pipeline_of_the_inventory_and_nothing_else() -> None:
    pipeline = {
        rule["labels"]["workload"]
        for _, rule in rules()
        if rule.get("record") == "platform:workload:info" and rule["labels"]["role"] == "pipeline"
    }
    outage = next(
        r for r in config()["inhibit_rules"] if "PlatformOutage" in r["source_matchers"][0]
    )
    (named,) = [m for m in outage["target_matchers"] if m.startswith("workload")]
    assert set(re.findall(r'"(.*)"', named)[0].split("|")) == pipeline
