"""No action for an alert that has resolved."""

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def firing(question: Question) -> Objection | None:
    """No action for an alert that has resolved."""
    if question.history.firing_alerts > 0:
        return None
    return Objection(Reason.ALERT_RESOLVED, "no alert of the incident fires any more", question.now)
