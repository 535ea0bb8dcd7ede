"""The circuit breaker: many new incidents at once are one cause, or a fault in what tells of
them.
"""

from datetime import datetime, timedelta

from service.guard.question import Objection, Question
from service.model.limits import BreakerLimits
from service.model.reasons import Reason
from service.model.ruling import BreakerState


def breaker(question: Question) -> Objection | None:
    """Too many new incidents in its window, or it is open still: diagnosis goes on, actions
    wait.
    """
    return tripped(question.policy.breaker, question.history.breaker, question.now)


def tripped(limits: BreakerLimits, state: BreakerState, now: datetime) -> Objection | None:
    """The objection of a breaker that is open, or trips now."""
    cooldown = timedelta(seconds=limits.cooldown_s)
    if state.until is not None and state.until > now:
        again = min(state.until, now + cooldown)  # the clock may have been set back
        return Objection(Reason.BREAKER_OPEN, f"open until {state.until:%H:%M:%S}", again)
    if state.opened > limits.opened:
        detail = f"more than {limits.opened} new incidents in {limits.window_s:g} s"
        return Objection(Reason.BREAKER_OPEN, detail, now + cooldown)
    return None
