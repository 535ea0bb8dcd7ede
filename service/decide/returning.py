"""Whether a change that did not help goes back, and by which request; if it stays, why. Pure.

A return is decided once, at the action's verdict, and asks for no alert: what Paramedic made worse
is its own to mend, whether the alert fires or not. What merely did not heal stays when the alert
has resolved by then, for the change may be what ended it. A return that is intended is brought to
its end either way: half of it would be a third state, which nobody has looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.model.action import ActionResult, AnyKind, Intent, Request
from service.model.incident import Outcome, OutcomeKind
from service.model.objects import Survey
from service.model.playbook import Remedy, ReturnOn
from service.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Stays:
    """Why a change that could be taken back is not."""

    reason: Reason
    detail: str


def inverse_of(kind: AnyKind | None, intent: Intent[Any], outcome: Outcome) -> Request | None:
    """What takes the action back; None where nothing is to be taken back, or nothing can."""
    if intent.returns is not None or kind is None or not kind.reversible:
        return None
    if outcome.kind not in (OutcomeKind.WORSE, OutcomeKind.NOT_HEALED):
        return None
    inverse: Request | None = kind.inverse(intent.request)
    return inverse


def stays(
    remedy: Remedy | None, result: ActionResult | None, outcome: Outcome, *, firing: bool
) -> Stays | None:
    """Why the change stays by what the playbook and the record say; None: it goes back."""
    worse = outcome.kind is OutcomeKind.WORSE
    if remedy is None:
        detail = "the playbook has no such rung any more, so nobody says that it may go back"
        return Stays(Reason.NO_PLAYBOOK, detail)
    if remedy.return_on is ReturnOn.NEVER or (remedy.return_on is ReturnOn.WORSE and not worse):
        return Stays(Reason.RETURN_OFF, f"the rung says `return: {remedy.return_on}`")
    if result is not None and result.reason is Reason.ALREADY_DONE:
        return Stays(Reason.ALREADY_DONE, "it was so before: it is not this action's to take back")
    if not worse and not firing:
        return Stays(Reason.ALERT_RESOLVED, "its alerts have resolved, perhaps because of it")
    return None


def replaced(uids: Mapping[str, str], surveys: Sequence[Survey]) -> str | None:
    """A sentence on the first object that is another one than was written
    to; None: all are the same.
    """
    for survey in surveys:
        seen = uids.get(survey.ref.path)
        if seen and seen != survey.uid:
            return f"{survey.ref} is {survey.uid or 'gone'} now, and {seen} was written to"
    return None
