"""What a remedy is aimed at: one thing with a name in one namespace."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.model.objects import ObjectRef


class TargetKind(StrEnum):
    """Kinds of thing that an alert can be about."""

    DEPLOYMENT = "Deployment"
    STATEFULSET = "StatefulSet"


_PLURALS = {TargetKind.DEPLOYMENT: "deployments", TargetKind.STATEFULSET: "statefulsets"}


@dataclass(frozen=True, slots=True)
class Target:
    """One thing. `key` is its name in the ledger, in logs and in budgets."""

    kind: TargetKind
    namespace: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"

    @property
    def ref(self) -> ObjectRef | None:
        """The object of the Kubernetes API that it is, where it is one."""
        plural = _PLURALS.get(self.kind)
        if plural is None:
            return None
        return ObjectRef("apps/v1", plural, self.kind.value, self.namespace, self.name)

    @property
    def view(self) -> Mapping[str, str]:
        """As conditions and templates name it: `target.kind`, `target.namespace`, `target.name`."""
        return {"kind": self.kind.value, "namespace": self.namespace, "name": self.name}

    def __str__(self) -> str:
        return self.key
