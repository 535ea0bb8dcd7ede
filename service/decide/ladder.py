"""The ladder: each rung is looked at in order, and each gets a word that says why
it was or was not taken.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.decide.plan import plan
from service.model.action import NotPossible, Request
from service.model.evidence import Evidence, Unknown, facts
from service.model.playbook import Playbook, Remedy, Truth
from service.model.reasons import Reason
from service.model.ruling import Considered, Proposal
from service.model.target import Target


def propose(
    playbook: Playbook, target: Target, evidence: Evidence, tried: Mapping[str, int], now: datetime
) -> Proposal:
    """The first rung that holds, was not used up in this incident and whose action is possible."""
    shown = facts(evidence)
    view = {"evidence": shown, "before": shown, "now": now}
    seen_at = evidence.seen_at(now)  # the guard asks how old
    if isinstance(evidence.target, Unknown) and evidence.target.reason is Reason.NOT_FOUND:
        passed = tuple(
            Considered(r.name, r.when.text, Reason.TARGET_MISSING) for r in playbook.remedies
        )
        return Proposal(passed, Reason.TARGET_MISSING, evidence_at=seen_at)
    healed = playbook.healed.judge(view)
    if healed is not Truth.FAILS:  # nothing is wrong, or it is not known whether anything is
        reason = Reason.ALREADY_HEALTHY if healed is Truth.HOLDS else Reason.EVIDENCE_UNKNOWN
        passed = tuple(Considered(r.name, r.when.text, reason) for r in playbook.remedies)
        return Proposal(passed, reason, evidence_at=seen_at)
    considered: list[Considered] = []
    for place, remedy in enumerate(playbook.remedies):
        seen = _consider(remedy, target, view, tried)
        if isinstance(seen, Considered):
            considered.append(seen)
            continue
        considered.append(Considered(remedy.name, remedy.when.text, None, str(seen)))
        below = playbook.remedies[place + 1 :]
        considered += [Considered(r.name, r.when.text, Reason.NOT_REACHED) for r in below]
        return Proposal(
            tuple(considered), None, remedy.name, remedy.do.kind.name, seen, remedy.mode, seen_at
        )
    reason = Reason.NO_RUNG_HOLDS
    if considered and all(
        c.reason in (Reason.ALREADY_TRIED, Reason.AT_CEILING) for c in considered
    ):
        reason = Reason.LADDER_EXHAUSTED
    return Proposal(tuple(considered), reason, evidence_at=seen_at)


def _consider(
    remedy: Remedy, target: Target, view: Mapping[str, Any], tried: Mapping[str, int]
) -> Considered | Request:
    if tried.get(remedy.name, 0) >= remedy.times:
        return Considered(
            remedy.name, remedy.when.text, Reason.ALREADY_TRIED, f"{remedy.times} time(s)"
        )
    truth = remedy.when.judge(view)
    if truth is Truth.UNKNOWN:
        return Considered(remedy.name, remedy.when.text, Reason.EVIDENCE_UNKNOWN)
    if truth is Truth.FAILS:
        return Considered(remedy.name, remedy.when.text, Reason.DOES_NOT_HOLD)
    request = plan(remedy.do, target, view)
    if isinstance(request, NotPossible):
        return Considered(remedy.name, remedy.when.text, request.reason, request.detail)
    return request
