"""Create, patch, replace, delete: decoding, defaults, rules, generation, ownership;
all of it or nothing is stored.

Each function is one step without a wait, so no two requests can interleave. Never here: rights,
faults, the scale subresource, the merging of a server-side apply.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

from rehearsal.cluster import defaults, managed, patches, refusal, validation
from rehearsal.cluster.decoding import WrongTypeError, decode
from rehearsal.cluster.managed import Manager, Owners
from rehearsal.cluster.objects import (
    Object,
    clone,
    is_terminating,
    name_of,
    short_hash,
    stamp,
    uid_of,
)
from rehearsal.cluster.refusal import Cause, Refusal
from rehearsal.cluster.resources import NAMESPACES, NEWER_EVENTS, PODS, Generation, Resource
from rehearsal.cluster.routing import Options, Target
from rehearsal.cluster.schema import Type, type_of_custom_resource, type_of_kind
from rehearsal.cluster.store import Store

_SERVERS_OWN = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "resourceVersion",
)


Rules = Callable[[str, Object], list[Cause]]  # of a kind's name and an object


@dataclass(slots=True)
class Answer:
    code: int
    body: Object
    warnings: list[str] = field(default_factory=list)


def parse(raw: bytes) -> Any:
    """JSON, or the 400 that Go gives."""
    try:
        return json.loads(raw) if raw else None
    except json.JSONDecodeError as error:
        rest = raw.decode("utf-8", "replace")[error.pos :].strip()
        problem = (
            f"invalid character '{rest[0]}' looking for beginning of value"
            if rest and error.msg != "EOF" and not error.msg.startswith("Unterminated")
            else "unexpected end of JSON input"
        )
        raise refusal.bad_request(problem) from None


def parse_patch(raw: bytes, content_type: str) -> Any:
    """As `parse`; the server says more where it decodes the patch itself than
    where it decodes into a type.
    """
    try:
        return parse(raw)
    except Refusal as no:
        if content_type == patches.STRATEGIC or not isinstance(no.body, dict):
            raise
        raise refusal.bad_request(f"error decoding patch: {no.body['message']}") from None


def strictness(unknown: list[str], options: Options) -> list[str]:
    """Warnings for unknown fields, by fieldValidation; Strict raises ValueError
    with the server's sentence.
    """
    problems = [f'unknown field "{path}"' for path in unknown]
    if problems and options.field_validation == "Strict":
        raise ValueError("strict decoding error: " + ", ".join(problems))
    return problems if options.field_validation == "Warn" else []


def create(store: Store, target: Target, raw: bytes, options: Options) -> Answer:
    resource = target.resource
    new, warnings = decoded_body(resource, raw, options)
    return Answer(201, created(store, target, new, options), warnings)


def created(
    store: Store,
    target: Target,
    new: Object,
    options: Options,
    owners: Owners | None = None,
    rules: Rules = validation.of_new,
) -> Object:
    """Rules, defaults, ownership (by an apply: as handed in), and into the store but in a dry
    run.
    """
    resource = target.resource
    metadata = new.setdefault("metadata", {})
    if resource.namespaced:
        if metadata.setdefault("namespace", target.namespace) != target.namespace:
            raise refusal.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        _check_namespace(store, resource, target.namespace, metadata.get("name", ""))
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = metadata["generateName"] + short_hash(str(uuid4()), 5)
    for own in _SERVERS_OWN:
        metadata.pop(own, None)
    if resource.has_status:
        new.pop("status", None)
    defaults.fill(resource.kind, new)
    causes = rules(resource.kind, new)
    if causes:
        raise refusal.invalid_object(resource, metadata.get("name", ""), causes)
    if store.get(resource, target.namespace, metadata["name"]) is not None:
        raise refusal.already_exists(resource, metadata["name"])
    metadata |= {"uid": str(uuid4()), "creationTimestamp": stamp(store.clock.now())}
    if resource.generation is not Generation.NEVER:
        metadata["generation"] = 1
    if owners is None:
        managed.updated(None, new, type_of(resource), Manager(options.manager), _now(store))
    else:
        owners.put_on(new)
    return new if options.dry_run else store.write(resource, new)


def type_of(resource: Resource) -> Type:
    if resource is NEWER_EVENTS:
        return type_of_kind("EventsV1Event")
    return type_of_custom_resource() if resource.custom else type_of_kind(resource.kind)


def _now(store: Store) -> str:
    return stamp(store.clock.now())


def decoded_body(resource: Resource, raw: bytes, options: Options) -> tuple[Object, list[str]]:
    body = parse(raw)
    if not isinstance(body, dict):
        raise refusal.bad_request(
            "the object provided is unrecognized (must be of type " + resource.kind + ")"
        )
    if body.get("kind", resource.kind) != resource.kind or body.get("apiVersion", "") not in {
        "",
        resource.api_version,
    }:
        raise refusal.bad_request(
            f"the API version and kind in the data ({body.get('apiVersion')}, Kind="
            f"{body.get('kind')}) does not match the expected ({resource.api_version}, Kind="
            f"{resource.kind})"
        )
    return decoded_object(resource, body, options)


def decoded_object(resource: Resource, body: Object, options: Options) -> tuple[Object, list[str]]:
    """The fields that the kind has, and a warning for each that it has not;
    400 for a value of the wrong type.
    """
    try:
        decoded = decode(body, type_of(resource))
        warnings = strictness(decoded.unknown, options)
    except (WrongTypeError, ValueError) as error:
        raise refusal.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {error}'
        ) from None
    return decoded.obj | {"kind": resource.kind, "apiVersion": resource.api_version}, warnings


def _check_namespace(store: Store, resource: Resource, namespace: str, name: str) -> None:
    found = store.get(NAMESPACES, "", namespace)
    if found is None:
        raise refusal.not_found(NAMESPACES, namespace)
    if is_terminating(found):
        why = (
            f"unable to create new content in namespace {namespace} because it is being terminated"
        )
        cause = Cause(
            "NamespaceTerminating",
            "metadata.namespace",
            f"namespace {namespace} is being terminated",
        )
        raise refusal.forbidden(resource, name, why, [cause])


def existing(store: Store, target: Target) -> Object:
    found = store.get(target.resource, target.namespace, target.name)
    if found is None:
        raise refusal.not_found(target.resource, target.name)
    return found


def patch(store: Store, target: Target, content_type: str, raw: bytes, options: Options) -> Answer:
    old = existing(store, target)
    body = parse_patch(raw, content_type)
    kind = type_of(target.resource)
    patched = patches.apply(old, content_type, body, kind)
    if target.resource is PODS and patched.get("spec") != old.get("spec"):
        raise refusal.not_emulated("a change of a pod's spec")
    try:
        decoded = decode(patched, kind)
        warnings = strictness(decoded.unknown, options)
    except WrongTypeError as error:
        raise _unreadable(content_type, patched, body, error.in_json, error.in_patch) from None
    except ValueError as error:
        raise _unreadable(content_type, patched, body, str(error), str(error)) from None
    return updated(store, target, old, decoded.obj, options, warnings)


def _unreadable(
    content_type: str, patched: Object, body: Any, in_json: str, in_patch: str
) -> Refusal:
    if content_type == patches.STRATEGIC:
        return refusal.invalid_patch(patches.quoted_patch(body), in_patch)
    return refusal.invalid_patch(patches.quoted(patched), in_json)


def replace(store: Store, target: Target, raw: bytes, options: Options) -> Answer:
    old = existing(store, target)
    new, warnings = decoded_body(target.resource, raw, options)
    if new.get("metadata", {}).get("name") != target.name:
        raise refusal.bad_request("the name of the object does not match the name on the URL")
    check_version(target, old, new)
    wished = new["metadata"].get("uid")
    if wished and wished != uid_of(old):
        key = f"/registry/{target.resource.plural}/{target.namespace}/{target.name}"
        raise refusal.uid_precondition(target.resource, target.name, wished, uid_of(old), key=key)
    return updated(store, target, old, new, options, warnings)


def check_version(target: Target, old: Object, new: Object) -> None:
    """The optimistic lock: a resourceVersion in what is written must be that of the object."""
    version = new.setdefault("metadata", {}).get("resourceVersion")
    if not version or version == old["metadata"]["resourceVersion"]:
        return
    if not version.isdigit():
        raise refusal.server_error(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    raise refusal.conflict(target.resource, target.name)


def check_name(target: Target, new: Object) -> None:
    name = new["metadata"].get("name", target.name)
    if name != target.name:
        raise refusal.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        )


def updated(
    store: Store,
    target: Target,
    old: Object,
    new: Object,
    options: Options,
    warnings: list[str],
    owners: Owners | None = None,
    rules: Rules | None = None,
) -> Answer:
    """Rules, defaults, generation, ownership (by an apply: as handed in);
    stored if anything changed.
    """
    resource = target.resource
    check_version(target, old, new)
    check_name(target, new)
    wished_uid = new["metadata"].get("uid") or uid_of(old)
    new = _keep_servers_own(old, new, resource, target.subresource)
    defaults.fill(resource.kind, new)
    checked = new | {"metadata": new["metadata"] | {"uid": wished_uid}}
    causes = (
        validation.of_change(resource.kind, old, checked)
        if rules is None
        else rules(resource.kind, checked)
    )
    if causes:
        raise refusal.invalid_object(resource, target.name, causes)
    _count_generation(resource, old, new)
    if owners is None:
        who = Manager(options.manager, "Update", target.subresource)
        managed.updated(old, new, type_of(resource), who, _now(store))
    else:
        owners.put_on(new)
    if managed.without_times(new) == managed.without_times(old):
        return Answer(200, old, warnings)
    if options.dry_run:
        return Answer(200, new, warnings)
    if (
        is_terminating(new)
        and not new["metadata"].get("finalizers")
        and old["metadata"].get("finalizers")
    ):
        store.remove(resource, new)  # the last finalizer is off: that patch is the end of it
        return Answer(200, new, warnings)
    return Answer(200, store.write(resource, new), warnings)


def _keep_servers_own(old: Object, new: Object, resource: Resource, subresource: str) -> Object:
    """What a client cannot change stays: bookkeeping always, status through the object,
    the rest through /status.
    """
    result = (
        clone(old) | {"status": new.get("status", {})} if subresource == "status" else clone(new)
    )
    metadata = result["metadata"]
    for own in _SERVERS_OWN:
        metadata.pop(own, None)
        if own in old["metadata"]:
            metadata[own] = old["metadata"][own]
    metadata |= {
        key: old["metadata"][key] for key in ("name", "namespace") if key in old["metadata"]
    }
    for empty in ("labels", "annotations", "finalizers", "ownerReferences"):
        if not metadata.get(empty, True):
            del metadata[empty]
    if resource.has_status and not subresource:
        result.pop("status", None)
        if "status" in old:
            result["status"] = old["status"]
    return result


def _count_generation(resource: Resource, old: Object, new: Object) -> None:
    changed = resource.generation is not Generation.NEVER and old.get("spec") != new.get("spec")
    if resource.generation is Generation.SPEC_AND_ANNOTATIONS:
        changed |= old["metadata"].get("annotations") != new["metadata"].get("annotations")
    if changed:
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def delete(
    store: Store, target: Target, raw: bytes, query: Mapping[str, str], options: Options
) -> Answer:
    old = existing(store, target)
    wishes = parse(raw) or {}
    _check_preconditions(target.resource, old, wishes.get("preconditions") or {})
    policy = wishes.get("propagationPolicy") or query.get("propagationPolicy", "Background")
    if policy != "Background":
        raise refusal.not_emulated(f"propagationPolicy {policy}")
    grace = wishes.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    grace_s = None if grace is None else int(grace)
    dry_run = options.dry_run or bool(wishes.get("dryRun"))
    last = mark_deleted(store, target.resource, old, grace_s, dry_run=dry_run)
    if target.resource in {PODS, NAMESPACES} or last["metadata"].get("finalizers"):
        return Answer(200, last)
    details = refusal.about(target.resource, target.name) | {"uid": uid_of(old)}
    return Answer(
        200,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        },
    )


def _check_preconditions(resource: Resource, obj: Object, wanted: Object) -> None:
    for what, field_name in (("UID", "uid"), ("ResourceVersion", "resourceVersion")):
        wish, found = wanted.get(field_name), obj["metadata"][field_name]
        if wish and wish != found:
            raise refusal.precondition_failed(resource, name_of(obj), what, wish, found)


def mark_deleted(
    store: Store,
    resource: Resource,
    obj: Object,
    grace_s: int | None = None,
    *,
    dry_run: bool = False,
) -> Object:
    """The beginning of the end: a running pod, a namespace and whatever has finalizers
    stay a while, terminating.
    """
    if is_terminating(obj) and grace_s != 0:
        return obj
    if grace_s is None:
        grace_s = obj["spec"].get("terminationGracePeriodSeconds", 30) if resource is PODS else 0
    lingers = bool(obj["metadata"].get("finalizers")) or resource is NAMESPACES
    if resource is PODS and grace_s and obj["spec"].get("nodeName"):
        lingers = True
    if not lingers:
        if not dry_run:
            store.remove(resource, obj)
        return obj
    new = clone(obj)
    new["metadata"]["deletionTimestamp"] = stamp(store.clock.now() + timedelta(seconds=grace_s))
    if resource is NAMESPACES:
        new["status"]["phase"] = "Terminating"
    else:
        new["metadata"]["deletionGracePeriodSeconds"] = grace_s
    if "generation" in new["metadata"]:
        new["metadata"]["generation"] += 1
    return new if dry_run else store.write(resource, new)
