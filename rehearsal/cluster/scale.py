"""The scale subresource of Deployments and StatefulSets: a Scale in,
a Scale out, one number changed.

Never here: what the number then does (controllers).
"""

from typing import Any

from rehearsal.cluster import managed, patches, refusal, validation
from rehearsal.cluster.decoding import Decoded, WrongTypeError, decode
from rehearsal.cluster.objects import Object, clone, uid_of
from rehearsal.cluster.routing import Options, Target
from rehearsal.cluster.schema import type_named
from rehearsal.cluster.store import Store
from rehearsal.cluster.writes import Answer, check_version, existing, parse, parse_patch, strictness

_KIND = type_named("Scale")


def scale_of(workload: Object) -> Object:
    """As the server answers it: at 0 replicas the spec is empty."""
    metadata = workload["metadata"]
    replicas = workload["spec"]["replicas"]
    labels = workload["spec"]["selector"].get("matchLabels", {})
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            key: metadata[key]
            for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
            if key in metadata
        },
        "spec": {"replicas": replicas} if replicas else {},
        "status": {
            "replicas": workload.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def read(store: Store, target: Target) -> Answer:
    return Answer(200, scale_of(existing(store, target)))


def patch(store: Store, target: Target, content_type: str, raw: bytes, options: Options) -> Answer:
    workload = existing(store, target)
    body = parse_patch(raw, content_type)
    patched = patches.apply(scale_of(workload), content_type, body, _KIND)
    try:
        decoded = decode(patched, _KIND)
        warnings = strictness(decoded.unknown, options)
    except (WrongTypeError, ValueError) as error:
        raise _unreadable(content_type, patched, body, error) from None
    return _rescaled(store, target, workload, decoded, options, warnings)


def _unreadable(content_type: str, patched: Object, body: Any, error: Exception) -> refusal.Refusal:
    in_json, in_patch = (
        (error.in_json, error.in_patch) if isinstance(error, WrongTypeError) else (str(error),) * 2
    )
    if content_type == patches.STRATEGIC:
        return refusal.invalid_patch(patches.quoted_patch(body), in_patch)
    return refusal.invalid_patch(patches.quoted(patched), in_json)


def replace(store: Store, target: Target, raw: bytes, options: Options) -> Answer:
    workload = existing(store, target)
    try:
        decoded = decode(parse(raw), _KIND)
        warnings = strictness(decoded.unknown, options)
    except (WrongTypeError, ValueError) as error:
        raise refusal.bad_request(
            f'Scale in version "v1" cannot be handled as a Scale: {error}'
        ) from None
    return _rescaled(store, target, workload, decoded, options, warnings, replaces=True)


def _rescaled(
    store: Store,
    target: Target,
    workload: Object,
    decoded: Decoded,
    options: Options,
    warnings: list[str],
    *,
    replaces: bool = False,
) -> Answer:
    check_version(target, workload, decoded.obj)
    wished = decoded.obj["metadata"].get("uid")
    if wished and wished != uid_of(workload):
        raise refusal.uid_precondition(
            target.resource,
            target.name,
            wished,
            uid_of(workload),
            subresource="" if replaces else "scale",
            key=f"/{target.resource.plural}/{target.namespace}/{target.name}" if replaces else "",
        )
    causes = validation.of_scale(decoded.obj)
    if causes:
        raise refusal.invalid("Scale", "autoscaling", target.name, causes)
    changed = with_replicas(workload, decoded.obj.get("spec", {}).get("replicas", 0))
    managed.scaled(workload, changed, options.manager)
    if changed == workload or options.dry_run:
        return Answer(200, scale_of(changed), warnings)
    return Answer(200, scale_of(store.write(target.resource, changed)), warnings)


def with_replicas(workload: Object, replicas: int) -> Object:
    """The workload with another number, and the generation that goes with it."""
    changed = clone(workload)
    if changed["spec"]["replicas"] != replicas:
        changed["spec"]["replicas"] = replicas
        changed["metadata"]["generation"] = changed["metadata"].get("generation", 0) + 1
    return changed
