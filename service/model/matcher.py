"""Matchers in Alertmanager's own syntax: `alertname="X"`, `severity=~"a|b"`,
`team!="x"`, `job!~"y.*"`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Operator(StrEnum):
    """The four comparisons of a matcher."""

    EQUAL = "="
    NOT_EQUAL = "!="
    MATCHES = "=~"
    NOT_MATCHES = "!~"


_SYNTAX = re.compile(
    r"""^\s*([a-zA-Z_:][\w:]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"{},]+))\s*$"""
)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class LabelMatcher:
    """One comparison of one label. A label that is absent counts as empty, as in Alertmanager."""

    label: str
    operator: Operator
    value: str
    pattern: re.Pattern[str] | None = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        actual = labels.get(self.label, "")
        match self.operator:
            case Operator.EQUAL:
                return actual == self.value
            case Operator.NOT_EQUAL:
                return actual != self.value
            case Operator.MATCHES:
                return self.pattern is not None and self.pattern.fullmatch(actual) is not None
            case Operator.NOT_MATCHES:
                return self.pattern is not None and self.pattern.fullmatch(actual) is None


def parse(text: str) -> LabelMatcher:
    """A matcher from its text. Raises ValueError with what is wrong and what to write."""
    found = _SYNTAX.match(text)
    if not found:
        raise ValueError(
            f'{text!r} is no matcher; write it as in Alertmanager: label="value" (=, !=, =~, !~)'
        )
    label, operator, quoted, bare = found.groups()
    value = bare if quoted is None else re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), quoted)
    if operator not in (Operator.MATCHES, Operator.NOT_MATCHES):
        return LabelMatcher(label, Operator(operator), value)
    try:
        return LabelMatcher(label, Operator(operator), value, re.compile(value))
    except re.error as error:
        raise ValueError(
            f"{text!r}: the pattern {value!r} is no regular expression: {error}"
        ) from error
