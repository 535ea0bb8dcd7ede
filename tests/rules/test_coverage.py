"""rules/coverage.yaml against what there is: alerts, playbooks, their rungs,
and the tests that prove each cause.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal.scenarios import SCENARIOS
from rehearsal.scenarios.scenario import Found as Asked
from service.model.playbook import Playbook, Remedy, ReturnOn
from service.model.target import Target
from service.route.target import first, true_labels
from tests.rules.rulebook import ROOT, Alert, alerts, catalogue
from tests.rules.test_catalogue import fired
from tests.unit.made import shipped_playbooks

# What the rows promise and Paramedic does not do yet. A line goes when its cause is
# automated; none comes by itself.
MISSING: set[tuple[str, str]] = set()
WHOLE_PATH = "tests/scenarios/test_scenarios.py::test_a_scenario_ends_as_it_says"
FIELDS = {
    "row": {"row", "section", "path", "alerts", "unrouted", "playbooks", "causes", "missing"},
    "playbook": {"healed", "test"},
    "cause": {"cause", "rung", "mode", "remedy", "test", "case", "missing", "returns"},
}
Found = dict[str, Any]


@cache
def rows() -> tuple[Found, ...]:
    """The rows of rules/coverage.yaml."""
    return tuple(yaml.safe_load((ROOT / "rules" / "coverage.yaml").read_text())["rows"])


@cache
def playbooks() -> dict[str, Playbook]:
    """The shipped playbooks by name."""
    return dict(shipped_playbooks())


@dataclass(frozen=True)
class Cause:
    """One cause that a rung answers, with the test that proves it."""

    row: Found
    told: Found

    @property
    def rung(self) -> str:
        return str(self.told["rung"])

    @property
    def playbook(self) -> str:
        return self.rung.partition("/")[0]

    @property
    def remedy(self) -> Remedy:
        name = self.rung.partition("/")[2]
        return next(r for r in playbooks()[self.playbook].remedies if r.name == name)

    @property
    def test(self) -> str:
        return str(self.told.get("test") or self.row["playbooks"][self.playbook]["test"])


def causes() -> tuple[Cause, ...]:
    return tuple(Cause(row, told) for row in rows() for told in row["causes"] if "rung" in told)


CAUSES = pytest.mark.parametrize("cause", causes(), ids=lambda c: f"{c.row['row']} {c.rung}")
ALERTS = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)


# ---------------------------------------------------------------------- rows, alerts, playbooks


def test_the_table_has_the_rows_and_alerts_of_the_catalogue_and_no_others() -> None:
    wanted = {
        chapter["row"]: (chapter["title"], [alert["name"] for alert in chapter["alerts"]])
        for chapter in catalogue()["chapters"]
    }
    assert {row["row"]: (row["section"], row["alerts"]) for row in rows()} == wanted
    assert len(rows()) == len(wanted)


def test_every_playbook_is_in_one_row_and_says_when_it_has_healed() -> None:
    named = [name for row in rows() for name in row["playbooks"]]
    assert sorted(named) == sorted(playbooks())
    for row in rows():
        assert set(row) <= FIELDS["row"], row["row"]
        for name, told in row["playbooks"].items():
            assert set(told) == FIELDS["playbook"], name
            assert len(told["healed"]) > 10, f"{name}: when has it healed?"


def going(alert: Alert, labels: dict[str, str]) -> str | None:
    """The playbook that takes an alert with these labels, with a target; None where it is
    nobody's.
    """
    told = true_labels({"alertname": alert.name, **labels})
    matching = [p for p in playbooks().values() if p.matches(told)]
    assert len(matching) < 2, f"{alert.name} has two playbooks"
    if not matching or not isinstance(first(matching[0].target, told), Target):
        return None
    return matching[0].name


@ALERTS
def test_an_alert_goes_to_a_playbook_of_its_row_or_the_row_says_why_not(alert: Alert) -> None:
    row = next(row for row in rows() if alert.name in row["alerts"])
    assert alert.rule is not None
    remediate = alert.rule["labels"]["remediate"]
    ends = {going(alert, labels) for labels in fired(alert)}
    if (
        "{{" in remediate
    ):  # what decides it is the target, which the tests of the rule need not all show
        ends |= {going(alert, {**labels, "remediate": "diagnose"}) for labels in fired(alert)}
    why = row.get("unrouted", {}).get(alert.name, "")
    assert ends - {None} <= set(row["playbooks"])
    assert bool(why) == (None in ends), f"{alert.name}: {ends}, and the row says {why!r}"


def test_a_playbook_has_an_alert_or_is_started_by_a_person_only() -> None:
    reached = {going(alert, labels) for alert in alerts() for labels in fired(alert)}
    assert set(playbooks()) - reached == {"complete-recovery"}


def test_a_reason_is_of_an_alert_of_its_row() -> None:
    for row in rows():
        assert set(row.get("unrouted", {})) <= set(row["alerts"]), row["row"]
        assert all(len(why) > 20 for why in row.get("unrouted", {}).values())


# ---------------------------------------------------------------------- causes and rungs


def test_every_rung_of_every_playbook_answers_a_cause_of_its_row() -> None:
    there = [f"{p.name}/{remedy.name}" for p in playbooks().values() for remedy in p.remedies]
    assert sorted(cause.rung for cause in causes()) == sorted(there)
    assert all(cause.playbook in cause.row["playbooks"] for cause in causes())


@CAUSES
def test_a_cause_says_what_is_done_and_how_far_it_goes_by_itself(cause: Cause) -> None:
    assert set(cause.told) <= FIELDS["cause"]
    assert cause.told["cause"]
    writes = cause.remedy.do.kind.name != "human"
    assert cause.told["mode"] == (cause.remedy.mode.value if writes else "human")
    assert bool(cause.told.get("remedy")) == writes, (
        "what it writes, in words; a person gets a page"
    )


def test_a_cause_without_a_rung_takes_one_back_or_says_what_is_missing() -> None:
    for row in rows():
        for told in row["causes"]:
            assert told["cause"], row["row"]
            if "rung" not in told and "returns" not in told:
                assert set(told) == {"cause", "remedy", "missing"}, told


def test_what_a_cause_takes_back_is_a_rung_that_goes_back_and_a_test_proves_it() -> None:
    found = {told["returns"]: told for row in rows() for told in row["causes"] if "returns" in told}
    for rung, told in found.items():
        playbook, _, name = rung.partition("/")
        remedy = next(r for r in playbooks()[playbook].remedies if r.name == name)
        assert remedy.return_on is not ReturnOn.NEVER, rung
        assert set(told) == {"cause", "remedy", "returns", "test"}, told
        assert _function(told["test"])
    assert set(found) == {"high-latency/scale-out", "low-throughput/more-parallelism"}


def test_what_is_missing_is_known_by_name() -> None:
    missing = {
        (row["row"], told["cause"]) for row in rows() for told in row["causes"] if "missing" in told
    }
    missing |= {(row["row"], "") for row in rows() if "missing" in row}
    assert missing == MISSING


def test_a_row_without_a_cause_decides_nothing() -> None:
    assert [row["row"] for row in rows() if not row["causes"]] == ["0"]


# ---------------------------------------------------------------------- the proofs


@cache
def _module(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _function(named: str) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, ast.Module]:
    file, _, name = named.partition("::")
    module = _module(ROOT / file)
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return node, module
    pytest.fail(f"there is no test {named}")


def _parts(node: ast.AST, module: ast.Module) -> Iterator[ast.AST]:
    """What a test consists of, the tables of its module that its parameters name included."""
    tables = {
        target.id: statement.value
        for statement in module.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    for part in ast.walk(node):
        yield part
        if isinstance(part, ast.Name) and isinstance(tables.get(part.id), ast.List):
            yield from ast.walk(tables[part.id])


def _words(node: ast.AST) -> set[str]:
    return {
        n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }


def _id(call: ast.Call) -> str | None:
    given = next((k.value for k in call.keywords if k.arg == "id"), None)
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else None


@CAUSES
def test_a_test_proves_that_the_cause_leads_to_its_rung(cause: Cause) -> None:
    function, module = _function(cause.test)
    parts = list(_parts(function, module))
    calls = [part for part in parts if isinstance(part, ast.Call) and _id(part) is not None]
    if case := cause.told.get("case"):
        proofs: list[ast.AST] = [call for call in calls if _id(call) == case]
        assert proofs, f"{cause.test} has no case {case!r}"
    else:
        assert not [c for c in calls if cause.remedy.name in _words(c)], "name the case"
        proofs = parts
    assert any(cause.remedy.name in _words(proof) for proof in proofs), (
        f"{cause.test} names no such rung"
    )


def test_a_whole_path_test_leads_to_the_first_cause_of_each_row() -> None:
    function, _ = _function(WHOLE_PATH)
    assert [d.id for d in function.decorator_list if isinstance(d, ast.Name)] == ["ALL"]
    for row in rows():
        scenario = SCENARIOS[row["path"]]
        assert scenario.row == row["row"]
        if not row["causes"]:
            assert isinstance(scenario.end, Asked)
            continue
        assert not isinstance(scenario.end, Asked)
        assert scenario.end.rung == row["causes"][0]["rung"].partition("/")[2], row["row"]
        if scenario.fired is None:  # people begin it, and no alert does
            assert scenario.speaks is not None
            assert row["alerts"] == []
            continue
        assert scenario.fired.alert in row["alerts"]


def test_a_scenario_is_of_a_row_and_ends_at_one_of_its_rungs() -> None:
    for scenario in SCENARIOS.values():
        row = next(row for row in rows() if row["row"] == scenario.row)
        rungs = {told["rung"].partition("/")[2] for told in row["causes"] if "rung" in told}
        assert isinstance(scenario.end, Asked) or scenario.end.rung in rungs, scenario.name


# ---------------------------------------------------------------------- what people read


def _section(row: Found) -> str:
    """The part of a runbook that is about a row, from its heading to the next of its level."""
    runbook = str(next(c["runbook"] for c in catalogue()["chapters"] if c["row"] == row["row"]))
    text = (ROOT / runbook.partition("#")[0]).read_text()
    heading = "## Quick diagnostics" if row["row"] == "0" else f"## {row['row']} "
    return text.partition(f"\n{heading}")[2].partition("\n## ")[0]


def test_a_runbook_says_what_is_not_automated_yet_and_nothing_else() -> None:
    for row in rows():
        missing = "missing" in row or any("missing" in told for told in row["causes"])
        assert ("**Not yet:**" in _section(row)) == missing, row["row"]


# Their playbook is that of alerts which are acted on, so it may act on another cause
# that the evidence shows.
# And the owner of a pod that Prometheus does not know is looked up;
# the alert allows no more than a look.
SHARED = {
    "ServicePodCrashLooping", "TopicAbsent", "ConsumerGroupAbsent", "KafkaStorageFilling", "ClickHouseTooManyParts",
    "ClickHouseReadonlyReplica",
}  # fmt: skip


def test_an_alert_for_people_leads_to_people_only_but_for_those_named() -> None:
    found: set[str] = set()
    for alert in alerts():
        for labels in fired(alert):
            name = going(alert, labels) if labels["remediate"] == "diagnose" else None
            if name and any(r.do.kind.name != "human" for r in playbooks()[name].remedies):
                found.add(alert.name)
    assert found == SHARED
