"""The guards and their order: the cheapest and most final no comes first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from service.model.action import Mode
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.model.ruling import History, PastAction, Proposal, Ruling, Verdict
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class Question:
    """All that a guard may look at."""

    proposal: Proposal
    target: Target
    limits: Limits
    overall: Budget
    ceiling: Mode
    namespaces: Sequence[str]
    evidence_max_age_s: float
    history: History
    now: datetime

    @property
    def mode(self) -> Mode:
        """The rung's mode under the global ceiling."""
        return self.proposal.mode.capped(self.ceiling)


@dataclass(frozen=True, slots=True)
class Objection:
    """A guard's no. `retry_at` is when asking again makes sense; None: not by itself."""

    reason: Reason
    detail: str
    retry_at: datetime | None = None


Guard: TypeAlias = Callable[[Question], Objection | None]


def firing(question: Question) -> Objection | None:
    """No action for an alert that has resolved."""
    if question.history.firing_alerts > 0:
        return None
    return Objection(Reason.ALERT_RESOLVED, "no alert of the incident fires any more", question.now)


def namespace(question: Question) -> Objection | None:
    """No action outside the allowed namespaces, whatever a label said."""
    if question.target.namespace in question.namespaces:
        return None
    allowed = ", ".join(question.namespaces)
    return Objection(
        Reason.NAMESPACE_NOT_ALLOWED, f"{question.target.namespace} is not among {allowed}"
    )


def freshness(question: Question) -> Objection | None:
    """No action on evidence of another time."""
    seen_at = question.proposal.evidence_at
    age_s = (question.now - seen_at).total_seconds() if seen_at else float("inf")
    if age_s <= question.evidence_max_age_s:
        return None
    return Objection(
        Reason.EVIDENCE_STALE,
        f"{age_s:.0f} s old, at most {question.evidence_max_age_s:g} s",
        question.now,
    )


def switch(question: Question) -> Objection | None:
    """Observing and approving stop here; a dry run goes on to the server, which does nothing."""
    match question.mode:
        case Mode.OBSERVE:
            return Objection(Reason.MODE_OBSERVE, f"would {question.proposal.request}")
        case Mode.APPROVE:
            return Objection(Reason.APPROVAL_REQUIRED, f"wants to {question.proposal.request}")
        case Mode.DRY_RUN | Mode.AUTO:
            return None


def busy(question: Question) -> Objection | None:
    """One action a target at a time: without the last one's outcome nobody knows what the next would do."""
    open_ones = [a for a in question.history.on_target if not a.settled]
    if not open_ones:
        return None
    again = question.now + timedelta(seconds=10)
    return Objection(Reason.TARGET_BUSY, f"{open_ones[0].action_id} has no outcome yet", again)


def cooldown(question: Question) -> Objection | None:
    """A target rests after an action."""
    if not question.history.on_target:
        return None
    last = max(a.intended_at for a in question.history.on_target)
    free_at = last + timedelta(seconds=question.limits.cooldown_s)
    if free_at <= question.now:
        return None
    left_s = (free_at - question.now).total_seconds()
    return Objection(Reason.COOLING_DOWN, f"for another {left_s:.0f} s", free_at)


def budgets(question: Question) -> Objection | None:
    """No more actions than written: on the target, in the playbook, and of all together."""
    history, limits = question.history, question.limits
    for reason, budget, past in (
        (Reason.BUDGET_TARGET, limits.per_target, history.on_target),
        (Reason.BUDGET_PLAYBOOK, limits.per_playbook, history.in_playbook),
        (Reason.BUDGET_OVERALL, question.overall, history.overall),
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


CHAIN: Mapping[str, Guard] = {
    "firing": firing,
    "namespace": namespace,
    "freshness": freshness,
    "switch": switch,
    "busy": busy,
    "cooldown": cooldown,
    "budgets": budgets,
}


def rule(question: Question, chain: Mapping[str, Guard] = CHAIN) -> Ruling:
    """Asks every guard in order. The intent of an allowed action is added by the caller."""
    for name, guard in chain.items():
        try:
            objection = guard(question)
        except Exception as error:  # noqa: BLE001 - whatever a guard's bug is, it denies
            detail = f"the guard {name} raised {type(error).__name__}: {error}; that denies"
            objection = Objection(Reason.GUARD_FAILED, detail)
        if objection:
            return Ruling(
                Verdict.DENY,
                name,
                objection.reason,
                objection.detail,
                question.mode,
                None,
                objection.retry_at,
            )
    return Ruling(
        Verdict.ALLOW, "all", Reason.WITHIN_LIMITS, "every guard let it pass", question.mode
    )
