"""The object that is written to is the one that was seen."""

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def same_object(question: Question) -> Objection | None:
    """Deleted and made anew under the same name, it is another one,
    and the evidence is not about it.
    """
    ref = question.target.ref
    if ref is None or question.seen_uid is None:
        return None
    for survey in question.known_surveys:
        if survey.ref == ref and survey.uid != question.seen_uid:
            detail = f"{ref} is {survey.uid} now, and {question.seen_uid} was seen"
            return Objection(Reason.TARGET_REPLACED, detail, question.now)
    return None
