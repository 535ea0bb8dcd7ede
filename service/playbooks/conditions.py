"""Conditions and templates in CEL, checked against the evidence type before anything runs.

A condition is Unknown when it needs a reading that is Unknown. CEL's own rule does the work: what is Unknown is
left out of the facts, naming it is an error, `false && error` is false, `true || error` is true, and any error
that is left over means Unknown. `has()` would turn Unknown into an argument, so a rung's `when` may not use it.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from service.kit.hollow import hollow
from service.model.evidence import Evidence, Facts, Known
from service.model.playbook import Truth

with hollow("cel.cli"):
    import cel

_ASIDE = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|//[^\n]*')  # texts and comments
_PATH = re.compile(r"\b(evidence|before|labels|target)((?:\s*\.\s*[A-Za-z_]\w*|\s*\[[^\]]*\])*)")
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_SAMPLES: Mapping[type, tuple[Any, ...]] = {
    bool: (True, False),
    int: (0, 10**9),
    float: (0.0, 1e9),
    str: ("", "x"),
}


@dataclass(frozen=True, slots=True)
class CelCondition:
    """A compiled condition."""

    text: str
    program: cel.Program

    def judge(self, facts: Mapping[str, Facts]) -> Truth:
        try:
            result = self.program.execute(dict(facts))
        except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError, IndexError):
            return Truth.UNKNOWN
        if not isinstance(result, bool):
            return Truth.UNKNOWN
        return Truth.HOLDS if result else Truth.FAILS


@dataclass(frozen=True, slots=True)
class CelTemplate:
    """Text with `{{ expression }}` in it; `parts` alternates literal text and programs."""

    text: str
    parts: tuple[str | cel.Program, ...]

    def render(self, facts: Mapping[str, Facts]) -> object | None:
        values = [self._value(part, facts) for part in self.parts]
        if any(value is None for value in values):
            return None
        return values[0] if len(values) == 1 else "".join(str(v) for v in values)

    def _value(self, part: str | cel.Program, facts: Mapping[str, Facts]) -> object | None:
        if isinstance(part, str):
            return part
        try:
            value: object = part.execute(dict(facts))
        except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError, IndexError):
            return None
        return value


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What conditions may name: the evidence's groups and fields with their types."""

    fields: Mapping[str, Mapping[str, type]]

    @classmethod
    def of(cls, evidence: type[Evidence], series: Mapping[str, object]) -> "Vocabulary":
        """The vocabulary of an evidence type; `series` are the declared Prometheus queries."""
        groups: dict[str, Mapping[str, type]] = {}
        for name, reading in get_type_hints(evidence).items():
            known = next(a for a in get_args(reading) if get_origin(a) is Known)
            (value_type,) = get_args(known)
            if get_origin(value_type) is Mapping or (
                isinstance(get_origin(value_type), type)
                and issubclass(get_origin(value_type), Mapping)
            ):
                groups[name] = dict.fromkeys(series, float)
            else:
                hints = get_type_hints(value_type)
                groups[name] = {f.name: _simple(hints[f.name]) for f in fields(value_type)}
        return cls(groups)

    def names(self) -> list[str]:
        return [f"evidence.{g}.{f}" for g, fs in self.fields.items() for f in fs]

    def samples(self) -> Iterator[dict[str, dict[str, Any]]]:
        """Evidence made up of low and high values, so that every branch of a condition is walked."""
        names = [(g, f, t) for g, fs in self.fields.items() for f, t in fs.items()]
        for flip in itertools.product((0, 1), repeat=6):
            made: dict[str, dict[str, Any]] = {g: {} for g in self.fields}
            for place, (group, field, kind) in enumerate(names):
                low_high = _SAMPLES.get(kind)
                # Six bits spread over the fields: neighbours differ, and so does every field between rounds.
                side = flip[place % 6] ^ flip[(place // 6) % 6] ^ (place & 1)
                made[group][field] = low_high[side] if low_high else ([] if kind is list else {})
            yield made


def _simple(hint: Any) -> type:  # Any: a type hint is any object
    if get_origin(hint) is UnionType or NoneType in get_args(hint):
        hint = next(a for a in get_args(hint) if a is not NoneType)
    origin = get_origin(hint) or hint
    if isinstance(origin, type) and issubclass(origin, tuple):
        return list
    if isinstance(origin, type) and origin not in _SAMPLES and issubclass(origin, Mapping):
        return dict
    return origin if isinstance(origin, type) else object


def condition(text: str, vocabulary: Vocabulary, *, may_ask_has: bool) -> CelCondition:
    """A checked condition. Raises ValueError with the mistake and, for a name, the nearest good one."""
    program = _compile(text)
    if not may_ask_has and "has" in re.findall(r"\b(\w+)\s*\(", _bare(text)):
        raise ValueError(
            f"{text!r} asks has(): a remedy may not argue from what is not known; name the field itself"
        )
    _check_names(text, vocabulary, may_name=("evidence", "before"))
    _check_types(CelCondition(text, program), vocabulary)
    return CelCondition(text, program)


def never(text: str) -> CelCondition:
    """Stands for a condition that could not be compiled, while the rest of the file is checked."""
    return CelCondition(text, cel.compile("false"))


def template(text: str, vocabulary: Vocabulary | None, *, may_name: tuple[str, ...]) -> CelTemplate:
    """A checked template over `evidence` or `labels`. Raises ValueError."""
    pieces = _EXPRESSION.split(text)
    parts: list[str | cel.Program] = []
    for place, piece in enumerate(pieces):
        if place % 2:
            _check_names(piece, vocabulary, may_name=may_name)
            parts.append(_compile(piece.strip()))
        elif piece:
            parts.append(piece)
    if not parts:
        raise ValueError("an empty text names nothing")
    return CelTemplate(text, tuple(parts))


def _compile(text: str) -> cel.Program:
    try:
        return cel.compile(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no CEL expression:\n{error}") from error


def _check_names(text: str, vocabulary: Vocabulary | None, *, may_name: tuple[str, ...]) -> None:
    bare = _bare(text)
    roots = set(cel.compile(text.strip()).variables()) - set(may_name)
    if roots:
        raise ValueError(
            f"{text.strip()!r} names {', '.join(sorted(roots))}; known are {', '.join(may_name)}"
        )
    for root, path in _PATH.findall(bare):
        if root in ("labels", "target") or vocabulary is None:
            continue
        steps = re.findall(r"[A-Za-z_]\w*", path)
        group_fields = vocabulary.fields.get(steps[0]) if steps else None
        if group_fields is None or len(steps) < 2 or steps[1] not in group_fields:
            shown = ".".join([root, *steps])
            raise UnknownName(shown, [n.replace("evidence", root, 1) for n in vocabulary.names()])


def _bare(text: str) -> str:
    """The expression with its texts emptied and its comments taken out: what is left is syntax."""
    return _ASIDE.sub(lambda found: "" if found[0].startswith("//") else '""', text)


class UnknownName(ValueError):
    """A name that the evidence does not have; `candidates` are those it has."""

    def __init__(self, name: str, candidates: list[str]) -> None:
        super().__init__(f"unknown field {name}")
        self.name = name
        self.candidates = candidates


def _check_types(checked: CelCondition, vocabulary: Vocabulary) -> None:
    for made in vocabulary.samples():
        try:
            result = checked.program.execute({"evidence": made, "before": made})
        except TypeError as error:
            raise ValueError(f"{checked.text!r} mixes types: {str(error).split('.')[0]}") from error
        except (ArithmeticError, KeyError, ValueError, RuntimeError, IndexError):
            continue  # a division by a made-up zero, or a key of a map: no mistake of the text
        if not isinstance(result, bool):
            raise ValueError(  # noqa: TRY004 - the text is wrong, not an argument's type
                f"{checked.text!r} is {type(result).__name__}, and a condition is true or false"
            )
