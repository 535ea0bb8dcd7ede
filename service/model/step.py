"""What happens to an incident, step by step: each is written once, and becomes a row,
a log line and a metric.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeAlias

from service.model.action import ActionResult, Mode
from service.model.approval import ApprovalState, FieldChange
from service.model.course import CourseState
from service.model.evidence import Evidence, Facts
from service.model.incident import IncidentState, Outcome, OutcomeKind
from service.model.playbook import Truth
from service.model.reasons import Reason
from service.model.ruling import Answer, Considered, Verdict


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """All probes have answered or were late."""

    kind: ClassVar[str] = "diagnosed"
    at: datetime
    diagnosis: str
    took_s: float
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Decided:
    """The ladder was walked. `action` is the sentence of what is proposed."""

    kind: ClassVar[str] = "decided"
    at: datetime
    considered: Sequence[Considered]
    chosen: str | None
    action: str | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Ruled:
    """The guard has spoken; `answers` are those of all guards."""

    kind: ClassVar[str] = "ruled"
    at: datetime
    rung: str
    verdict: Verdict
    guard: str
    reason: Reason
    detail: str
    mode: Mode
    action_id: str | None
    retry_at: datetime | None
    answers: Sequence[Answer] = ()
    action: str = ""  # the sentence of what was asked for
    why: str = ""  # the rung's condition, which holds
    commands: Sequence[str] = ()  # for a person, where the no is final
    difference: Sequence[FieldChange] = ()  # what would be written, on the objects as they stand


@dataclass(frozen=True, slots=True)
class Proposed:
    """The action waits for a person's word until `due_at`; under `veto` it is done then,
    unless somebody says no.
    """

    kind: ClassVar[str] = "proposed"
    at: datetime
    approval_id: str
    rung: str
    action: str
    mode: Mode
    due_at: datetime
    two_people: bool
    difference: Sequence[FieldChange]


@dataclass(frozen=True, slots=True)
class Answered:
    """A person has spoken. `asked`: the first of two people said yes."""

    kind: ClassVar[str] = "answered"
    at: datetime
    approval_id: str
    answer: str  # approved, asked or rejected
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A proposal that waited is over: used, rejected, expired or withdrawn."""

    kind: ClassVar[str] = "settled"
    at: datetime
    approval_id: str
    state: ApprovalState
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt at an action has told nothing yet, or the action goes on: it is asked again."""

    kind: ClassVar[str] = "tried"
    at: datetime
    action_id: str
    action: str
    reason: Reason
    detail: str
    again_at: datetime


@dataclass(frozen=True, slots=True)
class Touched:
    """An object of the Kubernetes API that an action is about;
    `uid` is empty where it was not seen.
    """

    api: str  # `apps/v1`
    kind: str
    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Acted:
    """An action has ended."""

    kind: ClassVar[str] = "acted"
    at: datetime
    action_id: str
    rung: str
    action_kind: str
    action: str
    result: ActionResult
    took_s: float
    mode: Mode = Mode.AUTO
    touched: Sequence[Touched] = ()
    returns: str | None = None  # the action that it takes back


@dataclass(frozen=True, slots=True)
class Read:
    """One reading of a verification."""

    kind: ClassVar[str] = "read"
    at: datetime
    healed: Truth
    in_a_row: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class Verified:
    """An action has its outcome."""

    kind: ClassVar[str] = "verified"
    at: datetime
    action_id: str
    rung: str
    outcome: Outcome
    mode: Mode = Mode.AUTO
    touched: Sequence[Touched] = ()
    returns: str | None = None  # the action that it took back


@dataclass(frozen=True, slots=True)
class Returning:
    """An action did not help and is to be taken back; `action` is the sentence of its inverse."""

    kind: ClassVar[str] = "returning"
    at: datetime
    returns: str  # the action
    rung: str
    action: str


@dataclass(frozen=True, slots=True)
class Kept:
    """An action did not help, and what it changed stays: why, and how a person takes it back."""

    kind: ClassVar[str] = "kept"
    at: datetime
    action_id: str
    rung: str
    reason: Reason
    detail: str
    action: str | None = None  # the sentence of what would take it back
    commands: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Called:
    """A person is called, with what the rung says and the commands that would mend it."""

    kind: ClassVar[str] = "called"
    at: datetime
    rung: str
    say: str
    commands: Sequence[str]


@dataclass(frozen=True, slots=True)
class Coursed:
    """A course of several actions stands elsewhere: asked for, begun, one step further, or over."""

    kind: ClassVar[str] = "coursed"
    at: datetime
    course_id: str
    name: str
    state: CourseState
    place: str  # `step 2 of 3, restart-enrichment-service`
    reason: Reason
    detail: str
    by: str = ""  # who asked, approved or stopped, where a person did


@dataclass(frozen=True, slots=True)
class Retargeted:
    """The alert named a pod, and its owner is meant. `joined`:
    the open incident there that has its alerts now.
    """

    kind: ClassVar[str] = "retargeted"
    at: datetime
    was: str  # key of a target
    target: str  # key of a target
    chain: Sequence[str]  # from the pod up
    joined: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """The incident stands elsewhere, or waits anew."""

    kind: ClassVar[str] = "moved"
    at: datetime
    was: IncidentState
    state: IncidentState
    reason: Reason
    detail: str
    due_at: datetime | None
    outcome: OutcomeKind | None = None


Step: TypeAlias = (
    Diagnosed
    | Decided
    | Ruled
    | Proposed
    | Answered
    | Settled
    | Tried
    | Acted
    | Read
    | Verified
    | Returning
    | Kept
    | Called
    | Coursed
    | Retargeted
    | Moved
)
