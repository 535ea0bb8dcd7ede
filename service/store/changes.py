"""What one step of an incident changes, written within a transaction that is under way:
row, ledger line, steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
import structlog

from service.model.alert import AlertStatus
from service.model.change import ActionChange, Change
from service.model.errors import Refused
from service.model.incident import Claim, IncidentState, OutcomeKind
from service.model.reasons import Reason
from service.model.step import Step
from service.store.codec import plain
from service.store.controls import version
from service.store.course_rows import abandon, write_course
from service.store.proposals import end, newest_state
from service.store.schema import Instant, Row, episodes, incidents, ledger, steps

log = structlog.get_logger()

# New incidents go before readings, and readings before looks at what was looked at before.
RANKS: Mapping[IncidentState, int] = {
    IncidentState.OPEN: 2,
    IncidentState.ACTING: 0,
    IncidentState.WAITING: 1,
    IncidentState.VERIFYING: 1,
    IncidentState.HEALED: 3,
    IncidentState.ESCALATED: 3,
    IncidentState.CLOSED: 3,
}


_WITHOUT_ACTION = (
    IncidentState.OPEN,
    IncidentState.WAITING,
    IncidentState.HEALED,
    IncidentState.ESCALATED,
)


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to. Not `told`: the incident stays as it was and is due again, for an alert
    has joined meanwhile, or a person has said something else about its course.
    """

    state: IncidentState
    due_at: datetime | None
    told: bool = True


def write_change(tx: sa.Connection, claim: Claim, change: Change, now: datetime) -> Written:
    """Writes a step within a transaction that is under way, and gives the claim back."""
    move = change.move
    if move.state is IncidentState.CLOSED and tx.dialect.name == "postgresql":
        # Whoever lets an alert join locks the row first: it joins before the count,
        # or finds the incident closed.
        tx.execute(_IS_HELD.with_for_update(), _named(claim))
    if change.course is not None and not write_course(tx, change.course):
        row = _write_row(tx, claim, {"owner": None, "claimed_until": None, "due_at": now})
        return Written(IncidentState(row["state"]), now, told=False)
    firing = count_firing(tx, claim.incident_id)
    state, due_at = move.state, move.due_at
    values: Row = {"owner": None, "claimed_until": None}
    stays = firing > 0 and state is IncidentState.CLOSED
    if stays:  # an alert joined while it was worked on; it is still due, and seen again
        held = _write_row(tx, claim, {**values, "due_at": now})
        return Written(IncidentState(held["state"]), now, told=False)
    if not firing and state in _WITHOUT_ACTION and not _goes_on(change):
        due_at = now  # its last alert resolved while it was worked on: see to it at once
    values |= {
        "state": state,
        "reason": move.reason,
        "due_at": due_at,
        "rank": RANKS[state],
        "quiet": change.quiet,
    }
    if state is IncidentState.CLOSED:
        values["closed_at"] = now
    if change.outcome is not None:
        values["outcome"] = change.outcome
    # In this order everywhere: what people say locks the same two,
    # and so each waits for the other's commit.
    overtaken = change.seen_control is not None and version(tx) != change.seen_control
    written = _write_row(tx, claim, values)
    if change.seen_approval is not None:
        overtaken = newest_state(tx, claim.incident_id) != change.seen_approval
    if overtaken:
        due_at = _due_now(tx, claim, now)
    if change.frees:
        wake_effects(tx, written["target_namespace"], change.frees, now)
    _write_told(tx, claim, change, now)
    return Written(state, due_at)


def _write_told(tx: sa.Connection, claim: Claim, change: Change, now: datetime) -> None:
    if change.action is not None:
        complete(tx, change.action)
    if change.approval is not None:
        write_steps(tx, claim.incident_id, end(tx, claim.incident_id, change.approval, now))
    if change.quiet:
        _fold(tx, claim.incident_id, change.quiet, change.steps, now)
    else:
        write_steps(tx, claim.incident_id, change.steps)


