"""Conditions: Unknown never argues for acting, and mistakes are told before anything runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.diagnose import CHAPTERS
from service.diagnose.chapters.high_latency import HighLatencyEvidence
from service.model.evidence import Evidence, Known, Reading, Unknown, facts, from_json, to_json
from service.model.playbook import Truth
from service.model.reasons import Reason
from service.playbooks.conditions import CelCondition, condition, never, template
from service.playbooks.inference import UnknownName
from service.playbooks.vocabulary import NoForm, Vocabulary
from tests.unit.made import SEEN as TARGET_SEEN
from tests.unit.made import T0, evidence, without

WORDS = Vocabulary.of(HighLatencyEvidence, {"latency_p95_s": "..."})


def judged(
    text: str, seen: Evidence, *, may_ask_has: bool = False, before: Evidence | None = None
) -> Truth:
    view = {"evidence": facts(seen), "before": facts(before or seen)}
    return condition(text, WORDS, may_ask_has=may_ask_has).judge(view)


@pytest.mark.parametrize(
    ("text", "unknown", "truth"),
    [
        pytest.param("evidence.kafka.lag_growing", [], Truth.HOLDS, id="known and true"),
        pytest.param("!evidence.kafka.lag_growing", [], Truth.FAILS, id="known and false"),
        pytest.param("evidence.kafka.lag_growing", ["kafka"], Truth.UNKNOWN, id="unknown"),
        pytest.param(
            "!evidence.kafka.lag_growing", ["kafka"], Truth.UNKNOWN, id="not unknown is unknown"
        ),
        pytest.param(
            "evidence.pods.ready == 2 && evidence.kafka.lag_growing",
            ["kafka"],
            Truth.UNKNOWN,
            id="true and unknown",
        ),
        pytest.param(
            "evidence.kafka.lag_growing && evidence.pods.ready == 9",
            ["kafka"],
            Truth.FAILS,
            id="unknown and false",
        ),
        pytest.param(
            "evidence.kafka.lag_growing || evidence.pods.ready == 2",
            ["kafka"],
            Truth.HOLDS,
            id="unknown or true",
        ),
        pytest.param(
            "evidence.kafka.lag_growing || evidence.pods.ready == 9",
            ["kafka"],
            Truth.UNKNOWN,
            id="unknown or false",
        ),
        pytest.param(
            "evidence.kafka.lag_growing ? true : evidence.pods.ready == 2",
            ["kafka"],
            Truth.UNKNOWN,
            id="a choice by the unknown",
        ),
        pytest.param(
            "evidence.kafka.lag_total == 0", ["kafka"], Truth.UNKNOWN, id="unknown is not zero"
        ),
        pytest.param(
            "evidence.usage.cpu_of_limit < 0.5", [], Truth.UNKNOWN, id="None in a known reading"
        ),
        pytest.param(
            "evidence.series.latency_p95_s < 2.0", [], Truth.UNKNOWN, id="a series without a sample"
        ),
        pytest.param(
            '"CrashLoopBackOff" in evidence.pods.waiting', [], Truth.FAILS, id="not in a known list"
        ),
        pytest.param(
            '!("X" in evidence.pods.waiting)', ["pods"], Truth.UNKNOWN, id="not in an unknown list"
        ),
        pytest.param(
            "size(evidence.pods.waiting) == 0",
            ["pods"],
            Truth.UNKNOWN,
            id="the size of the unknown",
        ),
        pytest.param(
            "evidence.kafka.partitions[9].lag < 5",
            [],
            Truth.UNKNOWN,
            id="an element that is not there",
        ),
        pytest.param(
            "evidence.pods.ready / (evidence.pods.ready - evidence.pods.desired) == 1",
            [],
            Truth.UNKNOWN,
            id="a division by zero",
        ),
    ],
)
def test_a_condition_is_true_false_or_unknown(
    text: str, unknown: Sequence[str], truth: Truth
) -> None:
    assert judged(text, evidence(unknown=["series", *unknown])) is truth


def test_before_is_what_the_decision_was_made_on() -> None:
    text = "evidence.pods.ready < before.pods.ready"
    assert judged(text, evidence(pods={"ready": 1}), before=evidence()) is Truth.HOLDS
    assert judged(text, evidence(), before=evidence()) is Truth.FAILS
    assert judged(text, evidence(), before=evidence(unknown=["pods"])) is Truth.UNKNOWN


@pytest.mark.parametrize(
    "text",
    [
        "has(evidence.kafka.lag_total)",
        "!has(evidence.kafka.lag_total)",
        "evidence.kafka.lag_growing && has (evidence.kafka.lag_total)",
        "has // for no reason\n(evidence.kafka.lag_total)",
    ],
)
def test_a_remedy_may_not_argue_from_what_is_not_known(text: str) -> None:
    with pytest.raises(ValueError, match=r"has\(\)"):
        condition(text, WORDS, may_ask_has=False)


def test_the_word_has_inside_a_text_is_no_question() -> None:
    assert judged("evidence.kafka.group == 'has(x)'", evidence()) is Truth.FAILS


def test_healed_may_ask_whether_a_series_is_configured() -> None:
    text = "!has(evidence.series.latency_p95_s) || evidence.series.latency_p95_s < 2.0"
    assert judged(text, evidence(), may_ask_has=True) is Truth.HOLDS
    assert judged(text, evidence(series={"latency_p95_s": 3.0}), may_ask_has=True) is Truth.FAILS


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        pytest.param(
            "evidence.kafka.lag_totl > 1", "evidence.kafka.lag_total", id="a letter is missing"
        ),
        pytest.param(
            "evidence.kafak.lag_total > 1", "evidence.kafka.lag_total", id="two letters are swapped"
        ),
        pytest.param("before.pods.redy == 1", "before.pods.ready", id="of before"),
        pytest.param("evidence.kafka == 1", "evidence.kafka.lag_max", id="a group without a field"),
        pytest.param("evidence == 1", "evidence.kafka.lag_total", id="the root alone"),
        pytest.param(
            "'lag_total' in evidence.kafka",
            "evidence.kafka.lag_total",
            id="a group asked for a field",
        ),
        pytest.param(
            "evidence.series.latency_p50_s < 1.0",
            "evidence.series.latency_p95_s",
            id="a series not declared",
        ),
    ],
)
def test_a_name_that_the_evidence_does_not_have_is_told_with_those_it_has(
    text: str, meant: str
) -> None:
    with pytest.raises(UnknownName) as caught:
        condition(text, WORDS, may_ask_has=False)
    assert meant in caught.value.candidates


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            "evidence.kafka.lag_total >", "something is missing at its end", id="a syntax error"
        ),
        pytest.param("", "something is missing", id="empty"),
        pytest.param("labels.namespace == 'x'", "names labels", id="labels are not for conditions"),
        pytest.param("nonsense > 1", "names nonsense", id="another root"),
        pytest.param(
            "evidence.kafka.lag_total", "is int, and a condition is true or false", id="no truth"
        ),
        pytest.param("evidence.kafka.lag_total > 'x'", "mixes types", id="a number against a text"),
        pytest.param("w == 'X'", "names w", id="a variable that nothing binds"),
        pytest.param(
            "evidence['kafka']['lag_total'] > 1", "write .kafka for a field", id="by index"
        ),
        pytest.param("evidence.kafka.lag_total == null", "null compares with nothing", id="null"),
        pytest.param("evidence.kafka.lag_total / 0 == 1", "divides by zero", id="by zero"),
        pytest.param("evidence.kafka.lag_total == '5'", "is never so", id="never equal"),
        pytest.param("evidence.kafka.lag_total * 1.5 > 2.0", r"double\(x\)", id="int times double"),
        pytest.param("evidence.kafka.lag_total > 1u", "out of place", id="an unsigned number"),
        pytest.param("evidence.kafka.group == b'x'", "out of place", id="bytes"),
        pytest.param(
            "sizze(evidence.pods.waiting) > 1", r"unknown field sizze\(\)", id="a function"
        ),
        pytest.param("evidence.kafka.group.matches('(')", "cannot read", id="a bad expression"),
        pytest.param("now > timestamp('soon')", "cannot read 'soon'", id="an instant that is none"),
        pytest.param("now - now > duration('1d')", "units are h", id="a duration of days"),
        pytest.param(
            "now > timestamp('2026-01-01T00:00:00Z')", "nothing of the evid", id="now alone"
        ),
        pytest.param("(" * 500 + "1" + ")" * 500, "nested too deeply", id="depth"),
        pytest.param("evidence" + ".a" * 60_000, "longer than", id="length"),
        pytest.param("evidence.pods.waiting.exists(w)", r"write exists\(x", id="no body"),
        pytest.param(
            "evidence.pods.waiting.all(w, size(w))", "mixes types", id="a body of no truth"
        ),
        pytest.param("evidence.pods.waiting.exists(w, w > 1)", "mixes types", id="in a body"),
        pytest.param(
            "evidence.pods.ready.exists(w, true)", "over a list or a map", id="of a number"
        ),
        pytest.param(
            "evidence.pods.waiting.map(now, now)[0] == 'x'", "a meaning already", id="twice"
        ),
        pytest.param(
            "evidence.kafka.group && evidence.kafka.lag_growing", "", id="a text as a truth"
        ),
        pytest.param(
            "evidence.pods.ready > 1 && evidence.kafka.group + 1 > 2",
            "mixes types",
            id="behind an and",
        ),
    ],
)
def test_a_mistake_of_a_condition_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told or "."):
        condition(text, WORDS, may_ask_has=False)


def test_what_could_not_be_compiled_never_holds() -> None:
    assert never("x >").judge({"evidence": facts(evidence()), "before": {}}) is Truth.FAILS


LEAVES = (
    "evidence.kafka.lag_growing", "evidence.kafka.lag_total > 10",
    "evidence.kafka.members < evidence.kafka.partition_count",
    "evidence.pods.ready == evidence.pods.desired", "evidence.pods.autoscaled", "evidence.clickhouse.queries == 0",
    "evidence.clickhouse.longest_query_s > 300.0", "evidence.usage.cpu_cores < 1.0", "before.pods.ready > 1",
    "evidence.series.latency_p95_s < 2.0", "'X' in evidence.pods.waiting", "true", "false",
)  # fmt: skip
TEXTS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map("!({})".format),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(
            lambda t: f"({t[0]}) {t[1]} ({t[2]})"
        ),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]}) ? ({t[1]}) : ({t[2]})"),
    ),
    max_leaves=8,
)
GROUPS = st.lists(st.sampled_from(HighLatencyEvidence.groups()), unique=True)
SEEN = st.builds(
    lambda lag, growing, ready, autoscaled, query_s, latency_s: evidence(
        kafka={"lag_total": lag, "lag_growing": growing}, pods={"ready": ready, "autoscaled": autoscaled},
        clickhouse={"longest_query_s": query_s}, series={"latency_p95_s": latency_s},
    ),
    st.integers(0, 20), st.booleans(), st.integers(0, 3), st.booleans(), st.sampled_from([0.0, 400.0]),
    st.sampled_from([1.0, 3.0]),
)  # fmt: skip


@given(TEXTS, SEEN, GROUPS)
def test_taking_readings_away_never_makes_a_condition_hold_or_fail_that_did_not(
    text: str, seen: HighLatencyEvidence, lost: list[str]
) -> None:
    try:
        checked = condition(text, WORDS)
    except ValueError as error:
        assume("is always" not in str(error))  # refused: it asks nothing
        raise
    full = checked.judge({"evidence": facts(seen), "before": facts(seen)})
    poor = facts(without(seen, lost))
    less = checked.judge({"evidence": poor, "before": poor})
    assert less in (full, Truth.UNKNOWN)


@given(st.lists(st.sampled_from(LEAVES[:-2]), min_size=1, max_size=4), SEEN)
def test_with_nothing_known_no_conjunction_holds(
    leaves: list[str], seen: HighLatencyEvidence
) -> None:
    nothing = facts(without(seen, HighLatencyEvidence.groups()))
    checked = condition(" && ".join(leaves), WORDS, may_ask_has=False)
    assert checked.judge({"evidence": nothing, "before": nothing}) is not Truth.HOLDS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("{{ evidence.kafka.lag_total }}", 50_000, id="one expression keeps its type"),
        pytest.param(
            "lag {{ evidence.kafka.lag_total }}!",
            "lag 50000!",
            id="with text around it becomes text",
        ),
        pytest.param("plain", "plain", id="no expression"),
        pytest.param("{{ evidence.series.latency_p95_s }}", None, id="unknown"),
        pytest.param("a {{ evidence.series.latency_p95_s }}", None, id="unknown within a text"),
    ],
)
def test_a_template_is_filled_or_has_no_value(text: str, value: object) -> None:
    made = template(text, WORDS, may_name=("evidence",))
    assert made.render({"evidence": facts(evidence())}) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{{ labels.x }}",
        "{{ evidence.kafka.lag_totl }}",
        "{{ 1 + }}",
        "{{ }}",
        "{{",
        "{{ evidence.kafka.lag_total",
        "{{ evidence.kafka.lag_total }",
        "a {{ 'b }} c",
    ],
)
def test_a_mistake_of_a_template_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        template(text, WORDS, may_name=("evidence",))


def test_what_holds_is_a_condition_of_the_protocol() -> None:
    assert isinstance(condition("evidence.pods.autoscaled", WORDS), CelCondition)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("{{ {'a': 'b'}[target.name] }}", "b", id="a map"),
        pytest.param("{{ {'a': {'x': 'b'}}['a'].x }}!", "b!", id="braces side by side"),
        pytest.param("{{ '}}' + target.name }}", "}}a", id="braces in a text"),
        pytest.param('{"a":{"b":{{ target.name }}}}', '{"a":{"b":a}}', id="JSON around it"),
    ],
)
def test_a_template_ends_where_its_expression_does(text: str, value: str) -> None:
    made = template(text, None, may_name=("target",))
    assert made.render({"target": {"kind": "", "namespace": "", "name": "a"}}) == value


@pytest.mark.parametrize(
    ("text", "always"),
    [
        ("true", "true"),
        ("!true", "false"),
        ("1 == 1", "true"),
        ("'a' != 'a'", "false"),
        ("evidence.pods.autoscaled || true", "true"),
        ("false && evidence.pods.autoscaled", "false"),
        ("evidence.pods.ready >= evidence.pods.ready", "true"),
        ("evidence.pods.autoscaled ? true : true", "true"),
        ("!(evidence.pods.ready < evidence.pods.ready)", "true"),
    ],
)
def test_a_condition_that_asks_nothing_is_a_mistake(text: str, always: str) -> None:
    with pytest.raises(ValueError, match=f"is always {always}"):
        condition(text, WORDS)


class Phase(StrEnum):
    RUNNING = "Running"
    FAILED = "Failed"


class Size(Enum):
    SMALL = 1
    LARGE = 2


@dataclass(frozen=True, slots=True)
class Container:
    name: str
    last_exit: str | None
    restarts: int


@dataclass(frozen=True, slots=True)
class Pod:
    name: str
    phase: Phase
    started_at: datetime
    slept: timedelta
    containers: tuple[Container, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class PodsOf:
    items: tuple[Pod, ...]
    newest: Pod | None
    names: frozenset[str]
    size: Size
    limits: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class AnyShape(Evidence):
    pods: Reading[PodsOf]
    queue: Reading[tuple[Pod, ...]]
    sizes: Reading[Mapping[str, int]]
    quorum: Reading[bool]


SHAPES = Vocabulary.of(AnyShape)
POD = Pod(
    "a-0",
    Phase.FAILED,
    T0 - timedelta(hours=2),
    timedelta(minutes=5),
    (Container("app", "OOMKilled", 7), Container("side", None, 0)),
    {"app": "a"},
    0,  # a probe's int in a field of floats
)
OTHER = Pod("a-1", Phase.RUNNING, T0, timedelta(0), (Container("app", "Error", 1),))
PODS = PodsOf((POD, OTHER), POD, frozenset({"a-0", "a-1"}), Size.LARGE, {"cpu": 0.5})


def known(value: Any) -> Known[Any]:
    return Known(value, "test", T0, 0.0)


LOST = Unknown(Reason.LATE, "test", T0, 1.0)
FULL = AnyShape(known(TARGET_SEEN), known(PODS), known((POD,)), known({"t": 3}), known(True))
EMPTY = AnyShape(LOST, LOST, LOST, LOST, LOST)


@pytest.mark.parametrize(
    "text",
    [
        "evidence.pods.items.exists(p, p.containers.exists(c, c.last_exit == 'OOMKilled'))",
        "evidence.pods.items.all(p, p.name.startsWith('a-'))",
        "evidence.pods.items.filter(p, p.phase == 'Failed').size() == 1",
        "evidence.pods.items.map(p, p.name) == ['a-0', 'a-1']",
        "evidence.pods.items.map(p, p.phase == 'Failed', p.share)[0] * 2.0 == 0.0",
        "evidence.pods.items.exists_one(p, p.name == 'a-0')",
        "evidence.pods.items[0].containers[0].restarts > 5",
        "evidence.pods.newest.started_at < timestamp('2026-01-01T00:00:00Z')",
        "now - evidence.pods.newest.started_at > duration('1h')",
        "evidence.pods.newest.slept == duration('300s')",
        "evidence.pods.newest.started_at + evidence.pods.newest.slept < now",
        "evidence.pods.newest.started_at.getHours() == 22",
        "size(evidence.pods.names) == 2 && 'a-0' in evidence.pods.names",
        "evidence.pods.size == 2",
        "evidence.pods.limits.cpu < 1.0 && evidence.pods.limits['cpu'] > 0.1",
        "evidence.queue.size() == 1 && evidence.queue[0].name == 'a-0'",
        "evidence.queue.all(q, evidence.pods.items.exists(p, p.name == q.name))",
        "evidence.sizes.exists(t, evidence.sizes[t] > 2)",
        "evidence.quorum",
        "evidence.target.owners.size() == 0",
        "before.pods.items.size() == evidence.pods.items.size()",
        "string(evidence.pods.items.size()) + 'x' == '2x'",
        "[1, 2].exists(x, x == evidence.pods.items.size())",
    ],
)
def test_evidence_of_any_shape_can_be_asked_and_none_of_it_argues_when_unknown(text: str) -> None:
    checked = condition(text, SHAPES)
    seen = facts(FULL)
    assert checked.judge({"evidence": seen, "before": seen, "now": T0}) is Truth.HOLDS
    kept = from_json(json.loads(json.dumps(to_json(seen))))
    assert checked.judge({"evidence": kept, "before": kept, "now": T0}) is Truth.HOLDS
    nothing = facts(EMPTY)
    assert checked.judge({"evidence": nothing, "before": nothing, "now": T0}) is Truth.UNKNOWN
    for negated in (f"!({text})", f"({text}) == false"):
        judged_otherwise = condition(negated, SHAPES).judge({"evidence": nothing, "now": T0})
        assert judged_otherwise is Truth.UNKNOWN


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        ("evidence.pods.items.exists(p, p.phas == 'x')", "p.phas", "p.phase"),
        (
            "evidence.pods.items.all(p, p.containers.exists(c, c.last_exti == 'OOMKilled'))",
            "c.last_exti",
            "c.last_exit",
        ),
        ("evidence.pods.items[0].nam == 'x'", "Pod.nam", "Pod.name"),
        (
            "evidence.pods.newest.nam == 'x'",
            "evidence.pods.newest.nam",
            "evidence.pods.newest.name",
        ),
        ("evidence.queue.exists(q, has(q.shar))", "q.shar", "q.share"),
        ("before.pods.items.filter(p, p.nam == 'x').size() > 0", "p.nam", "p.name"),
        (
            "evidence.pods.items.filter(p, p.phase == 'Failed').exists(x, x.nam == 'a')",
            "x.nam",
            "x.name",
        ),
        (
            "evidence.pods.newest == evidence.pods.newest",
            "evidence.pods.newest",
            "evidence.pods.newest.name",
        ),
    ],
)
def test_a_name_is_checked_at_every_depth(text: str, name: str, meant: str) -> None:
    with pytest.raises(UnknownName) as caught:
        condition(text, SHAPES, may_ask_has=True)
    assert caught.value.name == name
    assert meant in caught.value.candidates


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("evidence.pods.items.exists(p, p.started_at > 5)", "timestamp > int"),
        ("evidence.pods.items.exists(p, p.name > 5)", "string > int"),
        ("evidence.pods.items.exists(p, p.containers == 5)", "list of Container == int"),
        ("evidence.pods.items.exists(p, p == p)", "uses a whole Pod"),
        ("evidence.pods.newest.slept > 300", "duration > int"),
        ("now - evidence.pods.newest.started_at > 3600", "duration > int"),
        ("evidence.pods.items.exists(p, p.phase == 'failed')", "did you mean 'Failed'?"),
        ("evidence.pods.items.map(p, p.name) == [1]", "list of string == list of int"),
        ("5 in evidence.pods.names", "int in list of string"),
        ("evidence.pods.names[0].x == 1", "has no fields"),
        ("evidence.sizes['t'] > 'x'", "int > string"),
        ("evidence.quorum > 1", "bool > int"),
    ],
)
def test_types_are_checked_at_every_depth(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        condition(text, SHAPES)


@dataclass(frozen=True, slots=True)
class Endless:
    inner: "tuple[Endless, ...]"


@dataclass(frozen=True, slots=True)
class Raw:
    content: bytes


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        (Raw, "Odd.odd.content: bytes has no form"),
        (bytes, "Odd.odd: bytes has no form"),
        (tuple[Raw, ...], r"Odd.odd\[\].content: bytes"),
        (Mapping[str, Any], r"Odd.odd\[...\]: Any has no form"),
        (object, "Odd.odd: object has no form"),
        (int | str, "may be of several types"),
        (tuple[int, str], "elements of a list are of one type"),
        (tuple[int | None, ...], "an element of a list may not be None"),
        (Mapping[bool, int], "keys of a map are texts"),
        (Endless, "contains itself"),
        (list, "Odd.odd: list has no form"),
    ],
)
def test_a_type_without_a_form_is_a_mistake_that_names_the_field(hint: Any, told: str) -> None:
    reading = Known[hint] | Unknown
    odd: Any = dataclass(frozen=True)(
        type("Odd", (Evidence,), {"__annotations__": {"odd": reading}})
    )
    with pytest.raises(NoForm, match=told):
        Vocabulary.of(odd)


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapters_evidence_has_a_form_and_samples_that_its_probes_could_give(
    name: str,
) -> None:
    vocabulary = Vocabulary.of(CHAPTERS[name].evidence, ["declared"])
    assert len(vocabulary.samples) == 64
    for path in vocabulary.names():
        made = template(f"{{{{ {path} }}}}", vocabulary, may_name=("evidence",))
        assert any(
            made.render({"evidence": sample}) is not None for sample in vocabulary.samples
        ), path


def test_an_empty_list_is_not_what_an_unknown_one_looks_like() -> None:
    assert "queue" not in facts(EMPTY)
    assert "sizes" not in facts(EMPTY)
    assert facts(EMPTY)["pods"] == {}


FACTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.datetimes(timezones=st.just(UTC))
    | st.timedeltas(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(["$", "$instant", "$$duration"]), inner)
    ),
    max_leaves=20,
)


@given(FACTS)
def test_facts_come_back_from_json_as_they_were(given_facts: Any) -> None:
    text = json.dumps(to_json(given_facts), allow_nan=False)
    back = from_json(json.loads(text))
    assert back == given_facts
    assert json.dumps(to_json(back)) == text


def test_a_number_that_json_does_not_have_comes_back() -> None:
    assert (
        repr(from_json(json.loads(json.dumps(to_json([float("nan"), float("inf")])))))
        == "[nan, inf]"
    )


PIECES = [
    "evidence", ".", "kafka", "lag_total", "pods", "waiting", "exists", "all", "map", "filter", "(", ")", "[", "]",
    "{", "}", ",", ":", "?", "1", "2.5", "'x'", "&&", "||", "!", "-", "+", "==", "<", "in", "has", "now", "true",
    "size", "timestamp", "duration",
]  # fmt: skip
WORDS_OF_CEL = st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join)


@given(WORDS_OF_CEL | st.text(max_size=30))
def test_any_text_is_a_condition_or_a_mistake(text: str) -> None:
    try:
        checked = condition(text, WORDS, may_ask_has=True)
    except ValueError:
        return
    assert checked.judge({"evidence": facts(evidence()), "now": T0}) in Truth
