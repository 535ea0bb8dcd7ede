"""No action in the middle of a rollout."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.evidence import Known
from service.model.reasons import Reason

AGAIN_S = 15.0


def rollout(question: Question) -> Objection | None:
    """What is seen then is neither the old version nor the new one,
    and a write on top would start another.
    """
    if not isinstance(question.around, Known) or not question.around.value.rollout:
        return None
    again = question.now + timedelta(seconds=AGAIN_S)
    return Objection(Reason.ROLLOUT_IN_PROGRESS, question.around.value.rollout, again)