def _due_now(tx: sa.Connection, claim: Claim, now: datetime) -> datetime:
    """People have said something since the step looked."""
    mine = sa.update(incidents).where(incidents.c.id == claim.incident_id)
    tx.execute(mine.values(due_at=now))
    return now


def _goes_on(change: Change) -> bool:
    """A course goes on whether its alert still fires or not, and waits as it says."""
    return change.course is not None and not change.course.course.state.ended


def _write_row(tx: sa.Connection, claim: Claim, values: Row) -> Mapping[Any, Any]:
    row = tx.execute(_update_held(tuple(values)), {**values, **_named(claim)}).mappings().first()
    if row is None:
        raise lost(claim)
    return dict(row)


# Statements are built once: building one costs more than running it.
_HELD = sa.and_(
    incidents.c.id == sa.bindparam("held_id"),
    incidents.c.owner == sa.bindparam("held_by"),
    incidents.c.claim == sa.bindparam("held_claim"),
)
_IS_HELD = sa.select(incidents.c.id).where(_HELD)
_COUNT_FIRING = sa.select(sa.func.count()).where(
    episodes.c.incident_id == sa.bindparam("incident"), episodes.c.status == AlertStatus.FIRING
)
_INSERT_STEPS = sa.insert(steps)


@cache
def _update_held(columns: tuple[str, ...]) -> sa.Executable:
    values = {name: sa.bindparam(name, type_=incidents.c[name].type) for name in columns}
    update = sa.update(incidents).where(_HELD).values(values)
    return update.returning(incidents.c.state, incidents.c.target_namespace)


@cache
def _update_line(columns: tuple[str, ...]) -> sa.Executable:
    values = {name: sa.bindparam(name, type_=ledger.c[name].type) for name in columns}
    return sa.update(ledger).where(ledger.c.action_id == sa.bindparam("line")).values(values)


# What waits in a namespace. One that is worked on just now is passed over:
# it looks for its causes itself, soon.
_WAITING = (
    sa.select(incidents.c.id)
    .where(incidents.c.target_namespace == sa.bindparam("namespace"))
    .where(incidents.c.playbook.in_(sa.bindparam("effects", expanding=True)))
    .where(incidents.c.state != sa.literal_column("'closed'"))  # as the index has it
    .where(incidents.c.state == IncidentState.OPEN.value)
    .where(incidents.c.due_at > sa.bindparam("now", type_=Instant()))
    .with_for_update(skip_locked=True)
)


def wake_effects(
    tx: sa.Connection, namespace: str, playbooks: Sequence[str], now: datetime
) -> None:
    """Makes the open incidents of some playbooks due, in one namespace:
    what explained them has ended.
    """
    asked = {"namespace": namespace, "effects": list(playbooks), "now": now}
    waiting = tx.execute(_WAITING, asked).scalars().all()
    if waiting:
        due = sa.update(incidents).where(incidents.c.id.in_(waiting)).values(due_at=now)
        tx.execute(due)


def _named(claim: Claim) -> Row:
    return {"held_id": claim.incident_id, "held_by": claim.owner, "held_claim": claim.number}


def _fold(
    tx: sa.Connection, incident_id: str, quiet: int, taken: Sequence[Step], now: datetime
) -> None:
    """One row for any number of looks that have changed nothing: how many, and the last one
    whole.
    """
    shown = {step.kind: _data(step) for step in taken}
    if quiet > 1:
        newest = sa.select(sa.func.max(steps.c.id)).where(steps.c.incident_id == incident_id)
        last = (
            tx.execute(sa.select(steps).where(steps.c.id == newest.scalar_subquery()))
            .mappings()
            .first()
        )
        if last is not None and last["kind"] == "again":
            data = {**last["data"], "times": quiet, "last_at": plain(now), "last": shown}
            tx.execute(sa.update(steps).where(steps.c.id == last["id"]).values(data=data))
            return
    data = {"times": quiet, "since": plain(now), "last_at": plain(now), "last": shown}
    tx.execute(sa.insert(steps).values(incident_id=incident_id, at=now, kind="again", data=data))


