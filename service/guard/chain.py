"""The guards and their order: the cheapest and most final no comes first."""

from collections.abc import Mapping

from service.guard.attempts import attempts
from service.guard.blast_radius import blast_radius
from service.guard.breaker import breaker
from service.guard.budgets import budgets
from service.guard.busy import busy
from service.guard.canary import canary
from service.guard.changed_by_person import changed_by_person
from service.guard.clock import clock
from service.guard.consent import consent
from service.guard.cooldown import cooldown
from service.guard.disruption_budget import disruption_budget
from service.guard.explained import explained
from service.guard.firing import firing
from service.guard.freshness import freshness
from service.guard.heard import heard
from service.guard.min_ready import min_ready
from service.guard.mode import mode
from service.guard.namespace import namespace
from service.guard.owned_elsewhere import owned_elsewhere
from service.guard.protected import protected
from service.guard.question import Guard, Objection, Question
from service.guard.rollout import rollout
from service.guard.same_object import same_object
from service.guard.still_firing import still_firing
from service.guard.switch import switch
from service.guard.window import window
from service.model.reasons import Reason
from service.model.ruling import Answer, Ruling, Verdict

CHAIN: Mapping[str, Guard] = {
    "firing": firing,
    "heard": heard,
    "still_firing": still_firing,
    "namespace": namespace,
    "protected": protected,
    "freshness": freshness,
    "mode": mode,
    "switch": switch,
    "window": window,
    "same_object": same_object,
    "owned_elsewhere": owned_elsewhere,
    "attempts": attempts,
    "clock": clock,
    "breaker": breaker,
    "explained": explained,
    "changed_by_person": changed_by_person,
    "rollout": rollout,
    "min_ready": min_ready,
    "disruption_budget": disruption_budget,
    "busy": busy,
    "cooldown": cooldown,
    "canary": canary,
    "blast_radius": blast_radius,
    "budgets": budgets,
    "consent": consent,  # last: nobody is asked about what another guard denies
}

# A return is no remedy: it undoes one, once, and needs no alert, no evidence of a cause,
# no budget, and no calm around it: a change that made things worse often leaves a rollout
# that hangs or too few ready pods, and its return is the cure. All other guards hold it
# back as they hold back what it undoes.
NOT_FOR_RETURNS = frozenset(
    {
        "firing", "heard", "still_firing", "freshness", "clock", "explained", "cooldown", "budgets",
        "attempts", "breaker", "rollout", "min_ready", "disruption_budget", "canary", "blast_radius",
    }
)  # fmt: skip


def rule(question: Question, chain: Mapping[str, Guard] = CHAIN) -> Ruling:
    """Asks every guard. The first no is the ruling; the answers of all are kept,
    also of those that let it pass.
    """
    asked = [
        (name, _ask(name, guard, question))
        for name, guard in chain.items()
        if not (question.returning and name in NOT_FOR_RETURNS)
    ]
    answers = tuple(
        Answer(name, o.reason if o else None, o.detail if o else "") for name, o in asked
    )
    for name, objection in asked:
        if objection is not None:
            return Ruling(
                Verdict.DENY,
                name,
                objection.reason,
                objection.detail,
                question.mode,
                objection.retry_at,
                answers,
            )
    every = "every guard let it pass"
    return Ruling(Verdict.ALLOW, "all", Reason.WITHIN_LIMITS, every, question.mode, None, answers)


def _ask(name: str, guard: Guard, question: Question) -> Objection | None:
    try:
        return guard(question)
    except Exception as error:  # noqa: BLE001 - whatever a guard's bug is, it denies
        detail = f"the guard {name} raised {type(error).__name__}: {error}; that denies"
        return Objection(Reason.GUARD_FAILED, detail)
