"""What one reading means for a return: is the world as it was before the action? Pure.

A return promises no healing. It is proved by readings in a row in which the written
fields are as the return wrote them and the playbook's `worse` does not hold against the
evidence from before the action.
"""

from datetime import datetime

from service.model.incident import Outcome, OutcomeKind, Progress
from service.model.playbook import Playbook, Truth, VerifyPlan
from service.model.reasons import Reason
from service.verify.judge import Again, Reading, judge

_CALM = {Truth.HOLDS: Truth.FAILS, Truth.FAILS: Truth.HOLDS, Truth.UNKNOWN: Truth.UNKNOWN}


def judge_return(
    worse: Truth,
    reverted: str | None,
    progress: Progress,
    plan: VerifyPlan,
    playbook: Playbook,
    *,
    began_at: datetime,
    now: datetime,
) -> Outcome | Again:
    """The return's verdict, or when to read again. A proved return is `not_healed
    (returned)`: it heals nothing.
    """
    calm = Reading(_CALM[worse], reverted=reverted)
    verdict = judge(calm, progress, plan, playbook, began_at=began_at, now=now)
    if isinstance(verdict, Again):
        return verdict
    match verdict.kind:
        case OutcomeKind.HEALED:
            detail = f"as it was before the action, in {plan.readings} readings"
            return Outcome(OutcomeKind.NOT_HEALED, Reason.RETURNED, detail, now)
        case OutcomeKind.NOT_HEALED:
            text = playbook.worse.text if playbook.worse is not None else ""
            detail = f"taken back, and after {plan.within_s:g} s still {text}"
            return Outcome(OutcomeKind.WORSE, Reason.READINGS_WORSE, detail, now)
        case OutcomeKind.INCONCLUSIVE:
            detail = (
                f"taken back; after {plan.within_s:g} s nobody can say whether it is still worse"
            )
            return Outcome(OutcomeKind.INCONCLUSIVE, Reason.READINGS_UNKNOWN, detail, now)
        case _:
            return verdict
