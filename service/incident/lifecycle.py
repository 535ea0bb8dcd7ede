"""(state, event) -> (state, reason, due). Every edge stands in `TABLE`;
what is not in it is a bug of the caller.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from service.model.action import ActionResult, Applied
from service.model.incident import Incident, IncidentState, Move, Outcome, OutcomeKind
from service.model.reasons import Reason
from service.model.ruling import Proposal, Ruling

S = IncidentState


class EventKind(StrEnum):
    """What may happen to an incident in one step."""

    HEALTHY = "healthy"  # the healed condition holds, and nothing was done for it now
    UNKNOWN = "unknown"  # it is not known whether anything is wrong
    NO_RUNG = "no_rung"  # something is wrong, and no rung holds
    EXHAUSTED = "exhausted"  # every rung was tried or is at its ceiling
    MISSING = "missing"  # the target does not exist, or is nothing that could be helped
    RETARGETED = "retargeted"  # it is about what owns its pod
    JOINED = "joined"  # another incident has its alerts now
    PEOPLE = "people"  # the rung that holds is one for people
    HELD = "held"  # a guard said no, and asking again makes sense
    DENIED = "denied"  # a guard said no for good
    PROPOSED = "proposed"  # every guard but a person's word is content
    ASKED = "asked"  # it still waits for that word
    REJECTED = "rejected"  # a person said no
    EXPIRED = "expired"  # nobody said anything in time
    WITHDRAWN = "withdrawn"  # what was proposed is not wanted any more
    RELEASED = "released"  # what held it back has ended
    ADMITTED = "admitted"  # the intent is durable
    WAITING = "waiting"  # the action is not done, or not known to be: asked again
    NEVER_SENT = "never_sent"  # the action did not leave this process, for as long as it might try
    DONE = "done"  # the action was done: it is proved next
    READ = "read"  # a reading without a verdict
    HEALED = "healed"
    NOT_HEALED = "not_healed"  # also inconclusive and failed: on to the next rung
    OVER = "over"  # worse, reverted, unknown whether done, or only a dry run: a person goes on
    RESOLVED = "resolved"  # no alert fires any more
    COURSE_WAITS = "course_waits"  # for an approval, or for what holds its next step back
    STEPPED = "stepped"  # a step of a course is done and settled: on to the next
    BROKEN = "broken"  # a fault of ours, or of the files: no more automatic steps


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `due_at` where the event itself says when to look again."""

    kind: EventKind
    reason: Reason
    detail: str
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How often an incident without a remedy is looked at again, how seldom at last,
    and for how long. Seconds.
    """

    recheck_s: float
    escalate_after_s: float
    seldom_s: float = 900.0


Due: TypeAlias = Callable[[Incident, Event, Patience, datetime], datetime | None]


def _now(incident: Incident, event: Event, patience: Patience, now: datetime) -> datetime | None:
    return now


def _never(incident: Incident, event: Event, patience: Patience, now: datetime) -> None:
    return None


def _said(incident: Incident, event: Event, patience: Patience, now: datetime) -> datetime | None:
    """As the event says, but not at once: a step that changes nothing may not run hot."""
    return max(event.due_at or now, now + timedelta(milliseconds=50))


def _later(incident: Incident, event: Event, patience: Patience, now: datetime) -> datetime | None:
    return now + timedelta(seconds=patience.recheck_s)


def _seldom(incident: Incident, event: Event, patience: Patience, now: datetime) -> datetime | None:
    """Ever less often while looks change nothing: an alert that is never resolved
    may not be read for ever.
    """
    pause_s = patience.recheck_s * 2 ** min(incident.quiet, 20)
    return now + timedelta(seconds=min(pause_s, max(patience.seldom_s, patience.recheck_s)))


Edge: TypeAlias = tuple[IncidentState, Due]

_TO_PEOPLE: Edge = (S.ESCALATED, _never)
_LOOKED_AT: Mapping[EventKind, Edge] = {
    EventKind.NO_RUNG: (S.OPEN, _later),
    EventKind.EXHAUSTED: _TO_PEOPLE,
    EventKind.MISSING: _TO_PEOPLE,
    EventKind.PEOPLE: _TO_PEOPLE,
    EventKind.HELD: (S.OPEN, _said),
    EventKind.DENIED: _TO_PEOPLE,
    EventKind.PROPOSED: (S.WAITING, _said),
    EventKind.ADMITTED: (S.ACTING, _now),
    EventKind.RESOLVED: (S.CLOSED, _never),
    EventKind.BROKEN: _TO_PEOPLE,
}
_CONCLUDED: Mapping[EventKind, Edge] = {
    EventKind.HEALED: (S.HEALED, _later),
    EventKind.NOT_HEALED: (S.OPEN, _now),
    EventKind.OVER: _TO_PEOPLE,
    EventKind.BROKEN: _TO_PEOPLE,
    EventKind.STEPPED: (S.OPEN, _now),
}

TABLE: Mapping[IncidentState, Mapping[EventKind, Edge]] = {
    S.OPEN: {
        **_LOOKED_AT,
        EventKind.RETARGETED: (S.OPEN, _now),
        EventKind.JOINED: (S.CLOSED, _never),
        EventKind.COURSE_WAITS: (S.OPEN, _said),
        EventKind.HEALTHY: (S.OPEN, _later),
        EventKind.UNKNOWN: (S.OPEN, _later),
    },
    S.WAITING: {
        EventKind.ASKED: (S.WAITING, _said),
        EventKind.HELD: (S.WAITING, _said),
        EventKind.ADMITTED: (S.ACTING, _now),
        EventKind.WITHDRAWN: (S.OPEN, _now),
        EventKind.REJECTED: _TO_PEOPLE,
        EventKind.EXPIRED: _TO_PEOPLE,
        EventKind.DENIED: _TO_PEOPLE,
        EventKind.RESOLVED: (S.CLOSED, _never),
        EventKind.BROKEN: _TO_PEOPLE,
    },
    S.ACTING: {
        **_CONCLUDED,
        EventKind.WAITING: (S.ACTING, _said),
        EventKind.NEVER_SENT: (S.OPEN, _later),
        EventKind.DONE: (S.VERIFYING, _said),
    },
    S.VERIFYING: {
        **_CONCLUDED,
        EventKind.READ: (S.VERIFYING, _said),
        EventKind.HELD: (S.VERIFYING, _said),  # its return, which a guard holds back for now
        EventKind.ADMITTED: (S.ACTING, _now),  # its return
    },
    S.HEALED: {
        **_LOOKED_AT,
        EventKind.HEALTHY: (S.HEALED, _seldom),
        EventKind.UNKNOWN: (S.HEALED, _seldom),
    },
    S.ESCALATED: {
        EventKind.HELD: (S.ESCALATED, _said),
        EventKind.RELEASED: (S.OPEN, _now),
        EventKind.DENIED: _TO_PEOPLE,
        EventKind.RESOLVED: (S.CLOSED, _never),
        EventKind.BROKEN: _TO_PEOPLE,
    },
    S.CLOSED: {},
}
# What ends by itself, or by a person's word: whatever still fires then is looked at again.
HOLDS = frozenset({Reason.SWITCHED_OFF, Reason.MAINTENANCE})
# What ends with time. Where it takes longer than a person should wait, one is called,
# and when it has ended it is looked at again all the same.
TIMED = frozenset({
    Reason.BUDGET_RUNG, Reason.BUDGET_TARGET, Reason.BUDGET_PLAYBOOK, Reason.BUDGET_NAMESPACE,
    Reason.BUDGET_OVERALL, Reason.BLAST_RADIUS, Reason.CANARY, Reason.BREAKER_OPEN,
    Reason.CLOCK_STEPPED,
})  # fmt: skip

# A wait for a remedy ends here: a person should not wait longer than this for Paramedic to give up.
_TRIES_PATIENCE = {
    EventKind.HEALTHY,
    EventKind.UNKNOWN,
    EventKind.NO_RUNG,
    EventKind.HELD,
    EventKind.NEVER_SENT,
}

# Nobody waits for a remedy of what has been silenced, or does not fire any
# more: it waits without end.
_NOBODY_WAITS = {Reason.SILENCED, Reason.INHIBITED, Reason.NOT_FIRING}


def advance(incident: Incident, event: Event, patience: Patience, now: datetime) -> Move:
    """Where the incident goes. Raises KeyError for an edge that is not in the table."""
    state, due = TABLE[incident.state][event.kind]
    due_at = due(incident, event, patience, now)
    patience_ends = incident.opened_at + timedelta(seconds=patience.escalate_after_s)
    if (
        state is S.OPEN
        and event.kind in _TRIES_PATIENCE
        and event.reason not in _NOBODY_WAITS
        and max(now, due_at or now) > patience_ends
    ):
        # A person is called; when the hold ends by itself, it is looked at again all the same.
        again_at = due_at if event.kind is EventKind.HELD and event.reason in HOLDS else None
        if event.kind is EventKind.HELD and event.reason in TIMED:
            again_at = max(due_at or now, now + timedelta(seconds=patience.seldom_s))
        return Move(
            S.ESCALATED, event.reason, f"{event.detail}: longer than people should wait", again_at
        )
    return Move(state, event.reason, event.detail, due_at)


def from_proposal(proposal: Proposal) -> Event:
    """The event of a ladder that proposes nothing."""
    reason = proposal.reason or Reason.NO_RUNG_HOLDS
    detail = "; ".join(f"{c.rung}: {c.reason}" for c in proposal.considered)
    kinds = {
        Reason.ALREADY_HEALTHY: EventKind.HEALTHY,
        Reason.EVIDENCE_UNKNOWN: EventKind.UNKNOWN,
        Reason.LADDER_EXHAUSTED: EventKind.EXHAUSTED,
        Reason.TARGET_MISSING: EventKind.MISSING,
    }
    return Event(
        kinds.get(reason, EventKind.NO_RUNG), reason, detail or "the playbook has no remedy"
    )


def from_denial(ruling: Ruling) -> Event:
    """The event of a guard's no."""
    kind = EventKind.DENIED if ruling.retry_at is None else EventKind.HELD
    return Event(kind, ruling.reason, ruling.detail, ruling.retry_at)


