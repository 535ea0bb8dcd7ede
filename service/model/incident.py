"""An incident: one target under one playbook, from its first alert to its outcome."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.model.action import ActionResult, Intent
from service.model.alert import Alert
from service.model.approval import Approval
from service.model.course import Course
from service.model.evidence import Facts
from service.model.reasons import Reason
from service.model.target import Target


class IncidentState(StrEnum):
    """Where an incident stands. What it waits for is due at `due_at`; no wait is anywhere else."""

    OPEN = "open"  # to be diagnosed, now or later
    ACTING = "acting"  # an intent is durable, and its action not known to have ended
    WAITING = "waiting"  # an action is proposed, and waits for a person's word
    VERIFYING = "verifying"  # an action was done, and is read again and again
    HEALED = "healed"  # proved; it is looked at now and then until its alerts resolve
    ESCALATED = "escalated"  # a person has it; it closes when its alerts resolve
    CLOSED = "closed"


class OutcomeKind(StrEnum):
    """How an action, and with it an incident, ended."""

    HEALED = "healed"  # the healed condition held for the written number of readings
    NOT_HEALED = "not_healed"
    WORSE = "worse"
    REVERTED = "reverted"  # somebody changed the written field back
    INCONCLUSIVE = "inconclusive"  # the readings were Unknown, or nobody knows whether it was done
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
class Progress:
    """How far an action has come: its attempts while it is being done,
    its readings while it is being verified.
    """

    attempts: int = 0
    started: bool = False  # it goes on at its backend, however long that takes
    unsure_since: datetime | None = (
        None  # a reply was lost then, and reading back has not told since
    )
    in_a_row: int = 0  # good readings
    due_at: datetime | None = None  # when the next reading is wanted
    read_at: datetime | None = None  # the last reading, also one that told nothing
    ends_at: datetime | None = None  # the time for healing is over then; blind time has moved it
    lengthened_s: float = 0.0  # by how much in all
    verdict: Outcome | None = None  # it has one; its return waits for the guards to let it pass


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An action without an outcome: intended, perhaps sent, perhaps done and being verified."""

    intent: Intent[Any]  # Any: the request differs from kind to kind
    result: ActionResult | None
    before: Facts  # what the decision was made on
    progress: Progress


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
    under_way: UnderWay | None = None
    approval: Approval | None = None  # the open proposal, while it waits
    quiet: int = 0  # how many looks in a row have changed nothing
    course: Course | None = None  # the last one that was asked for or begun

    @property
    def firing(self) -> tuple[Alert, ...]:
        return tuple(a for a in self.alerts if a.status == "firing")

    @property
    def diagnose_only(self) -> bool:
        """Every alert that fires says `remediate="diagnose"`: people want to know,
        and nothing is to be done.
        """
        return all(a.labels.get("remediate") == "diagnose" for a in self.firing)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to take one step of one incident. Each claim of an incident has a
    higher number than the last.
    """

    incident_id: str
    owner: str
    number: int


@dataclass(frozen=True, slots=True)
class Held:
    """An incident with the claim under which it is worked on."""

    incident: Incident
    claim: Claim = field(compare=False)
