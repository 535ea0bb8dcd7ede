"""What conditions and templates may name, with types: read off the evidence's dataclasses.

Lives here: the types, how a Python type becomes one, and made-up values of each.
Never here: expressions.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from service.model import evidence as model
from service.model.evidence import Evidence
from service.model.target import TargetKind


@dataclass(frozen=True, slots=True)
class Scalar:
    """bool, int, double, string, timestamp, duration, or dyn for what is known at run time only.

    `choices` are the values that a text of an enum may have.
    """

    name: str
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    """Elements of one type."""

    element: "Type"

    def __str__(self) -> str:
        return f"list of {self.element}"


@dataclass(frozen=True, slots=True)
class MapOf:
    """Values of one type by keys that nobody knows beforehand."""

    value: "Type"

    def __str__(self) -> str:
        return f"map of {self.value}"


@dataclass(frozen=True, slots=True)
class Record:
    """Fields of a dataclass by name."""

    name: str
    fields: "Mapping[str, Type]"

    def __str__(self) -> str:
        return self.name


Type: TypeAlias = Scalar | ListOf | MapOf | Record

BOOL, INT, DOUBLE, STRING = Scalar("bool"), Scalar("int"), Scalar("double"), Scalar("string")
TIMESTAMP, DURATION, DYN = Scalar("timestamp"), Scalar("duration"), Scalar("dyn")
_SCALARS: Mapping[object, Scalar] = {
    bool: BOOL, int: INT, float: DOUBLE, str: STRING, datetime: TIMESTAMP, timedelta: DURATION,
}  # fmt: skip
_LOW_HIGH: Mapping[str, tuple[Any, Any]] = {  # Any: a value of each type
    "bool": (True, False),
    "int": (0, 10**9),
    "double": (0.0, 1e9),
    "string": ("", "x"),
    "timestamp": (datetime(1970, 1, 2, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)),
    "duration": (timedelta(0), timedelta(days=7)),
}

LABELS = MapOf(STRING)
TARGET = Record(
    "target",
    {"kind": Scalar("string", tuple(TargetKind)), "namespace": STRING, "name": STRING},
)


class NoForm(TypeError):
    """A type that CEL has no form for; the message names the field it stands in."""


def of_hint(hint: Any, place: str, inside: tuple[object, ...] = ()) -> Type:  # Any: a type hint
    """The type of a Python annotation. Raises NoForm, with `place` in the sentence."""
    hint = _bare(hint, place)
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if origin is Literal:
        return _of_values(arguments, place)
    if is_dataclass(origin) and not isinstance(hint, type):
        raise NoForm(f"{place}: a generic dataclass has no form in a condition")
    if is_dataclass(hint) and isinstance(hint, type):
        if hint in inside:
            raise NoForm(f"{place}: {hint.__name__} contains itself, and a condition has an end")
        hints = get_type_hints(hint)
        within = (*inside, hint)
        names = [f.name for f in fields(hint)]
        return Record(hint.__name__, {n: of_hint(hints[n], f"{place}.{n}", within) for n in names})
    if isinstance(origin, type) and issubclass(origin, Enum):
        return _of_values([member.value for member in origin], place)
    if isinstance(origin, type) and issubclass(origin, Mapping) and len(arguments) == 2:
        key = of_hint(arguments[0], f"{place} (its keys)", inside)
        if not isinstance(key, Scalar) or key.name not in ("string", "int"):
            raise NoForm(f"{place}: the keys of a map are texts in a condition, not {key}")
        return MapOf(of_hint(arguments[1], f"{place}[...]", inside))
    if isinstance(origin, type) and issubclass(origin, Collection) and arguments:
        return _of_list(origin, arguments, place, inside)
    name = getattr(hint, "__name__", str(hint))
    raise NoForm(f"{place}: {name} has no form in a condition")


def _bare(hint: Any, place: str) -> Any:  # Any: a type hint
    """The hint without Annotated, NewType and `| None`."""
    while True:
        if get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif get_origin(hint) in (Union, UnionType):
            some = [a for a in get_args(hint) if a is not NoneType]
            if len(some) != 1:
                raise NoForm(f"{place}: {hint} may be of several types, and a condition knows one")
            (hint,) = some
        else:
            return hint


def _of_values(values: Collection[object], place: str) -> Type:
    kinds = {_SCALARS.get(str if isinstance(v, str) else type(v)) for v in values}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None:
        raise NoForm(f"{place}: the values of an enum are all texts or all numbers in a condition")
    return Scalar(kind.name, tuple(str(v) for v in values)) if kind == STRING else kind


def _of_list(origin: type, arguments: tuple[Any, ...], place: str, inside: Any) -> ListOf:
    elements = [a for a in arguments if a is not Ellipsis]
    if hasattr(origin, "_fields") or len(set(elements)) != 1 or issubclass(origin, str | bytes):
        raise NoForm(f"{place}: the elements of a list are of one type in a condition")
    element = elements[0]
    if get_origin(element) in (Union, UnionType) and NoneType in get_args(element):
        # They would be left out, and a list that is partly Unknown would look complete.
        raise NoForm(f"{place}: an element of a list may not be None")
    return ListOf(of_hint(element, f"{place}[]", inside))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the conditions of one playbook may name under `evidence` and `before`,
    and made-up values of it.
    """

    evidence: Record
    samples: Sequence[Mapping[str, Any]] = field(repr=False)

    @classmethod
    def of(cls, evidence: type[Evidence], series: Collection[str] = ()) -> "Vocabulary":
        """The vocabulary of an evidence type; `series` are the names of the declared queries.

        Raises NoForm, naming the field, for a type that conditions cannot see.
        """
        found: dict[str, Type] = {}
        for name, hint in model.shapes(evidence).items():
            seen = of_hint(hint, f"{evidence.__name__}.{name}")
            if name == model.SERIES and isinstance(seen, MapOf):
                seen = Record(name, dict.fromkeys(map(str, series), seen.value))
            found[name] = seen
        record = Record("evidence", found)
        return cls(record, tuple(_samples(record)))

    def names(self, root: str = "evidence") -> list[str]:
        """Every name that has a value, as `evidence.kafka.lag_total`."""
        return [".".join(path) for path in _paths(self.evidence, (root,))]


def _samples(kind: Record) -> Iterator[dict[str, Any]]:
    """Evidence made up of low and high values, so that the branches of a condition are walked."""
    for rounds, flips in enumerate(itertools.product((0, 1), repeat=4)):
        place = itertools.count()

        def side(flips: tuple[int, ...] = flips, place: Iterator[int] = place) -> int:
            # Four bits spread over the fields: neighbours differ,
            # and so does a field from round to round.
            n = next(place)
            return flips[n % 4] ^ flips[(n // 4) % 4] ^ (n & 1)

        yield _sample(kind, side, rounds)


def _paths(kind: Type, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if not isinstance(kind, Record):
        yield path
        return
    for name, inner in kind.fields.items():
        yield from _paths(inner, (*path, name))


def _sample(kind: Type, side: Any, rounds: int) -> Any:  # Any: a callable, and a value of any type
    match kind:
        case Record():
            return {name: _sample(inner, side, rounds) for name, inner in kind.fields.items()}
        case ListOf():
            low = _sample(kind.element, lambda: 0, rounds)
            high = _sample(kind.element, lambda: 1, rounds)
            return [[], [low], [high], [low, high]][rounds % 4]
        case MapOf():
            return {"x": _sample(kind.value, side, rounds)} if rounds % 2 else {}
        case Scalar():
            at = side()
            if kind.choices:
                return kind.choices[-at]
            return _LOW_HIGH[kind.name][at]
