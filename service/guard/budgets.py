"""No more actions than written, in any of five scopes: the rung on its target, the target, the
playbook, the namespace, and all together. Each counts for itself, and the narrowest is asked first.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from service.guard.question import Objection, Question
from service.model.playbook import Budget
from service.model.reasons import Reason
from service.model.ruling import PastAction


def budgets(question: Question) -> Objection | None:
    """Windows slide: a budget is free again as soon as the oldest action that it counts
    is as old as its window.
    """
    for reason, budget, past in _scopes(question):
        spent = _spent(budget, past, question.now)
        if len(spent) >= budget.count:
            # The budget is free again when so many of its lines have aged out that one more fits.
            frees = sorted(a.intended_at for a in spent)[len(spent) - budget.count]
            return Objection(
                reason, f"{budget} is spent", frees + timedelta(seconds=budget.window_s)
            )
    return None


def _scopes(question: Question) -> Iterator[tuple[Reason, Budget, Sequence[PastAction]]]:
    history, limits, policy = question.history, question.limits, question.policy
    if limits.per_rung is not None:
        yield Reason.BUDGET_RUNG, limits.per_rung, history.of_rung
    yield Reason.BUDGET_TARGET, limits.per_target, history.on_target
    yield Reason.BUDGET_PLAYBOOK, limits.per_playbook, history.in_playbook
    yield Reason.BUDGET_NAMESPACE, policy.in_namespace, history.in_namespace
    yield Reason.BUDGET_OVERALL, policy.overall, history.overall


def _spent(budget: Budget, past: Sequence[PastAction], now: datetime) -> list[PastAction]:
    since = now - timedelta(seconds=budget.window_s)
    return [a for a in past if a.intended_at > since]
