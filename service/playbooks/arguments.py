"""Values that a playbook gives to a dataclass: a rung's arguments under `do:`,
a chapter's parameters under `with:`.

A value is plain, or a text with templates in it, or a list or map of such values.
What is plain is held against the annotated bounds now; of a template its type is.
Never here: the fields of the file itself (format.py).
"""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from service.model.playbook import Argument
from service.playbooks.conditions import template
from service.playbooks.format import LONGEST_S, sentence, suggest
from service.playbooks.inference import UnknownName
from service.playbooks.source import Mistakes, Place
from service.playbooks.vocabulary import (
    DOUBLE,
    DYN,
    INT,
    ListOf,
    MapOf,
    NoForm,
    Scalar,
    Type,
    Vocabulary,
    of_hint,
)


@dataclass(frozen=True, slots=True)
class Values:
    """Checks and compiles the values of one dataclass, noting what is wrong."""

    owner: str  # as a person knows it: `scale`, `high_latency`
    word: str  # what its fields are called: argument, parameter
    fields: type[Any]  # Any: a dataclass
    vocabulary: Vocabulary | None
    may_name: Collection[str]
    mistakes: Mistakes

    def compiled(self, given: Mapping[str, object], place: Place) -> dict[str, Argument]:
        """The values by the dataclass's own names. A name that ends in `_` is written without
        it.
        """
        known = {f.name.rstrip("_"): f for f in dataclasses.fields(self.fields)}
        meant = self._unknown([n for n in given if n not in known], known, place)
        for name, field in known.items():
            if _required(field) and name not in given and name not in meant:
                self.mistakes.add(place, f"{self.owner} needs the {self.word} {name!r}")
        hints = get_type_hints(self.fields, include_extras=True)
        before = len(self.mistakes.found)
        made = {
            known[n].name: self._value(hints[known[n].name], value, (*place, n))
            for n, value in given.items()
            if n in known
        }
        if len(self.mistakes.found) == before and not _is_open(made):
            self._together(made, place)
        return made

    def _unknown(self, names: list[str], known: Collection[str], place: Place) -> set[str]:
        """Notes names that there are not; gives those that were meant."""
        meant: set[str] = set()
        for name in names:
            near = suggest(name, known) if known else "it takes none"
            self.mistakes.add((*place, name), f"unknown {self.word} of {self.owner}; {near}")
            meant |= {k for k in known if near == f"did you mean {k!r}?"}
        return meant

    def _together(self, made: Mapping[str, object], place: Place) -> None:
        """What the dataclass says of its values taken together."""
        required = {f.name for f in dataclasses.fields(self.fields) if _required(f)}
        if required <= made.keys():
            self._plain(self.fields, made, place)

    def _value(self, hint: Any, value: object, place: Place) -> Argument:  # Any: a type hint
        if not _has_template(value):
            before = len(self.mistakes.found)
            self._plain(hint, value, place)
            if len(self.mistakes.found) == before:
                self._durations(value, place)
            plain: Argument = value  # type: ignore[assignment]  # YAML's values are of this shape
            return plain
        if isinstance(value, dict):
            return {k: self._value(_inner(hint, k), v, (*place, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self._value(_inner(hint, n), v, (*place, n)) for n, v in enumerate(value)]
        return self._template(hint, str(value), place)

    def _template(self, hint: Any, text: str, place: Place) -> Argument:
        try:
            made = template(text, self.vocabulary, may_name=self.may_name)
        except UnknownName as error:
            near = suggest(error.name, error.candidates)
            self.mistakes.add(place, f"unknown field {error.name}; {near}")
            return text
        except ValueError as error:
            self.mistakes.add(place, str(error))
            return text
        wanted = _wanted(hint)
        if wanted and not any(fits(made.kind, one) for one in wanted):
            takes = " or ".join(str(one) for one in wanted)
            self.mistakes.add(place, f"{text!r} gives {made.kind}, and this takes {takes}")
        return made

    def _plain(self, hint: Any, value: object, place: Place) -> None:
        """Bounds, types and choices, as the annotation has them."""
        try:
            # As JSON, so that a list may fill a tuple and yet no text is taken for a number.
            adapter_of(hint).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            for mistake in error.errors(include_url=False):
                told = sentence(mistake)
                given = "" if isinstance(mistake["input"], dict) else f"{mistake['input']!r}: "
                self.mistakes.add((*place, *mistake["loc"]), f"{given}{told}")

    def _durations(self, value: object, place: Place) -> None:
        """A name that ends in `_s` is a duration, whatever its annotation leaves open."""
        if isinstance(value, dict | list):
            steps = value.items() if isinstance(value, dict) else enumerate(value)
            for step, inner in steps:
                self._durations(inner, (*place, step))
        elif isinstance(value, int | float) and str(place[-1]).endswith("_s"):
            if 0 <= value <= LONGEST_S:
                return
            self.mistakes.add(place, f"{value!r}: seconds, from 0 to {LONGEST_S:g} (7 days)")


def _required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def fits(given: Type, wanted: Type) -> bool:
    """Whether a template's value can fill an argument."""
    match given, wanted:
        case _ if DYN in (given, wanted):
            return True
        case Scalar(), Scalar():
            return given.name == wanted.name or (given, wanted) == (INT, DOUBLE)
        case (ListOf(a), ListOf(b)) | (MapOf(a), MapOf(b)):
            return fits(a, b)
        case _:
            return False


def _wanted(hint: Any) -> list[Type]:  # Any: a type hint
    """The types that the argument takes; none where only the kind itself can tell."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    union = get_origin(hint) in (Union, UnionType)
    some = [a for a in get_args(hint) if a is not NoneType] if union else [hint]
    try:
        return [of_hint(one, "") for one in some]
    except NoForm:
        return []


def _inner(hint: Any, step: str | int) -> Any:  # Any: type hints
    """The annotation of what stands at one step inside a value: an element, a map's value, a
    field.
    """
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    origin, arguments = get_origin(hint), [a for a in get_args(hint) if a is not Ellipsis]
    if origin in (Union, UnionType):
        some = [a for a in arguments if a is not NoneType]
        return _inner(some[0], step) if len(some) == 1 else Any
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return get_type_hints(hint, include_extras=True).get(str(step), Any)
    if isinstance(step, str):
        return arguments[1] if isinstance(origin, type) and issubclass(origin, Mapping) else Any
    if isinstance(origin, type) and issubclass(origin, Sequence) and arguments:
        return arguments[min(step, len(arguments) - 1)]
    return Any


def _has_template(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_template(v) for v in value.values())
    if isinstance(value, list):
        return any(_has_template(v) for v in value)
    return isinstance(value, str) and "{{" in value


def _is_open(value: object) -> bool:
    """Whether templates are left in it, compiled."""
    if isinstance(value, Mapping):
        return any(_is_open(v) for v in value.values())
    if isinstance(value, list):
        return any(_is_open(v) for v in value)
    return not (value is None or isinstance(value, str | int | float))


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}  # building one takes milliseconds


def adapter_of(hint: Any) -> TypeAdapter[Any]:  # Any: annotations have no type of their own
    """What checks values of a type or annotation."""
    if hint not in _ADAPTERS:
        _ADAPTERS[hint] = TypeAdapter(hint)
    return _ADAPTERS[hint]
