"""Every alert of the catalogue has a rule, tests of each kind, a runbook and labels to be resolved
by; and no rule is outside the catalogue.
"""

import re

import pytest

from tests.rules.rulebook import (
    BASE_URL,
    ROOT,
    RULE_FILES,
    RULES,
    Alert,
    alerts,
    case,
    cases,
    catalogue,
    expected,
    metrics,
    raw_metrics,
    records,
    rules,
    slugs,
)

ALERTS = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
CHAPTER_FILES = {path.name.split(".")[0] for path in RULE_FILES} - {"platform", "paramedic"}
# Alerts that concern no single workload, and what names their target instead.
NO_WORKLOAD = {
    "CertificateExpiring": {"namespace", "certificate"},
    "PlatformOutage": {"namespace"},
    "RuleEvaluationFailing": {"rule_group"},
    "Watchdog": set[str](),
}


def fired(alert: Alert) -> list[dict[str, str]]:
    """The label sets that the tests of `alert` expect, whatever the case."""
    return [
        one["exp_labels"]
        for test in cases(alert.file)
        for look in expected(test, alert)
        for one in look
        if test["name"].startswith(f"{alert.name}: ")
    ]


def test_the_catalogue_has_the_sixteen_rows_and_thirty_eight_alerts_of_the_playbook() -> None:
    rows = [chapter["row"] for chapter in catalogue()["chapters"]]
    wanted = "0 1.1 1.2 2.1 2.2 3.1 3.2 4.1 4.2 5.1 5.2 6.1 6.2 7.1 7.2 7.3"
    assert sorted(rows) == wanted.split(" ")
    assert sum(not alert.extra for alert in alerts()) == 38
    assert all(
        chapter["slug"].startswith(chapter["row"] + "-") for chapter in catalogue()["chapters"]
    )


def test_every_rule_is_in_the_catalogue_and_in_the_file_of_its_chapter() -> None:
    found = sorted(
        (file, rule["alert"], rule["labels"]["chapter"])
        for file, rule in rules()
        if "alert" in rule and file != "paramedic"  # its alerts on itself: test_own_alerts.py
    )
    assert found == sorted((alert.file, alert.name, alert.chapter) for alert in alerts())
    assert {file for file, _, _ in found} == CHAPTER_FILES


@ALERTS
def test_an_alert_has_a_rule_with_labels_to_route_it_and_words_for_a_person(alert: Alert) -> None:
    assert alert.rule is not None, f"no rule {alert.name}"
    assert re.fullmatch(r"(?:[A-Z][a-z0-9]*)+|ServiceOOMKilled", alert.name)
    labels, notes = alert.rule["labels"], alert.rule["annotations"]
    assert {"severity", "chapter", "remediate"} <= set(labels)
    assert labels["severity"] in {"critical", "warning", "info"} or alert.name == "Watchdog"
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert len(notes["summary"]) < 120
    assert len(notes["description"]) > 60
    if alert.name not in NO_WORKLOAD:
        assert "{{" in notes["summary"] + notes["description"], "says which"
    if labels["remediate"] != "false":
        assert "keep_firing_for" in alert.rule, (
            "without it one good sample resolves the alert and ends the incident"
        )


@ALERTS
def test_an_alert_fires_stays_quiet_below_resolves_and_says_what_absence_means(
    alert: Alert,
) -> None:
    assert alert.absence.endswith("."), f"{alert.name}: no word on absence"
    fires, below, resolves, absence = (
        case(alert, name) for name in ("fires", "does not fire just below", "resolves", "absence")
    )
    assert fires is not None
    assert any(expected(fires, alert))
    assert absence is not None
    assert expected(absence, alert)
    if alert.name != "Watchdog":  # it always fires: nothing is below, nothing resolves
        assert below is not None
        assert expected(below, alert)[-1] == []
        assert below["input_series"], "quiet for want of data proves nothing"
        assert resolves is not None
        looks = expected(resolves, alert)
        assert looks[0]
        assert looks[-1] == []


@ALERTS
def test_an_alert_on_kube_state_metrics_is_tested_without_honor_labels(alert: Alert) -> None:
    assert alert.rule is not None
    read = raw_metrics(alert.rule["expr"])
    owners = {
        "kube_pod_owner",
        "kube_replicaset_owner",
        "kube_pod_status_phase",
    }  # behind every owner lookup
    if not {name for name in read if name.startswith("kube_")} - owners:
        return
    if alert.name in {"NetworkPathBlocked", "MetricsAbsent", "BackupAbsent"}:
        return  # read it only to hold themselves back, or to see that it is not there
    test = case(alert, "fires on exported labels")
    if test is None:
        read_by_default = expected(case(alert, "fires") or {"alert_rule_test": []}, alert)
        pytest.fail(
            f"{alert.name} reads {sorted(read)} and expects {read_by_default}, never with exported_*"
        )
    assert any("exported_" in row["series"] for row in test["input_series"])
    assert any(expected(test, alert))


