"""A course of several actions in a written order, as a saga takes it: its steps,
and how far it has come.

Never here: what comes next (saga/course.py), or doing it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.model.reasons import Reason
from service.model.target import Target


class Settles(StrEnum):
    """What has to be seen on a step's target before the next step begins."""

    ROLLED_OUT = "rolled_out"  # every pod is of the newest template, and available
    SCALED = "scaled"  # as many pods as wanted, and no more
    AT_ONCE = "at_once"  # the action's own end says it all: a RESTORE is followed to its end


@dataclass(frozen=True, slots=True)
class CourseStep:
    """One action. `go_on` does the same by hand, `go_back` takes it back:
    a person gets them when a course stops.
    """

    name: str
    kind: str  # of action
    target: Target
    arguments: Mapping[str, Any]  # of the kind, by its own names (Any: plain values)
    settles: Settles
    within_s: float = 600.0
    go_on: tuple[str, ...] = ()
    go_back: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.kind} {self.target}"


class CourseState(StrEnum):
    """Where a course stands."""

    ASKED = "asked"  # by a person; another one has to approve it
    APPROVED = "approved"
    RUNNING = "running"
    PROVING = "proving"  # every step is done, and the playbook's healed condition is read
    DONE = "done"
    STOPPED = "stopped"  # by a person, between two steps
    FAILED = "failed"
    WITHDRAWN = "withdrawn"  # by a person, before its first step
    EXPIRED = "expired"  # nobody approved it in time

    @property
    def ended(self) -> bool:
        """Nothing more is done by itself."""
        return self not in (self.ASKED, self.APPROVED, self.RUNNING, self.PROVING)


@dataclass(frozen=True, slots=True)
class Course:
    """One run of a saga. `at` is the index of the step that is due or under way,
    and `since` when it became that.

    `uids` are those of the objects that the steps write, by path,
    as they were seen before the first step.
    `asked_by` is empty for a course that an alert has begun.
    """

    id: str
    incident_id: str
    kind: str  # of action: what the rung's `do:` says
    rung: str
    state: CourseState
    steps: tuple[CourseStep, ...]
    at: int
    since: datetime
    uids: Mapping[str, str] = field(default_factory=dict)
    asked_by: str = ""
    asked_at: datetime | None = None
    expires_at: datetime | None = None
    approved_by: str = ""
    approved_at: datetime | None = None
    stop_by: str = ""  # who wants it stopped; heard between two steps
    reason: Reason | None = None
    detail: str = ""
    ended_at: datetime | None = None

    @property
    def step(self) -> CourseStep | None:
        """The step that is due or under way; None after the last."""
        return self.steps[self.at] if self.at < len(self.steps) else None
