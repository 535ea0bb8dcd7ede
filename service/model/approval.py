"""A proposal that waits for a person's word, and what became of it.

Never here: who may say it (web), and whether the action is still wanted (guard, phases).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.model.action import Mode
from service.model.objects import Survey, Write
from service.model.reasons import Reason

_LONGEST = 200  # characters of one value


class ApprovalState(StrEnum):
    """Where a proposal stands. Only the first two are open."""

    PENDING = "pending"
    APPROVED = "approved"  # a person said yes; it is looked at once more, then done
    USED = "used"  # its intent is durable
    REJECTED = "rejected"  # a person said no
    EXPIRED = "expired"  # nobody said anything
    WITHDRAWN = "withdrawn"  # the world has changed


class Answer(StrEnum):
    """What a person says."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that would be written: as it stands, and as it would be. Texts, bounded."""

    object: str
    field: str
    was: str | None  # None: it is not there, or nobody knows
    to: str | None  # None: it is taken away, or not to be said beforehand


@dataclass(frozen=True, slots=True)
class Approval:
    """One proposal. `due_at` is when it expires, or, under `veto`,
    when it is done unless somebody says no.
    """

    id: str
    incident_id: str
    rung: str
    kind: str
    request: Any  # Any: the request differs from kind to kind
    mode: Mode  # APPROVE or VETO
    uid: str | None  # of the target, as the evidence had it
    made_at: datetime
    due_at: datetime
    two_people: bool = False
    state: ApprovalState = ApprovalState.PENDING
    asked_by: str | None = None  # the first of two people
    by: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalChange:
    """What becomes of an incident's open proposal, beside what a step writes."""

    state: ApprovalState
    reason: Reason
    detail: str
    action_id: str | None = None


def difference(writes: Sequence[Write], surveys: Sequence[Survey]) -> tuple[FieldChange, ...]:
    """What a request would change on the objects as they stand."""
    by_ref = {survey.ref: survey for survey in surveys}
    changes = []
    for write in writes:
        survey = by_ref.get(write.ref)
        was = survey.values.get(write.key) if survey is not None else None
        to = write.value if write.known else None
        changes.append(FieldChange(str(write.ref), write.key, _shown(was), _shown(to)))
    return tuple(changes)


def _shown(value: object) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
