"""A request line into what it is about: resource, namespace, name, subresource, verb,
and the options of a write.

Never here: rights, objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rehearsal.cluster import refusal
from rehearsal.cluster.custom import CustomResources
from rehearsal.cluster.refusal import Cause
from rehearsal.cluster.resources import (
    CLUSTER_SCOPED_BUT_NOT_HERE,
    NODE_METRICS,
    POD_METRICS,
    REAL_BUT_NOT_HERE,
    Resource,
    by_path,
)

_LONGEST_MANAGER = 128
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Target:
    resource: Resource
    namespace: str
    name: str
    subresource: str
    verb: str
    emulated: bool  # False: the real server has it, this one answers 501 once the caller has shown the right


@dataclass(frozen=True, slots=True)
class Options:
    """Of a write. `field_validation` is Ignore, Warn or Strict; `manager` owns what the write
    sets.
    """

    dry_run: bool = False
    field_validation: str = "Warn"
    manager: str = "unknown"
    force: bool = False  # of an apply: takes fields that others hold


def flag(text: str) -> bool:
    """Booleans as clients write them: kubernetes_asyncio sends True."""
    return text.lower() in {"true", "1"}


def number(query: Mapping[str, str], name: str) -> int | None:
    """None when it is not asked for; 400 when it is no number."""
    text = query.get(name)
    if not text:
        return None
    if not text.lstrip("-").isdigit():
        raise refusal.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def target_of(
    method: str,
    path: str,
    query: Mapping[str, str],
    *,
    has_metrics: bool,
    custom: CustomResources,
) -> Target:
    group, version, rest = _group(path.strip("/").split("/"))
    namespace, plural, name, subresource = _places(rest)
    resource, emulated = _resource(group, version, plural, custom, has_metrics=has_metrics)
    if resource.namespaced != bool(namespace) and (name or method == "POST"):
        raise refusal.unknown_resource()
    return Target(
        resource,
        namespace if resource.namespaced else "",
        name,
        subresource,
        _verb(method, name, query),
        emulated,
    )


def _group(parts: list[str]) -> tuple[str, str, list[str]]:
    if parts[0] == "api" and len(parts) > 2:
        return "", parts[1], parts[2:]
    if parts[0] == "apis" and len(parts) > 3:
        return parts[1], parts[2], parts[3:]
    if parts[0] in {"api", "apis", "openapi"}:
        raise refusal.not_emulated("API discovery")
    raise refusal.page_not_found()


def _places(rest: list[str]) -> tuple[str, str, str, str]:
    """namespace, plural, name, subresource. `namespaces/x` is the namespace itself,
    `namespaces/x/pods` is inside.
    """
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    if len(rest) > 3:
        raise refusal.not_emulated(f"the path below {'/'.join(rest[:3])}")
    plural, name, subresource = (*rest, "", "")[:3]
    return namespace, plural, name, subresource


def _resource(
    group: str, version: str, plural: str, custom: CustomResources, *, has_metrics: bool
) -> tuple[Resource, bool]:
    if has_metrics and group == POD_METRICS.group:
        for metrics in (POD_METRICS, NODE_METRICS):
            if (metrics.version, metrics.plural) == (version, plural):
                return metrics, True
    known = by_path(group, version, plural) or custom.by_path(group, version, plural)
    if known is not None:
        return known, True
    if custom.has_version(group, version):
        raise refusal.unknown_resource()
    if (group, version) not in REAL_BUT_NOT_HERE:
        raise refusal.page_not_found()
    if plural not in REAL_BUT_NOT_HERE[group, version]:
        raise refusal.unknown_resource()
    return Resource(
        group, version, plural, plural, namespaced=plural not in CLUSTER_SCOPED_BUT_NOT_HERE
    ), False


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method in {"GET", "HEAD"}:
        if not name and flag(query.get("watch", "")):
            return "watch"
        return "get" if name else "list"
    if method == "DELETE" and not name:
        return "deletecollection"
    return _VERBS.get(method, method.lower())


def options_of(verb: str, query: Mapping[str, str], user_agent: str, *, applies: bool) -> Options:
    kind = {"create": "CreateOptions", "update": "UpdateOptions", "delete": "DeleteOptions"}.get(
        verb, "PatchOptions"
    )
    validation = query.get("fieldValidation", "")
    if validation not in {"", "Ignore", "Strict", "Warn"}:
        raise _unsupported(
            kind, "fieldValidation", f'"{validation}"', '"", "Ignore", "Strict", "Warn"'
        )
    dry_run = query.get("dryRun")
    if dry_run not in {None, "All"}:
        raise _unsupported(kind, "dryRun", f'["{dry_run}"]', '"All"')
    manager = query.get("fieldManager", "")
    if applies and not manager:
        raise _bad_manager(
            kind, "FieldValueRequired", "Required value: is required for apply patch"
        )
    if len(manager.encode()) > _LONGEST_MANAGER:
        why = f"Too long: may not be more than {_LONGEST_MANAGER} bytes"
        raise _bad_manager(kind, "FieldValueTooLong", why)
    return Options(
        dry_run == "All",
        validation or "Warn",
        manager or user_agent.partition("/")[0] or "unknown",
        flag(query.get("force", "")),
    )


def _bad_manager(kind: str, reason: str, why: str) -> refusal.Refusal:
    return refusal.invalid(kind, "meta.k8s.io", "", [Cause(reason, "fieldManager", why)])


def _unsupported(kind: str, field: str, value: str, supported: str) -> refusal.Refusal:
    cause = Cause(
        "FieldValueNotSupported",
        field,
        f"Unsupported value: {value}: supported values: {supported}",
    )
    return refusal.invalid(kind, "meta.k8s.io", "", [cause])
