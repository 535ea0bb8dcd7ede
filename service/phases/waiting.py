"""Waiting: a proposal and a person's word; and what a hold that has ended means for an incident.

The word is durable where it was said (`desk/`). Here it is taken up: what was approved, or
announced and not said no to, is looked at once more on fresh evidence, asked of every guard,
and done only if it still is what was proposed.
"""

from datetime import datetime, timedelta
from typing import Any

from service.guard.question import Objection, Policy
from service.guard.switch import paused
from service.guard.window import closed
from service.incident.lifecycle import HOLDS, TIMED, Event, EventKind
from service.model.action import Intent, Mode
from service.model.approval import Approval, ApprovalState
from service.model.evidence import Evidence, Known
from service.model.incident import Held, Incident
from service.model.reasons import Reason
from service.model.ruling import Proposal
from service.phases.admitting import admit
from service.phases.looking import decide, diagnose
from service.phases.moving import labels_of, move
from service.phases.proving import remedy
from service.phases.rooms import Rooms

_GRACE = timedelta(minutes=1)  # for a yes that came right before the proposal expired
_BLIND_S = 10.0  # until evidence that was Unknown is gathered again


async def wait(held: Held, rooms: Rooms) -> tuple[Intent[Any], Evidence] | None:
    """One look at a proposal that waits. The intent, durable, with its evidence; or None,
    and the step is written.
    """
    incident, now = held.incident, rooms.clock.now()
    policy = rooms.policy().under(await rooms.incidents.control(now))
    event = _word(incident, policy, rooms, now)
    if event is not None:
        await move(held, event, (), rooms)
        return None
    diagnosed, evidence = await diagnose(incident, rooms)
    proposal, decided = await decide(incident, evidence, rooms)
    event = _changed(incident, proposal, evidence, rooms.clock.now())
    if event is not None:
        await move(held, event, (diagnosed, decided), rooms)
        return None
    intent = await admit(held, proposal, evidence, (diagnosed, decided), rooms)
    return (intent, evidence) if intent is not None else None


def _word(incident: Incident, policy: Policy, rooms: Rooms, now: datetime) -> Event | None:
    """What has been said, where that is all there is to do; None: it may be done,
    if it still is the same.
    """
    approval = incident.approval
    if approval is None:
        return Event(EventKind.WITHDRAWN, Reason.PROPOSAL_CHANGED, "there is no proposal any more")
    if approval.state is ApprovalState.REJECTED:
        detail = f"{approval.by} says no: {approval.why}"
        return Event(EventKind.REJECTED, Reason.REJECTED, detail)
    if approval.state not in (ApprovalState.PENDING, ApprovalState.APPROVED):
        detail = f"{approval.id} is {approval.state}"
        return Event(EventKind.WITHDRAWN, Reason.PROPOSAL_CHANGED, detail)
    rung = remedy(rooms.playbooks.get(incident.playbook), approval.rung)
    mode = rung.mode.capped(policy.ceiling) if rung is not None else Mode.OBSERVE
    if approval.state is ApprovalState.APPROVED and mode.height >= Mode.APPROVE.height:
        if now < approval.due_at + _GRACE:
            return None
        detail = f"{approval.by} said yes, and it was held back until it expired: {incident.reason}"
        return Event(EventKind.WITHDRAWN, Reason.APPROVAL_EXPIRED, detail)
    if mode is not approval.mode:
        detail = f"the mode is {mode} by now, and it was proposed under {approval.mode}"
        return Event(EventKind.WITHDRAWN, Reason.PROPOSAL_CHANGED, detail)
    return _silence(approval, policy, now)


def _silence(approval: Approval, policy: Policy, now: datetime) -> Event | None:
    """Nobody has said anything: is the time over?"""
    stepped = policy.clock_sound_at is not None and now < policy.clock_sound_at
    if stepped:  # nobody has had the time that was promised, however late it seems
        detail = "the wall clock jumped while it waited"
        return Event(EventKind.WITHDRAWN, Reason.CLOCK_STEPPED, detail)
    if now < approval.due_at:
        waits = Reason.VETO_PENDING if approval.mode is Mode.VETO else Reason.APPROVAL_REQUIRED
        return Event(EventKind.ASKED, waits, str(approval.request), approval.due_at)
    if approval.mode is Mode.VETO:
        return None
    detail = f"nobody said yes within {(approval.due_at - approval.made_at).total_seconds():.0f} s"
    return Event(EventKind.EXPIRED, Reason.APPROVAL_EXPIRED, detail)


def _changed(
    incident: Incident, proposal: Proposal, evidence: Evidence, now: datetime
) -> Event | None:
    """The difference between what was proposed and what would be done now, where there is one."""
    approval = incident.approval
    if approval is None:
        return Event(EventKind.WITHDRAWN, Reason.PROPOSAL_CHANGED, "there is no proposal any more")
    if proposal.reason is Reason.EVIDENCE_UNKNOWN:
        again = now + timedelta(seconds=_BLIND_S)
        if again < approval.made_at + 2 * (approval.due_at - approval.made_at):
            detail = "nobody knows now how it stands; looked at again"
            return Event(EventKind.ASKED, Reason.EVIDENCE_UNKNOWN, detail, again)
    uid = evidence.target.value.uid if isinstance(evidence.target, Known) else None
    if approval.uid and uid and uid != approval.uid:
        detail = f"{incident.target} is another one by now: {approval.uid} was seen, {uid} is there"
        return Event(EventKind.WITHDRAWN, Reason.TARGET_REPLACED, detail)
    same = (proposal.rung, proposal.kind) == (approval.rung, approval.kind)
    if same and proposal.request == approval.request:
        return None
    now_is = (
        str(proposal.request) if proposal.request is not None else f"nothing ({proposal.reason})"
    )
    detail = f"proposed was {approval.request}; now it would be {now_is}"
    return Event(EventKind.WITHDRAWN, Reason.PROPOSAL_CHANGED, detail)


async def stay(held: Held, rooms: Rooms) -> None:
    """An escalated incident is due. With a person it stays,
    unless what held its action back has ended.
    """
    incident, now = held.incident, rooms.clock.now()
    reason = incident.reason or Reason.LADDER_EXHAUSTED
    if reason in TIMED:
        event = Event(EventKind.RELEASED, reason, "its time is over: it is looked at again")
        return await move(held, event, (), rooms)
    if reason not in HOLDS:
        event = Event(EventKind.DENIED, reason, "an alert changed; it stays escalated")
        return await move(held, event, (), rooms)
    control = await rooms.incidents.control(now)
    objection = _hold(incident, rooms.policy().under(control), now)
    if objection is None:
        event = Event(EventKind.RELEASED, reason, "the hold is over: it is looked at again")
        return await move(held, event, (), rooms)
    event = Event(EventKind.HELD, objection.reason, objection.detail, objection.retry_at)
    return await move(held, event, (), rooms, seen_control=control.version)


def _hold(incident: Incident, policy: Policy, now: datetime) -> Objection | None:
    return paused(policy.control, now) or closed(policy.control, labels_of(incident), now)
