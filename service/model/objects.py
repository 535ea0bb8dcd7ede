"""Objects of the Kubernetes API, their fields, and who holds a field."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

# One step per element, as managedFields name them without their `f:`; an item of a list by its key:
# ("spec", "template", "spec", "containers", 'k:{"name":"app"}', "resources").
FieldPath: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object. `api` is `v1` or `apps/v1`; `plural` is the collection's name in the path."""

    api: str
    plural: str
    kind: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Its path on the API server."""
        root = "/api/" if "/" not in self.api else "/apis/"
        inside = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{self.api}{inside}/{self.plural}/{self.name}"

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.namespace}/{self.name}"
            if self.namespace
            else f"{self.kind} {self.name}"
        )


@dataclass(frozen=True, slots=True)
class Write:
    """One field that a request sets, and to what; a value of None takes the field away.

    Not `known`: what the value will be is not to be said beforehand,
    only who holds the field is asked for.
    """

    ref: ObjectRef
    path: FieldPath
    value: Any  # Any: a JSON value
    known: bool = True

    @property
    def key(self) -> str:
        """The field as `Survey` and records name it."""
        return ".".join(self.path)

    def __str__(self) -> str:
        return f"{self.ref} {self.key}"


class System(StrEnum):
    """What may restore a field that somebody else has written."""

    ARGO_CD = "argo_cd"
    FLUX = "flux"
    HELM = "helm"
    OPERATOR = "operator"
    AUTOSCALER = "autoscaler"  # a HorizontalPodAutoscaler
    KEDA = "keda"
    OTHER = "other"  # a field manager of no system that is known here


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a field. `restores`: it writes the field back by itself when
    somebody else has changed it.
    """

    system: System
    name: str  # as a person would look for it: "Kustomization flux-system/carbon"
    manager: str = ""  # the field manager, where managedFields name one
    restores: bool = True


@dataclass(frozen=True, slots=True)
class Survey:
    """One object as it stands: which one it is, who holds the fields that were
    asked for, and their values.

    An object that does not exist has an empty uid, and nobody holds anything of it.

    `holders` and `values` are keyed by the field path with dots; a field that nobody holds,
    or that is not there, is not in the map. `changes` is who has changed the object since it
    was made, by field manager, and when last;
    what a controller says in the status is none.
    """

    ref: ObjectRef
    uid: str
    resource_version: str = ""
    generation: int = 0
    holders: Mapping[str, Holder] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON values
    changes: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DisruptionBudget:
    """A PodDisruptionBudget over the target's pods, and how many of them may go now."""

    name: str
    allowed: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a target when it is acted on: read at once with the surveys.

    `ready` is None for a target that runs no pods by itself. `least` are the
    fewest ready pods while the action goes on: `ready` where it takes none away.
    `rollout` tells of one that is in progress.
    """

    workloads: int  # Deployments and StatefulSets of the namespace
    ready: int | None = None
    least: int | None = None
    rollout: str = ""
    budgets: tuple[DisruptionBudget, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """The target itself, as every diagnosis reads it beside the chapter's own probes."""

    uid: str
    generation: int
    owners: tuple[Holder, ...] = ()  # of the whole object, whatever the field
