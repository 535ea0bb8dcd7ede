"""Conditions: Unknown never argues for acting, and mistakes are told before anything runs."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.diagnose.chapters.high_latency import HighLatencyEvidence
from service.model.evidence import Evidence, facts
from service.model.playbook import Truth
from service.playbooks.conditions import (
    CelCondition,
    UnknownName,
    Vocabulary,
    condition,
    never,
    template,
)
from tests.unit.made import evidence, without

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
            "evidence.kafka.lag_growing ? true : true",
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
            "evidence.kafka.lag_by_partition['t/9'] < 5",
            [],
            Truth.UNKNOWN,
            id="a key that is not there",
        ),
        pytest.param(
            "evidence.kafka.lag_total / 0 == 1", [], Truth.UNKNOWN, id="a division by zero"
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
            "evidence['kafka']['lag_total'] > 1", "evidence.kafka.lag_total", id="by index"
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
        pytest.param("evidence.kafka.lag_total >", "is no CEL expression", id="a syntax error"),
        pytest.param("", "is no CEL expression", id="empty"),
        pytest.param("labels.namespace == 'x'", "names labels", id="labels are not for conditions"),
        pytest.param("nonsense > 1", "names nonsense", id="another root"),
        pytest.param(
            "evidence.kafka.lag_total", "is int, and a condition is true or false", id="no truth"
        ),
        pytest.param("evidence.kafka.lag_total > 'x'", "mixes types", id="a number against a text"),
        pytest.param(
            "evidence.pods.waiting.exists(w, w == 'X')", "names w", id="a macro: write `in` instead"
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
    "evidence.kafka.members < evidence.kafka.partitions",
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
    checked = condition(text, WORDS, may_ask_has=False)
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
    "text", ["", "{{ labels.x }}", "{{ evidence.kafka.lag_totl }}", "{{ 1 + }}", "{{ }}"]
)
def test_a_mistake_of_a_template_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        template(text, WORDS, may_name=("evidence",))


def test_what_holds_is_a_condition_of_the_protocol() -> None:
    assert isinstance(condition("true", WORDS, may_ask_has=False), CelCondition)
