"""What one step of an incident changes: written whole, under its claim, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.model.action import ActionResult
from service.model.approval import Approval, ApprovalChange, ApprovalState, FieldChange
from service.model.course import Course, CourseState
from service.model.evidence import Facts
from service.model.incident import Move, Outcome, OutcomeKind, Progress
from service.model.step import Step


@dataclass(frozen=True, slots=True)
class ActionChange:
    """What becomes of the action under way. What is None stays as it is."""

    action_id: str
    result: ActionResult | None = None
    progress: Progress | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class NewApproval:
    """A proposal as it is written, with what people want to see of it."""

    approval: Approval
    difference: Sequence[FieldChange]
    evidence: Facts


@dataclass(frozen=True, slots=True)
class CourseChange:
    """How a course stands now. What people write into its row (who approved, who wants
    it stopped) is left alone, unless `asks_again`: then the approval is taken back,
    for what was approved is not what would be done.

    `new`: it is to be written for the first time. `over`: what was asked for by a person has ended
    with it. `was` is the state that it was seen in, where people may have changed that meanwhile:
    then nothing is written.
    """

    course: Course
    new: bool = False
    asks_again: bool = False
    over: bool = False
    was: CourseState | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The end of one step. `quiet` counts looks that found what the last one
    found; they share one record.

    `proposed` becomes a proposal that waits; `approval` is what becomes of the one that waited.
    `seen_approval` and `seen_control` are what people had said when the step was taken: if that has
    changed, the next one is due at once.
    `frees` are the playbooks whose incidents in the namespace need not wait any
    more when this one closes.
    """

    move: Move
    steps: tuple[Step, ...]
    action: ActionChange | None = None
    outcome: OutcomeKind | None = None
    quiet: int = 0
    frees: tuple[str, ...] = ()
    proposed: NewApproval | None = None
    approval: ApprovalChange | None = None
    seen_approval: ApprovalState | None = None
    seen_control: int | None = None
    course: CourseChange | None = None
