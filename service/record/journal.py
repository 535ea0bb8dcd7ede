"""The journal: a step that was written becomes a log line and its metrics
here, once, after its commit.

Never here: writing the row, which the transaction does that the step tells of.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

import structlog

from service.model.action import Applied
from service.model.incident import Incident, IncidentState, OutcomeKind
from service.model.reasons import Reason
from service.model.ruling import Verdict
from service.model.step import (
    Acted,
    Answered,
    Called,
    Coursed,
    Decided,
    Diagnosed,
    Kept,
    Moved,
    Proposed,
    Read,
    Retargeted,
    Returning,
    Ruled,
    Settled,
    Step,
    Tried,
    Verified,
)
from service.record.metrics import Metrics

log = structlog.get_logger()


class Journal:
    """Tells of steps in the log and in the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def tell(self, incident: Incident, steps: Sequence[Step]) -> None:
        """Tells of steps that are durable, in their order."""
        for step in steps:
            self._tell(incident, step)

    def _tell(self, incident: Incident, step: Step) -> None:
        metrics, playbook = self._metrics, incident.playbook
        of = exemplar(incident)
        say = log.bind(incident=incident.id, playbook=playbook, target=incident.target.key)
        match step:
            case Diagnosed():
                metrics.diagnosis_seconds.labels(step.diagnosis).observe(step.took_s, of)
                self._first_looked(incident, step)
                say.info("diagnosed", diagnosis=step.diagnosis, took_s=round(step.took_s, 3))
            case Decided():
                say.info("decided", rung=step.chosen, action=step.action, reason=step.reason)
            case Ruled():
                self._ruled(incident, step, say)
            case Proposed() | Answered() | Settled():
                self._consent(playbook, step, say)
            case Called():
                say.warning("a person is called", rung=step.rung, say=step.say)
            case Coursed():
                say.info(
                    "coursed",
                    saga=step.course_id,
                    state=step.state,
                    place=step.place,
                    reason=step.reason,
                    detail=step.detail,
                    by=step.by,
                )
            case Retargeted():
                say.info("retargeted", to=step.target, chain=list(step.chain), joined=step.joined)
            case Moved():
                self._moved(incident, step, say)
            case Tried() | Acted() | Read() | Verified() | Returning() | Kept():
                self._action(incident, step, say)
            case _ as never:
                assert_never(never)

    def _ruled(self, incident: Incident, step: Ruled, say: structlog.stdlib.BoundLogger) -> None:
        metrics, playbook, of = self._metrics, incident.playbook, exemplar(incident)
        metrics.rulings.labels(playbook, step.rung, step.verdict, step.reason).inc(1, of)
        if incident.state is IncidentState.WAITING and step.verdict is Verdict.ALLOW:
            metrics.approvals.labels(playbook, "used").inc()
        for answer in step.answers:
            metrics.guard_answers.labels(answer.guard, answer.reason or "pass").inc()
        say.info(
            "ruled",
            rung=step.rung,
            verdict=step.verdict,
            guard=step.guard,
            reason=step.reason,
            detail=step.detail,
        )

    def _first_looked(self, incident: Incident, step: Diagnosed) -> None:
        if incident.reason is None:  # nothing has become of it yet
            waited_s = _since_opening_s(incident, step.at)
            seconds = self._metrics.to_evidence_seconds.labels(incident.playbook)
            seconds.observe(waited_s, exemplar(incident))

    def _action(
        self,
        incident: Incident,
        step: Tried | Acted | Read | Verified | Returning | Kept,
        say: structlog.stdlib.BoundLogger,
    ) -> None:
        metrics, playbook, of = self._metrics, incident.playbook, exemplar(incident)
        match step:
            case Tried():
                say.warning(
                    "tried",
                    action_id=step.action_id,
                    reason=step.reason,
                    detail=step.detail,
                    again_at=step.again_at.isoformat(),
                )
            case Acted():
                result = step.result
                labels = (playbook, step.rung, step.action_kind, result.applied, result.reason)
                metrics.actions.labels(*labels).inc(1, of)
                metrics.action_seconds.labels(step.action_kind).observe(step.took_s, of)
                if result.applied is Applied.DONE and incident.outcome is None:
                    waited_s = _since_opening_s(incident, step.at)
                    metrics.to_action_seconds.labels(playbook).observe(waited_s, of)
                say.info(
                    "acted",
                    action_id=step.action_id,
                    action=step.action,
                    applied=result.applied,
                    reason=result.reason,
                    detail=result.detail,
                )
            case Read():
                say.debug("read", healed=step.healed, in_a_row=step.in_a_row)
            case Verified():
                if step.returns is None:
                    metrics.outcomes.labels(playbook, step.rung, step.outcome.kind).inc(1, of)
                else:
                    metrics.returns.labels(playbook, step.rung, step.outcome.reason).inc()
                say.info(
                    "verified",
                    action_id=step.action_id,
                    outcome=step.outcome.kind,
                    reason=step.outcome.reason,
                    detail=step.outcome.detail,
                )
            case Returning():
                say.info("returning", returns=step.returns, action=step.action)
            case Kept():
                metrics.returns.labels(playbook, step.rung, step.reason).inc()
                say.info("kept", action_id=step.action_id, reason=step.reason, detail=step.detail)

    def _consent(
        self,
        playbook: str,
        step: Proposed | Answered | Settled,
        say: structlog.stdlib.BoundLogger,
    ) -> None:
        match step:
            case Proposed():
                self._metrics.approvals.labels(playbook, "proposed").inc()
                due_at = step.due_at.isoformat()
                say.warning("proposed", action=step.action, mode=step.mode, due_at=due_at)
            case Answered():
                say.info("answered", approval=step.approval_id, answer=step.answer, by=step.by)
            case Settled():
                say.info("proposal is over", approval=step.approval_id, state=step.state)

    def _moved(self, incident: Incident, step: Moved, say: structlog.stdlib.BoundLogger) -> None:
        metrics, playbook, of = self._metrics, incident.playbook, exemplar(incident)
        if step.was is IncidentState.WAITING and step.state is not IncidentState.WAITING:
            ends = {Reason.APPROVAL_EXPIRED: "expired", Reason.REJECTED: None}
            became = ends.get(step.reason, "withdrawn")
            if became is not None:  # a person's no was counted when it was said
                metrics.approvals.labels(playbook, became).inc()
        if step.state is IncidentState.ESCALATED and step.was is not IncidentState.ESCALATED:
            metrics.escalated.labels(playbook, step.reason).inc(1, of)
        if step.state is IncidentState.HEALED and step.was is not IncidentState.HEALED:
            waited_s = _since_opening_s(incident, step.at)
            metrics.to_healed_seconds.labels(playbook).observe(waited_s, of)
        if step.state is IncidentState.CLOSED:
            outcome = closing_outcome(incident, step.outcome)
            metrics.closed.labels(playbook, outcome or "none", step.reason).inc(1, of)
            lasted_s = _since_opening_s(incident, step.at)
            metrics.incident_seconds.labels(playbook).observe(lasted_s, of)
        say.info("moved", state=step.state, reason=step.reason, detail=step.detail)

    def opened(self, incident_id: str, playbook: str, at: datetime) -> None:
        """A new incident is durable."""
        self._metrics.opened.labels(playbook).inc()
        log.info("incident opened", incident=incident_id, playbook=playbook)


def exemplar(incident: Incident) -> dict[str, str]:
    """Which incident a figure is an example of; told only to who asks for OpenMetrics."""
    return {"incident": incident.id[:100]}


def _since_opening_s(incident: Incident, at: datetime) -> float:
    return max(0.0, (at - incident.opened_at).total_seconds())


def closing_outcome(incident: Incident, outcome: OutcomeKind | None) -> OutcomeKind | None:
    """How an incident ended: by its last action, unless it was healed once and fell ill again."""
    last = outcome or incident.outcome
    if last is OutcomeKind.HEALED and incident.state is not IncidentState.HEALED:
        return OutcomeKind.NOT_HEALED
    return last
