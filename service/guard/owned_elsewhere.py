"""No write to a field that somebody else would put back."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def owned_elsewhere(question: Question) -> Objection | None:
    """GitOps, an operator or an autoscaler holds the field: its owner is named,
    for a person. Unknown denies.
    """
    if question.unknown is not None:
        why = f"{question.unknown.reason}: {question.unknown.detail}"
        return Objection(Reason.OWNER_UNKNOWN, why, question.now + timedelta(seconds=30))
    for survey in question.known_surveys:
        for field, holder in survey.holders.items():
            if holder.restores:
                detail = f"{survey.ref}: {field} belongs to {holder.name}, which would put it back; change it there"
                return Objection(Reason.OWNED_ELSEWHERE, detail)
    return None
