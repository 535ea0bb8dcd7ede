"""No action outside the allowed namespaces."""

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def namespace(question: Question) -> Objection | None:
    """No action outside the allowed namespaces, whatever a label said."""
    if question.target.namespace in question.policy.namespaces:
        return None
    allowed = ", ".join(question.policy.namespaces)
    return Objection(
        Reason.NAMESPACE_NOT_ALLOWED, f"{question.target.namespace} is not among {allowed}"
    )
