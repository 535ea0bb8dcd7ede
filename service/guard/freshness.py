"""No action on evidence of another time."""

from datetime import timedelta

from service.guard.question import Objection, Question
from service.model.reasons import Reason


def freshness(question: Question) -> Objection | None:
    """Evidence older than the limit argues for nothing;
    evidence of the future says that the clock was set back.
    """
    seen_at = question.proposal.evidence_at
    age_s = (question.now - seen_at).total_seconds() if seen_at else float("inf")
    limit_s = question.policy.evidence_max_age_s
    if 0.0 <= age_s <= limit_s:
        return None
    again = question.now + timedelta(seconds=1)
    return Objection(Reason.EVIDENCE_STALE, f"{age_s:.0f} s old, at most {limit_s:g} s", again)
