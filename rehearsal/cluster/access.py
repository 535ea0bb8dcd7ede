"""Who asks, and what they may do: bearer tokens, rules in the shape of RBAC, access reviews.

Without any identity everyone is the administrator. Never here: Roles and RoleBindings as objects.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rehearsal.cluster import refusal
from rehearsal.cluster.objects import Object
from rehearsal.cluster.refusal import Cause
from rehearsal.cluster.routing import Target

_PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = (
    'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group '
    '"system:authenticated"'
)


@dataclass(frozen=True, slots=True)
class Rule:
    """`resources` name subresources as `pods/log`. `*` is any.
    `names` limits a rule to these objects.
    """

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...] = ()

    def allows(self, verb: str, group: str, resource: str, name: str) -> bool:
        return (
            _among(verb, self.verbs)
            and _among(group, self.groups)
            and _among(resource, self.resources)
            and (not self.names or name in self.names)
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, and its rules in one namespace (none: in all, and at the cluster scope)."""

    user: str
    rules: tuple[Rule, ...] = ()
    namespace: str = ""
    because: str = ""  # the reason a review gives for a yes

    @classmethod
    def of_role(cls, service_account: str, role: Object) -> "Identity":
        """A service account bound to one Role of its own namespace."""
        namespace, name = role["metadata"]["namespace"], role["metadata"]["name"]
        rules = tuple(
            Rule(
                tuple(rule["verbs"]),
                tuple(rule["apiGroups"]),
                tuple(rule["resources"]),
                tuple(rule.get("resourceNames", ())),
            )
            for rule in role["rules"]
        )
        because = (
            f'RBAC: allowed by RoleBinding "{namespace}/{name}" of Role "{name}" to ServiceAccount '
            f'"{namespace}/{service_account}"'
        )
        return cls(
            f"system:serviceaccount:{namespace}:{service_account}", rules, namespace, because
        )

    def may(self, verb: str, group: str, resource: str, namespace: str, name: str) -> bool:
        if self.namespace and namespace != self.namespace:
            return False
        return any(rule.allows(verb, group, resource, name) for rule in self.rules)


ADMIN = Identity("kubernetes-admin", (Rule(("*",), ("*",), ("*",)),))
ANONYMOUS = Identity("system:anonymous")


def _among(value: str, allowed: Iterable[str]) -> bool:
    return any(entry in {"*", value} for entry in allowed)


def identify(authorization: str | None, identities: Mapping[str, Identity]) -> Identity:
    """401 for a token that nobody knows. No token at all is a user like any other, with no
    rights.
    """
    if not identities:
        return ADMIN
    if not authorization:
        return ANONYMOUS
    found = identities.get(authorization.removeprefix("Bearer ").strip())
    if found is None:
        raise refusal.unauthorized()
    return found


def authorize(identity: Identity, target: Target) -> None:
    """403, before anybody looks whether the object exists."""
    resource = target.resource
    if resource.plural.startswith("selfsubject") and identity is not ANONYMOUS:
        return
    asked = f"{resource.plural}/{target.subresource}" if target.subresource else resource.plural
    if identity.may(target.verb, resource.group, asked, target.namespace, target.name):
        return
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    raise refusal.forbidden(
        resource,
        target.name,
        f'User "{identity.user}" cannot {target.verb} resource "{asked}" '
        f'in API group "{resource.group}" {where}',
    )


def of_user(user: str, identities: Mapping[str, Identity]) -> Identity:
    """Whom a review of somebody else asks about: a user that nobody knows has no rights."""
    return next((known for known in identities.values() if known.user == user), Identity(user))


def review(identity: Identity, body: Any, kind: str) -> Object:
    """Of oneself or of another: whatever the verdict it is 201, and a no is `allowed:
    false` and nothing else.
    """
    spec = body.get("spec", {}) if isinstance(body, dict) else {}
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (asked is None) == (path is None):
        cause = Cause(
            "FieldValueInvalid",
            "spec.resourceAttributes",
            "Invalid value: null: exactly one of "
            "nonResourceAttributes or resourceAttributes must be specified",
        )
        raise refusal.invalid("", "authorization.k8s.io", "", [cause])
    status: Object
    if path is not None:
        allowed = identity is ADMIN or path.get("path") in _PUBLIC_PATHS
        status = {"allowed": allowed} | (
            {"reason": _DISCOVERY} if allowed and identity is not ADMIN else {}
        )
    else:
        status = _verdict(identity, asked or {})
    echoed = {
        part: {key: value for key, value in attributes.items() if value}
        if isinstance(attributes, dict)
        else attributes
        for part, attributes in spec.items()
    }
    return {
        "kind": kind,
        "apiVersion": "authorization.k8s.io/v1",
        "metadata": {},
        "spec": echoed,
        "status": status,
    }


def _verdict(identity: Identity, asked: Object) -> Object:
    resource = asked.get("resource", "")
    if asked.get("subresource"):
        resource += f"/{asked['subresource']}"
    if not identity.may(
        asked.get("verb", ""),
        asked.get("group", ""),
        resource,
        asked.get("namespace", ""),
        asked.get("name", ""),
    ):
        return {"allowed": False}
    return {"allowed": True} | ({"reason": identity.because} if identity.because else {})
