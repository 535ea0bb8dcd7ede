"""Server-side apply: a manifest, as YAML or JSON, into an object that is
made (201) or changed (200).

Never here: who owns what (managed), rules about values, storing (writes).
"""

from typing import Any

import yaml

from rehearsal.cluster import managed, refusal, writes
from rehearsal.cluster.decoding import WrongTypeError, decode
from rehearsal.cluster.objects import Object, stamp
from rehearsal.cluster.routing import Options, Target
from rehearsal.cluster.store import Store
from rehearsal.cluster.writes import Answer

_NO_MAP = (
    "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of "
    "type map[string]interface {{}}"
)


def apply(store: Store, target: Target, raw: bytes, options: Options) -> Answer:
    config = _manifest(target, raw)
    kind = writes.type_of(target.resource)
    live = store.get(target.resource, target.namespace, target.name)
    _check_declared(config, target)
    if live is not None:
        writes.check_version(target, live, config)
    elif config["metadata"].get("uid"):
        raise refusal.no_such_uid(target.resource, target.name, config["metadata"]["uid"])
    now = stamp(store.clock.now())
    result = managed.applied(live, config, kind, options.manager, now, force=options.force)
    new = decode(result.obj, kind).obj
    if live is None:
        return Answer(201, writes.created(store, target, new, options, result.owners))
    return writes.updated(store, target, live, new, options, [], result.owners)


def _manifest(target: Target, raw: bytes) -> Object:
    config = _parsed(raw)
    wanted = target.resource.api_version, target.resource.kind
    found = config.get("apiVersion", ""), config.get("kind", "")
    if found != wanted:
        version = found[0] if found[0] else "/"
        raise refusal.bad_request(f"invalid object type: {version}, Kind={found[1]}")
    metadata = config.setdefault("metadata", {})
    if metadata.get("managedFields"):
        raise refusal.bad_request("metadata.managedFields must be nil")
    writes.check_name(target, config)
    metadata["name"] = target.name
    return config


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        config = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise refusal.bad_request(f"error decoding YAML: {error}") from None
    if not isinstance(config, dict):
        raise refusal.bad_request(_NO_MAP.format("string" if isinstance(config, str) else "array"))
    return config


def _check_declared(config: Object, target: Target) -> None:
    """What the schema does not know is 500, whatever fieldValidation says."""
    place = f"{config['metadata'].get('namespace', '')}/{target.name}"
    about = f"({place}; {target.resource.api_version}, Kind={target.resource.kind})"
    try:
        unknown = decode(config, writes.type_of(target.resource)).unknown
    except WrongTypeError as error:
        raise refusal.server_error(
            f"failed to create typed patch object {about}: {error}"
        ) from None
    if unknown and not target.resource.custom:
        raise refusal.server_error(
            f"failed to create typed patch object {about}: .{unknown[0]}: field not declared in schema"
        )
