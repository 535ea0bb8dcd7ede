"""How far a rung may go: its own mode, under the ceiling."""

from service.guard.question import Objection, Question
from service.model.action import Mode
from service.model.reasons import Reason


def mode(question: Question) -> Objection | None:
    """Observing stops here; a dry run goes on to the server, which does nothing.
    Consent is asked for last.
    """
    if question.mode is not Mode.OBSERVE:
        return None
    return Objection(Reason.MODE_OBSERVE, f"would {question.proposal.request}")
