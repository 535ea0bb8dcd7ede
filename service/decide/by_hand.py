"""What a request would write, as the commands with which a person does it. Pure text."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.model.objects import FieldPath, ObjectRef, Write

_LONGEST = 2_000  # characters of one command


def commands(writes: Sequence[Write]) -> tuple[str, ...]:
    """One `kubectl patch` for each object; none for what is not known beforehand,
    or is too long to be shown.
    """
    by_object: dict[ObjectRef, list[Write]] = {}
    for write in writes:
        by_object.setdefault(write.ref, []).append(write)
    return tuple(_shown(by_object))


def _shown(by_object: Mapping[ObjectRef, Sequence[Write]]) -> Iterator[str]:
    for ref, writes in by_object.items():
        if not all(write.known for write in writes):
            continue
        body: dict[str, Any] = {}
        for write in writes:
            _put(body, write.path, write.value)
        # Items of a list are named by their key, which only the built-in kinds know how to merge.
        form = "strategic" if any(s[:2] == "k:" for w in writes for s in w.path) else "merge"
        where = f"-n {shlex.quote(ref.namespace)} " if ref.namespace else ""
        named = shlex.quote(f"{_resource(ref)}/{ref.name}")
        patch = shlex.quote(json.dumps(body, separators=(",", ":")))
        command = f"kubectl {where}patch {named} --type={form} -p {patch}"
        if len(command) <= _LONGEST:
            yield command


def _resource(ref: ObjectRef) -> str:
    group, _, version = ref.api.rpartition("/")
    return f"{ref.plural}.{version}.{group}" if group else ref.plural


def _put(body: dict[str, Any], path: FieldPath, value: Any) -> None:  # Any: JSON
    """Sets one field. A step `k:{"name":"app"}` is the item of a list with that key."""
    step, *below = path
    if below and below[0].startswith("k:"):
        items: list[dict[str, Any]] = body.setdefault(step, [])
        key = json.loads(below[0][2:])
        item = next((i for i in items if key.items() <= i.items()), None)
        if item is None:
            item = dict(key)
            items.append(item)
        if len(below) > 1:
            _put(item, tuple(below[1:]), value)
    elif below:
        _put(body.setdefault(step, {}), tuple(below), value)
    else:
        body[step] = value
