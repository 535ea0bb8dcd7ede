"""What a test or a demo scripts for the pods of a workload,
and whether it still strikes a pod as it is now.

    cluster.break_pods("carbon-ingestion", "normalization-service", CrashLoop(exit_code=1,
    lines=("no route",))) cluster.break_pods("carbon-ingestion", "aggregation-service",
    OutOfMemory(needs="1536Mi")) cluster.break_pods("carbon-ingestion", "enrichment-service",
    SlowStart(needs_s=50)) cluster.break_pods("carbon-ingestion", "connector-registry",
    MissingReference("configmap", "connectors-config")) cluster.break_pods("carbon-ingestion",
    "kafka", Unready(), pod="kafka-0")

Some heal by the remedy: OutOfMemory when the container's memory limit is raised to what it needs,
SlowStart when the liveness probe waits long enough, MissingReference when the object (and key) is
there or is named no more. All heal with `Broken.heal()`. An image that cannot be pulled is
`cluster.missing_images`; a pod that fits no node is made by its request. Pure but for the list of
what is in force. Never here: statuses, events, the clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from rehearsal.cluster import quantity
from rehearsal.cluster.objects import Object, name_of, namespace_of


@dataclass(frozen=True, slots=True)
class CrashLoop:
    """The container ends again and again: CrashLoopBackOff, its lines in the previous log."""

    exit_code: int = 1
    reason: str = "Error"
    lines: tuple[str, ...] = ()
    after_s: float = 2.0  # from its start to its end


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """OOMKilled, 137, while the container's memory limit is below what it needs."""

    needs: str = "1536Mi"
    after_s: float = 6.0
    exit_code: ClassVar[int] = 137
    reason: ClassVar[str] = "OOMKilled"
    lines: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class SlowStart:
    """Killed by its liveness probe (137, Error) unless the probe waits until it listens."""

    needs_s: float = 50.0
    exit_code: ClassVar[int] = 137
    reason: ClassVar[str] = "Error"
    lines: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True)
class MissingReference:
    """CreateContainerConfigError of a new pod that names it. `kind` is configmap or secret."""

    kind: str
    name: str
    key: str = ""

    def message(self, namespace: str) -> str:
        if self.key:
            kind = {"configmap": "ConfigMap", "secret": "Secret"}[self.kind]
            return f"couldn't find key {self.key} in {kind} {namespace}/{self.name}"
        return f'{self.kind} "{self.name}" not found'


@dataclass(frozen=True, slots=True)
class Unready:
    """Running, not restarted, not ready: the readiness probe fails."""


Ending = CrashLoop | OutOfMemory | SlowStart
Failure = Ending | MissingReference | Unready


class Broken:
    """A failure in force."""

    def __init__(
        self,
        namespace: str,
        workload: str,
        failure: Failure,
        pod: str,
        container: str,
        healed: Callable[["Broken"], None],
    ) -> None:
        self.namespace = namespace
        self.workload = workload
        self.failure = failure
        self.pod = pod
        self.container = container
        self._healed = healed

    def heal(self) -> None:
        """The cause is gone: the next start succeeds, an unready pod becomes ready."""
        self._healed(self)

    def concerns(self, pod: Object) -> bool:
        if namespace_of(pod) != self.namespace or self.pod not in {"", name_of(pod)}:
            return False
        owners = [entry["name"] for entry in pod["metadata"].get("ownerReferences", [])]
        return any(self.workload in {owner, owner.rpartition("-")[0]} for owner in owners)

    def container_of(self, pod: Object) -> Object:
        containers = pod["spec"]["containers"]
        return dict(
            next((entry for entry in containers if entry["name"] == self.container), containers[0])
        )


def ends_after_s(failure: Ending, container: Object) -> float | None:
    """How long the container lives; None: as it is configured now it stays."""
    match failure:
        case CrashLoop():
            return failure.after_s
        case OutOfMemory():
            limit = quantity.value(
                container.get("resources", {}).get("limits", {}).get("memory", "")
            )
            needs = quantity.value(failure.needs) or 0
            return failure.after_s if limit is not None and limit < needs else None
        case SlowStart():
            probe = container.get("livenessProbe")
            patience = None if probe is None else probe_patience_s(probe)
            return patience if patience is not None and patience < failure.needs_s else None


def probe_patience_s(probe: Object) -> float:
    """From the start of the container to the failure that kills it."""
    failures = float(probe.get("failureThreshold", 3))
    return float(probe.get("initialDelaySeconds", 0)) + float(probe.get("periodSeconds", 10)) * (
        failures - 1
    )


def names(pod: Object, reference: MissingReference) -> bool:
    """Whether a container takes its environment from it."""
    field, key_field = {
        "configmap": ("configMapRef", "configMapKeyRef"),
        "secret": ("secretRef", "secretKeyRef"),
    }[reference.kind]
    for container in pod["spec"]["containers"]:
        whole = [entry.get(field, {}).get("name") for entry in container.get("envFrom", [])]
        keys = [entry.get("valueFrom", {}).get(key_field, {}) for entry in container.get("env", [])]
        if reference.name in whole and not reference.key:
            return True
        if any(
            entry.get("name") == reference.name and reference.key in {"", entry.get("key")}
            for entry in keys
        ):
            return True
    return False
