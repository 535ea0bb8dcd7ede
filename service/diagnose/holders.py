"""Who holds a field of an object, and whether they put it back: read from the object itself. Pure.

What managedFields can tell, as a real API server writes them: who set a field last.
They do not tell whether a manifest names it that somebody else has changed meanwhile;
where that cannot be known, it is taken to be so.
Never here: reading an object, HorizontalPodAutoscalers and owners (probes/ownership.py).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from service.model.objects import FieldPath, Holder, System

Object: TypeAlias = Mapping[str, Any]  # Any: the JSON of an API object

_KUSTOMIZE = "kustomize.toolkit.fluxcd.io"
_HELM_RELEASE = "helm.toolkit.fluxcd.io"
_TRACKING = "argocd.argoproj.io/tracking-id"
_INSTANCE = "app.kubernetes.io/instance"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_RELEASE = "meta.helm.sh/release"
_ARGO_MANAGERS = ("argocd-controller", "argocd-application-controller")
_A_SECOND = timedelta(seconds=1)
# Maps with an owner per key: an entry that holds the map alone holds none of them.
_GRANULAR = ("annotations", "labels")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of managedFields: who, how, and the tree of fields."""

    manager: str
    operation: str  # Apply or Update
    subresource: str
    fields: Object


def entries(found: Object) -> tuple[Entry, ...]:
    """The entries of an object, as far as they can be read."""
    return tuple(
        Entry(
            str(entry.get("manager", "")),
            str(entry.get("operation", "")),
            str(entry.get("subresource") or ""),
            entry.get("fieldsV1") or {},
        )
        for entry in _metadata(found).get("managedFields") or ()
        if entry
    )


def changes(found: Object) -> Mapping[str, datetime]:
    """When each field manager last changed the object, after it was made;
    the status is no such change.
    """
    made_at = _instant(_metadata(found).get("creationTimestamp"))
    newest: dict[str, datetime] = {}
    for entry in _metadata(found).get("managedFields") or ():
        at = _instant(entry.get("time"))
        by = str(entry.get("manager", ""))
        # The server writes whole seconds.
        if (
            at is None
            or entry.get("subresource") == "status"
            or (made_at and at <= made_at + _A_SECOND)
        ):
            continue
        newest[by] = max(at, newest.get(by, at))
    return newest


