"""No more actions than written: on the target, in the playbook, and of all together."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.guard.question import Objection, Question
from service.model.playbook import Budget
from service.model.reasons import Reason
from service.model.ruling import PastAction


def budgets(question: Question) -> Objection | None:
    """No more actions than written: on the target, in the playbook, and of all together."""
    history, limits = question.history, question.limits
    for reason, budget, past in (
        (Reason.BUDGET_TARGET, limits.per_target, history.on_target),
        (Reason.BUDGET_PLAYBOOK, limits.per_playbook, history.in_playbook),
        (Reason.BUDGET_OVERALL, question.policy.overall, history.overall),
    ):
        spent = _spent(budget, past, question.now)
        if len(spent) >= budget.count:
            # The budget is free again when so many of its lines have aged out that one more fits.
            frees = sorted(a.intended_at for a in spent)[len(spent) - budget.count]
            return Objection(
                reason, f"{budget} is spent", frees + timedelta(seconds=budget.window_s)
            )
    return None


def _spent(budget: Budget, past: Sequence[PastAction], now: datetime) -> list[PastAction]:
    since = now - timedelta(seconds=budget.window_s)
    return [a for a in past if a.intended_at > since]
