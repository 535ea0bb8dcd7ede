"""Proposals of incidents as a step writes and reads them, within a transaction that is under
way.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.model.action import Kinds, Mode
from service.model.approval import Approval, ApprovalChange, ApprovalState
from service.model.change import NewApproval
from service.model.evidence import to_json
from service.model.incident import Incident, IncidentState
from service.model.reasons import Reason
from service.model.step import Settled
from service.store.codec import plain, request_from
from service.store.schema import Row, approvals

# Written out, not as a parameter: only so the planner knows that the partial index serves.
IS_OPEN = sa.text("approvals.state IN ('pending', 'approved')")
_NOT_ENDED = approvals.c.ended_at.is_(None)  # before the time: two may be made in the same instant


def add(tx: sa.Connection, incident: Incident, new: NewApproval) -> None:
    """A new proposal of an incident."""
    made = new.approval
    row = {
        "id": made.id,
        "incident_id": incident.id,
        "playbook": incident.playbook,
        "target_key": incident.target.key,
        "rung": made.rung,
        "kind": made.kind,
        "request": plain(made.request),
        "action": str(made.request),
        "mode": made.mode,
        "uid": made.uid,
        "difference": plain(new.difference),
        "evidence": to_json(new.evidence),
        "made_at": made.made_at,
        "due_at": made.due_at,
        "two_people": made.two_people,
        "state": ApprovalState.PENDING,
    }
    tx.execute(sa.insert(approvals).values(row))


def end(
    tx: sa.Connection, incident_id: str, change: ApprovalChange, now: datetime
) -> tuple[Settled, ...]:
    """What became of the open proposal of an incident, where it has one: the step that tells of it.

    What a person said stands: a proposal that he rejected stays so,
    also where the world has changed meanwhile.
    """
    mine = sa.and_(approvals.c.incident_id == incident_id, IS_OPEN)
    values = {
        "state": change.state,
        "reason": change.reason,
        "detail": change.detail,
        "ended_at": now,
        "action_id": change.action_id,
    }
    rejected = sa.and_(
        approvals.c.incident_id == incident_id,
        approvals.c.state == ApprovalState.REJECTED,
        _NOT_ENDED,
    )
    his = {"reason": Reason.REJECTED, "detail": change.detail, "ended_at": now}
    tx.execute(sa.update(approvals).where(rejected).values(his))
    ended = sa.update(approvals).where(mine).values(values).returning(approvals.c.id)
    return tuple(
        Settled(now, approval_id, change.state, change.reason, change.detail)
        for approval_id in tx.execute(ended).scalars().all()
    )


def newest_state(tx: sa.Connection, incident_id: str) -> str | None:
    """How the last proposal of an incident stands."""
    its = sa.select(approvals.c.state).where(approvals.c.incident_id == incident_id)
    newest = its.order_by(
        _NOT_ENDED.desc(), approvals.c.made_at.desc(), approvals.c.id.desc()
    ).limit(1)
    return tx.execute(newest).scalar()


def waiting_rows(
    connection: sa.Connection, rows: Sequence[Any]
) -> dict[str, Row]:  # Any: incidents' rows
    """The last proposal of each incident that waits, by incident."""
    waiting = [row["id"] for row in rows if row["state"] == IncidentState.WAITING]
    if not waiting:
        return {}
    newest = (
        sa.select(approvals)
        .where(approvals.c.incident_id.in_(waiting))
        .order_by(_NOT_ENDED, approvals.c.made_at, approvals.c.id)
    )
    return {r["incident_id"]: dict(r) for r in connection.execute(newest).mappings()}


def approval_of(kinds: Kinds, row: Row) -> Approval:
    """The proposal that a row holds. Raises LookupError or ValueError for one that cannot be
    read.
    """
    return Approval(
        id=row["id"],
        incident_id=row["incident_id"],
        rung=row["rung"],
        kind=row["kind"],
        request=request_from(kinds, row["kind"], row["request"]),
        mode=Mode(row["mode"]),
        uid=row["uid"],
        made_at=row["made_at"],
        due_at=row["due_at"],
        two_people=bool(row["two_people"]),
        state=ApprovalState(row["state"]),
        asked_by=row["asked_by"],
        by=row["by"],
        why=row["why"],
    )
