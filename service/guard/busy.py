"""One action on a target at a time."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def busy(question: Question) -> Objection | None:
    """One action a target at a time: without the last one's outcome nobody
    knows what the next would do.
    """
    open_ones = [a for a in question.history.on_target if a.settled_at is None]
    if not open_ones:
        return None
    again = question.now + timedelta(seconds=10)
    return Objection(Reason.TARGET_BUSY, f"{open_ones[0].action_id} has no outcome yet", again)
