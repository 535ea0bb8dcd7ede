"""Each scenario of `make demo` in this process and at ten times its pace:
from the webhook to the outcome.

These are the whole-path tests of the rows of rules/coverage.yaml.
Only waits and addresses differ from what ships.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.scenarios import SCENARIOS, find, table
from rehearsal.scenarios.drive import drive
from rehearsal.scenarios.scenario import Approved, Found, Scenario, TakenBack
from rehearsal.scenarios.show import diagnosed
from rehearsal.scenarios.world import CLICKHOUSES, KAFKA, world
from rehearsal.servers import clickhouse, free_port, kafka
from service.app import serving
from service.desk.story import story
from service.settings import IntakeSettings, Settings
from tests.rules.rulebook import alerts
from tests.rules.test_catalogue import fired
from tests.servers import ROOT, require

PACE_S = 0.1
WITHIN_S = 90.0  # on a busy machine; each takes a few seconds

ALL = pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda s: s.name)


@ALL
async def test_a_scenario_ends_as_it_says(scenario: Scenario, tmp_path: Path) -> None:
    if CLICKHOUSES & scenario.servers:
        hint = "run tests/servers/install.sh clickhouse-modern"
        require("clickhouse (modern)", clickhouse.found(), hint)
    if KAFKA in scenario.servers:
        require("noida-db", kafka.found(), "pip install 'paramedic[demo]'")
    async with world(tmp_path, scenario.servers, pace_s=PACE_S) as broken:
        await scenario.prepares(broken)
        if isinstance(scenario.end, Found):
            ended, text = await diagnosed(scenario, broken)
            assert ended.came, text
            return
        made = dict(broken.settings())
        intake = IntakeSettings(**made.pop("intake", {}), port=free_port())
        settings = Settings(**made, intake=intake)
        async with serving(settings) as service:
            ended = await drive(scenario, broken, service.url, within_s=WITHIN_S)
    told = story(ended.record) if ended.record else "no incident"
    assert ended.came, f"expected was: {scenario.end}\n{told}"


@ALL
def test_the_alert_of_a_scenario_has_the_labels_of_its_shipped_rule(scenario: Scenario) -> None:
    """As the promtool tests of the rule expect them: the same names,
    and the same values where the rule decides.
    """
    if scenario.fired is None:
        return
    alert = next(a for a in alerts() if a.name == scenario.fired.alert)
    labels = scenario.fired.all_labels()
    del labels["alertname"]
    expected = [e for e in fired(alert) if set(e) == set(labels)]
    assert expected, f"{sorted(labels)} is none of {[sorted(e) for e in fired(alert)]}"
    assert any(
        all(e[name] == labels[name] for name in ("severity", "chapter", "remediate"))
        for e in expected
    )
    shown = [*labels.values(), *scenario.fired.annotations().values()]
    assert all("{{" not in text for text in shown)
    assert "  " not in scenario.fired.annotations()["summary"]


@ALL
def test_a_scenario_says_what_breaks_and_what_paramedic_does(scenario: Scenario) -> None:
    for sentence in (scenario.breaks, scenario.does):
        assert sentence.endswith(".")
        assert "\n" not in sentence
    # One that shows what Paramedic does at any row is named by that.
    assert scenario.name.startswith(scenario.row) or scenario.name in ("approval", "worse")


def test_the_readme_lists_the_scenarios() -> None:
    assert table() in (ROOT / "README.md").read_text(), "renew it: rehearsal.scenarios.table()"


def test_a_row_without_a_scenario_of_its_number_has_its_first_one() -> None:
    for row in {scenario.row for scenario in SCENARIOS.values()}:
        assert find(row) == SCENARIOS.get(row, find(row))
        assert find(row).row == row


def test_an_approval_and_a_return_have_names_of_their_own() -> None:
    """`make demo SCENARIO=approval` and `SCENARIO=worse`, and with their rows before them."""
    assert isinstance(find("approval").end, Approved)
    assert isinstance(find("worse").end, TakenBack)
    assert {"approval", "worse"} <= set(SCENARIOS)
    assert find("3.2-approval") is find("approval")
    assert find("6.1-worse") is find("worse")
    assert find("disk").name == "7.2-disk"


def test_a_name_that_is_not_there_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(LookupError, match=r"no scenario '1\.1-dependancy'; did you mean 1\.1-dep"):
        find("1.1-dependancy")
    with pytest.raises(LookupError, match=r"there are 0, "):
        find("zzz")


def test_the_command_line_lists_the_scenarios_and_refuses_an_unknown_one() -> None:
    def ran(*argv: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "rehearsal", *argv]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    listed = ran("--scenario", "?")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(SCENARIOS)
    refused = ran("--scenario", "1.11")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: there is no scenario '1.11'; did you mean 1.1?")
