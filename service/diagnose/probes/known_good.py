"""NetworkPolicies, Roles and RoleBindings of a namespace against the
known-good manifests of a folder.

The comparison is of meaning: the order of lists that have none, defaults that the server fills in
and fields that the server keeps for itself make no difference.
Never here: applying anything.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.probes.plain_text import safe
from service.diagnose.probes.snapshot import name, pages
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason

MOST_SHOWN = 20
MOST_BYTES = 512 * 1024  # of one file
_APIS: Mapping[str, str] = {
    "NetworkPolicy": "networking.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
}
_PLURALS = {"NetworkPolicy": "networkpolicies", "Role": "roles", "RoleBinding": "rolebindings"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One known-good object."""

    file: str  # name of the file in the folder
    kind: str  # NetworkPolicy, Role, RoleBinding
    name: str
    content: Object


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is not as its manifest says."""

    kind: str
    name: str
    manifest: (
        str  # name of the file with the known-good object; "" for an object that no manifest has
    )
    fields: tuple[
        str, ...
    ]  # which parts differ, at most MOST_SHOWN; empty when the object is missing or extra


@dataclass(frozen=True, slots=True)
class Drift:
    """What differs. `extra` objects are told of and never judged:
    somebody may have added them on purpose.
    """

    compared: int  # manifests of the wanted kinds
    same: int
    drifted: tuple[Difference, ...]
    missing: tuple[Difference, ...]
    extra: tuple[Difference, ...]
    clean: bool  # nothing drifted, nothing missing
    # The first that drifted or is missing; "" when there is none.
    first_kind: str
    first_name: str
    first_manifest: str
    first_fields: str  # joined by commas; "missing" for an object that is not there


async def known_good(
    kubernetes: KubernetesReader,
    namespace: str,
    folder: Path,
    kinds: Sequence[str],
    *,
    deadline: Deadline,
) -> Drift:
    """The drift now, all kinds at once. Raises what the reader raises;
    without manifests not_configured.
    """
    manifests = [m for m in await asyncio.to_thread(manifests_in, folder) if m.kind in kinds]
    if not manifests:
        raise Unavailable(Reason.NOT_CONFIGURED, f"{folder.name} has no manifest of these kinds")
    lists = await asyncio.gather(*(_live(kubernetes, namespace, k, deadline) for k in kinds))
    live = {(k, name(o)): o for k, objects in zip(kinds, lists, strict=True) for o in objects}
    return compared(manifests, live)


def manifests_in(folder: Path) -> Sequence[Manifest]:
    """Every known-good object of a folder. Raises Unavailable(not_configured)
    where a file is unreadable.
    """
    found: list[Manifest] = []
    try:
        for file in sorted(folder.glob("*.yaml")):
            if file.stat().st_size > MOST_BYTES:
                raise BadConfig(f"{file}: larger than {MOST_BYTES} bytes")
            contents = yaml.safe_load_all(file.read_text())
            known = [c for c in contents if isinstance(c, Mapping) and c.get("kind") in _APIS]
            found += [Manifest(file.name, c["kind"], name(c), c) for c in known]
    except (OSError, ValueError, yaml.YAMLError, BadConfig) as error:
        detail = f"the known-good manifests cannot be read: {safe(str(error))}"
        raise Unavailable(Reason.NOT_CONFIGURED, detail) from error
    return found


def compared(manifests: Sequence[Manifest], live: Mapping[tuple[str, str], Object]) -> Drift:
    """Known-good against live, by (kind, name)."""
    drifted, missing = [], []
    for m in manifests:
        there = live.get((m.kind, m.name))
        if there is None:
            missing.append(Difference(m.kind, m.name, m.file, ()))
        elif fields := differing(meaning(m.kind, m.content), meaning(m.kind, there)):
            drifted.append(Difference(m.kind, m.name, m.file, tuple(fields[:MOST_SHOWN])))
    known = {(m.kind, m.name) for m in manifests}
    extra = [Difference(kind, n, "", ()) for kind, n in sorted(live) if (kind, n) not in known]
    first = next(iter([*drifted, *missing]), None)
    return Drift(
        compared=len(manifests),
        same=len(manifests) - len(drifted) - len(missing),
        drifted=tuple(drifted[:MOST_SHOWN]),
        missing=tuple(missing[:MOST_SHOWN]),
        extra=tuple(extra[:MOST_SHOWN]),
        clean=not drifted and not missing,
        first_kind=first.kind if first else "",
        first_name=first.name if first else "",
        first_manifest=first.manifest if first else "",
        first_fields=", ".join(first.fields) or "missing" if first else "",
    )


def meaning(kind: str, found: Object) -> Mapping[str, Any]:  # Any: JSON
    """What an object means: its defaults written out, lists without an order sorted,
    the server's fields left out.
    """
    if kind == "NetworkPolicy":
        return _policy(found.get("spec") or {})
    if kind == "Role":
        return {"rules": _set(_rule(r) for r in found.get("rules") or ())}
    reference = found.get("roleRef") or {}
    return {
        "roleRef": {
            "apiGroup": reference.get("apiGroup") or "rbac.authorization.k8s.io",
            "kind": reference.get("kind"),
            "name": reference.get("name"),
        },
        "subjects": _set(_subject(s) for s in found.get("subjects") or ()),
    }


def differing(wanted: object, found: object, path: str = "") -> list[str]:
    """Where two meanings differ, as paths from the top; a list that differs is named as a whole."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        keys = sorted({*wanted, *found})
        inside = (differing(wanted.get(k), found.get(k), f"{path}.{k}".lstrip(".")) for k in keys)
        return [place for places in inside for place in places]
    return [] if wanted == found else [path]


