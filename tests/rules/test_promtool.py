"""promtool reads, lints and runs everything; and the unit tests notice a threshold that moved."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

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
    """All test files under way, two at a time: promtool uses one core, and some take half a minute."""
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


def test_every_chapter_has_a_test_file() -> None:
    chapters = {path.name.split(".")[0] for path in RULE_FILES} - {"platform"}
    assert {path.name.split(".")[0] for path in TEST_FILES} == chapters


@pytest.mark.parametrize("factor", [0.5, 2.0], ids=["halved", "doubled"])
@pytest.mark.parametrize(
    ("file", "record", "expr"), THRESHOLDS, ids=[record for _, record, _ in THRESHOLDS]
)
def test_a_threshold_that_moved_turns_its_tests_red(
    file: str, record: str, expr: str, factor: float, tmp_path: Path
) -> None:
    text = (RULES / f"{file}.rules.yaml").read_text()
    number = re.fullmatch(r"vector\((.+)\)", expr)
    assert number is not None
    line = f'record: "{record}", expr: {expr}'
    moved = text.replace(line, f'record: "{record}", expr: vector({float(number[1]) * factor})')
    assert moved != text
    (tmp_path / f"{file}.rules.yaml").write_text(moved)
    (tmp_path / "platform.rules.yaml").write_text((RULES / "platform.rules.yaml").read_text())
    alert = next(
        rule["alert"]
        for f, rule in rules()
        if f == file and "alert" in rule and record in metrics(rule["expr"])
    )
    document = yaml.safe_load((RULES / "tests" / f"{file}.test.yaml").read_text())
    document["rule_files"] = [
        str(tmp_path / f"{file}.rules.yaml"),
        str(tmp_path / "platform.rules.yaml"),
    ]
    kept = (f"{alert}: fires", f"{alert}: does not fire")
    document["tests"] = [test for test in document["tests"] if test["name"].startswith(kept)]
    (tmp_path / "moved.test.yaml").write_text(yaml.safe_dump(document))
    done = run("promtool", "test", "rules", tmp_path / "moved.test.yaml")
    output = done.stdout + done.stderr
    assert done.returncode != 0, f"nothing noticed {record} x {factor}"
    # Descriptions quote the threshold and differ anyway: only an alert that is gone, or new, proves the point.
    assert "got:[]" in output or "exp:[]" in output, output
