"""Sets of field paths, and what server-side apply does with them: which fields an object has, what
differs between two objects, merging by ownership, removing. The algebra of structured-merge-diff,
over JSON and `schema`. Pure.

A path is a tuple of elements as fieldsV1 spells them: `f:spec`,
`k:{"name":"app"}`, `v:"finalizer"`.
Never here: managers, objects as a whole, time.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from rehearsal.cluster.objects import Object, clone
from rehearsal.cluster.schema import ANYTHING, OPEN, Leaf, ListOf, MapOf, Struct, Type

Path = tuple[str, ...]
FieldSet = frozenset[Path]

_KEY_DEFAULTS = {"protocol": "TCP"}


class _Absent:
    """Not there, which null is not."""


_ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class _Part:
    value: Any
    kind: Type
    declared: bool  # a field of a struct: its being there says nothing; a key of a map or an item of a list does


def to_json(paths: FieldSet) -> Object:
    """As fieldsV1: `.` marks a path that is in the set itself and has others below."""
    tree: Object = {}
    for path in sorted(paths):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _folded(tree)


def _folded(tree: Object) -> Object:
    return {
        element: {} if set(below) == {"."} else _folded(below) if element != "." else {}
        for element, below in tree.items()
    }


def from_json(tree: Object) -> FieldSet:
    return frozenset(_unfolded(tree, ()))


def _unfolded(tree: Object, path: Path) -> list[Path]:
    found = []
    for element, below in tree.items():
        if element == ".":
            found.append(path)
        elif not below:
            found.append((*path, element))
        else:
            found += _unfolded(below, (*path, element))
    return found


def spelled(path: Path) -> str:
    """As messages name it: .spec.containers[name="app"].image"""
    text = ""
    for element in path:
        mark, _, rest = element.partition(":")
        match mark:
            case "f":
                text += f".{rest}"
            case "k":
                keys = json.loads(rest)
                text += f"[{','.join(f'{key}={json.dumps(value)}' for key, value in keys.items())}]"
            case _:
                text += f"[={rest}]"
    return text


def _parts(value: Any, kind: Type) -> dict[str, _Part] | None:
    """What can be owned inside; None: it is owned as a whole."""
    match kind:
        case Struct():
            if kind.owned_whole:
                return None
            return _fields(value, kind.fields, declared=True)
        case MapOf():
            return _fields(value, kind.value, declared=False)
        case ListOf():
            return _items(value, kind) if kind.keys else None
        case Leaf():
            if kind in {ANYTHING, OPEN} and isinstance(value, dict):
                return _fields(value, kind, declared=kind == ANYTHING)
            return None


def _fields(value: Any, kinds: Any, *, declared: bool) -> dict[str, _Part] | None:
    if value is None or value is _ABSENT:
        return {}
    if not isinstance(value, dict):
        return None
    by_name = kinds if not isinstance(kinds, Struct | ListOf | MapOf | Leaf) else {}
    every = ANYTHING if by_name else kinds
    return {
        f"f:{key}": _Part(item, by_name.get(key, every), declared) for key, item in value.items()
    }


def _items(value: Any, kind: ListOf) -> dict[str, _Part] | None:
    if value is None or value is _ABSENT:
        return {}
    if not isinstance(value, list):
        return None
    return {_element_of(item, kind): _Part(item, kind.item, declared=False) for item in value}


def _element_of(item: Any, kind: ListOf) -> str:
    if kind.key == "=":
        return "v:" + json.dumps(item, separators=(",", ":"))
    keys = {
        key: item.get(key, _KEY_DEFAULTS.get(key)) if isinstance(item, dict) else None
        for key in kind.keys
    }
    return "k:" + json.dumps(
        {key: value for key, value in sorted(keys.items()) if value is not None},
        separators=(",", ":"),
    )


def fields_of(value: Any, kind: Type) -> FieldSet:
    """Every field that the object has, as an apply owns them."""
    found: set[Path] = set()
    _collect(value, kind, (), found)
    return frozenset(found)


def _collect(value: Any, kind: Type, path: Path, found: set[Path]) -> None:
    parts = _parts(value, kind)
    if parts is None:
        found.add(path)
        return
    for element, part in parts.items():
        below = (*path, element)
        _collect(part.value, part.kind, below, found)
        if not part.declared or part.value is None or part.value == {}:
            found.add(below)


@dataclass(slots=True)
class Difference:
    added: set[Path] = field(default_factory=set)
    changed: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)

    @property
    def taken(self) -> FieldSet:
        return frozenset(self.added | self.changed)


def difference(old: Any, new: Any, kind: Type) -> Difference:
    found = Difference()
    _compare(old, new, kind, (), found)
    return found


def _compare(old: Any, new: Any, kind: Type, path: Path, found: Difference) -> None:
    if old is new or (old == new and old is not _ABSENT):
        return
    before, after = _parts(old, kind), _parts(new, kind)
    whole = before is None or after is None or not (before or after)
    if old is _ABSENT:
        found.added.add(path)
        whole = after is None or not after
    elif new is _ABSENT:
        found.removed.add(path)
        whole = before is None or not before
    elif whole:
        found.changed.add(path)
    if whole:
        return
    nothing = _Part(_ABSENT, kind, declared=True)
    ours, theirs = before or {}, after or {}
    for element in {**ours, **theirs}:
        one, other = ours.get(element, nothing), theirs.get(element, nothing)
        inner = one.kind if one is not nothing else other.kind
        _compare(one.value, other.value, inner, (*path, element), found)


def merged(live: Any, applied: Any, kind: Type) -> Any:
    """The live object with what is applied laid over it, item by item where lists have keys."""
    below, above = _parts(live, kind), _parts(applied, kind)
    if below is None or above is None:
        return clone(applied)
    if isinstance(kind, ListOf):
        return _merged_list(below, above, kind)
    result = dict(live) if isinstance(live, dict) else {}
    for element, part in above.items():
        key = element[2:]
        current = below.get(element)
        result[key] = merged(current.value, part.value, part.kind) if current else clone(part.value)
    return result


def _merged_list(live: dict[str, _Part], applied: dict[str, _Part], kind: ListOf) -> list[Any]:
    """Live items keep their places; a new one stands in front of the one it
    was applied in front of.
    """
    order = list(live)
    place = 0
    for element in applied:
        if element in live:
            place = order.index(element) + 1
        else:
            order.insert(place if place else len(order), element)
            place += 1 if place else 0
    return [
        merged(live[element].value, applied[element].value, kind.item)
        if element in live and element in applied
        else clone((applied.get(element) or live[element]).value)
        for element in order
    ]


def without(value: Any, paths: FieldSet, kind: Type) -> Any:
    """The value without these fields and all below them; a map that loses everything is null."""
    parts = _parts(value, kind)
    if not paths or not parts:
        return value
    below: dict[str, set[Path]] = {}
    gone = set()
    for path in paths:
        if len(path) == 1:
            gone.add(path[0])
        else:
            below.setdefault(path[0], set()).add(path[1:])
    kept = {
        element: without(part.value, frozenset(below.get(element, ())), part.kind)
        for element, part in parts.items()
        if element not in gone
    }
    if isinstance(value, list):
        return list(kept.values()) or None
    return {element[2:]: item for element, item in kept.items()} or None


def with_named_parents(paths: FieldSet, kind: Type) -> FieldSet:
    """And the struct fields on the way to each: they go when all below them goes."""
    found = set(paths)
    for path in paths:
        inner = kind
        for depth, element in enumerate(path[:-1], start=1):
            inner, declared = _inside(inner, element)
            if declared:
                found.add(path[:depth])
    return frozenset(found)


def _inside(kind: Type, element: str) -> tuple[Type, bool]:
    match kind:
        case Struct():
            return kind.fields.get(element[2:], ANYTHING), True
        case MapOf():
            return kind.value, False
        case ListOf():
            return kind.item, False
        case Leaf():
            return kind, kind == ANYTHING
