"""Aiming: an incident about a pod becomes one about what owns it, or joins the open one there."""

from service.incident.lifecycle import Event, EventKind, advance
from service.model.change import Change
from service.model.evidence import Unknown
from service.model.incident import Held, Incident, IncidentState
from service.model.reasons import Reason
from service.model.step import Retargeted
from service.model.target import RUNNING, Owner, Target, TargetKind
from service.phases.moving import frees, move, moved
from service.phases.rooms import Rooms


def to_be_aimed(incident: Incident, rooms: Rooms) -> bool:
    """Whether a new incident is about something that runs pods,
    and that its playbook has no remedies for.
    """
    kind = incident.target.kind
    fits = kind not in RUNNING or kind in rooms.playbooks[incident.playbook].workloads
    return incident.state is IncidentState.OPEN and not fits


async def aim(held: Held, rooms: Rooms) -> None:
    """Looks for the owner of the pod, once; whatever else runs pods has none to look
    for, and goes to a person.
    """
    incident = held.incident
    kinds = rooms.playbooks[incident.playbook].workloads
    if incident.target.kind is not TargetKind.POD:
        detail = f"the remedies are made for {', '.join(kinds)}, and this is {incident.target}"
        event = Event(EventKind.MISSING, Reason.TARGET_UNRESOLVED, detail)
        return await move(held, event, (), rooms)
    reading = await rooms.owner(incident.target, kinds)
    if isinstance(reading, Unknown):
        gone = reading.reason is Reason.NOT_FOUND
        kind = EventKind.MISSING if gone else EventKind.UNKNOWN
        reason = Reason.TARGET_MISSING if gone else Reason.EVIDENCE_UNKNOWN
        detail = f"the owner of {incident.target}: {reading.reason}: {reading.detail}"
        return await move(held, Event(kind, reason, detail), (), rooms)
    owner = reading.value
    if owner.target is None:
        event = Event(EventKind.MISSING, Reason.TARGET_UNRESOLVED, owner.detail)
        return await move(held, event, (), rooms)
    return await _retarget(held, owner, owner.target, rooms)


async def _retarget(held: Held, owner: Owner, target: Target, rooms: Rooms) -> None:
    """Aims at the owner, or, where the playbook has an open incident on it already,
    joins that one and closes.
    """
    incident, now = held.incident, rooms.clock.now()

    def tell(other_id: str | None) -> Change:
        step = Retargeted(now, incident.target.key, target.key, owner.chain, other_id)
        if other_id is None:
            event = Event(EventKind.RETARGETED, Reason.OWNER_FOUND, " <- ".join(owner.chain))
        else:
            event = Event(
                EventKind.JOINED, Reason.JOINED, f"its alerts are those of {other_id} now"
            )
        to = advance(incident, event, rooms.patience, now)
        steps = (step, moved(incident, to, now))
        return Change(to, steps, frees=frees(incident, to, rooms))

    change = await rooms.incidents.retarget(held.claim, incident.playbook, target, tell, now)
    rooms.journal.tell(incident, change.steps)
