"""A person's word, where the mode wants one. Asked last: about what every other guard lets pass."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.action import Mode
from service.model.reasons import Reason


def consent(question: Question) -> Objection | None:
    """Under `approve` somebody has to say yes, under `veto` nobody may have said no for a while.

    `retry_at` is when the proposal expires, or when it is done.
    """
    wanted, given = question.mode, question.consent
    if wanted not in (Mode.APPROVE, Mode.VETO):
        return None
    if given is not None and given.height <= wanted.height:
        return None  # a person's yes is good for both, nobody's no for `veto` only
    action, plan = question.proposal.request, question.plan
    if not question.policy.people:
        detail = f"wants to {action}; nobody can answer: no people are configured"
        return Objection(Reason.APPROVAL_REQUIRED, detail)
    if wanted is Mode.VETO:
        due_at = question.now + timedelta(seconds=plan.veto_s or question.policy.veto_s)
        return Objection(Reason.VETO_PENDING, f"{action} at {due_at:%H:%M:%S} UTC", due_at)
    due_at = question.now + timedelta(seconds=plan.expires_s or question.policy.expires_s)
    return Objection(Reason.APPROVAL_REQUIRED, f"wants to {action}", due_at)
