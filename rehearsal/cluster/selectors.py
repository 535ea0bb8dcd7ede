"""labelSelector and fieldSelector of a list, parsed and refused as the server does.

Never here: what to do with the objects found.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rehearsal.cluster import refusal
from rehearsal.cluster.objects import Object
from rehearsal.cluster.resources import Resource

Predicate = Callable[[Object], bool]

_LABEL_NAME = re.compile(r"(?=.{1,63}$)([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_NAME_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation "
    "is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_TOKENS = re.compile(r"\s*(==|!=|[=!,()<>]|[^=!,()<>\s]+)")


@dataclass(slots=True)
class _Tokens:
    left: list[str]

    def peek(self) -> str:
        return self.left[0] if self.left else ""

    def take(self) -> str:
        return self.left.pop(0) if self.left else ""


def matches_labels(selector: Object, labels: dict[str, str]) -> bool:
    """A LabelSelector of a spec."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(
        _requirement(entry["key"], entry["operator"].lower(), entry.get("values", []))(labels)
        for entry in selector.get("matchExpressions", [])
    )


def by_labels(text: str) -> Predicate:
    tokens = _Tokens(_TOKENS.findall(text))
    requirements = []
    while tokens.left:
        requirements.append(_parse_requirement(tokens))
        if tokens.left and tokens.take() != ",":
            raise _unparsable(tokens.peek(), "',' or 'end of string'")
    return lambda obj: all(holds(obj["metadata"].get("labels", {})) for holds in requirements)


def _parse_requirement(tokens: _Tokens) -> Callable[[dict[str, str]], bool]:
    """A clause: what stands for a key or a value must be able to be one."""
    if tokens.peek() == "!":
        tokens.take()
        return _checked(tokens.take(), "doesnotexist", [])
    key, operator = tokens.take(), tokens.peek()
    if key in {"=", "==", "!=", "(", ")", ",", "<", ">"}:
        raise _unparsable(key, "identifier, or !")
    if operator in {"", ","}:
        return _checked(key, "exists", [])
    tokens.take()
    if operator in {"=", "==", "!="}:
        value = "" if tokens.peek() in {"", ","} else tokens.take()
        return _checked(key, "notin" if operator == "!=" else "in", [value])
    if operator in {"in", "notin"}:
        return _checked(key, operator, _parse_values(tokens))
    if operator in {"<", ">"}:
        return _checked(key, operator, [tokens.take()])
    raise _unparsable(operator, "in, notin, =, ==, !=, gt, lt")


def _parse_values(tokens: _Tokens) -> list[str]:
    if tokens.take() != "(":
        raise _unparsable(tokens.peek(), "'('")
    values: list[str] = []
    while True:
        found = tokens.take()
        if found in {",", ")"}:
            values.append("")
        else:
            values.append(found)
            found = tokens.take()
        if found == ")":
            return values
        if found != ",":
            raise _unparsable(found, "',' or ')'")


def _unparsable(found: str, expected: str) -> refusal.Refusal:
    return refusal.bad_request(
        f"unable to parse requirement: found '{found}', expected: {expected}"
    )


def _checked(key: str, operator: str, values: list[str]) -> Callable[[dict[str, str]], bool]:
    if not _LABEL_NAME.fullmatch(key.rpartition("/")[2]):
        raise refusal.bad_request(
            f'unable to parse requirement: key: Invalid value: "{key}": {_NAME_RULE}'
        )
    for index, value in enumerate(values):
        if value and not _LABEL_NAME.fullmatch(value):
            raise refusal.bad_request(
                f'unable to parse requirement: values[{index}][{key}]: Invalid value: "{value}": {_VALUE_RULE}'
            )
    return _requirement(key, operator, values)


def _requirement(key: str, operator: str, values: list[str]) -> Callable[[dict[str, str]], bool]:
    match operator:
        case "in":
            return lambda labels: labels.get(key) in values
        case "notin":
            return lambda labels: labels.get(key) not in values
        case "exists":
            return lambda labels: key in labels
        case "doesnotexist":
            return lambda labels: key not in labels
        case _:
            bound = int(values[0]) if values[0].isdigit() else 0
            above = operator == ">"
            return lambda labels: (
                labels.get(key, "").isdigit()
                and (int(labels[key]) > bound if above else int(labels[key]) < bound)
            )


def by_fields(text: str, resource: Resource) -> Predicate:
    """Every clause must hold. A field that the kind does not index is refused:
    silence would look like no match.
    """
    clauses = []
    for clause in filter(None, text.split(",")):
        found = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", clause)
        if found is None:
            raise refusal.bad_request(f"invalid selector: '{text}'; can't understand '{clause}'")
        path, operator, wanted = found.groups()
        if path not in resource.selectable:
            raise refusal.bad_request(f"field label not supported: {path}")
        clauses.append((path, operator != "!=", wanted))
    return lambda obj: all(
        (field_text(obj, path) == wanted) is equal for path, equal, wanted in clauses
    )


def field_text(obj: Object, path: str) -> str:
    """A selectable field as text: absent is empty. The `source` of an event is its component."""
    if path == "source":
        path = "source.component"
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
