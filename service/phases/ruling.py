"""What every admission asks for and tells, whatever is admitted: a remedy,
a step of a saga, a return.

Never here: what follows from the answer.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.guard.question import Policy
from service.model.action import Intent
from service.model.approval import FieldChange
from service.model.evidence import Known, Reading
from service.model.objects import Survey
from service.model.playbook import Limits
from service.model.ruling import Ruling
from service.model.step import Ruled
from service.store.history import Scopes


def uids_of(surveys: Reading[tuple[Survey, ...]]) -> dict[str, str]:
    """Which objects they are, by path; none where they are Unknown."""
    known = surveys.value if isinstance(surveys, Known) else ()
    return {found.ref.path: found.uid for found in known}


def scopes_of(
    limits: Limits, policy: Policy, rung: str, causes: Sequence[str] = (), course: str = ""
) -> Scopes:
    """What the guards count, of a playbook's limits and those over all playbooks."""
    return Scopes(
        limits, policy.in_namespace, policy.overall, policy.breaker, policy.attempts,
        rung, causes, course,
    )  # fmt: skip


def ruled(
    ruling: Ruling,
    intent: Intent[Any],  # Any: a request of any kind
    now: datetime,
    *,
    action: str = "",
    why: str = "",
    difference: Sequence[FieldChange] = (),
) -> Ruled:
    """The step that tells the ruling, with the answers of all guards."""
    action_id = intent.action_id if ruling.allowed else None
    return Ruled(
        now, intent.rung, ruling.verdict, ruling.guard, ruling.reason, ruling.detail, ruling.mode,
        action_id, ruling.retry_at, ruling.answers, action, why, difference=difference,
    )  # fmt: skip
