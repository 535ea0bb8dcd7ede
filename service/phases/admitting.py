"""Admitting: the guards are asked inside the transaction that writes the intent."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.act.kind import AnyKind
from service.guard.chain import rule
from service.guard.question import Question
from service.incident.lifecycle import Event, EventKind, advance, from_denial, resolved
from service.model.action import Intent
from service.model.change import Change
from service.model.evidence import Evidence, Known, Reading, facts
from service.model.incident import Held
from service.model.objects import Surroundings, Survey
from service.model.reasons import Reason
from service.model.ruling import History, Proposal, Ruling
from service.model.step import Called, Ruled, Step
from service.model.target import Target
from service.phases.moving import frees, moved, quiet_looks
from service.phases.rooms import Rooms
from service.store.history import Scopes
from service.store.names import new_id


async def admit(
    held: Held, proposal: Proposal, evidence: Evidence, steps: Sequence[Step], rooms: Rooms
) -> Intent[Any] | None:
    """Asks the guards inside the ledger's transaction. The intent, durable; or None, and the no is written."""
    incident, playbook = held.incident, rooms.playbooks[held.incident.playbook]
    if proposal.request is None or proposal.rung is None or proposal.kind is None:
        raise ValueError("nothing was proposed, so there is nothing to rule on")
    action_id = new_id("act", rooms.clock.now())
    kind, request = rooms.kinds[proposal.kind], proposal.request
    surveys, around = await _looked(incident.target, kind, request, action_id, rooms)
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
            incident.diagnose_only, around, playbook.name,
        )  # fmt: skip
        ruling = rule(question, rooms.chain)
        event = from_denial(ruling)
        if ruling.allowed:
            event = Event(EventKind.ADMITTED, ruling.reason, str(proposal.request))
        elif ruling.reason is Reason.ALERT_RESOLVED:
            event = resolved(incident)
        ruled = _ruled(ruling, intent, now)
        to = advance(incident, event, rooms.patience, now)
        told: tuple[Step, ...] = (
            () if ruling.allowed else (*_called(ruling, intent, now), moved(incident, to, now))
        )
        quiet = 0 if ruling.allowed else quiet_looks(incident, to)
        change = Change(to, (*steps, ruled, *told), quiet=quiet, frees=frees(incident, to, rooms))
        return ruling, change

    scopes = Scopes(
        playbook.limits, policy.in_namespace, policy.overall, policy.breaker, policy.attempts,
        intent.rung, rooms.causes.of(playbook.name),
    )  # fmt: skip
    ruling, change = await rooms.ledger.admit(
        incident, held.claim, intent, judge, scopes=scopes, before=facts(evidence), now=now
    )
    rooms.journal.tell(incident, change.steps)
    return intent if ruling.allowed else None


async def _looked(
    target: Target, kind: AnyKind, request: Any, action_id: str, rooms: Rooms
) -> tuple[Reading[tuple[Survey, ...]], Reading[Surroundings] | None]:
    """The objects that the request writes, and what stands around the target, read at once."""
    writes, takes = kind.writes(request, action_id), kind.takes(request)
    if not writes and not takes:
        return await rooms.survey(writes), None
    surveys, around = await asyncio.gather(
        rooms.survey(writes), rooms.around(target, writes, takes)
    )
    return surveys, around


# The ladder stops: what was tried is what the person needs.
_STOPS = (Reason.RUNG_FUTILE, Reason.KEEPS_COMING_BACK, Reason.PLAYBOOK_FAILING)


def _called(ruling: Ruling, intent: Intent[Any], now: datetime) -> tuple[Called, ...]:
    return (Called(now, intent.rung, ruling.detail, ()),) if ruling.reason in _STOPS else ()


def _ruled(ruling: Ruling, intent: Intent[Any], now: datetime) -> Ruled:
    action_id = intent.action_id if ruling.allowed else None
    return Ruled(
        now, intent.rung, ruling.verdict, ruling.guard, ruling.reason, ruling.detail, ruling.mode,
        action_id, ruling.retry_at, ruling.answers,
    )  # fmt: skip