@ALERTS
def test_what_is_remediated_names_its_target(alert: Alert) -> None:
    for labels in fired(alert):
        if alert.name in NO_WORKLOAD:
            assert NO_WORKLOAD[alert.name] <= set(labels)
        elif labels["remediate"] == "true":
            assert {"namespace", "workload_kind", "workload"} <= set(labels)
            assert labels["workload_kind"] in {"Deployment", "StatefulSet"}, (
                "a Pod or Job is for a person"
            )
        assert not [name for name in labels if name.startswith("exported_")]
        assert labels.get("namespace", "carbon-ingestion") == "carbon-ingestion", (
            "the exporter's own namespace"
        )


@ALERTS
def test_a_runbook_url_leads_to_a_heading_of_this_repository(alert: Alert) -> None:
    assert alert.rule is not None
    url = alert.rule["annotations"]["runbook_url"]
    assert url.startswith(BASE_URL)
    path, _, anchor = url.removeprefix(BASE_URL).partition("#")
    assert anchor in slugs(ROOT / path), f"{path} has no heading for #{anchor}"


def test_every_row_has_its_section_in_a_runbook() -> None:
    for chapter in catalogue()["chapters"]:
        path, _, anchor = chapter["runbook"].partition("#")
        assert anchor in slugs(ROOT / path), (
            f"{chapter['row']}: {path} has no heading for #{anchor}"
        )
        section = (ROOT / path).read_text()
        for alert in chapter["alerts"]:
            assert f"### {alert['name']}" in section, f"{path} does not explain {alert['name']}"


def test_every_metric_that_a_rule_reads_is_missed_when_it_is_gone() -> None:
    rows = [
        rule for _, rule in rules() if rule.get("record") == "platform:source:absent"
    ]  # the series exists exactly while the metric does not
    missed: set[str] = set()
    for row in rows:
        name = row["labels"]["metric"]
        missed |= {name, *raw_metrics(name)}
        assert name in raw_metrics(row["expr"]) | metrics(row["expr"]), (
            f"the row of {name} looks at something else"
        )
    theirs = [rule for file, rule in rules() if file != "paramedic"]
    read = {name for rule in theirs for name in raw_metrics(str(rule["expr"]))}
    silent = set(catalogue()["rightly_absent"])
    assert read - missed - silent == set(), (
        "gone without a word: add a row to platform.sources or a reason to catalogue"
    )
    assert silent - read == set(), "a reason for a metric that no rule reads"
    assert silent & {row["labels"]["metric"] for row in rows} == set()


def test_every_threshold_is_a_recorded_series_that_an_alert_compares_with() -> None:
    read = {name for _, rule in rules() if "alert" in rule for name in metrics(rule["expr"])}
    thresholds = {name for name in records() if name.startswith("paramedic:threshold:")}
    assert thresholds
    assert thresholds == {name for name in read if name.startswith("paramedic:threshold:")}
    for file, rule in rules():
        if file == "paramedic":
            continue  # its own figures are no platform's to tune
        if "alert" in rule:  # 0 and 1 are states, not thresholds
            bare = re.sub(r'"[^"]*"|\[[^\]]*\]|_\w*\d\w*|:\w+', "", rule["expr"])
            assert set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?", bare)) <= {"0", "1"}, rule["alert"]


def test_a_consumer_group_belongs_to_one_workload_and_a_workload_is_named_once() -> None:
    rows: dict[str, list[dict[str, str]]] = {}
    for _, rule in rules():
        if "record" in rule and rule["record"].endswith(":info") and rule["expr"] == "vector(1)":
            rows.setdefault(rule["record"], []).append(rule["labels"])
    owner: dict[str, tuple[str, str]] = {}
    for row in rows["platform:consumer_group:info"]:
        target = (row["workload_kind"], row["workload"])
        assert owner.setdefault(row["consumergroup"], target) == target, row["consumergroup"]
    names = [row["workload"] for row in rows["platform:workload:info"]]
    assert len(names) == len(set(names))
    for record, labelled in rows.items():
        for row in labelled:
            if "workload" in row:
                assert row["workload"] in names, (
                    f"{record} names {row['workload']}, which is not in the inventory"
                )


def test_chapters_name_no_exporter_so_that_other_names_need_one_file_only() -> None:
    for file, rule in rules():
        if file not in {"platform", "paramedic"}:
            foreign = {
                n
                for n in metrics(str(rule["expr"]))
                if not n.startswith(("platform:", "paramedic:"))
            }
            assert foreign <= {"prometheus_rule_evaluation_failures_total"}, (
                file,
                rule.get("alert"),
            )
    assert (RULES / "platform.rules.yaml").exists()
