"""Playbook files: every mistake is told at once, with its line and what to write instead."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from service.act import KINDS
from service.act.kind import Kind
from service.decide.plan import plan
from service.diagnose import CHAPTERS
from service.diagnose.chapters.high_latency import HighLatencyEvidence
from service.diagnose.origin import origins
from service.model.action import Mode
from service.model.errors import BadConfig
from service.model.evidence import Evidence, Reading, facts
from service.model.playbook import Budget, Playbook, ReturnOn, Truth
from service.model.target import Target
from service.playbooks.load import load
from service.playbooks.source import read
from tests.unit.made import (
    GOOD,
    PLAYBOOKS,
    ROOT,
    TARGET,
    evidence,
    playbooks_in,
    shipped,
    shipped_playbooks,
)

DATA = ROOT / "tests" / "data" / "playbooks"
PLANTED = sorted((DATA / "mistakes").glob("*.yaml"))


def told(folder: Path, *texts: str) -> list[str]:
    with pytest.raises(BadConfig) as caught:
        playbooks_in(folder, *texts)
    return str(caught.value).splitlines()


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("*.yaml")), ids=lambda p: p.name)
def test_the_shipped_playbooks_load(path: Path) -> None:
    assert path.stem in {
        p.source.split("/")[-1].removesuffix(".yaml:1") for p in shipped_playbooks().values()
    }


def test_the_shipped_playbook_of_chapter_3_1_is_what_its_file_says() -> None:
    playbook = shipped()
    by_name = {rung.name: rung for rung in playbook.remedies}
    kill, scale = by_name["kill-runaway-query"], by_name["scale-out"]
    assert (kill.name, kill.mode, kill.times, kill.verify.within_s) == (
        "kill-runaway-query",
        Mode.AUTO,
        1,
        120.0,
    )
    assert (scale.name, scale.mode, scale.times, scale.verify.settle_s) == (
        "scale-out",
        Mode.AUTO,
        2,
        60.0,
    )
    assert kill.do.arguments["min_elapsed_s"] == 300
    assert scale.do.arguments["by"] == 1
    assert "from_" in scale.do.arguments  # `from:` in the file
    assert playbook.limits.per_target == Budget(4, 3600.0)
    assert playbook.limits.cooldown_s == 120.0
    params = playbook.params_for(TARGET)
    assert params["consumer_group"] == "normalization-consumer"
    assert TARGET.namespace in str(params["series"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", ReturnOn.NOT_HEALED, id="by itself"),
        pytest.param("times: 2", ReturnOn.WORSE, id="the next try builds on it"),
        pytest.param(
            "times: 2\n    return: not_healed", ReturnOn.NOT_HEALED, id="unless it says so"
        ),
        pytest.param("return: worse", ReturnOn.WORSE, id="worse alone"),
        pytest.param("return: never", ReturnOn.NEVER, id="never"),
    ],
)
def test_a_rung_says_when_its_change_goes_back(
    text: str, expected: ReturnOn, tmp_path: Path
) -> None:
    (made,) = playbooks_in(tmp_path, GOOD.replace("mode: auto", f"mode: auto\n    {text}"))
    assert made.remedies[0].return_on is expected


def test_what_cannot_be_taken_back_never_goes_back() -> None:
    kill = next(r for r in shipped().remedies if r.name == "kill-runaway-query")
    assert kill.return_on is ReturnOn.NEVER


def expected(path: Path) -> tuple[int, str]:
    """The line and the fragment that the first comment of a planted mistake promises."""
    line, _, fragment = path.read_text().splitlines()[0].removeprefix("# ").partition(": ")
    return int(line), fragment


@pytest.mark.parametrize("path", PLANTED, ids=lambda p: p.stem)
def test_a_planted_mistake_is_told_with_its_line_and_advice(path: Path, tmp_path: Path) -> None:
    line, fragment = expected(path)
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    with pytest.raises(BadConfig) as caught:
        load(tmp_path, CHAPTERS, KINDS)
    (told_line,) = str(caught.value).splitlines()
    assert told_line.startswith(f"{copy}:{line}: ")
    assert fragment in told_line


def test_at_least_forty_mistakes_are_planted() -> None:
    assert len(PLANTED) >= 40


def test_the_playbook_that_they_were_planted_in_is_good(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text((DATA / "good.yaml").read_text())
    (playbook,) = load(tmp_path, CHAPTERS, KINDS)
    assert [r.do.kind.name for r in playbook.remedies] == ["kill_query", "scale", "human"]


FORMS = [
    pytest.param("mode: auto", "mdoe: auto", "mdoe", "did you mean 'mode'?", id="unknown field of a rung"),
    pytest.param("healed:", "cured:", "cured", "unknown field; known are", id="unknown field of the file"),
    pytest.param("kind: Deployment", "sort: Deployment", "sort", "known are kind", id="unknown field of the target"),
    pytest.param("mode: auto", "mode: automatic", "automatic", "'auto'", id="unknown mode"),
    pytest.param("mode: auto", "mode: auto\n    verify: {settle: 30}", "settle: 30", "give a unit: 30s",
                 id="no unit"),
    pytest.param(
        "mode: auto", "mode: auto\n    verify: {within: soon}", "soon", "'soon' is no duration; write 30s",
        id="a duration that is none",
    ),
    pytest.param(
        "mode: auto", "mode: auto\n    verify: {witin: 1m}", "witin", "did you mean 'within'?",
        id="unknown field of a rung's verify",
    ),
    pytest.param("{consumer_group: g}", "{}", "with:", "high_latency needs the parameter", id="missing parameter"),
    pytest.param("{consumer_group: g}", "{consumer_group: 7}", "with:", "7: Input should be a valid string",
                 id="a number as a text"),
    pytest.param("{consumer_group: g}", "{consumer_group: g, topics: [a, 1]}", "with:", "with.topics.1: 1:",
                 id="an element of another type"),
    pytest.param("{consumer_group: g}", "{consumer_group: g, series: {x: 1}}", "with:", "with.series.x: 1:",
                 id="a query that is no text"),
    pytest.param("{consumer_group: g}", '{consumer_group: "{{ size(target.name) }}"}', "with:",
                 "gives int, and this takes string", id="a template of another type"),
    pytest.param("playbook: lag", "playbook: High Lag", "High Lag", "'High Lag' is no name",
                 id="a name that is none"),
    pytest.param("healed: evidence.kafka.lag_total < 5000\n", "", "playbook: lag", "required", id="no healed"),
    pytest.param("healed: evidence", "worse: ''\nhealed: evidence", "worse", "it is empty", id="an empty worse"),
    pytest.param("do: {scale:", "do: {human: {say: x}, scale:", "do:", "at most 1", id="two actions in a rung"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "at", "sentence"), FORMS)
def test_a_mistake_of_form_is_told_with_file_line_and_advice(
    tmp_path: Path, good: str, bad: str, at: str, sentence: str
) -> None:
    text = GOOD.replace(good, bad, 1)
    assert text != GOOD
    lines = told(tmp_path, text)
    found = [line for line in lines if sentence in line]
    assert found, lines
    assert found[0].startswith(f"{tmp_path}/0.yaml:{line_of(text, at)}: ")


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    first = GOOD.replace("lag_growing", "lag_grows").replace("scale:", "scael:")
    second = GOOD.replace("playbook: lag", "playbook: other").replace("mode: auto", "mode: maybe")
    lines = told(tmp_path, first, second)
    assert [line.removeprefix(f"{tmp_path}/")[:9] for line in lines] == [
        "0.yaml:8:",
        "0.yaml:9:",
        "1.yaml:10",
    ]


def test_a_rungs_name_may_stand_once_only(tmp_path: Path) -> None:
    rung = GOOD[GOOD.index("  - name") : GOOD.index("healed:")]
    text = GOOD.replace("healed:", rung + "healed:")
    (line,) = told(tmp_path, text)
    assert line.startswith(f"{tmp_path}/0.yaml:11: ")
    assert "'scale-out' is taken by a rung above" in line


def test_a_playbooks_name_may_stand_once_only(tmp_path: Path) -> None:
    (line,) = told(tmp_path, GOOD, GOOD)
    assert line == f"{tmp_path}/1.yaml:1: the name 'lag' is taken by {tmp_path}/0.yaml:1"


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        pytest.param("playbook: [", 1, "this is not YAML", id="bad YAML"),
        pytest.param("- a\n- b\n", 1, "a playbook is a map", id="a list"),
        pytest.param("", 1, "a playbook is a map", id="an empty file"),
        pytest.param("# only this\n", 1, "a playbook is a map", id="a comment"),
        pytest.param("a: 1\n---\nb: 2\n", 2, "a second document", id="two documents"),
        pytest.param("a: 1\n\tb: 2\n", 2, "a tab", id="a tab"),
        pytest.param("a: &a [x]\nb: [*a, *a]\n", 1, "anchors and aliases", id="an anchor"),
        pytest.param("a: [*b]\n", 1, "anchors and aliases", id="an alias of nothing"),
        pytest.param("a: &a\n  b: *a\n", 1, "anchors and aliases", id="an alias of itself"),
        pytest.param(
            "\n".join(" " * n + "a:" for n in range(3_000)), 1, "larger than", id="3,000 levels"
        ),
        pytest.param("a: " + "[" * 3_000 + "]" * 3_000, 1, "more than 20 levels", id="3,000 lists"),
        pytest.param("[" * 60_000, 1, "more than 20 levels", id="60,000 lists"),
        pytest.param(
            "\n".join(" " * n + "a:" for n in range(300)),
            22,
            "more than 20 levels",
            id="300 levels",
        ),
        pytest.param("a: [" + "1," * 9_000 + "]", 1, "more than 3000 values", id="9,000 values"),
        pytest.param("? [a]\n: 1\n", 1, "a key is a word", id="a list as a key"),
        pytest.param("a: !!binary aGk=\n", 1, "tags", id="bytes"),
        pytest.param("a: !x {}\n", 1, "tags", id="a tag of its own"),
        pytest.param('a: 1\nb: "\\ud800"\n', 2, "character", id="half a character"),
        pytest.param('a: "\\UFFFFFFFF"\n', 1, "this is not YAML", id="a character that is none"),
        pytest.param("a: 1\nb: \0\n", 2, "a character that YAML does not allow", id="a zero byte"),
        pytest.param("a: 1\nb: " + "9" * 5_000, 2, "more than 18 digits", id="5,000 digits"),
        pytest.param("a: 1\nb: 1e400\n", 2, "no number to count with", id="a number beyond all"),
        pytest.param("x" * 5_000_000, 1, "larger than 64 KiB", id="5 MB"),
    ],
)
def test_a_file_that_is_no_playbook_is_told_with_its_line(
    tmp_path: Path, text: str, line: int, sentence: str
) -> None:
    (only,) = told(tmp_path, text)
    assert only.startswith(f"{tmp_path}/0.yaml:{line}: ")
    assert sentence in only


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"playbook: a\nmatch: \xff\xfe\n")
    with pytest.raises(BadConfig, match=r"a\.yaml:2: it is not UTF-8"):
        load(tmp_path, CHAPTERS, KINDS)


def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    with pytest.raises(BadConfig, match=r"a\.yaml:1: it cannot be read"):
        load(tmp_path, CHAPTERS, KINDS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("on", "on"), ("010", "010"), ("1:30", "1:30"), ("2026-13-45", "2026-13-45"),
        ("0x1f", "0x1f"),
        ("true", True), ("7", 7), ("-7", -7), ("1.5", 1.5), ("1e3", 1000.0), ("~", None), ("'7'", "7"),
    ],
)  # fmt: skip
def test_a_plain_word_is_what_it_looks_like(tmp_path: Path, text: str, value: object) -> None:
    (tmp_path / "a.yaml").write_text(f"a: {text}\n")
    content, mistakes = read(tmp_path / "a.yaml")
    assert content == {"a": value}
    assert not mistakes.found


CALLED = GOOD.replace(
    "healed:", "  - name: call\n    when: 'true'\n    do: {human: {say: nothing helped}}\nhealed:"
)


def test_the_last_rung_may_call_a_person_whatever_was_seen(tmp_path: Path) -> None:
    (playbook,) = playbooks_in(tmp_path, CALLED)
    assert playbook.remedies[-1].when.judge({"evidence": {}}) is Truth.HOLDS


@pytest.mark.parametrize(
    "text",
    [
        CALLED.replace("do: {human: {say: nothing helped}}", "do: {rollout_restart: {}}"),
        CALLED.replace("when: 'true'", "when: 'false'"),
        CALLED.replace("healed:", CALLED[CALLED.index("  - name: scale-out") : CALLED.index("  - name: call")]
                       .replace("scale-out", "more") + "healed:"),
    ],
    ids=["another action", "never", "above another rung"],
)  # fmt: skip
def test_no_other_rung_holds_whatever_was_seen(tmp_path: Path, text: str) -> None:
    (line,) = told(tmp_path, text)
    assert "is always" in line


@dataclass(frozen=True)
class Step:
    """A nested argument."""

    path: str
    wait_s: float = 1.0


@dataclass(frozen=True)
class ToyArguments:
    """Arguments of any shape."""

    steps: tuple[Step, ...]
    from_: Annotated[int, Field(ge=0, le=9)]
    labels: Mapping[str, str] = field(default_factory=dict)
    share: float | None = None
    limit: str | int = "1Gi"
    patch: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ToyRequest:
    """What the toy asks for."""

    target: Target
    arguments: ToyArguments

    def __str__(self) -> str:
        return "toy"


TOY = Kind[ToyArguments, ToyRequest](
    "toy", ToyArguments, ToyRequest, plan=ToyRequest, bind=lambda writers: None
)
TOYS = {**KINDS, "toy": TOY}
SCALE = 'do: {scale: {from: "{{ evidence.pods.desired }}", by: 1, max: 5}}'


def toy_in(folder: Path, arguments: str) -> Playbook:
    """A playbook whose rung does the toy with these arguments."""
    (folder / "0.yaml").write_text(GOOD.replace(SCALE, f"do: {{toy: {arguments}}}"))
    (playbook,) = load(folder, CHAPTERS, TOYS)
    return playbook


def test_arguments_of_any_shape_are_filled_by_templates_that_keep_their_type(
    tmp_path: Path,
) -> None:
    playbook = toy_in(
        tmp_path,
        """{from: "{{ evidence.pods.ready }}", share: "{{ evidence.pods.ready }}", limit: "{{ evidence.pods.ready }}",
        steps: [{path: "/{{ target.namespace }}/{{ target.name }}"}, {path: b, wait_s: 2}],
        labels: {app: "{{ target.name }}", x: y}, patch: {spec: [{n: "{{ evidence.pods.ready }}"}, 1, true]}}""",
    )
    (rung,) = playbook.remedies
    view = {"evidence": facts(evidence()), "target": TARGET.view}
    request = plan(rung.do, TARGET, view)
    assert isinstance(request, ToyRequest)
    assert request.arguments == ToyArguments(
        steps=(Step(f"/{TARGET.namespace}/{TARGET.name}"), Step("b", 2.0)),
        from_=2,
        labels={"app": TARGET.name, "x": "y"},
        share=2.0,
        limit=2,
        patch={"spec": [{"n": 2}, 1, True]},
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("{from: 10, steps: []}", "do.toy.from: 10: Input should be less than or equal to 9"),
        ("{from_: 1, steps: []}", "do.toy.from_: unknown argument of toy; did you mean 'from'?"),
        ("{from: 1, steps: [{path: 7}]}", "do.toy.steps.0.path: 7: Input should be a valid string"),
        ("{from: 1, steps: [{path: x, wait_s: -1}]}", "do.toy.steps.0.wait_s: -1: seconds"),
        ('{from: 1, steps: [{path: "{{ target.nam }}"}]}', "did you mean 'target.name'?"),
        ('{from: 1, steps: [{path: "{{ evidence.pods.ready }}"}]}', "gives int, and this takes string"),
        ('{from: 1, steps: "{{ evidence.pods.waiting }}"}', "gives list of string, and this takes list of Step"),
        ('{from: 1, steps: [], labels: {a: "{{ evidence.pods.autoscaled }}"}}', "gives bool, and this takes string"),
        ('{from: 1, steps: [], limit: "{{ evidence.pods.autoscaled }}"}', "gives bool, and this takes string or int"),
        ('{from: 1, steps: [], share: "{{ target.name }}"}', "gives string, and this takes double"),
        ('{from: "{{ labels.x }}", steps: []}', "names labels; known are evidence, target"),
        ("{from: 1, steps: [], patch: {a: {b: '{{'}}}", "do.toy.patch.a.b: '{{': a {{ is not closed"),
        ("{steps: []}", "toy needs the argument 'from'"),
        ("{from: 1, steps: {}}", "Input should be a valid array"),
    ],
)  # fmt: skip
def test_arguments_of_any_shape_are_checked(tmp_path: Path, arguments: str, sentence: str) -> None:
    with pytest.raises(BadConfig) as caught:
        toy_in(tmp_path, arguments)
    assert any(sentence in line for line in str(caught.value).splitlines()), str(caught.value)


@dataclass(frozen=True)
class BoundParameters:
    """A chapter's parameters with bounds."""

    consumer_group: str
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    groups: Annotated[tuple[str, ...], Field(max_length=2)] = ()


