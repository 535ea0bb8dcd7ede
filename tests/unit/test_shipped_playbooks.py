"""The shipped playbooks against the shipped alerts: each alert of these chapters
has one, and none has two.
"""

import re

import pytest
import yaml

from service.model.action import Mode
from service.model.playbook import Playbook
from tests.unit.made import ROOT, shipped_playbooks

PLAYBOOKS = tuple(shipped_playbooks().values())
# Where a person is: with kubectl and the namespace in hand, in no pod of the platform.
PASTED = (
    "kubectl -n {{ target.namespace }} ", "for chi in $(kubectl -n {{ target.namespace }} ",
    "cmctl -n {{ target.namespace }} ", "paramedic ", "kubectl -n kube-system ",
    "kubectl get pods --all-namespaces ",
)  # fmt: skip
OF_THE_CLUSTER = re.compile(r"kubectl (get|describe|patch) (pv|nodes)\b")
ROWS = ("1.1", "1.2", "5.1", "5.2", "6.1", "6.2", "7.1", "7.2")
# Nobody can act on these: a rule of ours that fails, and the alert that always fires.
WITHOUT = ("RuleEvaluationFailing", "Watchdog")


def alerts() -> dict[str, str]:
    """Alert -> its `remediate` label, which may be a template."""
    rules = [
        rule
        for file in sorted((ROOT / "rules" / "prometheus").glob("*.rules.yaml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    wanted = [r for r in rules if r["labels"]["chapter"].startswith(ROWS)]
    return {r["alert"]: r["labels"]["remediate"] for r in wanted if r["alert"] not in WITHOUT}


def answering(alert: str, remediate: str) -> list[Playbook]:
    labels = {"alertname": alert, "remediate": remediate}
    return [p for p in PLAYBOOKS if p.matches(labels)]


@pytest.mark.parametrize(("alert", "remediate"), alerts().items())
def test_an_alert_has_exactly_one_playbook(alert: str, remediate: str) -> None:
    value = "true" if "{{" in remediate else remediate
    assert len(answering(alert, value)) == 1, (alert, value)


@pytest.mark.parametrize(
    "alert", [a for a, remediate in alerts().items() if remediate == "diagnose"]
)
def test_an_alert_for_people_leads_to_people_only(alert: str) -> None:
    (only,) = answering(alert, "diagnose")
    assert [r.name for r in only.remedies if r.do.kind.name != "human"] == []


@pytest.mark.parametrize(
    ("playbook", "rung", "kind", "mode"),
    [
        ("service-start", "raise-memory", "patch_memory_limit", Mode.AUTO),
        ("service-start", "roll-back", "rollout_undo", Mode.APPROVE),
        ("service-start", "restart", "rollout_restart", Mode.AUTO),
        ("service-restarts", "raise-memory", "patch_memory_limit", Mode.AUTO),
        ("service-restarts", "wait-longer-for-the-start", "patch_probe_delay", Mode.APPROVE),
        ("authentication", "restore-rbac", "apply_known_good", Mode.APPROVE),
        ("network", "restore-policies", "apply_known_good", Mode.APPROVE),
        ("metrics", "annotate", "patch_pod_annotations", Mode.AUTO),
        ("metrics", "restart", "rollout_restart", Mode.AUTO),
        ("logging", "log-more-for-a-while", "timed_config", Mode.APPROVE),
        ("data-loss-prevention", "back-up", "backup_database", Mode.AUTO),
    ],
)
def test_a_rung_goes_as_far_as_its_row_says(
    playbook: str, rung: str, kind: str, mode: Mode
) -> None:
    found = next(p for p in PLAYBOOKS if p.name == playbook)
    remedy = next(r for r in found.remedies if r.name == rung)
    assert (remedy.do.kind.name, remedy.mode) == (kind, mode)


def commands() -> dict[str, str]:
    """Every command that a person is given, by its place."""
    return {
        f"{file.stem}/{remedy['name']}/{number}": command
        for file in sorted((ROOT / "rules" / "playbooks").glob("*.yaml"))
        for remedy in yaml.safe_load(file.read_text())["remedies"]
        for number, command in enumerate(remedy["do"].get("human", {}).get("commands", ()))
    }


@pytest.mark.parametrize("place", commands())
def test_a_command_for_a_person_can_be_pasted_from_where_they_are(place: str) -> None:
    command = commands()[place]
    assert command.startswith(PASTED) or OF_THE_CLUSTER.match(command), command
    # What only a person knows (a value, an image) stays theirs;
    # a name that the cluster knows is no gap.
    assert not re.search(r"<[a-z-]+>|\bNAME\b", command), command
