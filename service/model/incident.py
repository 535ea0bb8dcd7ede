"""An incident: one target under one playbook, from its first alert to its outcome."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.model.alert import Alert
from service.model.reasons import Reason
from service.model.target import Target


class IncidentState(StrEnum):
    """Where an incident stands."""

    OPEN = "open"  # Paramedic works on it, now or at `due_at`
    HEALED = "healed"  # proved; it is read again now and then until its alerts resolve
    HANDED_OVER = "handed_over"  # a person has it; it closes when its alerts resolve
    CLOSED = "closed"


class OutcomeKind(StrEnum):
    """How an action, and with it an incident, ended."""

    HEALED = "healed"  # the healed condition held for the written number of readings
    NOT_HEALED = "not_healed"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"  # the readings were Unknown
    FAILED = "failed"  # the action itself did not happen


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verification's verdict."""

    kind: OutcomeKind
    reason: Reason
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Move:
    """Where an incident goes next, and why. `due_at` None: nothing to do until an alert changes."""

    state: IncidentState
    reason: Reason
    detail: str
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as the worker holds it. `alerts` are all its episodes, firing and resolved."""

    id: str
    playbook: str
    target: Target
    state: IncidentState
    reason: Reason | None
    opened_at: datetime
    due_at: datetime
    closed_at: datetime | None
    outcome: OutcomeKind | None = None  # of its last verified action
    alerts: tuple[Alert, ...] = ()

    @property
    def firing(self) -> tuple[Alert, ...]:
        return tuple(a for a in self.alerts if a.status == "firing")
