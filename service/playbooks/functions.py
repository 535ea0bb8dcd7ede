"""The operators and functions of CEL that playbooks may use, with the types they take and give.

Never here: names (inference.py).
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.kit.hollow import hollow
from service.playbooks.tree import Call, Literal, Node
from service.playbooks.vocabulary import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    ListOf,
    MapOf,
    Record,
    Scalar,
    Type,
)

with hollow("cel.cli"):
    import cel

_NUMBERS = ("int", "double")
_ORDERED = ("int", "double", "string", "timestamp", "duration")
_SUMS: Mapping[tuple[str, str, str], Scalar] = {
    ("+", "string", "string"): STRING,
    ("+", "timestamp", "duration"): TIMESTAMP,
    ("+", "duration", "timestamp"): TIMESTAMP,
    ("+", "duration", "duration"): DURATION,
    ("-", "timestamp", "duration"): TIMESTAMP,
    ("-", "timestamp", "timestamp"): DURATION,
    ("-", "duration", "duration"): DURATION,
    ("%", "int", "int"): INT,
    **{(sign, "int", "int"): INT for sign in "+-*/"},
    **{(sign, "double", "double"): DOUBLE for sign in "+-*/"},
}


def comparable(left: Type, right: Type) -> bool:
    """Whether `==` between the two can ever be true."""
    if DYN in (left, right):
        return True
    match left, right:
        case Scalar(), Scalar():
            return left.name == right.name or (left.name in _NUMBERS and right.name in _NUMBERS)
        case (ListOf(a), ListOf(b)) | (MapOf(a), MapOf(b)):
            return comparable(a, b)
        case _:
            return False


def operator(node: Call, kinds: Sequence[Type]) -> Type | None:
    """What an operator gives, or None for a function. Raises ValueError for types that do not
    fit.
    """
    sign = node.function
    match sign, kinds:
        case "!" | "-_", [operand]:
            good = (BOOL, DYN) if sign == "!" else (INT, DOUBLE, DYN)
            if operand not in good:
                raise ValueError(f"it mixes types: {sign[0]} does not go with {operand}")
            return operand
        case "==" | "!=", [left, right]:
            if isinstance(left, Record) or not comparable(left, right):
                raise ValueError(f"it mixes types: {left} {sign} {right} is never so")
            _check_choice(node, left, right)
            return BOOL
        case "<" | "<=" | ">" | ">=", [left, right]:
            if DYN not in (left, right) and not (comparable(left, right) and _ordered(left)):
                raise ValueError(f"it mixes types: {left} {sign} {right} has no order")
            return BOOL
        case "in", [element, over]:
            return _contains(element, over)
        case "+" | "-" | "*" | "/" | "%", [left, right]:
            return _arithmetic(node, left, right)
        case _:
            return None


def _ordered(kind: Type) -> bool:
    return isinstance(kind, Scalar) and kind.name in _ORDERED


def _contains(element: Type, over: Type) -> Type:
    inside = over.element if isinstance(over, ListOf) else STRING
    if over != DYN and not isinstance(over, ListOf | MapOf):
        raise ValueError(f"`in` looks into a list or a map, and this is {over}")
    if over != DYN and not comparable(element, inside):
        raise ValueError(f"it mixes types: {element} in {over} is never so")
    return BOOL


def _arithmetic(node: Call, left: Type, right: Type) -> Type:
    sign = node.function
    if sign in "/%" and _zero(node.arguments[1]):
        raise ValueError("it divides by zero")
    if DYN in (left, right):
        return DYN
    if sign == "+" and isinstance(left, ListOf) and comparable(left, right):
        return left
    if isinstance(left, Scalar) and isinstance(right, Scalar):
        if (found := _SUMS.get((sign, left.name, right.name))) is not None:
            return found
        if left.name in _NUMBERS and right.name in _NUMBERS:
            raise ValueError(
                f"it mixes types: {left} {sign} {right}; write 2.0 for a number, double(x) for a field"
            )
    raise ValueError(f"it mixes types: {left} {sign} {right}")


def _zero(node: Node) -> bool:
    return isinstance(node, Literal) and (
        (node.kind == "int" and set(node.text) <= {"0", "x"})
        or (node.kind == "double" and float(node.text) == 0)
    )


def _check_choice(node: Call, left: Type, right: Type) -> None:
    """A text that an enum never has is a mistake, and no comparison that is always false."""
    for kind, other in ((left, node.arguments[1]), (right, node.arguments[0])):
        if not isinstance(kind, Scalar) or not kind.choices or not isinstance(other, Literal):
            continue
        if other.plain is not None and other.plain not in kind.choices:
            near = difflib.get_close_matches(other.plain, kind.choices, n=1)
            told = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(kind.choices)}"
            raise ValueError(f"{other.plain!r} is none of its values; {told}")


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to call a function. `tried` evaluates it with a literal,
    which may be a mistake of its own.
    """

    needs: tuple[Callable[[Type], bool], ...]
    gives: Type
    tried: str = ""

    def takes(self, kinds: Sequence[Type]) -> bool:
        return len(kinds) == len(self.needs) and all(
            kind == DYN or fits(kind) for fits, kind in zip(self.needs, kinds, strict=True)
        )

    def check(self, node: Call) -> None:
        last: Node = node.arguments[-1]
        if not self.tried or not isinstance(last, Literal) or last.kind != "string":
            return
        try:
            cel.compile(self.tried.format(last.text)).execute({})
        except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError) as error:
            hint = "; units are h, m, s and ms" if node.function == "duration" else ""
            raise ValueError(f"{node.function}() cannot read {last.text}{hint}") from error


def _is(*names: str) -> Callable[[Type], bool]:
    return lambda kind: isinstance(kind, Scalar) and kind.name in names


def _sized(kind: Type) -> bool:
    return isinstance(kind, ListOf | MapOf) or kind == STRING


_STRING = _is("string")
_TEXTS = (Signature((_STRING, _STRING), BOOL),)
_DATE = (Signature((_is("timestamp"),), INT),)
_TIME = (Signature((_is("timestamp", "duration"),), INT),)

FUNCTIONS: Mapping[str, tuple[Signature, ...]] = {
    "size": (Signature((_sized,), INT),),
    "startsWith": _TEXTS,
    "endsWith": _TEXTS,
    "contains": _TEXTS,
    "matches": (Signature((_STRING, _STRING), BOOL, "''.matches({})"),),
    "int": (Signature((_is("int", "double", "string"),), INT, "int({})"),),
    "double": (Signature((_is("int", "double", "string"),), DOUBLE, "double({})"),),
    "string": (Signature((_is(*_ORDERED),), STRING),),
    "timestamp": (Signature((_is("string", "timestamp"),), TIMESTAMP, "timestamp({})"),),
    "duration": (Signature((_is("string", "duration"),), DURATION, "duration({})"),),
    **dict.fromkeys(
        (
            "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
        ),
        _DATE,
    ),
    **dict.fromkeys(("getHours", "getMinutes", "getSeconds", "getMilliseconds"), _TIME),
}  # fmt: skip
