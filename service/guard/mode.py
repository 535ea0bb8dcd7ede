"""How far a rung may go: its own mode, under the ceiling."""

from service.guard.question import Objection, Question
from service.model.action import Mode
from service.model.reasons import Reason


def mode(question: Question) -> Objection | None:
    """Observing and approving stop here; a dry run goes on to the server, which does nothing."""
    match question.mode:
        case Mode.OBSERVE:
            return Objection(Reason.MODE_OBSERVE, f"would {question.proposal.request}")
        case Mode.APPROVE:
            return Objection(Reason.APPROVAL_REQUIRED, f"wants to {question.proposal.request}")
        case Mode.DRY_RUN | Mode.AUTO:
            return None
