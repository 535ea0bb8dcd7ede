"""Causes and effects: the guard's table, and the file that says which playbook explains which."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from service.guard.chain import CHAIN
from service.guard.explained import explained
from service.guard.question import Policy, Question
from service.model.action import Mode
from service.model.causes import Causes
from service.model.errors import BadConfig
from service.model.evidence import Known
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.model.ruling import History, OpenCause, Proposal
from service.playbooks.causes import beside, load
from tests.unit.made import NAMESPACE, PLAYBOOKS, SCALE, T0, TARGET, shipped_playbooks

BUDGET = Budget(9, 3600.0)
LOADED = ("high-latency", "kafka", "clickhouse", "data-flow")


def asked(*causes: OpenCause) -> Question:
    return Question(
        proposal=Proposal((), None, "scale-out", "scale", SCALE, Mode.AUTO, T0),
        target=TARGET,
        limits=Limits(BUDGET, BUDGET, 0.0),
        policy=Policy(Mode.AUTO, (NAMESPACE,), BUDGET, 60.0, 3600.0),
        history=History(1, causes_open=causes),
        seen_uid=None,
        surveys=Known((), "kubernetes", T0, 0.0),
        now=T0,
    )


@pytest.mark.parametrize(
    ("causes", "told"),
    [
        pytest.param([], None, id="nothing that explains it is open"),
        pytest.param(
            [OpenCause("inc-1", "kafka")],
            "kafka explains it, and has the open incident inc-1",
            id="one cause",
        ),
        pytest.param(
            [OpenCause("inc-1", "kafka"), OpenCause("inc-2", "clickhouse")],
            "kafka explains it, and has the open incident inc-1, and 1 more",
            id="two causes",
        ),
    ],
)
def test_an_effect_is_held_back_while_a_cause_is_open(
    causes: Sequence[OpenCause], told: str | None
) -> None:
    objection = explained(asked(*causes))
    if told is None:
        assert objection is None
        return
    assert objection is not None
    assert (objection.reason, objection.detail) == (Reason.EXPLAINED_BY, told)
    assert objection.retry_at == T0 + timedelta(seconds=30)


def test_the_guard_is_asked_before_any_budget_is_counted() -> None:
    names = list(CHAIN)
    assert CHAIN["explained"] is explained
    assert names.index("explained") < names.index("busy")


def test_the_table_is_read_in_both_directions() -> None:
    table = Causes({"data-flow": ("kafka", "clickhouse"), "high-latency": ("kafka",)})
    assert table.of("data-flow") == ("kafka", "clickhouse")
    assert table.of("kafka") == ()
    assert table.effects("kafka") == ("data-flow", "high-latency")
    assert table.effects("data-flow") == ()


def written(folder: Path, text: str) -> Path:
    file = folder / "causes.yaml"
    file.write_text(text)
    return file


def test_a_table_is_loaded(tmp_path: Path) -> None:
    text = "scope: namespace\nexplained_by:\n  high-latency: [kafka, clickhouse]\n"
    table = load(written(tmp_path, text), LOADED)
    assert table == Causes({"high-latency": ("kafka", "clickhouse")})


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("explained_by: {high-latency: [network]}", id="the cause is not installed"),
        pytest.param("explained_by: {throughput: [kafka]}", id="the effect is not installed"),
        pytest.param("explained_by: {}", id="nothing explains anything"),
        pytest.param(
            "explained_by: {high-latency: [data-flow], data-flow: [kafka]}", id="a chain of two"
        ),
        pytest.param(
            "explained_by: {high-latency: [data-flow, kafka], data-flow: [kafka]}",
            id="one cause on two ways",
        ),
    ],
)
def test_a_folder_need_not_hold_every_playbook_of_the_table(tmp_path: Path, text: str) -> None:
    load(written(tmp_path, f"scope: namespace\n{text}\n"), LOADED)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        pytest.param("- kafka", 1, "begins with `scope: namespace`", id="a list"),
        pytest.param(
            "scope: namespace", 1, "explained_by: this is a map: a playbook, and", id="no table"
        ),
        pytest.param("explained_by: {}", 1, "scope: None is no scope", id="no scope"),
        pytest.param(
            "scope: namespaces\nexplained_by: {}",
            1,
            "did you mean 'namespace'?",
            id="misspelt scope",
        ),
        pytest.param(
            "scope: namespace\nexplains: {}\nexplained_by: {}", 2, "'explained_by'?", id="a field"
        ),
        pytest.param(
            "scope: namespace\nexplained_by:\n  throughput: [kafak]",
            3,
            "neither 'kafak' nor 'throughput' is a playbook of the folder; did you mean 'kafka'?",
            id="neither name is known",
        ),
        pytest.param(
            "scope: namespace\nexplained_by:\n  kafka:\n    - clickhouse\n    - kafka",
            5,
            "kafka cannot explain itself",
            id="itself",
        ),
        pytest.param(
            "scope: namespace\nexplained_by:\n  kafka: [clickhouse]\n  clickhouse: [data-flow]\n"
            "  data-flow: [kafka]",
            3,
            "kafka <- clickhouse <- data-flow <- kafka goes in a circle",
            id="a circle",
        ),
        pytest.param(
            "scope: namespace\nexplained_by:\n  kafka: clickhouse",
            3,
            "a list of playbooks, as in [kafka, clickhouse]",
            id="no list",
        ),
        pytest.param(
            "scope: namespace\nexplained_by:\n  kafka: []", 3, "this is a list", id="an empty list"
        ),
        pytest.param(
            "scope: namespace\nexplained_by:\n  kafka: [7]", 3, "7 is no name", id="a number"
        ),
        pytest.param(
            "scope: namespace\nexplained_by:\n  kafka: [clickhouse, clickhouse]",
            3,
            "'clickhouse' stands here twice",
            id="twice",
        ),
        pytest.param("scope: &a namespace", 1, "anchors and aliases", id="an anchor"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, line: int, told: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(BadConfig) as raised:
        load(file, LOADED)
    assert any(
        s.startswith(f"{file}:{line}: ") and told in s for s in str(raised.value).split("\n")
    )


def test_without_the_file_nothing_explains_anything(tmp_path: Path) -> None:
    assert beside(tmp_path / "playbooks", LOADED) == Causes()


def test_every_name_of_the_shipped_table_is_a_shipped_playbook() -> None:
    names = shipped_playbooks().keys()
    table = beside(PLAYBOOKS, names)
    assert "kafka" in table.of("high-latency")
    assert {n for e, causes in table.explained_by.items() for n in (e, *causes)} <= names


def test_a_backup_waits_for_nobody() -> None:
    """A disk that fills is given room only after a good backup:
    waiting for ClickHouse, neither would come.
    """
    names = shipped_playbooks().keys()
    assert beside(PLAYBOOKS, names).of("data-loss-prevention") == ()