def from_outcome(outcome: Outcome) -> Event:
    """The event of an action's verdict."""
    return Event(_kind_of(outcome), outcome.reason, outcome.detail)


def _kind_of(outcome: Outcome) -> EventKind:
    match outcome.kind:
        case OutcomeKind.HEALED:
            return EventKind.HEALED
        case OutcomeKind.WORSE | OutcomeKind.REVERTED:
            return EventKind.OVER
        case OutcomeKind.NOT_HEALED | OutcomeKind.INCONCLUSIVE | OutcomeKind.FAILED:
            over = outcome.reason in (Reason.MODE_DRY_RUN, Reason.INDETERMINATE)
            return EventKind.OVER if over else EventKind.NOT_HEALED


def from_return(was: OutcomeKind | None, outcome: Outcome, result: ActionResult | None) -> Event:
    """The event of a return's end; `was` is the outcome of the action that it takes back.

    After a change that only did not heal the next rung may act, once the change is gone, or is
    another hand's by now. What was made worse, or could not be taken back, is for people.
    """
    event = Event(EventKind.OVER, outcome.reason, outcome.detail)
    theirs = outcome.kind is OutcomeKind.REVERTED or (
        result is not None and result.reason is Reason.TARGET_CHANGED
    )
    if was is OutcomeKind.NOT_HEALED and (outcome.reason is Reason.RETURNED or theirs):
        return Event(EventKind.NOT_HEALED, outcome.reason, outcome.detail)
    if outcome.kind is OutcomeKind.FAILED:
        return Event(EventKind.OVER, Reason.RETURN_FAILED, outcome.detail)
    return event


def outcome_of(result: ActionResult) -> Outcome | None:
    """The outcome of an action that ended without anything to verify; None:
    it was done, and is verified.
    """
    match result.applied:
        case Applied.FAILED if result.reason is Reason.INDETERMINATE:
            # It may have been done. Nothing more is tried on top of what nobody knows.
            kind, reason = OutcomeKind.INCONCLUSIVE, Reason.INDETERMINATE
            return Outcome(kind, reason, result.detail, result.at)
        case Applied.FAILED:
            detail = f"{result.reason}: {result.detail}"
            return Outcome(OutcomeKind.FAILED, Reason.ACTION_FAILED, detail, result.at)
        case Applied.DRY:
            return Outcome(OutcomeKind.INCONCLUSIVE, Reason.MODE_DRY_RUN, result.detail, result.at)
        case Applied.DONE | Applied.STARTED:
            return None


def resolved(incident: Incident) -> Event:
    """The event of the last alert's end."""
    if incident.state is S.HEALED:
        detail = "healed, and its alerts have resolved"
        return Event(EventKind.RESOLVED, Reason.READINGS_GOOD, detail)
    return Event(EventKind.RESOLVED, Reason.ALERT_RESOLVED, "its alerts have resolved")
