"""A target rests after an action."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def cooldown(question: Question) -> Objection | None:
    """The rest counts from the outcome: until then nobody knows what the action has done."""
    ends = [action.settled_at or action.intended_at for action in question.history.on_target]
    if not ends:
        return None
    free_at = max(ends) + timedelta(seconds=question.limits.cooldown_s)
    if free_at <= question.now:
        return None
    left_s = (free_at - question.now).total_seconds()
    again = min(free_at, question.now + timedelta(seconds=question.limits.cooldown_s))
    return Objection(Reason.COOLING_DOWN, f"for another {left_s:.0f} s", again)