def _instant(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None


def delivered_by(found: Object) -> Holder | None:
    """The system that brings the whole object from a manifest, by its labels;
    None for one made by hand.
    """
    metadata = _metadata(found)
    labels, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
    for prefix, kind in ((_HELM_RELEASE, "HelmRelease"), (_KUSTOMIZE, "Kustomization")):
        if name := labels.get(f"{prefix}/name"):
            namespace = labels.get(f"{prefix}/namespace", "")
            return Holder(System.FLUX, f"{kind} {_joined(namespace, name)}")
    managers = {entry.manager for entry in entries(found)}
    if application := _application(labels, notes, managers):
        return Holder(System.ARGO_CD, f"Application {application}")
    release = notes.get(f"{_RELEASE}-name")
    if release or labels.get("app.kubernetes.io/managed-by") == "Helm":
        name = _joined(notes.get(f"{_RELEASE}-namespace", ""), release or labels.get(_INSTANCE, ""))
        # By itself it waits for the next upgrade, which a person starts.
        return Holder(System.HELM, f"Helm release {name}".rstrip(), restores=False)
    return None


def _application(labels: Object, notes: Object, managers: set[str]) -> str:
    # `app:group/Kind:ns/name`; an Application outside of Argo CD's own
    # namespace is `namespace_app`.
    if tracked := str(notes.get(_TRACKING, "")).partition(":")[0]:
        return tracked.replace("_", "/", 1)
    # Helm sets the same label, so it counts only where Argo CD has written.
    return str(labels.get(_INSTANCE, "")) if managers & set(_ARGO_MANAGERS) else ""


def holder_of(found: Object, path: FieldPath, own_manager: str) -> Holder | None:
    """Who holds the field; of several the one who puts it back. None where nobody holds it."""
    source = delivered_by(found)
    known = entries(found)
    holding = [entry for entry in known if holds(entry.fields, path)]
    holding = holding or [entry for entry in known if holds_around(entry.fields, path)]
    applied = _last_applied(found)
    if source and source.restores and not holding:
        # Not one entry at all: they were cleared, and whose the field is cannot be known.
        named = applied is not None and _resolved(applied, path) is not None
        return source if named or not known else None
    held = [_held(entry, source, applied, path, own_manager) for entry in holding]
    return next((holder for holder in held if holder.restores), held[0] if held else None)


def _held(
    entry: Entry,
    source: Holder | None,
    applied: Object | None,
    path: FieldPath,
    own_manager: str,
) -> Holder:
    other = Holder(System.OTHER, entry.manager, entry.manager, restores=False)
    if source is None:
        return other
    here = Holder(source.system, source.name, entry.manager, restores=True)
    if not source.restores:
        return (
            Holder(source.system, source.name, entry.manager, False) if _is_helm(entry) else other
        )
    if applied is not None and entry.operation != "Apply":
        # Synced on the client's side: what the manifest says is written down. Fields
        # that the server filled in when the object was made are held by whoever made it,
        # and put back by nobody.
        if _resolved(applied, path) is not None:
            return here
        return Holder(here.system, here.name, entry.manager, False) if _is_sync(entry) else other
    # Ours was held by nobody when we took it, or we were told that its owner does not care.
    return other if entry.manager == own_manager else here


def _is_sync(entry: Entry) -> bool:
    return entry.manager in _ARGO_MANAGERS or entry.manager.endswith("-client-side-apply")


def _is_helm(entry: Entry) -> bool:
    return entry.manager == "helm"


def holds(fields: Object, path: FieldPath) -> bool:
    """Whether a tree of managedFields has the field itself, or something inside it."""
    return _reached(fields, path) == len(path)


def holds_around(fields: Object, path: FieldPath) -> bool:
    """Whether it has, as a leaf, something that the field is a part of: perhaps held as one
    piece.
    """
    reached = _reached(fields, path)
    tree: Object = fields
    for step in path[:reached]:
        tree = _below(tree, step) or {}
    return 0 < reached < len(path) and not tree and path[reached - 1] not in _GRANULAR


def _reached(tree: Object, path: FieldPath) -> int:
    for place, step in enumerate(path):
        below = _below(tree, step)
        if below is None:
            return place
        tree = below
    return len(path)


def _below(tree: Object, step: str) -> Object | None:
    wanted = _normal(step if step[:2] in ("k:", "v:") else f"f:{step}")
    return next((value for key, value in tree.items() if _normal(key) == wanted), None)


def _normal(step: str) -> str:
    if step[:2] not in ("k:", "v:"):
        return step
    try:
        return step[:2] + json.dumps(json.loads(step[2:]), sort_keys=True)
    except ValueError:
        return step


def value_of(found: Object, path: FieldPath) -> Any:  # Any: a JSON value
    """The field's value now; None where it is not there."""
    return _resolved(found, path)


def _resolved(node: Any, path: Sequence[str]) -> Any:
    for step in path:
        if isinstance(node, Mapping):
            node = node.get(step)
        elif isinstance(node, list) and step.startswith("k:"):
            node = next((item for item in node if _is_item(item, step)), None)
        else:
            return None
    return node


def _is_item(item: Any, step: str) -> bool:
    try:
        key = json.loads(step[2:])
    except ValueError:
        return False
    # A protocol that is not written is TCP: the one default that is part of a list's key.
    shown = {"protocol": "TCP", **item} if isinstance(item, Mapping) else {}
    return isinstance(key, dict) and all(shown.get(name) == value for name, value in key.items())


def _last_applied(found: Object) -> Object | None:
    text = (_metadata(found).get("annotations") or {}).get(_LAST_APPLIED)
    try:
        applied = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return applied if isinstance(applied, dict) else None


def _metadata(found: Object) -> Object:
    metadata: Object = found.get("metadata") or {}
    return metadata


def _joined(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name
