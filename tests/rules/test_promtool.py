"""promtool reads, lints and runs everything; and the unit tests notice a threshold that moved."""

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.rules.rulebook import RULE_FILES, RULES, TEST_FILES, metrics, rules
from tests.servers.monitoring import run, tool

THRESHOLDS = [
    (file, rule["record"], rule["expr"])
    for file, rule in rules()
    if rule.get("record", "").startswith("paramedic:threshold:")
]


@pytest.fixture(scope="module")
def verdicts() -> Iterator[dict[str, Future[CompletedProcess[str]]]]:
    """All test files under way, two at a time: promtool uses one core, and some take half a
    minute.
    """
    tool("promtool")
    with ThreadPoolExecutor(2) as pool:
        slow_first = sorted(
            TEST_FILES,
            key=lambda path: path.name not in {"monitoring.test.yaml", "emergency.test.yaml"},
        )
        yield {
            path.name: pool.submit(run, "promtool", "test", "rules", path) for path in slow_first
        }


@pytest.mark.parametrize("path", RULE_FILES, ids=lambda path: path.name)
def test_a_rule_file_passes_every_lint(path: Path) -> None:
    done = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.name)
def test_the_unit_tests_of_a_rule_file_pass(
    path: Path, verdicts: dict[str, Future[CompletedProcess[str]]]
) -> None:
    done = verdicts[path.name].result(timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def only(alert: str, *texts: str) -> str:
    """Of the rule files those rules that lead to one alert, in their order:
    promtool runs all it is given.
    """
    groups: list[dict[str, Any]] = [  # Any: YAML
        group for text in texts for group in yaml.safe_load(text)["groups"]
    ]
    every = [rule for group in groups for rule in group["rules"]]
    wanted = {alert}
    while True:
        told = yaml.safe_dump([rule for rule in every if name_of(rule) in wanted], width=10**6)
        more = wanted | {name_of(rule) for rule in every if named(name_of(rule), told)}
        if more == wanted:
            break
        wanted = more
    for group in groups:
        group["rules"] = [rule for rule in group["rules"] if name_of(rule) in wanted]
    return yaml.safe_dump({"groups": [group for group in groups if group["rules"]]})


def name_of(rule: Mapping[str, Any]) -> str:
    """The record or the alert that a rule makes."""
    return str(rule.get("record") or rule["alert"])


def named(name: str, text: str) -> bool:
    """Whether `text` speaks of a record, in an expression or in a template."""
    return re.search(rf"(?<![\w:]){re.escape(name)}(?![\w:])", text) is not None


def test_every_chapter_has_a_test_file() -> None:
    chapters = {path.name.split(".")[0] for path in RULE_FILES} - {"platform"}
    assert {path.name.split(".")[0] for path in TEST_FILES} == chapters


def tried(file: str, record: str, expr: str, factor: float, folder: Path) -> CompletedProcess[str]:
    """The tests of the alert of one threshold, over the rules that lead to it,
    the threshold moved by `factor`.
    """
    number = re.fullmatch(r"vector\((.+)\)", expr)
    assert number is not None
    text = (RULES / f"{file}.rules.yaml").read_text()
    line = f'record: "{record}", expr: {expr}'
    assert line in text
    moved = text.replace(line, f'record: "{record}", expr: vector({float(number[1]) * factor})')
    platform = (RULES / "platform.rules.yaml").read_text()
    alert = next(
        rule["alert"]
        for f, rule in rules()
        if f == file and "alert" in rule and record in metrics(rule["expr"])
    )
    document = yaml.safe_load((RULES / "tests" / f"{file}.test.yaml").read_text())
    (folder / "moved.rules.yaml").write_text(only(alert, moved, platform))
    document["rule_files"] = [str(folder / "moved.rules.yaml")]
    kept = (f"{alert}: fires", f"{alert}: does not fire")
    document["tests"] = [test for test in document["tests"] if test["name"].startswith(kept)]
    (folder / "moved.test.yaml").write_text(yaml.safe_dump(document))
    return run("promtool", "test", "rules", folder / "moved.test.yaml")


@pytest.mark.parametrize(
    ("file", "record", "expr"), THRESHOLDS, ids=[record for _, record, _ in THRESHOLDS]
)
def test_a_threshold_that_stays_keeps_its_tests_green(
    file: str, record: str, expr: str, tmp_path: Path
) -> None:
    """So that what turns red below does so because of the threshold."""
    done = tried(file, record, expr, 1.0, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("factor", [0.5, 2.0], ids=["halved", "doubled"])
@pytest.mark.parametrize(
    ("file", "record", "expr"), THRESHOLDS, ids=[record for _, record, _ in THRESHOLDS]
)
def test_a_threshold_that_moved_turns_its_tests_red(
    file: str, record: str, expr: str, factor: float, tmp_path: Path
) -> None:
    done = tried(file, record, expr, factor, tmp_path)
    output = done.stdout + done.stderr
    assert done.returncode != 0, f"nothing noticed {record} x {factor}"
    # Descriptions quote the threshold and differ anyway: only an alert that is gone,
    # or new, proves the point.
    assert "got:[]" in output or "exp:[]" in output, output
