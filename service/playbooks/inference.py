"""The type of an expression, found without running it: every name at every depth,
every operator, every function.

Never here: parsing (syntax.py), or what the names are (vocabulary.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.playbooks.functions import FUNCTIONS, operator
from service.playbooks.tree import (
    Call,
    Choice,
    Comprehension,
    Entries,
    Index,
    Items,
    Literal,
    Logic,
    Name,
    Node,
    Select,
)
from service.playbooks.vocabulary import BOOL, DYN, INT, STRING, ListOf, MapOf, Record, Scalar, Type

Path = tuple[str, ...]


class UnknownName(ValueError):
    """A name that is not there; `candidates` are those that are."""

    def __init__(self, name: str, candidates: list[str]) -> None:
        super().__init__(f"unknown field {name}")
        self.name = name
        self.candidates = candidates


@dataclass(slots=True)
class Inference:
    """Finds types under `roots`. `paths` are the values that were named,
    `asks_has` whether has() was used.
    """

    roots: Mapping[str, Type]
    paths: set[Path] = field(default_factory=set)
    asks_has: bool = False

    def type_of(self, node: Node) -> Type:
        """The type of a whole expression. Raises ValueError, or UnknownName with what is there."""
        try:
            found = self._whole(node, {})
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        return found

    def _whole(self, node: Node, scope: Mapping[str, Type]) -> Type:
        """The type of a value that is used as it is: a record is none, only its fields are."""
        found = self._infer(node, scope)
        if not isinstance(found, Record):
            return found
        path = self._path(node, scope)
        if path is None:
            raise ValueError(f"it uses a whole {found}; name one of {', '.join(found.fields)}")
        raise UnknownName(".".join(path), _names(found, path))

    def _infer(self, node: Node, scope: Mapping[str, Type]) -> Type:
        match node:
            case Literal():
                return Scalar(node.kind)
            case Name():
                return self._name(node, scope)
            case Select():
                return self._select(node, scope)
            case Index():
                return self._index(node, scope)
            case Call():
                return self._call(node, scope)
            case Choice():
                return self._choice(node, scope)
            case Comprehension():
                return self._comprehension(node, scope)
            case _:
                return self._joined(node, scope)

    def _joined(self, node: Logic | Items | Entries, scope: Mapping[str, Type]) -> Type:
        if isinstance(node, Items):
            return ListOf(_same([self._whole(i, scope) for i in node.items], "a list"))
        if isinstance(node, Logic):
            for operand in node.operands:
                self._truth(operand, scope, node.sign)
            return BOOL
        keys = [self._whole(k, scope) for k, _ in node.entries]
        if _same(keys, "the keys of a map") not in (STRING, DYN):
            raise ValueError("the keys of a map are texts")
        return MapOf(_same([self._whole(v, scope) for _, v in node.entries], "a map"))

    def _name(self, node: Name, scope: Mapping[str, Type]) -> Type:
        if node.name in scope:
            return scope[node.name]
        if node.name not in self.roots:
            known = ", ".join([*scope, *self.roots])
            raise ValueError(f"it names {node.name}; known are {known}")
        found = self.roots[node.name]
        if not isinstance(found, Record):
            self.paths.add((node.name,))
        return found

    def _select(self, node: Select, scope: Mapping[str, Type]) -> Type:
        self.asks_has |= node.asked
        operand = self._infer(node.operand, scope)
        path = self._path(node, scope)
        if isinstance(operand, MapOf):
            return BOOL if node.asked else operand.value
        if not isinstance(operand, Record):
            told = f"it asks .{node.field} of a {operand}, which has no fields"
            raise ValueError(told)  # noqa: TRY004 - the text is wrong, not an argument of ours
        if node.field not in operand.fields:
            raise self._unknown(node, operand, scope)
        found = operand.fields[node.field]
        if path is not None and (node.asked or not isinstance(found, Record)):
            self.paths.add(path)
        return BOOL if node.asked else found

    def _unknown(self, node: Select, operand: Record, scope: Mapping[str, Type]) -> UnknownName:
        """From a root all its names are near; from an element those of the element."""
        path = self._path(node, scope)
        if path is not None and isinstance(root := self.roots[path[0]], Record):
            return UnknownName(".".join(path), _names(root, path[:1]))
        shown = node.operand.name if isinstance(node.operand, Name) else str(operand)
        return UnknownName(f"{shown}.{node.field}", [f"{shown}.{n}" for n in operand.fields])

    def _path(self, node: Node, scope: Mapping[str, Type]) -> Path | None:
        """`evidence.kafka.lag_total` as steps, where it is a plain path
        from a root through records.
        """
        if isinstance(node, Name):
            return (node.name,) if node.name in self.roots and node.name not in scope else None
        if isinstance(node, Select) and (above := self._path(node.operand, scope)):
            return (*above, node.field)
        return None

    def _index(self, node: Index, scope: Mapping[str, Type]) -> Type:
        over, index = self._infer(node.operand, scope), self._whole(node.index, scope)
        match over:
            case Record():
                raise ValueError(f"write .{_shown(node.index)} for a field of {over}, without [ ]")
            case ListOf() if index in (INT, DYN):
                return over.element
            case MapOf() if _plain(index) in (STRING, DYN):
                return over.value
            case Scalar("dyn"):
                return DYN
            case _:
                raise ValueError(f"it takes [{index}] of a {over}")

    def _call(self, node: Call, scope: Mapping[str, Type]) -> Type:
        arguments = [self._whole(a, scope) for a in node.arguments]
        if (found := operator(node, arguments)) is not None:
            return found
        signatures = FUNCTIONS.get(node.function)
        if signatures is None:
            raise UnknownName(f"{node.function}()", [f"{n}()" for n in FUNCTIONS])
        for signature in signatures:
            if signature.takes(arguments):
                signature.check(node)
                return signature.gives
        given = ", ".join(str(a) for a in arguments)
        raise ValueError(f"{node.function}() does not take ({given})")

    def _truth(self, node: Node, scope: Mapping[str, Type], place: str) -> None:
        found = self._whole(node, scope)
        if found not in (BOOL, DYN):
            raise ValueError(f"it mixes types: {place} takes bool, and this is {found}")

    def _choice(self, node: Choice, scope: Mapping[str, Type]) -> Type:
        self._truth(node.condition, scope, "?")
        return _same([self._whole(node.yes, scope), self._whole(node.no, scope)], "the two ways")

    def _comprehension(self, node: Comprehension, scope: Mapping[str, Type]) -> Type:
        over = self._infer(node.over, scope)
        match over:
            case ListOf():
                element = over.element
            case MapOf():
                element = STRING
            case _:
                raise ValueError(f"{node.macro}() goes over a list or a map, and this is {over}")
        if node.variable in self.roots or node.variable in scope:
            raise ValueError(f"{node.variable} has a meaning already; call the element otherwise")
        inner = {**scope, node.variable: element}
        *asked, last = node.steps
        for step in asked if node.macro == "map" else node.steps:
            self._truth(step, inner, f"{node.macro}()")
        if node.macro == "map":
            return ListOf(self._whole(last, inner))
        return ListOf(element) if node.macro == "filter" else BOOL


def _names(kind: Record, path: Path) -> list[str]:
    found: list[str] = []
    for name, inner in kind.fields.items():
        deeper = (*path, name)
        found += _names(inner, deeper) if isinstance(inner, Record) else [".".join(deeper)]
    return found


def _same(kinds: list[Type], what: str) -> Type:
    plain = {_plain(k) for k in kinds if k != DYN}
    if len(plain) > 1:
        told = " and ".join(sorted(str(k) for k in plain))
        raise ValueError(f"it mixes types: {what} would hold {told}")
    return plain.pop() if plain else DYN


def _plain(kind: Type) -> Type:
    return Scalar(kind.name) if isinstance(kind, Scalar) else kind


def _shown(node: Node) -> str:
    return (node.plain or node.text) if isinstance(node, Literal) else "name"
