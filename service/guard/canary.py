"""Of several targets of one playbook the first is healed before the second is acted on."""

from datetime import datetime, timedelta

from service.guard.question import Objection, Question
from service.model.incident import OutcomeKind
from service.model.reasons import Reason
from service.model.ruling import PastAction

AGAIN_S = 30.0


def canary(question: Question) -> Objection | None:
    """The newest outcome on another target speaks: healed lets this one pass,
    all else holds it for a while.
    """
    window = timedelta(seconds=question.policy.canary.window_s)
    if not window:
        return None
    now, mine = question.now, question.target.key
    others = [a for a in question.history.in_playbook if a.target_key != mine]
    ended = [(a.settled_at, a) for a in others if a.settled_at and a.settled_at > now - window]
    newest = max(ended, key=_when, default=None)
    if newest is not None and newest[1].outcome == OutcomeKind.HEALED:
        return None
    if going := next((a for a in others if a.settled_at is None), None):
        detail = f"{going.target_key} goes first, and {going.rung} has no outcome there yet"
        return Objection(Reason.CANARY, detail, now + timedelta(seconds=AGAIN_S))
    if newest is None:
        return None
    at, action = newest
    detail = f"{action.rung} on {action.target_key} ended {action.outcome}"
    return Objection(Reason.CANARY, detail, min(at + window, now + window))


def _when(ended: tuple[datetime, PastAction]) -> datetime:
    return ended[0]
