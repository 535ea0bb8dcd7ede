"""What may be done to a target: concrete, bounded requests,
and the intent that is durable before each.

A request says exactly what the world shall look like (replicas 4, not one more), so that
doing it twice is doing it once and reading the target back tells whether it was done.
The kinds of request are not listed here:
each owns a file in `act/`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from service.model.objects import Write
from service.model.reasons import Reason
from service.model.target import Target


class Mode(StrEnum):
    """How far a remedy may go. The global ceiling can only lower a rung's own mode."""

    OBSERVE = "observe"  # say what would be done
    DRY_RUN = "dry_run"  # let the server check the write and do nothing
    APPROVE = "approve"  # do it when a person has said yes
    VETO = "veto"  # say it, and do it after a while unless a person says no
    AUTO = "auto"  # do it

    @property
    def height(self) -> int:
        """Its place in the order observe < dry_run < approve < veto < auto."""
        return list(Mode).index(self)

    def capped(self, ceiling: "Mode") -> "Mode":
        """The lower of the two."""
        return self if self.height <= ceiling.height else ceiling


class Request(Protocol):
    """One kind's request: frozen, absolute, idempotent.
    `str()` is its sentence: `scale X from 2 to 3`.
    """

    @property
    def target(self) -> Target: ...

    def __str__(self) -> str: ...


R = TypeVar("R", bound=Request)
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class NotPossible:
    """Why a rung that holds gives no request."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Permission:
    """A right on the Kubernetes API that a kind of action needs.
    `fields` says what it writes, for people.
    """

    group: str  # "" for the core group
    resource: str  # `deployments`, `deployments/scale`
    verbs: tuple[str, ...]
    fields: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A right in ClickHouse that a kind of action needs, as GRANT takes it: `KILL QUERY ON *.*`."""

    text: str


class ActionKind(Protocol[A, R]):
    """A kind of action as the rooms that think see it; `act/kind.py` has the whole contract."""

    @property
    def name(self) -> str: ...

    @property
    def arguments(self) -> type[A]: ...

    @property
    def request(self) -> type[R]: ...

    @property
    def needs(self) -> Sequence[Permission | Grant]: ...

    @property
    def for_people(self) -> bool:
        """It writes nothing: a person is called with what it says."""
        ...

    @property
    def step_only(self) -> bool:
        """It is a step of a course, and no remedy of its own."""
        ...

    @property
    def by_people(self) -> bool:
        """One person asks for it, another one approves it; no alert begins it."""
        ...

    @property
    def disruptive(self) -> bool:
        """It rests on two independent sources."""
        ...

    @property
    def interrupts(self) -> bool:
        """Pods stop, or are made anew: disruptive where they keep data."""
        ...

    def plan(self, target: Target, arguments: A, /) -> R | NotPossible:
        """The request, within its bounds. Pure."""
        ...

    def writes(self, request: R, action_id: str, /) -> Sequence[Write]:
        """The fields of the Kubernetes API that the request sets;
        none for a request to another backend.
        """
        ...

    def takes(self, request: R, /) -> Sequence[str]:
        """Names of pods that it takes away."""
        ...

    @property
    def reversible(self) -> bool:
        """Its requests have an inverse."""
        ...

    def inverse(self, request: R, /) -> R | None:
        """The request that takes it back, or None where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Intent(Generic[R]):
    """The promise to do one action once, committed before the action is sent.

    `uids` are those of the objects that were seen, by their path: another object under the same
    name is not written to. `returns` is the action that this one takes back, where it is a return.
    """

    action_id: str
    incident_id: str
    rung: str
    kind: str
    request: R
    mode: Mode  # what allowed it; of DRY_RUN nothing is done
    intended_at: datetime
    uids: Mapping[str, str] = field(default_factory=dict)
    returns: str | None = None


class Applied(StrEnum):
    """What became of an action on its target."""

    DONE = "done"
    STARTED = "started"  # it takes long: it is asked again
    DRY = "dry"  # the server checked it and did nothing
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ActionResult:
    """How the action itself ended; whether it helped is the verification's to say."""

    applied: Applied
    reason: Reason
    detail: str
    at: datetime


AnyKind = ActionKind[Any, Any]  # Any: arguments and requests differ from kind to kind
Kinds = Mapping[str, AnyKind]
