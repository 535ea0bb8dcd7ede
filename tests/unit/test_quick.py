"""Quick diagnostics as a person reads them, as a script reads them,
and the file that says what to look at.
"""

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from service.desk.progress import line, ticking
from service.desk.quick import WIDTH, Finding, Outcome, Quick, Weight, as_json, as_text, from_json
from service.desk.quick import quick as judged
from service.diagnose.chapters.quick import CHAPTER, QuickEvidence, QuickParameters
from service.diagnose.probes.endpoints import Endpoint, Endpoints
from service.model.errors import BadConfig
from service.model.evidence import Known, Unknown
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.playbooks.quick import beside, load
from tests.servers import ROOT

AT = datetime(2026, 11, 23, 3, 4, 5, tzinfo=UTC)
DOWN = Finding(Weight.DOWN, "StatefulSet/kafka is down: 0 of 3 ready", "kubectl describe it")
LOST = Finding(Weight.UNKNOWN, "kafka could not be read, late: no answer in time")
PLATFORM = Target(TargetKind.PLATFORM, "staging", "staging")


def unread(reason: Reason = Reason.UNREACHABLE, **known: object) -> QuickEvidence:
    """Nothing could be read but what is given."""
    lost = {n: Unknown(reason, "kubernetes", AT, 0.1, "why") for n in QuickEvidence.groups()}
    readings = lost | {n: Known(value, n, AT, 0.1) for n, value in known.items()}
    return QuickEvidence(**readings)  # type: ignore[arg-type] # readings of this evidence


def test_the_text_says_what_is_wrong_first_and_what_nobody_looked_at_last() -> None:
    answer = Quick("carbon-ingestion", AT, (DOWN, LOST), ("clickhouse: no address is configured",))
    assert as_text(answer).splitlines() == [
        "carbon-ingestion at 2026-11-23 03:04:05 UTC: 1 finding",
        "look first: StatefulSet/kafka is down: 0 of 3 ready",
        "",
        "DOWN    StatefulSet/kafka is down: 0 of 3 ready",
        "        $ kubectl describe it",
        "UNKNOWN kafka could not be read, late: no answer in time",
        "",
        "not looked at:",
        "        clickhouse: no address is configured",
    ]


@pytest.mark.parametrize(
    ("findings", "outcome"),
    [
        pytest.param((), Outcome.NOTHING_WRONG, id="nothing found"),
        pytest.param((DOWN,), Outcome.WRONG, id="something is down"),
        pytest.param((LOST,), Outcome.COULD_NOT_LOOK, id="only what could not be read"),
        pytest.param((DOWN, LOST), Outcome.WRONG, id="what is known to be wrong outweighs"),
    ],
)
def test_the_outcome_is_one_word(findings: tuple[Finding, ...], outcome: Outcome) -> None:
    assert Quick("ns", AT, findings).outcome is outcome


def test_a_long_finding_is_wrapped_and_bounded_and_a_command_stays_whole() -> None:
    command = "kubectl " + "x" * 200
    text = as_text(Quick("ns", AT, (Finding(Weight.BAD, "word " * 500, command),)))
    assert f"        $ {command}" in text.splitlines()
    rest = [told for told in text.splitlines() if "$" not in told]
    assert max(map(len, rest)) <= WIDTH
    assert len(rest) < 15


def test_what_came_over_the_wire_cannot_steer_the_terminal() -> None:
    finding = Finding(Weight.BAD, "log says \x1b[2J\x07 boo", "kubectl \x1b]0;x")
    assert all(c.isprintable() or c == "\n" for c in as_text(Quick("ns", AT, (finding,))))


def test_a_backend_that_is_away_is_one_finding_however_many_asked_it() -> None:
    answer = judged(unread(), "ns", AT)
    assert [f.weight for f in answer.findings] == [Weight.UNKNOWN]
    assert answer.findings[0].what.startswith("kubernetes could not be read, unreachable: why (")
    assert answer.outcome is Outcome.COULD_NOT_LOOK


