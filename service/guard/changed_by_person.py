"""No write to what a person is working on."""

from datetime import timedelta
from fnmatch import fnmatchcase

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def changed_by_person(question: Question) -> Objection | None:
    """An object that a person's tool changed a moment ago is let be:
    what they did has to show first.
    """
    limits, now = question.policy.persons, question.now
    rest = timedelta(seconds=limits.rest_s)
    for survey in question.known_surveys:
        for manager, at in survey.changes.items():
            person = any(fnmatchcase(manager, pattern) for pattern in limits.managers)
            if not person or now - at >= rest:
                continue
            # The server's clock may be ahead of ours: never longer than the rest is.
            again = min(at + rest, now + rest)
            ago_s = max(0.0, (now - at).total_seconds())
            detail = f"{survey.ref} was changed with {manager} {ago_s:.0f} s ago"
            return Objection(Reason.CHANGED_BY_PERSON, detail, again)
    return None
