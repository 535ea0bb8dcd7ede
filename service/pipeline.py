"""The story of one incident: diagnose, decide, admit, act, verify, record.

Called by: the worker, with an incident whose target is locked for it. After a crash it is called again with the
same incident and goes on from the last durable step: an intent without an outcome is taken up before anything
else, and its target is read back before anything is sent.
"""

from service.model.evidence import facts
from service.model.incident import Incident, IncidentState
from service.stages import Stages
from service.store.ledger import Unsettled


async def remediate(incident: Incident, stages: Stages) -> None:
    """Takes an incident one round further: to healed, on to its next rung, to a person, or to its close."""
    unsettled = await stages.ledger.unsettled(incident.id)
    if unsettled is None:
        if not incident.firing:
            return await stages.close(incident)
        if incident.state is IncidentState.HANDED_OVER:
            return await stages.leave_to_people(incident)
        evidence = await stages.diagnose(incident)  # concurrent, one deadline, late = Unknown
        proposal = await stages.decide(
            incident, evidence
        )  # pure: the first rung whose condition holds
        if proposal.action is None:
            return await stages.hold(incident, proposal)
        ruling = await stages.admit(incident, proposal, evidence)  # the intent is durable
        if ruling.intent is None:
            return await stages.hold(incident, ruling)
        unsettled = Unsettled(ruling.intent, None, facts(evidence))
        result = await stages.act(incident, unsettled.intent)
    else:
        result = unsettled.result or await stages.resume(incident, unsettled.intent)
    outcome = await stages.verify(incident, unsettled, result)
    return await stages.conclude(incident, outcome)
