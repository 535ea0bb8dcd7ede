"""Looking and deciding: the evidence, the first rung that holds,
and the call where it is one for people.
"""

from collections.abc import Sequence
from typing import Any

from service.decide.ladder import propose
from service.guard.explained import because
from service.incident.lifecycle import Event, EventKind
from service.model.evidence import Evidence
from service.model.incident import Held, Incident
from service.model.reasons import Reason
from service.model.ruling import Proposal
from service.model.step import Called, Decided, Diagnosed, Step
from service.phases.moving import move
from service.phases.rooms import Rooms


async def diagnose(incident: Incident, rooms: Rooms) -> tuple[Diagnosed, Evidence]:
    playbook = rooms.playbooks[incident.playbook]
    began = rooms.clock.monotonic()
    evidence = await rooms.diagnose(playbook, incident)  # concurrent, one deadline, late = Unknown
    took_s = round(rooms.clock.monotonic() - began, 4)
    return Diagnosed(rooms.clock.now(), playbook.diagnose, took_s, evidence), evidence


async def decide(incident: Incident, evidence: Evidence, rooms: Rooms) -> tuple[Proposal, Decided]:
    tried = await rooms.ledger.tried(incident.id)
    playbook, now = rooms.playbooks[incident.playbook], rooms.clock.now()
    proposal = propose(playbook, incident.target, evidence, tried, now)
    action = str(proposal.request) if proposal.request is not None else None
    considered, chosen = proposal.considered, proposal.rung
    return proposal, Decided(now, considered, chosen, action, proposal.reason)


async def call(held: Held, proposal: Proposal, steps: Sequence[Step], rooms: Rooms) -> None:
    """The rung that holds is one for people: what it says, with its commands, is the step.

    While what explains it has an open incident, nobody is called twice for one fault:
    it waits, as an action would.
    """
    incident, now = held.incident, rooms.clock.now()
    causes = rooms.causes.of(incident.playbook)
    open_causes = await rooms.ledger.open_causes(incident, causes) if causes else ()
    waits = because(open_causes, now)
    if waits is not None:
        event = Event(EventKind.HELD, waits.reason, waits.detail, waits.retry_at)
        return await move(held, event, steps, rooms)
    request: Any = proposal.request  # act/human.py's; only its two texts are read here
    called = Called(now, proposal.rung or "", request.say, tuple(request.commands))
    event = Event(EventKind.PEOPLE, Reason.HUMAN_NEEDED, request.say)
    return await move(held, event, (*steps, called), rooms)
