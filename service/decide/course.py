"""Where an incident goes after a ruling or an outcome: try again, on to the next rung, or over to a person."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from service.model.incident import Incident, IncidentState, Move, Outcome, OutcomeKind
from service.model.reasons import Reason
from service.model.ruling import Proposal, Ruling


@dataclass(frozen=True, slots=True)
class Patience:
    """How often an incident without a remedy is looked at again, and for how long. Seconds."""

    recheck_s: float
    hand_over_after_s: float


def after_proposal(
    incident: Incident, proposal: Proposal, patience: Patience, now: datetime
) -> Move:
    """The course when the ladder proposes nothing."""
    reason = proposal.reason or Reason.NO_RUNG_HOLDS
    detail = (
        "; ".join(f"{c.rung}: {c.reason}" for c in proposal.considered)
        or "the playbook has no remedy"
    )
    again = now + timedelta(seconds=patience.recheck_s)
    if reason is Reason.ALREADY_HEALTHY and incident.state is IncidentState.HEALED:
        detail = "the healed condition still holds; waiting for its alerts to resolve"
        return Move(IncidentState.HEALED, reason, detail, again)
    if reason is Reason.EVIDENCE_UNKNOWN and incident.state is IncidentState.HEALED:
        return Move(
            IncidentState.HEALED, reason, "it was healed, and this reading tells nothing", again
        )
    if reason is Reason.LADDER_EXHAUSTED:
        return Move(IncidentState.HANDED_OVER, reason, detail)
    if now >= _patience_ends(incident, patience):
        return Move(IncidentState.HANDED_OVER, reason, f"nothing to do for too long: {detail}")
    return Move(IncidentState.OPEN, reason, detail, again)


def after_denial(incident: Incident, ruling: Ruling, patience: Patience, now: datetime) -> Move:
    """The course when a guard says no."""
    if ruling.reason is Reason.ALERT_RESOLVED:
        return Move(
            IncidentState.OPEN, ruling.reason, ruling.detail, now
        )  # to its close, not to a person
    if ruling.retry_at is None:
        return Move(IncidentState.HANDED_OVER, ruling.reason, ruling.detail)
    due_at = max(ruling.retry_at, now + timedelta(seconds=1))
    if due_at > _patience_ends(incident, patience):
        return Move(
            IncidentState.HANDED_OVER,
            ruling.reason,
            f"{ruling.detail}: longer than people should wait",
        )
    return Move(IncidentState.OPEN, ruling.reason, ruling.detail, due_at)


def after_outcome(incident: Incident, outcome: Outcome, patience: Patience, now: datetime) -> Move:
    """The course when an action has its verdict."""
    if incident.state is IncidentState.HANDED_OVER and outcome.kind is not OutcomeKind.HEALED:
        return Move(
            IncidentState.HANDED_OVER, outcome.reason, f"{outcome.detail}; it stays with a person"
        )
    match outcome.kind:
        case OutcomeKind.HEALED:
            again = now + timedelta(seconds=patience.recheck_s)
            return Move(IncidentState.HEALED, outcome.reason, outcome.detail, again)
        case OutcomeKind.WORSE:
            return Move(IncidentState.HANDED_OVER, outcome.reason, outcome.detail)
        case OutcomeKind.INCONCLUSIVE if outcome.reason in (
            Reason.MODE_DRY_RUN,
            Reason.INDETERMINATE,
        ):
            return Move(IncidentState.HANDED_OVER, outcome.reason, outcome.detail)
        case OutcomeKind.NOT_HEALED | OutcomeKind.INCONCLUSIVE | OutcomeKind.FAILED:
            return Move(
                IncidentState.OPEN, outcome.reason, f"{outcome.detail}; on to the next rung", now
            )


def after_resolve(incident: Incident) -> Move:
    """The course when no alert fires any more and no action is under way."""
    if incident.state is IncidentState.HEALED:
        return Move(
            IncidentState.CLOSED, Reason.READINGS_GOOD, "healed, and its alerts have resolved"
        )
    return Move(IncidentState.CLOSED, Reason.ALERT_RESOLVED, "its alerts have resolved")


def _patience_ends(incident: Incident, patience: Patience) -> datetime:
    return incident.opened_at + timedelta(seconds=patience.hand_over_after_s)
