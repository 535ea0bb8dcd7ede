"""What a remedy is aimed at: one workload in one namespace."""

from dataclasses import dataclass
from enum import StrEnum


class TargetKind(StrEnum):
    """Kinds of workload that an alert can be about."""

    DEPLOYMENT = "Deployment"
    STATEFULSET = "StatefulSet"


@dataclass(frozen=True, slots=True)
class Target:
    """One workload. `key` is its name in the ledger, in logs and as the lock."""

    kind: TargetKind
    namespace: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return self.key
