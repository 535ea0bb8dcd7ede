"""What may be done to a target: concrete, bounded requests, and the intent that is durable before each.

A request says exactly what the world shall look like (replicas 4, not one more), so that doing it twice is
doing it once and reading the target back tells whether it was done.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, TypeAlias

from service.model.reasons import Reason
from service.model.target import Target


class Mode(StrEnum):
    """How far a remedy may go. The global ceiling can only lower a rung's own mode."""

    OBSERVE = "observe"  # say what would be done
    DRY_RUN = "dry_run"  # let the server check the write and do nothing
    APPROVE = "approve"  # do it when a person has said yes
    AUTO = "auto"  # do it

    @property
    def height(self) -> int:
        """Its place in the order observe < dry_run < approve < auto."""
        return list(Mode).index(self)

    def capped(self, ceiling: "Mode") -> "Mode":
        """The lower of the two."""
        return self if self.height <= ceiling.height else ceiling


@dataclass(frozen=True, slots=True)
class Scale:
    """Set the replica count from the one that was seen to another. Idempotent: the count is absolute."""

    kind: ClassVar[str] = "scale"
    target: Target
    from_replicas: int
    to_replicas: int

    def __str__(self) -> str:
        return f"scale {self.target} from {self.from_replicas} to {self.to_replicas}"


@dataclass(frozen=True, slots=True)
class RolloutRestart:
    """Restart every pod by the workload's own rollout. Idempotent: the annotation is the action's id."""

    kind: ClassVar[str] = "rollout_restart"
    target: Target

    def __str__(self) -> str:
        return f"rollout restart {self.target}"


@dataclass(frozen=True, slots=True)
class KillQuery:
    """End one running query of one user that has run for at least `min_elapsed_s`."""

    kind: ClassVar[str] = "kill_query"
    target: Target
    query_id: str
    user: str
    min_elapsed_s: float

    def __str__(self) -> str:
        return f"kill query {self.query_id} of {self.user or 'the anonymous user'}"


Action: TypeAlias = Scale | RolloutRestart | KillQuery


@dataclass(frozen=True, slots=True)
class Intent:
    """The promise to do one action once, committed before the action is sent."""

    action_id: str
    incident_id: str
    rung: str
    action: Action
    mode: Mode  # AUTO or DRY_RUN
    intended_at: datetime


class Applied(StrEnum):
    """What became of an action on its target."""

    DONE = "done"
    DRY = "dry"  # the server checked it and did nothing
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ActionResult:
    """How the action itself ended; whether it helped is the verification's to say."""

    applied: Applied
    reason: Reason
    detail: str
    at: datetime