def test_a_cluster_that_is_not_configured_is_not_a_healthy_one() -> None:
    answer = judged(unread(Reason.NOT_CONFIGURED), "ns", AT)
    assert answer.outcome is Outcome.COULD_NOT_LOOK
    assert answer.findings[0].next.startswith("PARAMEDIC_KUBERNETES__KUBECONFIG=")
    assert [told.partition(":")[0] for told in answer.not_asked] == [
        "logs", "health", "metrics", "kafka", "clickhouse",
    ]  # fmt: skip


@pytest.mark.parametrize(("inside", "told"), [(True, True), (False, False)])
def test_an_endpoint_that_is_silent_from_outside_of_the_cluster_is_no_finding(
    inside: bool, told: bool
) -> None:
    silent = Endpoint("api", "http://api.ns.svc/health", False, None, None, "unreachable: no name")
    health = Endpoints(False, ("api",), None, (silent,), {})
    answer = judged(unread(health=health), "ns", AT, inside=inside)
    assert any("health of api" in f.what for f in answer.findings) is told
    assert any(one.startswith("health:") for one in answer.not_asked) is not told


def test_an_endpoint_that_answers_badly_is_a_finding_from_anywhere() -> None:
    bad = Endpoint("api", "http://api.ns.svc/health", False, 503, 0.1, "")
    health = Endpoints(False, ("api",), 0.1, (bad,), {})
    answer = judged(unread(health=health), "ns", AT, inside=False)
    assert answer.findings[0].what == "health of api answers 503"


def test_the_json_is_whole_and_reads_back_as_the_same_answer() -> None:
    seen = unread()
    answer = judged(seen, "ns", AT)
    told = json.loads(json.dumps(as_json(answer, seen), allow_nan=False))
    assert from_json(told) == answer
    assert told["outcome"] == "could_not_look"
    assert set(told["evidence"]) == set(QuickEvidence.groups())


def test_the_shipped_file_names_the_platform_in_the_namespace_that_is_asked_for() -> None:
    params = beside(ROOT / "rules" / "playbooks", CHAPTER)(PLATFORM)
    assert (
        params.health["enrichment-service"] == "http://enrichment-service.staging.svc:8511/health"
    )
    assert params.consumer_groups[0] == "normalization-consumer"
    assert params.logs_of[2] == "Deployment/aggregation-service"


def test_without_the_file_the_defaults_hold(tmp_path: Path) -> None:
    assert beside(tmp_path / "playbooks", CHAPTER)(PLATFORM) == QuickParameters()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("with: {healt: {}}", "did you mean 'health'?"),
        ("with: []", "this is a map of parameters"),
        ("wiht: {}", "did you mean 'with'?"),
        ("- x", "this is a map; it begins with `with:`"),
        ("with: {consumer_groups: x}", "consumer_groups"),
        ("with: {logs_of: [Pod/x]}", "logs_of.0"),
        ("with: {sample_s: 0}", "sample_s"),
        ('with: {health: {a: "{{ target.nam }}"}}', "unknown field"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "quick.yaml"
    file.write_text(text)
    with pytest.raises(BadConfig) as raised:
        load(file, CHAPTER)
    assert told in str(raised.value)
    assert f"{file}:1" in str(raised.value)


def test_probes_tick_off_on_a_terminal_only() -> None:
    plain, terminal = (Console(force_terminal=is_one, file=StringIO()) for is_one in (False, True))
    for console in (plain, terminal):
        with ticking(["pods"], console) as observe:
            observe("pods", "known", 0.1)
    assert plain.file.getvalue() == ""  # type: ignore[attr-defined] # a StringIO
    assert "✓ pods" in terminal.file.getvalue()  # type: ignore[attr-defined] # a StringIO
    assert line("pods", "known", 0.123).plain.split() == ["✓", "pods", "0.12", "s"]
    assert line("kafka", "late", 5.0).plain.split() == ["-", "kafka", "late"]
