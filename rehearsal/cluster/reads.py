"""Get and list: selectors, pages, resourceVersion, metadata only.

Never here: rights, logs, watches.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

from rehearsal.cluster import refusal, selectors
from rehearsal.cluster.objects import Object, name_of, namespace_of
from rehearsal.cluster.refusal import Cause
from rehearsal.cluster.resources import Resource
from rehearsal.cluster.routing import Target, number
from rehearsal.cluster.store import Store

_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
    "the results. Continuing with the provided token results in an inconsistent list - objects that were "
    "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
    "list."
)
_INCONSISTENT = -1  # the revision in a token that goes on with whatever is there now


@dataclass(frozen=True, slots=True)
class _Page:
    revision: int
    start: str  # the first key that belongs to the page


def get(store: Store, target: Target) -> Object:
    found = store.get(target.resource, target.namespace, target.name)
    if found is None:
        raise refusal.not_found(target.resource, target.name)
    return found


def in_form(found: Object, accept: str) -> Object:
    """The object, or its metadata alone where a client asks for no more:
    how a Secret is seen without its data.
    """
    if "as=PartialObjectMetadata;" in f"{accept};":
        return {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": found["metadata"],
        }
    if "as=" in accept:
        raise refusal.not_emulated(f"the answer form {accept}")
    return found


def list_(store: Store, target: Target, query: Mapping[str, str], accept: str) -> Object:
    resource, namespace = target.resource, target.namespace
    _check_version(store, query)
    page = _page(store, query)
    everything = store.all(resource, namespace)
    if query.get("continue") and page.revision != _INCONSISTENT:
        snapshot = store.snapshot(resource, namespace, page.revision)
        if snapshot is None:
            raise refusal.expired(_TOO_OLD, _token(_INCONSISTENT, page.start))
        everything = snapshot
    chosen = [
        obj for obj in _filtered(everything, resource, query) if _key(obj, namespace) >= page.start
    ]
    metadata: Object = {
        "resourceVersion": str(store.revision if page.revision == _INCONSISTENT else page.revision)
    }
    limit = 0 if query.get("resourceVersion") == "0" else number(query, "limit") or 0
    if limit and len(chosen) > limit:
        if not query.get("continue"):
            store.keep_snapshot(resource, namespace)
        metadata["continue"] = _token(page.revision, _key(chosen[limit - 1], namespace) + "\0")
        if not (query.get("labelSelector") or query.get("fieldSelector")):
            metadata["remainingItemCount"] = len(chosen) - limit
        chosen = chosen[:limit]
    return _as_list(resource, metadata, chosen, accept)


def _as_list(resource: Resource, metadata: Object, chosen: list[Object], accept: str) -> Object:
    if "as=PartialObjectMetadataList" in accept:
        partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": [partial | {"metadata": obj["metadata"]} for obj in chosen],
        }
    if "as=" in accept:
        raise refusal.not_emulated(f"the answer form {accept}")
    items = [
        {key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}}
        for obj in chosen
    ]
    if (
        resource.custom
    ):  # generated code leaves out what is empty, the custom resource handler does not
        metadata = {"continue": ""} | metadata
        items = chosen
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": metadata,
        "items": items,
    }


def _filtered(objects: list[Object], resource: Resource, query: Mapping[str, str]) -> list[Object]:
    for text, predicate in (
        (query.get("labelSelector"), selectors.by_labels),
        (query.get("fieldSelector"), lambda clause: selectors.by_fields(clause, resource)),
    ):
        if text:
            holds = predicate(text)
            objects = [obj for obj in objects if holds(obj)]
    return objects


def _check_version(store: Store, query: Mapping[str, str]) -> None:
    text, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    if match and not text:
        cause = Cause(
            "FieldValueForbidden",
            "resourceVersionMatch",
            "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
        )
        raise refusal.invalid("ListOptions", "meta.k8s.io", "", [cause])
    if not text:
        return
    if not text.isdigit():
        raise refusal.bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{text}": '
            f'strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    asked = int(text)
    if asked > store.revision:
        raise refusal.too_large_version(asked, store.revision)
    exact = match == "Exact" or (query.get("limit") and match != "NotOlderThan" and asked)
    if exact and asked != store.revision:
        raise refusal.expired("The resourceVersion for the provided list is too old.")


def _page(store: Store, query: Mapping[str, str]) -> _Page:
    token = query.get("continue")
    if not token:
        return _Page(store.revision, "")
    try:
        fields = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return _Page(int(fields["rv"]), str(fields["start"]).removeprefix("/"))
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise refusal.bad_request("invalid continue token: continue key is not valid") from None


def _token(revision: int, start: str) -> str:
    fields = json.dumps(
        {"v": "meta.k8s.io/v1", "rv": revision, "start": f"/{start}"}, separators=(",", ":")
    )
    return base64.urlsafe_b64encode(fields.encode()).decode().rstrip("=")


def _key(obj: Object, namespace: str) -> str:
    return (
        name_of(obj)
        if namespace or not namespace_of(obj)
        else f"{namespace_of(obj)}/{name_of(obj)}"
    )
