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
from service.model.action import Intent
from service.model.alert import Standing
from service.model.change import Change
from service.model.evidence import Evidence, Known, Reading, facts
from service.model.incident import Held, Incident, IncidentState
from service.model.reasons import Reason
from service.model.ruling import History, Proposal, Ruling
from service.model.step import Ruled, Step
from service.phases.moving import frees, moved, quiet_looks
from service.phases.rooms import Rooms
from service.store.ledger import Scopes
from service.store.names import new_id


async def admit(
    held: Held, proposal: Proposal, evidence: Evidence, steps: Sequence[Step], rooms: Rooms
) -> Intent[Any] | None:
    """Asks the guards inside the ledger's transaction. The intent, durable; or None, and the no is written."""
    incident, playbook = held.incident, rooms.playbooks[held.incident.playbook]
    if proposal.request is None or proposal.rung is None or proposal.kind is None:
        raise ValueError("nothing was proposed, so there is nothing to rule on")
    action_id = new_id("act", rooms.clock.now())
    writes = rooms.kinds[proposal.kind].writes(proposal.request, action_id)
    surveys, standing = await asyncio.gather(rooms.survey(writes), _standing(incident, rooms))
    policy, now = rooms.policy(), rooms.clock.now()
    seen_uid = evidence.target.value.uid if isinstance(evidence.target, Known) else None
    known = surveys.value if isinstance(surveys, Known) else ()
    uids = {survey.ref.path: survey.uid for survey in known}
    mode = proposal.mode.capped(policy.ceiling)
    intent = Intent(
        action_id, incident.id, proposal.rung, proposal.kind, proposal.request, mode, now, uids
    )

    def judge(history: History) -> tuple[Ruling, Change]:
        question = Question(
            proposal, incident.target, playbook.limits, policy, history, seen_uid, surveys, now,
            incident.diagnose_only, standing,
        )  # fmt: skip
        ruling = rule(question, rooms.chain)
        event = from_denial(ruling)
        if ruling.allowed:
            event = Event(EventKind.ADMITTED, ruling.reason, str(proposal.request))
        elif ruling.reason is Reason.ALERT_RESOLVED:
            event = resolved(incident)
        to = advance(incident, event, rooms.patience, now)
        ruled = _ruled(ruling, proposal, intent, now)
        if to.state is IncidentState.ESCALATED:  # a person may do it
            ruled = replace(ruled, commands=commands(writes))
        told = () if ruling.allowed else (moved(incident, to, now),)
        quiet = 0 if ruling.allowed else quiet_looks(incident, to)
        change = Change(to, (*steps, ruled, *told), quiet=quiet, frees=frees(incident, to, rooms))
        return ruling, change

    limits = playbook.limits
    causes = rooms.causes.of(playbook.name)
    scopes = Scopes(limits.per_target, limits.per_playbook, policy.overall, causes)
    ruling, change = await rooms.ledger.admit(
        incident, held.claim, intent, judge, scopes=scopes, before=facts(evidence), now=now
    )
    rooms.journal.tell(incident, change.steps)
    return intent if ruling.allowed else None


async def _standing(incident: Incident, rooms: Rooms) -> Reading[Standing] | None:
    return await rooms.standing(incident.firing) if rooms.standing is not None else None


def _ruled(ruling: Ruling, proposal: Proposal, intent: Intent[Any], now: datetime) -> Ruled:
    action_id = intent.action_id if ruling.allowed else None
    why = next((c.when for c in proposal.considered if c.reason is None), "")
    return Ruled(
        now, intent.rung, ruling.verdict, ruling.guard, ruling.reason, ruling.detail, ruling.mode,
        action_id, ruling.retry_at, ruling.answers, str(intent.request), why,
    )  # fmt: skip
