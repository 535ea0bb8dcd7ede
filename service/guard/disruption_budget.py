"""A PodDisruptionBudget binds evictions only, and its owner means more by it:
no room, no pod taken away.
"""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.evidence import Known
from service.model.reasons import Reason

AGAIN_S = 30.0


def disruption_budget(question: Question) -> Objection | None:
    """Each budget over the target's pods has room for the ready ones that would go."""
    if not isinstance(question.around, Known):
        return None
    around = question.around.value
    taken = (around.ready or 0) - (around.least or 0)
    for budget in around.budgets:
        if taken > budget.allowed:
            again = question.now + timedelta(seconds=AGAIN_S)
            detail = f"{budget.name} allows {budget.allowed} to go, and {taken} would"
            return Objection(Reason.DISRUPTION_BUDGET, detail, again)
    return None
