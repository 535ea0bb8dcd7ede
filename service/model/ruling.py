"""What the ladder proposes and what the guard rules, each with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.model.action import Intent, Mode, Request
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
class Ruling:
    """The guard's verdict. `retry_at` is when asking again makes sense; None hands over to a person."""

    verdict: Verdict
    guard: str
    reason: Reason
    detail: str
    mode: Mode = Mode.OBSERVE
    intent: Intent[Any] | None = None
    retry_at: datetime | None = None

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOW


@dataclass(frozen=True, slots=True)
class PastAction:
    """A line of the ledger, as the guard and the ladder see it."""

    action_id: str
    incident_id: str
    playbook: str
    target_key: str
    rung: str
    kind: str
    intended_at: datetime
    settled: bool  # it has an outcome


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows when the guard asks; read inside the transaction that writes the intent."""

    firing_alerts: int
    on_target: Sequence[PastAction] = ()
    in_playbook: Sequence[PastAction] = ()
    overall: Sequence[PastAction] = ()
    tried: Mapping[str, int] = field(default_factory=dict)  # rung -> times in this incident
