"""What a service account may do: its roles as RBAC has them;
and what this process may do, as the server says.

For the process itself the server answers (SelfSubjectAccessReview); for another account its
bindings and roles are read, for asking about others is a right that a repairer should not have.
Rights from groups that are bound elsewhere, and from other authorizers than RBAC, are not seen.
Never here: which right is needed (a playbook says so).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.probes.snapshot import pages
from service.kit.deadline import Deadline
from service.model.errors import BadInput, ParamedicError, Refused
from service.model.reasons import Reason

MOST = 50
_RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Access:
    """Rights are written `verb group/resource/name`: `list pods`,
    `patch apps/deployments/normalization-service`.
    """

    account: str  # the service account that was looked at
    account_exists: bool
    allowed: tuple[str, ...]  # rights it has, of those it needs
    denied: tuple[str, ...]  # rights it lacks, of those it needs
    first_denied: str  # "" when it lacks none
    roles: tuple[str, ...]  # Kind/name of the roles that are bound to it in this namespace
    unreadable_roles: tuple[
        str, ...
    ]  # of these, those that could not be read: their rights are not known
    own_denied: tuple[
        str, ...
    ]  # rights that this process lacks, of those it needs; empty where none was asked for


@dataclass(frozen=True, slots=True)
class Right:
    """One right in a namespace."""

    verb: str
    group: str  # "" for the core group
    resource: str
    subresource: str  # "" for none
    name: str  # "" for all

    def __str__(self) -> str:
        resource = f"{self.resource}:{self.subresource}" if self.subresource else self.resource
        of = "/".join(part for part in (self.group, resource) if part)
        return f"{self.verb} {of}{'/' + self.name if self.name else ''}"


def right(text: str) -> Right:
    """Of `get pods:log`, `list pods`, `patch apps/deployments/NAME` or `get
    core/configmaps/NAME` the parts.
    """
    verb, _, what = text.strip().partition(" ")
    parts = what.strip().split("/")
    if not verb or not parts[0] or len(parts) > 3:
        raise BadInput(
            Reason.INVALID_REQUEST, f"{text[:80]!r} is not a right; write: patch apps/deployments"
        )
    group = parts.pop(0) if len(parts) > 1 else ""
    resource, _, sub = parts[0].partition(":")
    return Right(
        verb, "" if group == "core" else group, resource, sub, parts[1] if parts[1:] else ""
    )


async def access(
    kubernetes: KubernetesReader,
    namespace: str,
    account: str,
    needs: Sequence[str],
    own_needs: Sequence[str] = (),
    *,
    deadline: Deadline,
) -> Access:
    """The rights now, all at once. Raises what the reader raises."""
    wanted, own = [right(n) for n in needs[:MOST]], [right(n) for n in own_needs[:MOST]]
    async with asyncio.TaskGroup() as tasks:
        exists = tasks.create_task(_exists(kubernetes, namespace, account, deadline))
        rules = tasks.create_task(_rules(kubernetes, namespace, account, deadline))
        asked = [
            tasks.create_task(kubernetes.review(_attributes(r, namespace), deadline=deadline))
            for r in own
        ]
    by_role = rules.result()
    known = [rule for rules_of in by_role.values() for rule in rules_of or ()]
    has = {r: any(_grants(rule, r) for rule in known) for r in wanted}
    denied = tuple(str(r) for r in wanted if not has[r])
    return Access(
        account=account,
        account_exists=exists.result(),
        allowed=tuple(str(r) for r in wanted if has[r]),
        denied=denied,
        first_denied=denied[0] if denied else "",
        roles=tuple(sorted(by_role)),
        unreadable_roles=tuple(sorted(role for role, of in by_role.items() if of is None)),
        own_denied=tuple(str(r) for r, t in zip(own, asked, strict=True) if not t.result()),
    )


async def _exists(
    kubernetes: KubernetesReader, namespace: str, account: str, deadline: Deadline
) -> bool:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}"
    try:
        await kubernetes.get(path, deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return False
        raise
    return True


async def _rules(
    kubernetes: KubernetesReader, namespace: str, account: str, deadline: Deadline
) -> Mapping[str, Sequence[Object] | None]:
    """The rules of each role that is bound to the account, by Kind/name;
    None for a role that cannot be read.
    """
    path = f"{_RBAC}/namespaces/{namespace}/rolebindings"
    bound = set()
    async for binding in pages(kubernetes, path, deadline=deadline):
        if any(_is(subject, namespace, account) for subject in binding.get("subjects") or ()):
            reference = binding.get("roleRef") or {}
            bound.add((str(reference.get("kind", "")), str(reference.get("name", ""))))
    wanted = sorted(bound)[:MOST]
    found = await asyncio.gather(*(_role(kubernetes, namespace, *of, deadline) for of in wanted))
    return {f"{kind}/{n}": rules for (kind, n), rules in zip(wanted, found, strict=True)}


async def _role(
    kubernetes: KubernetesReader, namespace: str, kind: str, role: str, deadline: Deadline
) -> Sequence[Object] | None:
    inside = f"namespaces/{namespace}/roles" if kind == "Role" else "clusterroles"
    try:
        found = await kubernetes.get(f"{_RBAC}/{inside}/{role}", deadline=deadline)
    except Refused as error:
        # A binding to a role that does not exist grants nothing.
        return [] if error.reason is Reason.NOT_FOUND else None
    except ParamedicError:
        return None
    rules: Sequence[Object] = found.get("rules") or ()
    return rules


def _is(subject: Mapping[str, Any], namespace: str, account: str) -> bool:  # Any: JSON
    kind, of = subject.get("kind"), subject.get("name")
    if kind == "ServiceAccount":
        return of == account and subject.get("namespace", namespace) == namespace
    if kind == "Group":
        everyone = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        return of in (*everyone, "system:authenticated")
    return kind == "User" and of == f"system:serviceaccount:{namespace}:{account}"


def _grants(rule: Object, wanted: Right) -> bool:
    resource = f"{wanted.resource}/{wanted.subresource}" if wanted.subresource else wanted.resource
    names = rule.get("resourceNames") or ()
    return (
        _holds(rule.get("verbs"), wanted.verb)
        and _holds(rule.get("apiGroups"), wanted.group)
        and _holds(rule.get("resources"), resource)
        and (not names or wanted.name in names)
    )


def _holds(listed: Iterable[str] | None, wanted: str) -> bool:
    return any(item in ("*", wanted) for item in listed or ())


def _attributes(of: Right, namespace: str) -> Mapping[str, str]:
    fields = {
        "namespace": namespace,
        "verb": of.verb,
        "group": of.group,
        "resource": of.resource,
        "subresource": of.subresource,
        "name": of.name,
    }
    return {field: value for field, value in fields.items() if value}