def _policy(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    # Without policyTypes: Ingress always, Egress where egress rules are written.
    default = ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    types = sorted(spec.get("policyTypes") or default)
    directions = (("Ingress", "ingress", "from"), ("Egress", "egress", "to"))
    return {
        "podSelector": _selector(spec.get("podSelector")),
        "policyTypes": types,
        **{
            field: _set(_allowed(rule, peers) for rule in spec.get(field) or ())
            for of, field, peers in directions
            if of in types  # rules of a direction that the policy does not govern say nothing
        },
    }


def _allowed(rule: Mapping[str, Any], peers: str) -> Mapping[str, Any]:
    ports = (
        {"protocol": p.get("protocol") or "TCP", "port": p.get("port"), "endPort": p.get("endPort")}
        for p in rule.get("ports") or ()
    )
    return {"ports": _set(ports), "peers": _set(_peer(p) for p in rule.get(peers) or ())}


def _peer(peer: Mapping[str, Any]) -> Mapping[str, Any]:
    block = peer.get("ipBlock")
    return {
        "podSelector": _selector(peer["podSelector"]) if "podSelector" in peer else None,
        "namespaceSelector": _selector(peer["namespaceSelector"])
        if "namespaceSelector" in peer
        else None,
        "ipBlock": {"cidr": block.get("cidr"), "except": sorted(block.get("except") or ())}
        if block
        else None,
    }


def _selector(of: Mapping[str, Any] | None) -> Mapping[str, Any]:
    expressions = (
        {
            "key": e.get("key"),
            "operator": e.get("operator"),
            "values": sorted(e.get("values") or ()),
        }
        for e in (of or {}).get("matchExpressions") or ()
    )
    return {"labels": dict((of or {}).get("matchLabels") or {}), "expressions": _set(expressions)}


def _rule(rule: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = ("apiGroups", "resources", "resourceNames", "nonResourceURLs", "verbs")
    return {field: sorted(set(rule.get(field) or ())) for field in fields}


def _subject(subject: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = subject.get("kind")
    account = kind == "ServiceAccount"
    group = subject.get("apiGroup") or ("" if account else "rbac.authorization.k8s.io")
    namespace = subject.get("namespace") if account else None
    return {"kind": kind, "name": subject.get("name"), "apiGroup": group, "namespace": namespace}


def _set(items: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A list whose order means nothing, in one order, each item once."""
    distinct = {repr(_ordered(item)): item for item in items}
    return [distinct[key] for key in sorted(distinct)]


def _ordered(value: object) -> object:
    if isinstance(value, Mapping):
        return [(key, _ordered(value[key])) for key in sorted(value)]
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    return value


async def _live(
    kubernetes: KubernetesReader, namespace: str, kind: str, deadline: Deadline
) -> Sequence[Object]:
    path = f"/apis/{_APIS[kind]}/namespaces/{namespace}/{_PLURALS[kind]}"
    return [o async for o in pages(kubernetes, path, deadline=deadline)]
