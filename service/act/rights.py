"""The rights that the enabled kinds of action need, and no more: Roles as YAML,
and GRANTs of ClickHouse.

Two accounts, apart: the one that reads sees the platform and changes nothing;
the one that acts has what the enabled kinds say they need. Pure.
Never here: asking whether a right is there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from service.act.kind import AnyKind
from service.model.action import Grant, Permission

Object: TypeAlias = dict[str, Any]  # Any: JSON
_RBAC = "rbac.authorization.k8s.io"
_READ = ("get", "list")

# What the diagnoses read. No Secrets.
READING: Sequence[Permission] = (
    Permission("", "pods", _READ),
    Permission("", "pods/log", _READ),
    Permission("", "events", _READ),
    Permission("apps", "deployments", _READ),
    Permission("apps", "statefulsets", _READ),
    Permission("apps", "replicasets", _READ),
    Permission("apps", "deployments/scale", _READ),
    Permission("apps", "statefulsets/scale", _READ),
    Permission("autoscaling", "horizontalpodautoscalers", _READ),
    Permission("metrics.k8s.io", "pods", _READ),
    Permission("keda.sh", "scaledobjects", ("list",)),
    Permission("", "services", _READ),
    Permission("", "serviceaccounts", _READ),
    Permission("", "configmaps", _READ),
    Permission("", "persistentvolumeclaims", _READ),
    Permission("apps", "daemonsets", _READ),
    Permission("batch", "jobs", _READ),
    Permission("discovery.k8s.io", "endpointslices", _READ),
    Permission("policy", "poddisruptionbudgets", ("list",)),
    Permission("networking.k8s.io", "networkpolicies", _READ),
    Permission("rbac.authorization.k8s.io", "roles", _READ),
    Permission("rbac.authorization.k8s.io", "rolebindings", _READ),
    Permission("core.strimzi.io", "strimzipodsets", _READ),
)
# Only where PARAMEDIC_KUBERNETES__SECRET_NAMES is set: it lets the account read values too,
# though nothing here does.
SECRET_NAMES = Permission("", "secrets", ("list",))
# These are in no namespace. Without them what is said of nodes and volumes is
# unknown, and nothing else.
READING_NODES: Sequence[Permission] = (
    Permission("", "nodes", _READ),
    Permission("", "pods", ("list",)),  # of all namespaces: what a node has room for
    Permission("", "persistentvolumes", _READ),
    Permission("metrics.k8s.io", "nodes", _READ),
)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The two service accounts, and the namespace they are in. Their names may be the same."""

    namespace: str = "paramedic"
    reader: str = "paramedic"
    actor: str = "paramedic-act"


def reading(kinds: Iterable[AnyKind]) -> tuple[Permission, ...]:
    """What is read in the platform's namespaces: for the diagnoses,
    and who holds what an action would write.
    """
    written = (
        Permission(need.group, need.resource, ("get",))
        for need in acting(kinds)
        if "patch" in need.verbs
    )
    return (*READING, *written)


def acting(kinds: Iterable[AnyKind]) -> tuple[Permission, ...]:
    """What the kinds need on the Kubernetes API."""
    return tuple(need for kind in kinds for need in kind.needs if isinstance(need, Permission))


def rules(permissions: Iterable[Permission]) -> list[Object]:
    """The permissions as the rules of a Role: one for each API group and set of verbs, sorted."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for needed in permissions:
        verbs.setdefault((needed.group, needed.resource), set()).update(needed.verbs)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), wanted in sorted(verbs.items()):
        together.setdefault((group, tuple(sorted(wanted))), []).append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(wanted)}
        for (group, wanted), resources in sorted(together.items())
    ]


def manifests(
    kinds: Sequence[AnyKind],
    namespaces: Sequence[str],
    accounts: Accounts,
    also: Sequence[Permission] = (),
    *,
    secret_names: bool = False,
) -> list[Object]:
    """Roles and bindings of both accounts in each namespace, and the ClusterRole for nodes.

    `also` is what the acting account needs beside the kinds: what the sinks write.
    """
    found: list[Object] = []
    read = (*reading(kinds), SECRET_NAMES) if secret_names else reading(kinds)
    roles = {
        "paramedic-read": (accounts.reader, rules(read)),
        "paramedic-act": (accounts.actor, rules((*acting(kinds), *also))),
    }
    for namespace in namespaces:
        for name, (account, wanted) in roles.items():
            if wanted:
                found += _bound("Role", name, namespace, account, wanted, accounts)
    nodes = rules(READING_NODES)
    found += _bound("ClusterRole", "paramedic-nodes", "", accounts.reader, nodes, accounts)
    return found


def _bound(
    kind: str, name: str, namespace: str, account: str, wanted: list[Object], accounts: Accounts
) -> list[Object]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": accounts.namespace}
    return [
        {"apiVersion": f"{_RBAC}/v1", "kind": kind, "metadata": metadata, "rules": wanted},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": name},
            "subjects": [subject],
        },
    ]


def as_yaml(
    kinds: Sequence[AnyKind],
    namespaces: Sequence[str],
    accounts: Accounts | None = None,
    also: Sequence[Permission] = (),
    *,
    secret_names: bool = False,
) -> str:
    """The manifests as `kubectl apply` takes them, with what the acting account
    writes as a comment on top.
    """
    found = manifests(kinds, namespaces, accounts or Accounts(), also, secret_names=secret_names)
    written = sorted(f"#   {need.resource}: {need.fields}" for need in acting(kinds) if need.fields)
    head = "# Kubernetes cannot hold an account to fields. What is written, and nothing else:\n"
    lines = "".join(f"{line}\n" for line in dict.fromkeys(written))
    text = yaml.safe_dump_all(found, sort_keys=False, default_flow_style=None, width=110)
    return f"{head}{lines}{text}" if lines else text


def grants(kinds: Iterable[AnyKind], user: str, databases: Sequence[str] = ()) -> tuple[str, ...]:
    """The GRANTs for the acting user of ClickHouse, on `databases` alone where a right allows
    it.
    """
    found: dict[str, None] = {}
    for kind in kinds:
        for need in kind.needs:
            if isinstance(need, Grant):
                found |= dict.fromkeys(_narrowed(need.text, databases))
    return tuple(f"GRANT {right} TO {quoted(user)}" for right in found)


def _narrowed(text: str, databases: Sequence[str]) -> Sequence[str]:
    right, every, _ = text.partition(" ON *.*")
    # Queries belong to no database.
    if not databases or not every or right == "KILL QUERY":
        return (text,)
    return tuple(f"{right} ON {quoted(database)}.*" for database in databases)


def quoted(name: str) -> str:
    """An identifier of ClickHouse."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def of(kinds: Mapping[str, AnyKind], enabled: Iterable[str]) -> tuple[AnyKind, ...]:
    """The kinds of the enabled rungs, each once, in the order of the registry."""
    wanted = set(enabled)
    return tuple(kind for name, kind in kinds.items() if name in wanted)
