"""Proposals that wait for a person's word, and what became of each.

Never here: who may say it, and what a word means for the incident.
"""

from datetime import datetime

import sqlalchemy as sa

from service.model.action import Mode
from service.model.approval import Answer, ApprovalState
from service.model.errors import Refused
from service.model.reasons import Reason
from service.model.step import Answered
from service.store.changes import write_steps
from service.store.database import Database
from service.store.proposals import IS_OPEN
from service.store.schema import Row, approvals, incidents


class Approvals:
    """Proposals in the store, for people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def listing(self, limit: int, *, every: bool = False) -> list[Row]:
        """The open proposals, those due first; or the newest of all."""
        query = sa.select(approvals).where(IS_OPEN).order_by(approvals.c.due_at).limit(limit)
        if every:
            query = sa.select(approvals).order_by(approvals.c.made_at.desc()).limit(limit)
        return await self._database.read(lambda c: [dict(r) for r in c.execute(query).mappings()])

    async def get(self, approval_id: str) -> Row | None:
        query = sa.select(approvals).where(approvals.c.id == approval_id)
        row = await self._database.read(lambda c: c.execute(query).mappings().first())
        return dict(row) if row is not None else None

    async def answer(
        self, approval_id: str, answer: Answer, by: str, why: str, now: datetime
    ) -> Row:
        """Writes what a person says, as a step of the incident, and makes the incident due.

        Saying the same again changes nothing. Raises Refused: 404 for no such proposal,
        409 for one that is over or was answered otherwise, 403 for the second of two
        people who is the first one.
        """

        def commit(tx: sa.Connection) -> Row:
            one = sa.select(approvals).where(approvals.c.id == approval_id)
            # The incident first, as a step writes them:
            # neither then waits for what the other has locked.
            its = sa.select(approvals.c.incident_id).where(approvals.c.id == approval_id)
            incident = sa.select(incidents.c.id).where(incidents.c.id.in_(its))
            _ = tx.execute(incident.with_for_update()).scalar()
            found = tx.execute(one).mappings().first()
            if found is None:
                raise Refused(Reason.NOT_FOUND, f"no proposal is called {approval_id}", 404)
            row = dict(found)
            if _said_before(row, answer, by):
                return row
            values = _answered(row, answer, by, why, now)
            tx.execute(sa.update(approvals).where(approvals.c.id == approval_id).values(values))
            due = sa.update(incidents).where(incidents.c.id == row["incident_id"])
            tx.execute(due.values(due_at=now))
            said = "asked" if "asked_by" in values else str(values["state"])
            step = Answered(now, approval_id, said, by, why)
            write_steps(tx, row["incident_id"], (step,))
            return {**row, **values}

        return await self._database.write(commit)


def _said_before(row: Row, answer: Answer, by: str) -> bool:
    """A lost reply makes people, and scripts, say it twice."""
    same = {
        Answer.APPROVE: (ApprovalState.APPROVED, ApprovalState.USED),
        Answer.REJECT: (ApprovalState.REJECTED,),
    }
    return row["by"] == by and row["state"] in same[answer]


def _answered(row: Row, answer: Answer, by: str, why: str, now: datetime) -> Row:
    state = row["state"]
    not_used = answer is Answer.REJECT and state == ApprovalState.APPROVED
    if state != ApprovalState.PENDING and not not_used:
        who = f" by {row['by']}" if row["by"] else ""
        told = f"{row['id']} is {state}{who} already"
        raise Refused(Reason.CONFLICT, told, 409)
    if row["mode"] == Mode.APPROVE and now >= row["due_at"]:
        told = f"{row['id']} has expired at {row['due_at']:%H:%M:%S} UTC"
        raise Refused(Reason.APPROVAL_EXPIRED, told, 409)
    said = {"by": by, "why": why, "answered_at": now}
    if answer is Answer.REJECT:
        return {**said, "state": ApprovalState.REJECTED}
    if row["two_people"] and row["asked_by"] is None:
        return {"asked_by": by, "why": why}
    if row["two_people"] and row["asked_by"] == by:
        told = f"{by} has asked for it; a second person has to say yes"
        raise Refused(Reason.SECOND_PERSON, told, 403)
    return {**said, "state": ApprovalState.APPROVED}
