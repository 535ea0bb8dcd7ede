"""Enough pods of the target stay ready while it is treated."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.evidence import Unknown
from service.model.reasons import Reason

AGAIN_S = 30.0


def min_ready(question: Question) -> Objection | None:
    """An action that takes no ready pod away is none of its business,
    however few there are. Unknown denies.
    """
    around, again = question.around, question.now + timedelta(seconds=AGAIN_S)
    if around is None:
        return None
    if isinstance(around, Unknown):
        why = f"{around.reason}: {around.detail}"
        return Objection(Reason.SURROUNDINGS_UNKNOWN, why, again)
    ready, least = around.value.ready, around.value.least
    if ready is None or least is None:
        return None
    written = question.policy.blast.min_ready
    if least >= ready or least >= written:
        return None
    detail = f"{least} of {ready} ready pods would be left for a while, at least {written}"
    return Objection(Reason.TOO_FEW_READY, detail, again)
