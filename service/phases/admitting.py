"""Admitting: the guards are asked inside the transaction that writes the intent."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from service.decide.by_hand import commands
from service.guard.chain import rule
from service.guard.question import Question
from service.incident.lifecycle import Event, EventKind, advance, from_denial, resolved
from service.model.action import Intent, Mode
from service.model.alert import Standing
from service.model.approval import Approval, ApprovalState, FieldChange, difference
from service.model.change import Change, NewApproval
from service.model.evidence import Evidence, Facts, Known, Reading, facts
from service.model.incident import Held, Incident, IncidentState
from service.model.objects import Surroundings, Write
from service.model.playbook import CONSENT
from service.model.reasons import Reason
from service.model.ruling import History, Proposal, Ruling
from service.model.step import Called, Proposed, Step
from service.model.target import Target
from service.phases.moving import frees, labels_of, moved, quiet_looks, seen, settles
from service.phases.proving import remedy
from service.phases.rooms import Rooms
from service.phases.ruling import ruled, scopes_of, uids_of
from service.store.names import new_id


async def admit(
    held: Held, proposal: Proposal, evidence: Evidence, steps: Sequence[Step], rooms: Rooms
) -> Intent[Any] | None:
    """Asks the guards inside the ledger's transaction. The intent, durable;
    or None, and the no is written.

    An action that only lacks a person's word becomes a proposal that waits for it. One that
    has it, or that nobody has said no to, comes here again with its incident's `approval`,
    and every guard is asked anew.
    """
    incident, playbook = held.incident, rooms.playbooks[held.incident.playbook]
    if proposal.request is None or proposal.rung is None or proposal.kind is None:
        raise ValueError("nothing was proposed, so there is nothing to rule on")
    action_id = new_id("act", rooms.clock.now())
    kind, request = rooms.kinds[proposal.kind], proposal.request
    writes, takes = kind.writes(request, action_id), kind.takes(request)
    surveys, around, standing = await asyncio.gather(
        rooms.survey(writes),
        _around(incident.target, writes, takes, rooms),
        _standing(incident, rooms),
    )
    limits_now, now = rooms.policy(), rooms.clock.now()
    seen_uid = evidence.target.value.uid if isinstance(evidence.target, Known) else None
    intent = Intent(
        action_id, incident.id, proposal.rung, proposal.kind, request, proposal.mode, now,
        uids_of(surveys),
    )  # fmt: skip
    shown = difference(writes, surveys.value if isinstance(surveys, Known) else ())
    rung = remedy(playbook, proposal.rung)

    def judge(history: History) -> tuple[Ruling, Change]:
        question = Question(
            proposal, incident.target, playbook.limits, limits_now.under(history.control), history,
            seen_uid, surveys, now, incident.diagnose_only, standing=standing,
            labels=labels_of(incident), plan=rung.consent if rung is not None else CONSENT,
            consent=_consent(incident, history), around=around, playbook=playbook.name,
        )  # fmt: skip
        ruling = rule(question, rooms.chain)
        told = ruled(ruling, intent, now, action=str(request), why=_why(proposal), difference=shown)
        new = _proposed(ruling, intent, question, facts(evidence), shown)
        event = _event(ruling, incident, new, str(request))
        to = advance(incident, event, rooms.patience, now)
        if to.state is IncidentState.ESCALATED:  # a person may do it
            told = replace(told, commands=commands(writes))
        called = (new_step(new),) if new else _called(ruling, intent, now)
        more = (*called, moved(incident, to, now))
        quiet = 0 if ruling.allowed or new else quiet_looks(incident, to)
        change = Change(
            to,
            (*steps, told, *(() if ruling.allowed else more)),
            quiet=quiet,
            frees=frees(incident, to, rooms),
            proposed=new,
            approval=settles(incident, to, intent.action_id if ruling.allowed else None),
            seen_approval=seen(incident, to),
        )
        return ruling, change

    causes = rooms.causes.of(playbook.name)
    scopes = scopes_of(playbook.limits, limits_now, intent.rung, causes)
    ruling, change = await rooms.ledger.admit(
        incident,
        held.claim,
        intent,
        judge,
        scopes=scopes,
        before=facts(evidence),
        now=now,
    )
    rooms.journal.tell(incident, change.steps)
    return replace(intent, mode=ruling.mode) if ruling.allowed else None


async def _standing(incident: Incident, rooms: Rooms) -> Reading[Standing] | None:
    return await rooms.standing(incident.firing) if rooms.standing is not None else None


async def _around(
    target: Target, writes: Sequence[Write], takes: Sequence[str], rooms: Rooms
) -> Reading[Surroundings] | None:
    """What stands around the target of an action in the cluster; None for any other action."""
    return await rooms.around(target, writes, takes) if writes or takes else None


# The ladder stops: what was tried is what the person needs.
_STOPS = (Reason.RUNG_FUTILE, Reason.KEEPS_COMING_BACK, Reason.PLAYBOOK_FAILING)


def _called(ruling: Ruling, intent: Intent[Any], now: datetime) -> tuple[Called, ...]:
    return (Called(now, intent.rung, ruling.detail, ()),) if ruling.reason in _STOPS else ()


def _consent(incident: Incident, history: History) -> Mode | None:
    """The lowest mode that is content with what people said, or did not say,
    about the incident's proposal.
    """
    approval = incident.approval
    if approval is None or history.approval != approval.state:
        return None  # somebody has spoken since it was read
    return Mode.APPROVE if approval.state is ApprovalState.APPROVED else Mode.VETO


def _event(ruling: Ruling, incident: Incident, new: NewApproval | None, action: str) -> Event:
    if ruling.allowed:
        return Event(EventKind.ADMITTED, ruling.reason, action)
    if new is not None:
        return Event(EventKind.PROPOSED, ruling.reason, ruling.detail, ruling.retry_at)
    if ruling.reason is Reason.ALERT_RESOLVED:
        return resolved(incident)
    if incident.approval is not None and ruling.guard == "consent":
        # Another word, or another mode, than the one it came with:
        # what it means is looked at in the next step.
        return Event(EventKind.ASKED, ruling.reason, ruling.detail)
    return from_denial(ruling)


def _proposed(
    ruling: Ruling,
    intent: Intent[Any],
    question: Question,
    seen_facts: Facts,
    shown: tuple[FieldChange, ...],
) -> NewApproval | None:
    """The proposal, where a person's word is all that is missing and nothing waits yet."""
    waits = question.history.approval is not None
    if ruling.allowed or ruling.guard != "consent" or ruling.retry_at is None or waits:
        return None
    approval = Approval(
        id=new_id("app", question.now),
        incident_id=intent.incident_id,
        rung=intent.rung,
        kind=intent.kind,
        request=intent.request,
        mode=question.mode,
        uid=question.seen_uid,
        made_at=question.now,
        due_at=ruling.retry_at,
        two_people=question.plan.two_people and question.mode is Mode.APPROVE,
    )
    return NewApproval(approval, shown, seen_facts)


def new_step(new: NewApproval) -> Proposed:
    made = new.approval
    return Proposed(
        made.made_at, made.id, made.rung, str(made.request), made.mode, made.due_at,
        made.two_people, new.difference,
    )  # fmt: skip


def _why(proposal: Proposal) -> str:
    return next((c.when for c in proposal.considered if c.reason is None), "")
