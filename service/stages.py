"""The rooms as one incident meets them: each stage with its step in the record, its log line and its metrics.

Called by: pipeline.py, which tells the order. Never here: the order, or a rule; those are in the rooms.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeAlias, assert_never

import structlog

from service.act.executor import Executor
from service.decide.course import (
    Patience,
    after_denial,
    after_outcome,
    after_proposal,
    after_resolve,
)
from service.decide.ladder import propose
from service.guard.chain import Question, rule
from service.kit.clock import Clock
from service.model.action import ActionResult, Applied, Intent, Mode
from service.model.evidence import Evidence, facts
from service.model.incident import Incident, IncidentState, Move, Outcome, OutcomeKind
from service.model.playbook import Playbook, VerifyPlan
from service.model.reasons import Reason
from service.model.ruling import History, Proposal, Ruling
from service.record.metrics import Metrics
from service.settings import GuardSettings
from service.store.incidents import Incidents
from service.store.ledger import Ledger, Unsettled
from service.store.names import new_id
from service.verify.healing import HealthReading, prove

log = structlog.get_logger()

_BELOW_AUTO = {
    Mode.OBSERVE: Reason.MODE_OBSERVE,
    Mode.DRY_RUN: Reason.MODE_DRY_RUN,
    Mode.APPROVE: Reason.APPROVAL_REQUIRED,
}

Look: TypeAlias = Callable[[Playbook, Incident], Awaitable[Evidence]]


@dataclass(frozen=True, slots=True)
class Stages:
    """Everything a round needs. `look` runs the playbook's diagnosis under its deadline."""

    playbooks: Mapping[str, Playbook]
    look: Look
    executor: Executor
    incidents: Incidents
    ledger: Ledger
    metrics: Metrics
    limits: GuardSettings
    ceiling: Mode
    patience: Patience
    clock: Clock

    async def diagnose(self, incident: Incident) -> Evidence:
        """Gathers the evidence and keeps it as it was seen."""
        playbook = self.playbooks[incident.playbook]
        began = self.clock.monotonic()
        evidence = await self.look(playbook, incident)
        took_s = self.clock.monotonic() - began
        self.metrics.diagnosis_seconds.labels(playbook.diagnose).observe(took_s)
        step = {"diagnosis": playbook.diagnose, "took_s": round(took_s, 4), "evidence": evidence}
        await self.incidents.note(incident.id, "diagnosed", step, self.clock.now())
        log.info(
            "diagnosed", incident=incident.id, diagnosis=playbook.diagnose, took_s=round(took_s, 3)
        )
        return evidence

    async def decide(self, incident: Incident, evidence: Evidence) -> Proposal:
        """Walks the ladder, and keeps why each rung was or was not taken."""
        now = self.clock.now()
        tried = await self.ledger.tried(incident.id)
        proposal = propose(self.playbooks[incident.playbook], incident.target, evidence, tried, now)
        chosen = str(proposal.action) if proposal.action else None
        step = {"considered": proposal.considered, "chosen": proposal.rung, "action": chosen,
                "reason": proposal.reason}  # fmt: skip
        await self.incidents.note(incident.id, "decided", step, now)
        log.info(
            "decided",
            incident=incident.id,
            rung=proposal.rung,
            action=chosen,
            reason=proposal.reason,
        )
        return proposal

    async def admit(self, incident: Incident, proposal: Proposal, evidence: Evidence) -> Ruling:
        """Asks the guard inside the ledger's transaction; an allowed action's intent is durable afterwards."""
        now = self.clock.now()
        judge = partial(self._judge, incident, proposal, now)
        ruling = await self.ledger.admit(incident, proposal, judge, before=facts(evidence), now=now)
        self.metrics.rulings.labels(
            incident.playbook, proposal.rung, ruling.verdict, ruling.reason
        ).inc()
        log.info("ruled", incident=incident.id, rung=proposal.rung, verdict=ruling.verdict,
                 reason=ruling.reason, detail=ruling.detail)  # fmt: skip
        return ruling

    def _judge(
        self, incident: Incident, proposal: Proposal, now: datetime, history: History
    ) -> Ruling:
        if proposal.action is None or proposal.rung is None:
            raise ValueError("nothing was proposed, so there is nothing to rule on")
        question = Question(
            proposal=proposal, target=incident.target, limits=self.playbooks[incident.playbook].limits,
            overall=self.limits.overall, ceiling=self.ceiling, namespaces=self.limits.namespaces,
            evidence_max_age_s=self.limits.evidence_max_age_s, history=history, now=now,
        )  # fmt: skip
        ruling = rule(question)
        if not ruling.allowed:
            return ruling
        intent = Intent(
            new_id("act", now), incident.id, proposal.rung, proposal.action, ruling.mode, now
        )
        return replace(ruling, intent=intent)

    async def act(self, incident: Incident, intent: Intent) -> ActionResult:
        """Does it once, and writes what became of it."""
        return await self._act(incident, intent, resumed=False)

    async def resume(self, incident: Incident, intent: Intent) -> ActionResult:
        """Takes up an intent that a crash left without a result. What is not wanted any more is not sent."""
        return await self._act(
            incident, intent, resumed=True, lapsed=self._lapsed(incident, intent)
        )

    def _lapsed(self, incident: Incident, intent: Intent) -> Reason | None:
        """Why an intent of before the restart may not be sent now: the world or the operator has moved on."""
        remedies = {remedy.name: remedy for remedy in self.playbooks[incident.playbook].remedies}
        age_s = (self.clock.now() - intent.intended_at).total_seconds()
        if not incident.firing:
            return Reason.ALERT_RESOLVED
        if incident.state is IncidentState.HANDED_OVER:
            return incident.reason or Reason.PIPELINE_FAILED
        if incident.target.namespace not in self.limits.namespaces:
            return Reason.NAMESPACE_NOT_ALLOWED
        if intent.rung not in remedies:
            return Reason.NO_PLAYBOOK
        if age_s > self.limits.evidence_max_age_s:
            return Reason.EVIDENCE_STALE
        mode = remedies[intent.rung].mode.capped(self.ceiling)
        return _BELOW_AUTO.get(mode) if mode.height < intent.mode.height else None

    async def _act(
        self, incident: Incident, intent: Intent, *, resumed: bool, lapsed: Reason | None = None
    ) -> ActionResult:
        began = self.clock.monotonic()
        result = await self.executor.act(intent, resumed=resumed, lapsed=lapsed)
        self.metrics.action_seconds.labels(intent.action.kind).observe(
            self.clock.monotonic() - began
        )
        self.metrics.actions.labels(
            incident.playbook, intent.rung, intent.action.kind, result.applied, result.reason
        ).inc()
        await self.ledger.applied(intent, result)
        log.info("acted", incident=intent.incident_id, action_id=intent.action_id, action=str(intent.action),
                 applied=result.applied, reason=result.reason, detail=result.detail)  # fmt: skip
        return result

    async def verify(
        self, incident: Incident, unsettled: Unsettled, result: ActionResult
    ) -> Outcome:
        """Proves whether the action helped, and settles its line of the ledger."""
        playbook, intent = self.playbooks[incident.playbook], unsettled.intent
        outcome: Outcome
        match result.applied:
            case Applied.FAILED if result.reason is Reason.INDETERMINATE:
                # It may have been done. Nothing more is tried on top of what nobody knows.
                outcome = Outcome(
                    OutcomeKind.INCONCLUSIVE, Reason.INDETERMINATE, result.detail, result.at
                )
            case Applied.FAILED:
                outcome = Outcome(
                    OutcomeKind.FAILED,
                    Reason.ACTION_FAILED,
                    f"{result.reason}: {result.detail}",
                    result.at,
                )
            case Applied.DRY:
                outcome = Outcome(
                    OutcomeKind.INCONCLUSIVE, Reason.MODE_DRY_RUN, result.detail, result.at
                )
            case Applied.DONE:
                plans = {remedy.name: remedy.verify for remedy in playbook.remedies}
                outcome = await prove(
                    playbook,
                    # A rung that was renamed since: any rung's plan proves the same condition.
                    plans.get(intent.rung)
                    or next(iter(plans.values()), VerifyPlan(30.0, 600.0, 3, 10.0)),
                    acted_at=result.at,
                    before=unsettled.before or {},
                    probe=partial(self.look, playbook, incident),
                    report=partial(self._reading, incident),
                    clock=self.clock,
                )
            case _ as never:
                assert_never(never)
        await self.ledger.settle(intent, outcome)
        self.metrics.outcomes.labels(incident.playbook, intent.rung, outcome.kind).inc()
        log.info("verified", incident=incident.id, action_id=intent.action_id, outcome=outcome.kind,
                 reason=outcome.reason, detail=outcome.detail)  # fmt: skip
        return outcome

    async def _reading(self, incident: Incident, reading: HealthReading) -> None:
        await self.incidents.note(incident.id, "read", reading, reading.at)

    async def hold(self, incident: Incident, why: Proposal | Ruling) -> None:
        """Nothing is done this round: later again, or over to a person."""
        now = self.clock.now()
        if isinstance(why, Proposal):
            move = after_proposal(incident, why, self.patience, now)
        else:
            move = after_denial(incident, why, self.patience, now)
        await self._move(incident, move, now)

    async def conclude(self, incident: Incident, outcome: Outcome) -> None:
        """The round's action has its verdict."""
        now = self.clock.now()
        await self._move(
            incident, after_outcome(incident, outcome, self.patience, now), now, outcome.kind
        )

    async def close(self, incident: Incident) -> None:
        """No alert fires any more, and nothing is under way."""
        now = self.clock.now()
        move = after_resolve(incident)
        outcome = incident.outcome
        if outcome is OutcomeKind.HEALED and incident.state is not IncidentState.HEALED:
            outcome = OutcomeKind.NOT_HEALED  # it was healed once, and fell ill again
        if not await self._move(incident, move, now, outcome):
            return  # an alert joined in the meantime
        self.metrics.closed.labels(incident.playbook, outcome or "none", move.reason).inc()
        self.metrics.incident_seconds.labels(incident.playbook).observe(
            (now - incident.opened_at).total_seconds()
        )

    async def leave_to_people(self, incident: Incident) -> None:
        """It was handed over before and still fires: it stays with the person."""
        reason = incident.reason or Reason.LADDER_EXHAUSTED
        move = Move(IncidentState.HANDED_OVER, reason, "an alert changed; it stays with a person")
        await self._move(incident, move, self.clock.now())

    async def set_aside(self, incident: Incident, reason: Reason, detail: str) -> None:
        """Something is wrong on our side: no more automatic steps on this incident, and its target is free again."""
        now = self.clock.now()
        await self.ledger.settle_open(
            incident.id, Outcome(OutcomeKind.INCONCLUSIVE, reason, detail, now)
        )
        if incident.firing:
            await self._move(incident, Move(IncidentState.HANDED_OVER, reason, detail), now)
        else:
            await self.close(incident)

    async def _move(
        self, incident: Incident, move: Move, now: datetime, outcome: OutcomeKind | None = None
    ) -> bool:
        if not await self.incidents.move(incident, move, now, outcome):
            return False
        if (
            move.state is IncidentState.HANDED_OVER
            and incident.state is not IncidentState.HANDED_OVER
        ):
            self.metrics.handed_over.labels(incident.playbook, move.reason).inc()
        log.info(
            "moved", incident=incident.id, state=move.state, reason=move.reason, detail=move.detail
        )
        return True
