"""Manifests of a folder that may be applied: read, and held to what a
playbook has announced of them.

Never here: a write.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from service.model.objects import ObjectRef

_LARGEST = 256 * 1024  # bytes
_MOST_LINES = 20
_LONGEST_VALUE = 200  # characters


class Applicable(NamedTuple):
    """A kind that may be applied, and the field that is its content."""

    group: str
    version: str
    plural: str
    content: str

    @property
    def api(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


KINDS: Mapping[str, Applicable] = {
    "NetworkPolicy": Applicable("networking.k8s.io", "v1", "networkpolicies", "spec"),
    "Role": Applicable("rbac.authorization.k8s.io", "v1", "roles", "rules"),
    "RoleBinding": Applicable("rbac.authorization.k8s.io", "v1", "rolebindings", "subjects"),
    "ConfigMap": Applicable("", "v1", "configmaps", "data"),
}
_TOP = {"apiVersion", "kind", "metadata"}
_METADATA = {"name", "namespace", "labels", "annotations"}
# What the server writes itself, and an apply changes without changing anything.
_SERVERS = {"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object to apply."""

    ref: ObjectRef
    body: Mapping[str, Any]  # Any: JSON


def ref_to(kind: str, namespace: str, name: str) -> ObjectRef:
    """The object of an allowed kind."""
    return ObjectRef(KINDS[kind].api, KINDS[kind].plural, kind, namespace, name)


async def read(
    folder: Path, name: str, announced: Sequence[ObjectRef], *, namespace: str
) -> Sequence[Manifest] | str:
    """The objects of a file, in its order; or a sentence that says why none of them may be
    applied.
    """
    text = await asyncio.to_thread(_text, folder, name)
    if text is None:
        return f"{name} is not in the folder of known good manifests, or is too large"
    try:
        documents = [found for found in yaml.safe_load_all(text) if found is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return f"{name}: {' '.join(str(error).split())[:200]}"
    found: list[Manifest] = []
    for document in documents:
        made = _manifest(document, namespace)
        if isinstance(made, str):
            return f"{name}: {made}"
        found.append(made)
    if sorted(map(str, (manifest.ref for manifest in found))) != sorted(map(str, announced)):
        there = ", ".join(f"{manifest.ref.kind}/{manifest.ref.name}" for manifest in found)
        return f"{name}: it holds {there or 'nothing'}, and the playbook says otherwise"
    return found


def _text(folder: Path, name: str) -> str | None:
    try:
        # A mounted ConfigMap is links within its folder; a link out of it is followed by nobody.
        file = (folder / name).resolve(strict=True)
        if not file.is_relative_to(folder.resolve(strict=True)) or not file.is_file():
            return None
        return file.read_text("utf-8") if file.stat().st_size <= _LARGEST else None
    except (OSError, UnicodeDecodeError, RuntimeError):
        return None


def _manifest(document: object, namespace: str) -> Manifest | str:
    if not isinstance(document, dict):
        return "a document is no map"
    kind, metadata = document.get("kind"), document.get("metadata")
    applicable = KINDS.get(kind) if isinstance(kind, str) else None
    if applicable is None or document.get("apiVersion") != applicable.api:
        return f"{document.get('apiVersion')} {kind} is not among {', '.join(KINDS)}"
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return f"a {kind} has no name"
    if metadata.get("namespace") != namespace:
        return f"{kind} {metadata['name']} is for namespace {metadata.get('namespace')}, not {namespace}"
    if more := metadata.keys() - _METADATA:
        return f"{kind} {metadata['name']}: its metadata has {', '.join(sorted(map(str, more)))}"
    if document.keys() <= _TOP:
        return f"{kind} {metadata['name']} is empty"
    return Manifest(ref_to(str(kind), namespace, metadata["name"]), document)


def difference(live: Mapping[str, Any], would: Mapping[str, Any]) -> Sequence[str]:
    """What an apply would change, a line a field: `spec.ingress: [] -> [{"from": ...}]`;
    bounded.
    """
    lines: list[str] = []
    for path, before, after in _changes(live, would, ()):
        if len(lines) == _MOST_LINES:
            lines.append("and more")
            break
        lines.append(f"{'.'.join(path)}: {_short(before)} -> {_short(after)}")
    return lines


def _changes(
    before: Any, after: Any, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:  # Any: JSON
    if before == after:
        return
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        yield path, before, after
        return
    for key in sorted(before.keys() | after.keys()):
        if path == ("metadata",) and key in _SERVERS:
            continue
        yield from _changes(before.get(key), after.get(key), (*path, key))


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
