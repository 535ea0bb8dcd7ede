"""What a remedy is aimed at: one thing with a name in one namespace."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.model.objects import ObjectRef


class TargetKind(StrEnum):
    """Kinds of thing that an alert can be about."""

    # Objects of the Kubernetes API.
    DEPLOYMENT = "Deployment"
    STATEFULSET = "StatefulSet"
    DAEMONSET = "DaemonSet"
    JOB = "Job"
    CRONJOB = "CronJob"
    POD = "Pod"
    PERSISTENT_VOLUME_CLAIM = "PersistentVolumeClaim"

    # Things of other systems, or with no object that would be read.
    # A Secret is one of them: it is never read.
    CONSUMER_GROUP = "ConsumerGroup"
    TOPIC = "Topic"
    TABLE = "Table"
    CONNECTOR = "Connector"
    DESTINATION = "Destination"  # what something connects to
    CERTIFICATE = "Certificate"
    SECRET = "Secret"  # noqa: S105 - a kind, not a secret
    NAMESPACE = "Namespace"
    PLATFORM = "Platform"  # all services of a namespace together


_APPS, _BATCH, _CORE = "apps/v1", "batch/v1", "v1"
_OBJECTS: Mapping[TargetKind, tuple[str, str]] = {
    TargetKind.DEPLOYMENT: (_APPS, "deployments"),
    TargetKind.STATEFULSET: (_APPS, "statefulsets"),
    TargetKind.DAEMONSET: (_APPS, "daemonsets"),
    TargetKind.JOB: (_BATCH, "jobs"),
    TargetKind.CRONJOB: (_BATCH, "cronjobs"),
    TargetKind.POD: (_CORE, "pods"),
    TargetKind.PERSISTENT_VOLUME_CLAIM: (_CORE, "persistentvolumeclaims"),
}

# What runs pods, and a pod itself: a playbook says which of these its remedies are made for.
RUNNING = (
    TargetKind.DEPLOYMENT,
    TargetKind.STATEFULSET,
    TargetKind.DAEMONSET,
    TargetKind.JOB,
    TargetKind.CRONJOB,
    TargetKind.POD,
)
# What has a pod template that is patched and rolled out, and a count of replicas.
WORKLOADS = (TargetKind.DEPLOYMENT, TargetKind.STATEFULSET)


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
        known = _OBJECTS.get(self.kind)
        if known is None:
            return None
        api, plural = known
        return ObjectRef(api, plural, self.kind.value, self.namespace, self.name)

    @property
    def workload(self) -> ObjectRef | None:
        """The Deployment or StatefulSet that it is, where it is one."""
        return self.ref if self.kind in WORKLOADS else None

    @property
    def view(self) -> Mapping[str, str]:
        """As conditions and templates name it: `target.kind`, `target.namespace`, `target.name`."""
        return {"kind": self.kind.value, "namespace": self.namespace, "name": self.name}

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True)
class Owner:
    """Where a pod's chain of controlling owners leads: to a target, or,
    without one, `detail` says why not.
    """

    chain: tuple[str, ...]  # the pod first
    target: Target | None = None
    detail: str = ""
