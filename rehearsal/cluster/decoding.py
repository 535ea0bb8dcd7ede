"""JSON into a typed object, as the server does it before anything else: wrong types refused,
unknown fields dropped and reported, nulls taken for absent, quantities rewritten canonically.

Never here: defaults, or rules about values.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from rehearsal.cluster import quantity
from rehearsal.cluster.objects import Object
from rehearsal.cluster.schema import ANY_KINDS, Leaf, ListOf, MapOf, Struct, Type

_MICRO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
_SECOND = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)")
_RANGES = {"int32": 2**31, "int64": 2**63}
_GO_TYPES = {"time": "string", "microtime": "string", "quantity": "string", "intorstring": "string"}


class WrongTypeError(Exception):
    """A value of the wrong JSON type. The server has one sentence for JSON,
    another for a strategic merge patch.
    """

    def __init__(self, in_json: str, in_patch: str) -> None:
        super().__init__(in_json)
        self.in_json = in_json
        self.in_patch = in_patch


@dataclass(slots=True)
class Decoded:
    obj: Object
    unknown: list[str] = field(default_factory=list)  # paths, in the order of the object


def decode(obj: Object, kind: Type) -> Decoded:
    decoded = Decoded({})
    decoded.obj = _value(obj, kind, "", "", decoded.unknown)
    return decoded


def _value(value: Any, kind: Type, path: str, struct: str, unknown: list[str]) -> Any:
    match kind:
        case Struct():
            return _struct(value, kind, path, struct, unknown)
        case ListOf():
            if not isinstance(value, list):
                raise _mismatch(value, path, struct, f"[]{_go_name(kind.item)}")
            return [
                _value(item, kind.item, f"{path}[{index}]", struct, unknown)
                for index, item in enumerate(value)
            ]
        case MapOf():
            if not isinstance(value, dict):
                raise _mismatch(value, path, struct, f"map[string]{_go_name(kind.value)}")
            return {
                key: _value(item, kind.value, f"{path}.{key}", struct, unknown)
                for key, item in value.items()
                if item is not None
            }
        case Leaf():
            return _leaf(value, kind.kind, path, struct)


def _struct(value: Any, kind: Struct, path: str, outer: str, unknown: list[str]) -> Object:
    if not isinstance(value, dict):
        raise _mismatch(value, path, outer, f"v1.{kind.name}")

    def inside(name: str) -> str:
        return f"{path}.{name}" if path else name

    unknown += [
        inside(name) for name in value if name not in kind.fields
    ]  # before those further in, as the server
    known: Object = {}
    for name, item in value.items():
        if name in kind.fields and item is not None:
            known[name] = _value(item, kind.fields[name], inside(name), kind.name, unknown)
    return known


def _leaf(value: Any, kind: str, path: str, struct: str) -> Any:
    accepted: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "time": (str,),
        "microtime": (str,),
        "bool": (bool,),
        "int32": (int,),
        "int64": (int,),
        "quantity": (str, int, float),
        "intorstring": (int, str),
    }
    if kind in ANY_KINDS:
        return value
    wrong_bool = isinstance(value, bool) and kind != "bool"
    if wrong_bool or not isinstance(value, accepted[kind]):
        raise _mismatch(value, path, struct, kind)
    if kind in _RANGES and isinstance(value, int) and not -_RANGES[kind] <= value < _RANGES[kind]:
        field_name = f"Go struct field {struct}.{path}"
        problem = f"json: cannot unmarshal number {value} into {field_name} of type {kind}"
        raise WrongTypeError(problem, problem)
    if kind == "quantity":
        spelling = quantity.canonical(str(value))
        if spelling is None:
            raise WrongTypeError(quantity.BAD_QUANTITY, quantity.BAD_QUANTITY)
        return spelling
    if kind in {"time", "microtime"}:
        return _instant(str(value), kind)
    return value


def _instant(value: str, kind: str) -> str:
    if kind == "time":
        found = _SECOND.fullmatch(value)
        if found is None:
            problem = f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse'
            raise WrongTypeError(problem, problem)
        return f"{found[1]}Z" if found[3] in {"Z", "+00:00"} else value
    if _MICRO.fullmatch(value) is None:
        rest = re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "", value)
        problem = f'parsing time "{value}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "{rest}" as ".000000"'
        raise WrongTypeError(problem, problem)
    return value.replace("+00:00", "Z")


def _mismatch(value: Any, path: str, struct: str, wanted: str) -> WrongTypeError:
    field_name = f"Go struct field {struct}.{path}" if path else "Go value"
    in_json = f"json: cannot unmarshal {_json_name(value)} into {field_name} of type {_GO_TYPES.get(wanted, wanted)}"
    if isinstance(value, str):
        return WrongTypeError(in_json, f"unrecognized type: {wanted}")
    return WrongTypeError(
        in_json, f"cannot convert {_json_go_type(value)} to {_GO_TYPES.get(wanted, wanted)}"
    )


def _json_name(value: Any) -> str:
    names = {
        str: "string",
        bool: "bool",
        int: "number",
        float: "number",
        list: "array",
        dict: "object",
    }
    return names.get(type(value), "null")


def _json_go_type(value: Any) -> str:
    names = {
        bool: "bool",
        int: "int64",
        float: "float64",
        list: "[]interface {}",
        dict: "map[string]interface {}",
    }
    return names.get(type(value), "string")


def _go_name(kind: Type) -> str:
    match kind:
        case Struct():
            return f"v1.{kind.name}"
        case Leaf():
            return "interface {}" if kind.kind in ANY_KINDS else _GO_TYPES.get(kind.kind, kind.kind)
        case ListOf() | MapOf():
            return "interface {}"


def go_format(value: Any) -> str:
    """Go's %v of decoded JSON, which the server quotes in its complaint about
    a strategic merge patch.
    """
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_format(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_format, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return "<nil>" if value is None else str(value)
