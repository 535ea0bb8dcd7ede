"""The contract of a kind of action: one file in this room per kind, and its line in `KINDS`.

Never here: whether something may be done (guard), or when (pipeline).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from service.clients.clickhouse_write import ClickHouseWriter
from service.clients.kubernetes_write import KubernetesWriter
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.action import Applied, Grant, Intent, NotPossible, Permission, Request
from service.model.course import CourseStep
from service.model.objects import Write
from service.model.reasons import Reason
from service.model.target import Target

A = TypeVar("A")
R = TypeVar("R", bound=Request)


class TargetState(StrEnum):
    """What reading the target back says about an action."""

    APPLIED = "applied"
    UNTOUCHED = "untouched"
    CHANGED = "changed"  # by somebody else: neither as before nor as wanted
    REPLACED = "replaced"  # another object stands under the same name
    UNDER_WAY = (
        "under_way"  # begun and not over: `apply` goes on with it, whatever has lapsed since
    )


class Deed(NamedTuple):
    """How an attempt ended. `again_in_s` is when a started action is asked again."""

    applied: Applied
    reason: Reason
    detail: str
    again_in_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Permit(Generic[R]):
    """What a hand needs for one attempt. `confirm` is awaited right before each write,
    by the client that writes:
    it raises Refused(claim_lost) when this process was paused and another one has
    taken the incident over.
    """

    intent: Intent[R]
    deadline: Deadline
    confirm: Callable[[], Awaitable[None]]


class Hand(Protocol[R]):
    """Does one kind of action on one backend."""

    async def apply(self, permit: Permit[R]) -> Deed:
        """Does it, once. Raises Unavailable (nothing was sent), Refused,
        or Indeterminate (the reply was lost).

        Called again for an action that has started, until it is done or has failed.
        """
        ...

    async def read_back(self, intent: Intent[R], deadline: Deadline) -> TargetState:
        """What the target says. Raises Unavailable or Refused."""
        ...


@dataclass(frozen=True, slots=True)
class Writers:
    """The clients that can write. One that is not configured is None."""

    clock: Clock
    kubernetes: KubernetesWriter | None = None
    clickhouse: ClickHouseWriter | None = None
    known_good: Path | None = None  # the folder of manifests that may be applied


def _nothing(request: object, action_id: str) -> Sequence[Write]:
    return ()


def _no_pods(request: object) -> Sequence[str]:
    return ()


def _none(request: object) -> None:
    return None


@dataclass(frozen=True)
class Kind(Generic[A, R]):
    """One kind of action.

    `arguments` is a dataclass: a field without a default is required, bounds stand in
    `Annotated[int, Field(gt=0)]`, and a name that Python keeps for itself ends in `_` (`from_` is
    `from:` in YAML). `request` is a frozen dataclass of plain values; the ledger's codec comes from
    it. `bind` gives None where the backend is not configured.
    `takes` are the names of pods that it takes away; what follows from written
    fields is not told again.
    `disruptive` asks for evidence of two independent sources,
    and so does what `interrupts` the pods of a database.
    `for_people` kinds write nothing and have no hand. A kind with a `course` is done as several
    actions, one after the other; `by_people`: only when one person has asked for it and another one
    has approved. `step_only` kinds are steps of a course, and no remedy of their own. `inverse`
    gives an absolute, idempotent request too: what was written is what it expects to find.
    """

    name: str
    arguments: type[A]
    request: type[R]
    plan: Callable[[Target, A], R | NotPossible]
    bind: Callable[[Writers], Hand[R] | None]
    needs: Sequence[Permission | Grant] = ()
    writes: Callable[[R, str], Sequence[Write]] = _nothing
    takes: Callable[[R], Sequence[str]] = _no_pods
    inverse: Callable[[R], R | None] = _none
    disruptive: bool = False
    interrupts: bool = False
    for_people: bool = False
    course: Callable[[R], Sequence[CourseStep]] | None = None
    by_people: bool = False
    step_only: bool = False

    @property
    def reversible(self) -> bool:
        """Its requests have an inverse: what did not help can be taken back."""
        return self.inverse is not _none


AnyKind: TypeAlias = Kind[Any, Any]  # Any: arguments and requests differ from kind to kind
