"""The three kinds of patch, applied to JSON: strategic merge,
merge (RFC 7386), JSON patch (RFC 6902).

Never here: what a patched object may contain, server-side apply (`applying`).
"""

import json
from typing import Any

from rehearsal.cluster import refusal
from rehearsal.cluster.decoding import go_format
from rehearsal.cluster.objects import Object, clone
from rehearsal.cluster.schema import ANYTHING, Leaf, ListOf, MapOf, Struct, Type

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
APPLY_CBOR = "application/apply-patch+cbor"


def apply(obj: Object, content_type: str, body: Any, kind: Type) -> Object:
    """The patched object; `obj` stays as it is."""
    if content_type == JSON:
        return _json_patch(obj, body)
    if not isinstance(body, dict):
        said = "" if content_type == STRATEGIC else "error decoding patch: "
        raise refusal.bad_request(
            f"{said}json: cannot unmarshal {_json_kind(body)} into Go value of type map[string]interface {{}}"
        )
    if content_type == MERGE:
        return dict(_merged(obj, body))
    return _strategic(obj, body, kind)


def quoted(patched: Object) -> str:
    """The whole object as the server quotes it in a complaint about a merge or JSON patch."""
    return json.dumps(json.dumps(patched, separators=(",", ":")))


def quoted_patch(body: Any) -> str:
    return f'"{go_format(body)}"'


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return clone(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _strategic(target: Object, patch: Object, kind: Type) -> Object:
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    if directive == "replace":
        return {key: clone(value) for key, value in patch.items() if key != "$patch"}
    result = dict(target)
    for key, value in patch.items():
        inner = _field(kind, key)
        if key.startswith("$"):
            if key != "$patch":
                raise refusal.not_emulated(f"the strategic merge directive {key}")
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            current = result.get(key)
            result[key] = _strategic(current if isinstance(current, dict) else {}, value, inner)
        elif isinstance(value, list) and isinstance(inner, ListOf) and inner.key is not None:
            current = result.get(key)
            result[key] = _strategic_list(
                current if isinstance(current, list) else [], value, inner
            )
        else:
            result[key] = clone(value)
    return result


def _field(kind: Type, name: str) -> Type:
    match kind:
        case Struct():
            return kind.fields.get(name, ANYTHING)
        case MapOf():
            return kind.value
        case ListOf() | Leaf():
            return ANYTHING


def _strategic_list(target: list[Any], patch: list[Any], kind: ListOf) -> list[Any]:
    if kind.key == "=":
        return target + [item for item in patch if item not in target]
    key = str(kind.key)
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [clone(item) for item in patch if "$patch" not in item]
    result = list(target)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise refusal.server_error(
                f"map: {go_format(item)} does not contain declared merge key: {key}"
            )
        if item.get("$patch") == "delete":
            result = [old for old in result if old.get(key) != item[key]]
        else:
            _merge_item(result, item, key, kind.item)
    mentioned = [item[key] for item in patch if item.get("$patch") != "delete"]
    return _in_server_order(result, [old.get(key) for old in target], mentioned, key)


def _merge_item(result: list[Any], item: Object, key: str, kind: Type) -> None:
    for index, old in enumerate(result):
        if old.get(key) == item[key]:
            result[index] = _strategic(old, item, kind)
            return
    result.append(_strategic({}, item, kind))


def _in_server_order(
    merged: list[Any], existing: list[Any], mentioned: list[Any], key: str
) -> list[Any]:
    """Items of the patch keep their order among themselves, the others theirs;
    where the two lists are woven together the patch goes first, unless the live
    object says otherwise: a new container comes in front of the old ones.
    """
    by_key = {item.get(key): item for item in merged}
    first = [name for name in mentioned if name in by_key]
    rest = [name for name in existing if name in by_key and name not in first]
    place = {name: index for index, name in enumerate(existing)}
    order: list[Any] = []
    while first and rest:
        from_rest = first[0] in place and place[first[0]] > place[rest[0]]
        order.append((rest if from_rest else first).pop(0))
    return [by_key[name] for name in (*order, *first, *rest)]


def _json_patch(obj: Object, operations: Any) -> Object:
    if not isinstance(operations, list):
        raise refusal.bad_request(
            f"error decoding patch: json: cannot unmarshal {_json_kind(operations)} into Go value of type "
            "[]handlers.jsonPatchOp"
        )
    document: Any = clone(obj)
    try:
        for operation in operations:
            document = _operation(document, operation)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError):
        raise refusal.patch_rejected() from None
    return dict(document)


def _operation(document: Any, operation: Object) -> Any:
    name, path = operation["op"], _pointer(operation["path"])
    match name:
        case "add":
            return _added(document, path, operation["value"])
        case "remove":
            return _removed(document, path)
        case "replace":
            _read(document, path)  # a missing target is a failure
            return _added(_removed(document, path), path, operation["value"])
        case "test":
            if _read(document, path) != operation.get("value"):
                raise ValueError("test failed")
            return document
        case "copy" | "move":
            source = _pointer(operation["from"])
            value = clone(_read(document, source))
            return _added(_removed(document, source) if name == "move" else document, path, value)
        case _:
            raise ValueError(f"unknown operation {name}")


def _pointer(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise ValueError("no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _read(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _added(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _read(document, path[:-1])
    if isinstance(parent, list):
        index = len(parent) if path[-1] == "-" else int(path[-1])
        if index > len(parent):
            raise IndexError(index)
        parent.insert(index, clone(value))
    else:
        parent[path[-1]] = clone(value)
    return document


def _removed(document: Any, path: list[str]) -> Any:
    parent = _read(document, path[:-1])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
    return document


def _json_kind(value: Any) -> str:
    return {
        str: "string",
        list: "array",
        dict: "object",
        bool: "bool",
        int: "number",
        float: "number",
    }.get(type(value), "null")
