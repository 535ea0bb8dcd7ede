"""No action for an alert that Alertmanager has not told of for too long."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def heard(question: Question) -> Objection | None:
    """An alert may have ended while nobody could say so: silence is asked again, not acted on."""
    heard_at = question.history.heard_at
    if heard_at is None:
        return None  # nothing fires, which is another guard's no
    silent_s = (question.now - heard_at).total_seconds()
    limit_s = question.policy.heard_within_s
    if silent_s <= limit_s:
        return None
    detail = f"last told of {silent_s / 3600:.1f} h ago, at most {limit_s / 3600:g} h"
    return Objection(Reason.UNHEARD, detail, question.now + timedelta(seconds=60))
