"""What the ladder proposes and what the guard rules, each with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from service.model.action import Mode, Request
from service.model.control import NOTHING_SAID, Control
from service.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Considered:
    """One rung and why it was taken or passed over; `reason` is None for the chosen one."""

    rung: str
    when: str
    reason: Reason | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The ladder's result: the first action that the evidence supports, or why there is none."""

    considered: tuple[Considered, ...]
    reason: Reason | None  # why nothing is proposed; None when an action is
    rung: str | None = None
    kind: str | None = None
    request: Request | None = None
    mode: Mode = Mode.OBSERVE
    evidence_at: datetime | None = None


class Verdict(StrEnum):
    """The guard's word."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one guard says; `reason` is None when it lets the action pass."""

    guard: str
    reason: Reason | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The guards' verdict. `retry_at` is when asking again makes sense; None escalates."""

    verdict: Verdict
    guard: str
    reason: Reason
    detail: str
    mode: Mode = Mode.OBSERVE
    retry_at: datetime | None = None
    answers: tuple[Answer, ...] = ()

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOW


@dataclass(frozen=True, slots=True)
class PastAction:
    """A line of the ledger, as guards see it."""

    action_id: str
    incident_id: str
    playbook: str
    target_key: str
    rung: str
    kind: str
    intended_at: datetime
    settled_at: datetime | None  # None: it has no outcome yet
    outcome: str | None = None
    namespace: str = ""


class OpenCause(NamedTuple):
    """An open incident in the target's namespace whose playbook explains the one that asks."""

    incident_id: str
    playbook: str


@dataclass(frozen=True, slots=True)
class BreakerState:
    """New incidents lately, and until when the circuit breaker holds everything; None: it does
    not.
    """

    opened: int = 0
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows when the guards are asked; read inside the
    transaction that writes the intent.

    Each list has the newest lines only, newest first: as many as the guards count in its scope,
    and all that have no outcome yet. `under_treatment` are all that have none, anywhere.
    """

    firing_alerts: int
    heard_at: datetime | None = None  # when Alertmanager last told of one of the firing alerts
    on_target: Sequence[PastAction] = ()
    in_playbook: Sequence[PastAction] = ()
    overall: Sequence[PastAction] = ()
    causes_open: Sequence[OpenCause] = ()  # oldest first, a few of them
    of_rung: Sequence[PastAction] = ()  # this rung of this playbook, on this target
    in_namespace: Sequence[PastAction] = ()
    under_treatment: Sequence[PastAction] = ()
    breaker: BreakerState = field(default_factory=BreakerState)
    approval: str | None = None  # how the incident's last proposal stands, where it waited
    control: Control = NOTHING_SAID  # what people have said about all actions
    stop_by: str = ""  # who wants the course stopped whose step it is
