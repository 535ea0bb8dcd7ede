"""Matchers mean what they mean in Alertmanager."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.matcher import Operator, parse

LABELS = {
    "alertname": "ConsumerLagHigh",
    "severity": "warning",
    "quote": 'say "hi"',
    "path": "a\\b",
    "nl": "a\nb",
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        pytest.param('alertname="ConsumerLagHigh"', True, id="equal"),
        pytest.param('alertname="ConsumerLag"', False, id="equal is of the whole value"),
        pytest.param("alertname=ConsumerLagHigh", True, id="without quotes"),
        pytest.param(' alertname = "ConsumerLagHigh" ', True, id="blanks"),
        pytest.param('severity!="critical"', True, id="not equal"),
        pytest.param('severity!="warning"', False, id="not equal fails"),
        pytest.param('severity=~"warning|critical"', True, id="one of two"),
        pytest.param('alertname=~"Consumer"', False, id="a pattern is anchored at its end"),
        pytest.param('alertname=~"LagHigh"', False, id="and at its start"),
        pytest.param('alertname=~"Consumer.*"', True, id="with a wildcard"),
        pytest.param('alertname=~"Consumer|Lag.*"', False, id="anchored around every alternative"),
        pytest.param('alertname!~"Consumer.*"', False, id="does not match, and it does"),
        pytest.param('alertname!~"Consumer"', True, id="does not match, anchored too"),
        pytest.param('team=""', True, id="an absent label is empty"),
        pytest.param('team!=""', False, id="an absent label is not other than empty"),
        pytest.param('team!="x"', True, id="an absent label is other than x"),
        pytest.param(
            'team=~".*"', True, id="an absent label matches everything that takes nothing"
        ),
        pytest.param('team=~".+"', False, id="an absent label has no letter"),
        pytest.param('team!~".+"', True, id="an absent label matches nothing else"),
        pytest.param(r'quote="say \"hi\""', True, id="an escaped quote"),
        pytest.param(r'path="a\\b"', True, id="an escaped backslash"),
        pytest.param(r'nl="a\nb"', True, id="a new line"),
        pytest.param(r'path=~"a\\\\b"', True, id="a backslash in a pattern"),
        pytest.param(r'severity=~"\w+"', True, id="a class in a pattern stays one"),
        pytest.param('nl=~"a"', False, id="a new line at the end is not passed over"),
    ],
)
def test_a_matcher_matches_as_in_alertmanager(text: str, holds: bool) -> None:
    assert parse(text).matches(LABELS) is holds


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "is no matcher", id="empty"),
        pytest.param("alertname", "is no matcher", id="no operator"),
        pytest.param('alertname=="x"', "is no matcher", id="two equal signs"),
        pytest.param('9a="x"', "is no matcher", id="a label that is none"),
        pytest.param('alertname="x', "is no matcher", id="an open quote"),
        pytest.param('{alertname="x"}', "is no matcher", id="braces"),
        pytest.param('a="x",b="y"', "is no matcher", id="two in one"),
        pytest.param('alertname=~"("', "no regular expression", id="a bad pattern"),
    ],
)
def test_what_is_no_matcher_is_told_with_what_to_write(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_equal_and_not_equal_are_opposites_for_every_value(value: str, actual: str) -> None:
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    same, other = parse(f'a="{escaped}"'), parse(f'a!="{escaped}"')
    assert (same.operator, other.operator) == (Operator.EQUAL, Operator.NOT_EQUAL)
    assert same.matches({"a": actual}) == (actual == value)
    assert same.matches({"a": actual}) != other.matches({"a": actual})