@dataclass(frozen=True, slots=True)
class RawLog:
    """A reading that conditions cannot see."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Blind(Evidence):
    """Evidence with such a reading."""

    log: Reading[RawLog]


@dataclass(frozen=True)
class ToyChapter:
    """As loading sees a chapter."""

    name: str
    parameters: type[Any]
    evidence: type[Evidence]
    stateful: bool = False

    @property
    def origins(self) -> Mapping[str, str]:
        return origins(self.evidence)


@pytest.mark.parametrize(
    ("given_with", "sentence"),
    [
        ("{consumer_group: g, share: 0}", "with.share: 0: Input should be greater than 0"),
        (
            "{consumer_group: g, share: 1.5}",
            "with.share: 1.5: Input should be less than or equal to 1",
        ),
        ("{consumer_group: g, share: .nan}", "no number to count with"),
        ("{consumer_group: g, groups: [a, b, c]}", "with.groups"),
    ],
)
def test_parameters_are_held_against_their_bounds(
    tmp_path: Path, given_with: str, sentence: str
) -> None:
    chapter = ToyChapter("toy", BoundParameters, HighLatencyEvidence)
    text = GOOD.replace("{consumer_group: g}", given_with)
    (tmp_path / "0.yaml").write_text(text)
    with pytest.raises(BadConfig, match=re.escape(sentence)):
        load(tmp_path, {"high_latency": chapter}, KINDS)


def test_a_chapter_whose_evidence_conditions_cannot_see_is_told_by_the_field(
    tmp_path: Path,
) -> None:
    chapter = ToyChapter("toy", BoundParameters, Blind)
    (tmp_path / "0.yaml").write_text(GOOD)
    with pytest.raises(
        BadConfig, match=r"0\.yaml:4: diagnose: .*Blind\.log\.content: bytes has no form"
    ):
        load(tmp_path, {"high_latency": chapter}, KINDS)


def test_a_folder_without_playbooks_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no playbook"):
        load(tmp_path, CHAPTERS, KINDS)


def test_both_endings_of_yaml_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD.replace("playbook: lag", "playbook: other"))
    assert [p.name for p in load(tmp_path, CHAPTERS, KINDS)] == ["lag", "other"]


def test_the_tests_run_on_the_repositorys_own_playbooks() -> None:
    assert PLAYBOOKS == ROOT / "rules" / "playbooks"


YAML = st.recursive(
    st.sampled_from(
        ["x", "1", "true", "'{{ target.name }}'", "*a", "&a b", "!!x y", "5m", "2/1h", "evidence.pods.ready"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(
            st.sampled_from(["playbook", "with", "do", "when", "scale", "<<", "kind", "verify", "x"]),
            inner,
            max_size=4,
        ).map(lambda fields: "{" + ", ".join(f"{k}: {v}" for k, v in fields.items()) + "}"),
    ),
    max_leaves=12,
)  # fmt: skip
FIELDS = [
    "playbook",
    "match",
    "target",
    "diagnose",
    "with",
    "remedies",
    "healed",
    "worse",
    "verify",
    "limits",
]
FILES = st.one_of(
    st.text(),
    st.text(alphabet="{}[]&*!|>-:?#%@,'\" \n\tab1"),
    YAML,
    st.tuples(st.sampled_from(FIELDS), YAML).map(
        lambda pair: re.sub(
            rf"(?m)^{pair[0]}:.*$", f"{pair[0]}: {pair[1].replace(chr(92), '')}", GOOD
        )
    ),
    st.tuples(
        st.integers(0, len(GOOD)), st.text(alphabet="{}[]&*!|>-:'\" \n\tab1.", max_size=3)
    ).map(lambda cut: GOOD[: cut[0]] + cut[1] + GOOD[cut[0] + 1 :]),
)


@given(FILES)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_at_all_is_a_playbook_or_told_within_a_second(tmp_path: Path, text: str) -> None:
    (tmp_path / "0.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    began = time.process_time()
    try:
        assert load(tmp_path, CHAPTERS, KINDS)
    except BadConfig as error:
        lines = str(error).splitlines()
        assert all(re.match(rf"{re.escape(str(tmp_path))}/0\.yaml:\d+: ", line) for line in lines)
    assert time.process_time() - began < 1


@given(st.binary())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_at_all_are_told(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "0.yaml").write_bytes(raw)
    with pytest.raises(BadConfig, match=r"0\.yaml:\d+: "):
        load(tmp_path, CHAPTERS, KINDS)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ("{per_rungs: 1/1h}", "limits.per_rungs: unknown field; did you mean 'per_rung'?"),
        ("{per_rung: 0/1h}", "limits.per_rung: '0/1h' is no budget; write COUNT/DURATION"),
        ("{per_rung: 1/30d}", "limits.per_rung: '30d' is too long; at most 7d"),
    ],
)
def test_a_wrong_limit_is_told_with_what_to_write(
    tmp_path: Path, limits: str, sentence: str
) -> None:
    (tmp_path / "0.yaml").write_text(f"{_without_limits(GOOD)}limits: {limits}\n")
    with pytest.raises(BadConfig, match=re.escape(sentence)):
        load(tmp_path, CHAPTERS, KINDS)


def test_a_rung_may_have_a_budget_of_its_own_on_each_target(tmp_path: Path) -> None:
    (tmp_path / "0.yaml").write_text(f"{_without_limits(GOOD)}limits: {{per_rung: 1/1d}}\n")
    (playbook,) = load(tmp_path, CHAPTERS, KINDS)
    assert playbook.limits.per_rung == Budget(1, 86_400.0)


def _without_limits(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("limits:"))
