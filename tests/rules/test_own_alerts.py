"""Paramedic's alerts on itself: each has tests, a runbook section,
and only metrics that /metrics has.
"""

import re
from functools import cache

import pytest

from service.record.metrics import Metrics
from tests.rules.rulebook import (
    BASE_URL,
    ROOT,
    Alert,
    case,
    expected,
    own,
    raw_metrics,
    rules,
    slugs,
)

OWN = pytest.mark.parametrize("alert", own(), ids=lambda alert: alert.name)
# What Prometheus makes of a metric: a histogram has these.
SUFFIXES = ("", "_bucket", "_count", "_sum", "_total")


@cache
def exported() -> dict[str, set[str]]:
    """Every metric that Paramedic has, as it is named on /metrics, with the names of its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(Metrics()).values():
        if not hasattr(metric, "_labelnames"):
            continue
        described = next(iter(metric.describe()))
        for suffix in SUFFIXES:
            found[described.name + suffix] = {*metric._labelnames, "le", "job", "instance"}
    return found


def test_every_own_alert_has_its_rule_and_every_rule_its_entry() -> None:
    ruled = {rule["alert"] for file, rule in rules() if file == "paramedic" and "alert" in rule}
    assert ruled == {alert.name for alert in own()}


@OWN
def test_it_reads_only_metrics_and_labels_that_exist(alert: Alert) -> None:
    assert alert.rule is not None
    read = raw_metrics(alert.rule["expr"])
    assert read
    assert read <= exported().keys(), read - exported().keys()
    named = re.findall(r"([\w:]+)\{([^}]*)\}", alert.rule["expr"])
    for name, matchers in named:
        if ":" in name:  # recorded here, of what is looked at
            continue
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= exported()[name], name


@OWN
def test_it_has_words_for_a_person_and_is_sent_to_people(alert: Alert) -> None:
    assert alert.rule is not None
    labels, notes = alert.rule["labels"], alert.rule["annotations"]
    assert (labels["chapter"], labels["remediate"]) == ("paramedic", "false")
    assert labels["severity"] in {"critical", "warning"}
    assert len(notes["summary"]) < 120
    assert len(notes["description"]) > 60
    path, _, anchor = notes["runbook_url"].removeprefix(BASE_URL).partition("#")
    assert anchor == alert.name.lower()
    assert anchor in slugs(ROOT / path)


@OWN
def test_it_fires_stays_quiet_below_resolves_and_says_what_absence_means(alert: Alert) -> None:
    assert alert.absence.endswith(".")
    fires, below, resolves, absence = (
        case(alert, name) for name in ("fires", "does not fire just below", "resolves", "absence")
    )
    assert fires
    assert below
    assert resolves
    assert absence
    assert any(expected(fires, alert))
    assert expected(below, alert)[-1] == []
    assert below["input_series"], "quiet for want of data proves nothing"
    looks = expected(resolves, alert)
    assert looks[0]
    assert looks[-1] == []