def held(claim: Claim) -> sa.ColumnElement[bool]:
    """The incident's row, while the claim on it is the last one made."""
    return sa.and_(
        incidents.c.id == claim.incident_id,
        incidents.c.owner == claim.owner,
        incidents.c.claim == claim.number,
    )


def lost(claim: Claim) -> Refused:
    return Refused(
        Reason.CLAIM_LOST, f"{claim.incident_id} is worked on by somebody else by now", 409
    )


def unreadable(tx: sa.Connection, incident_id: str, now: datetime, error: Exception) -> None:
    """A row of a newer version, or a broken one: that incident goes to a
    person, and stops no other.
    """
    log.error("incident cannot be read, escalated", incident=incident_id, error=str(error))
    detail = f"its row cannot be read: {error}"[:500]
    reason = Reason.UNREADABLE
    settle_open(tx, incident_id, OutcomeKind.INCONCLUSIVE, reason, detail, now)
    abandon(tx, incident_id, reason, detail, now)
    tx.execute(
        sa.update(incidents)
        .where(incidents.c.id == incident_id)
        .values(
            state=IncidentState.ESCALATED,
            reason=reason,
            outcome=None,
            due_at=None,
            owner=None,
            claimed_until=None,
        )
    )
    said = {"state": IncidentState.ESCALATED, "reason": reason, "detail": detail, "due_at": None}
    tx.execute(
        sa.insert(steps).values(incident_id=incident_id, at=now, kind="moved", data=plain(said))
    )


def count_firing(connection: sa.Connection, incident_id: str) -> int:
    """How many of the incident's alerts fire."""
    return int(connection.execute(_COUNT_FIRING, {"incident": incident_id}).scalar_one())


def write_steps(tx: sa.Connection, incident_id: str, taken: Sequence[Step]) -> None:
    """Adds steps within a transaction that is under way."""
    if taken:
        rows = [
            {"incident_id": incident_id, "at": step.at, "kind": step.kind, "data": _data(step)}
            for step in taken
        ]
        tx.execute(_INSERT_STEPS, rows)


def _data(step: Step) -> Any:  # Any: JSON
    data = plain(step)
    data.pop("at", None)
    return data


def complete(tx: sa.Connection, change: ActionChange) -> None:
    """Writes what has become of an action, within a transaction that is under way."""
    values: Row = {}
    if change.result is not None:
        result = change.result
        values |= {
            "applied": result.applied,
            "applied_reason": result.reason,
            "applied_detail": result.detail,
            "applied_at": result.at,
        }
    if change.progress is not None:
        values["progress"] = plain(change.progress)
    if change.outcome is not None:
        outcome = change.outcome
        values |= {
            "outcome": outcome.kind,
            "outcome_reason": outcome.reason,
            "outcome_detail": outcome.detail,
            "settled_at": outcome.at,
        }
    if values:
        tx.execute(_update_line(tuple(values)), {**values, "line": change.action_id})


def settle_open(
    tx: sa.Connection,
    incident_id: str,
    kind: OutcomeKind,
    reason: Reason,
    detail: str,
    now: datetime,
) -> None:
    """Gives every open line of the incident an outcome, so that none blocks its
    target; reads none of them.
    """
    line = sa.update(ledger).where(
        ledger.c.incident_id == incident_id, ledger.c.settled_at.is_(None)
    )
    tx.execute(
        line.values(outcome=kind, outcome_reason=reason, outcome_detail=detail, settled_at=now)
    )


def confirm_held(tx: sa.Connection, claim: Claim) -> None:
    """Raises Refused(claim_lost) when somebody else has the incident by now."""
    if tx.execute(_IS_HELD, _named(claim)).scalar() is None:
        raise lost(claim)
