"""Conditions and templates in CEL, checked against the evidence type before anything runs.

A condition is Unknown when it needs a reading that is Unknown. CEL's own rule does the work:
what is Unknown is left out of the facts, naming it is an error, `false && error` is false,
`true || error` is true, and any error that is left over means Unknown. `has()` would turn
Unknown into an argument, so a rung's `when` may not use it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.kit.hollow import hollow
from service.model.playbook import Truth
from service.playbooks.constants import constant
from service.playbooks.inference import Inference, Path, UnknownName
from service.playbooks.syntax import end_of_expression, parse
from service.playbooks.tree import Node
from service.playbooks.vocabulary import (
    BOOL,
    DYN,
    LABELS,
    STRING,
    TARGET,
    TIMESTAMP,
    Type,
    Vocabulary,
)

with hollow("cel.cli"):
    import cel

# What an expression may raise on facts with something left out, or with numbers that do not fit.
_NO_ANSWER = (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError)

_SAMPLE_NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("evidence", "before", "now")


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. `paths` are the values it names: no others are handed to CEL."""

    text: str
    node: Node
    program: cel.Program
    paths: tuple[Path, ...]
    kind: Type

    def value(self, facts: Mapping[str, Any]) -> object | None:
        """The value under these facts, or None when there is none:
        something that it names is Unknown.
        """
        try:
            found: object = self.program.execute(_named(facts, self.paths))
        except _NO_ANSWER:
            return None
        return found


@dataclass(frozen=True, slots=True)
class CelCondition:
    """A compiled condition."""

    text: str
    expression: Expression

    def judge(self, facts: Mapping[str, Any]) -> Truth:
        result = self.expression.value(facts)
        if not isinstance(result, bool):
            return Truth.UNKNOWN
        return Truth.HOLDS if result else Truth.FAILS


@dataclass(frozen=True, slots=True)
class CelTemplate:
    """Text with `{{ expression }}` in it, as its parts. `kind` is the type of what it gives."""

    text: str
    parts: tuple[str | Expression, ...]

    @property
    def kind(self) -> Type:
        (first, *more) = self.parts
        return first.kind if isinstance(first, Expression) and not more else STRING

    def render(self, facts: Mapping[str, Any]) -> object | None:
        values = [p if isinstance(p, str) else p.value(facts) for p in self.parts]
        if any(value is None for value in values):
            return None
        return values[0] if len(values) == 1 else "".join(_shown(v) for v in values)


def condition(
    text: str,
    vocabulary: Vocabulary,
    *,
    may_name: Collection[str] = NAMES,
    may_ask_has: bool = False,
    may_be_constant: bool = False,
) -> CelCondition:
    """A checked condition. Raises ValueError with the mistake, and UnknownName with the good
    names.
    """
    expression, asks_has = _expression(text, vocabulary, may_name)
    if asks_has and not may_ask_has:
        raise _wrong(
            text, "asks has(): nobody argues from what is not known; name the field itself"
        )
    if expression.kind not in (BOOL, DYN):
        raise _wrong(text, f"is {expression.kind}, and a condition is true or false")
    if not may_be_constant:
        if (always := constant(expression.node)) is not None:
            raise _wrong(text, f"is always {str(always).lower()}: ask something of the evidence")
        if not any(path[0] in ("evidence", "before") for path in expression.paths):
            raise _wrong(text, "asks nothing of the evidence")
    _run(expression, vocabulary)
    return CelCondition(text, expression)


def never(text: str) -> CelCondition:
    """Stands for a condition that could not be compiled, while the rest of the file is checked."""
    return CelCondition(text, Expression(text, parse("false"), cel.compile("false"), (), BOOL))


def template(text: str, vocabulary: Vocabulary | None, *, may_name: Collection[str]) -> CelTemplate:
    """A checked template over the roots it may name. Raises ValueError, and UnknownName as
    above.
    """
    parts: list[str | Expression] = []
    place = 0
    while (begins := text.find("{{", place)) >= 0:
        ends = end_of_expression(text, begins + 2)
        if ends < 0:
            raise ValueError(f"{_short(text)}: a {{{{ is not closed with }}}}")
        if begins > place:
            parts.append(text[place:begins])
        expression, _ = _expression(text[begins + 2 : ends].strip(), vocabulary, may_name)
        _run(expression, vocabulary)
        parts.append(expression)
        place = ends + 2
    if place < len(text):
        parts.append(text[place:])
    if not parts:
        raise ValueError("an empty text names nothing")
    return CelTemplate(text, tuple(parts))


def _expression(
    text: str, vocabulary: Vocabulary | None, may_name: Collection[str]
) -> tuple[Expression, bool]:
    roots: dict[str, Type] = {"labels": LABELS, "target": TARGET, "now": TIMESTAMP}
    if vocabulary is not None:
        roots |= {"evidence": vocabulary.evidence, "before": vocabulary.evidence}
    inference = Inference({name: roots[name] for name in may_name if name in roots})
    try:
        node = parse(text)
        kind = inference.type_of(node)
        program = cel.compile(text)
    except UnknownName:
        raise
    except ValueError as error:
        raise _wrong(text, " ".join(str(error).split())[:300]) from error
    # The longest first, so that a map of the facts is never written to.
    paths = tuple(sorted(inference.paths, key=lambda path: (-len(path), path)))
    return Expression(text, node, program, paths, kind), inference.asks_has


def _run(expression: Expression, vocabulary: Vocabulary | None) -> None:
    """Tries the expression on made-up evidence: a second net below the types."""
    if vocabulary is None:
        return
    more = {"labels": {}, "target": {"kind": "", "namespace": "", "name": ""}}
    tried: list[dict[str, Any]] = []  # what is named of the samples is often the same
    for made in vocabulary.samples:
        facts = {**more, "evidence": made, "before": made, "now": _SAMPLE_NOW}
        view = _named(facts, expression.paths)
        if view in tried:
            continue
        tried.append(view)
        try:
            expression.program.execute(view)
        except TypeError as error:
            raise _wrong(expression.text, f"it mixes types: {str(error).split('.')[0]}") from error
        except _NO_ANSWER:
            continue  # a division by a made-up zero, or a key of a map: no mistake of the text


def _named(facts: Mapping[str, Any], paths: Collection[Path]) -> dict[str, Any]:
    """The facts that are named, and no others: CEL copies all it is given."""
    view: dict[str, Any] = {}
    for path in paths:
        source: Any = facts
        made = view
        for step in path[:-1]:
            source = source.get(step)
            if not isinstance(source, Mapping):
                break
            made = made.setdefault(step, {})
        else:
            if path[-1] in source:
                made[path[-1]] = source[path[-1]]
    return view


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 120 else f"{line[:117]}...")


def _wrong(text: str, sentence: str) -> ValueError:
    return ValueError(f"{_short(text)}: {sentence}")
