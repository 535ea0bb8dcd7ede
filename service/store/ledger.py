"""The ledger of actions: intent before act, result, outcome.
Budgets are counted from it, audits read it.

`admit` is the key: the guards are asked inside the transaction that writes the intent,
so two workers cannot both spend the last of a budget.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from service.model.action import ActionResult, Applied, Intent, Kinds, Mode
from service.model.change import Change
from service.model.evidence import Facts, from_json, to_json
from service.model.incident import Claim, Incident, Progress, UnderWay
from service.model.limits import BreakerLimits
from service.model.reasons import Reason
from service.model.ruling import BreakerState, History, OpenCause, Ruling
from service.store import breaker
from service.store.changes import complete, confirm_held, lost, write_change, write_steps
from service.store.codec import plain, request_from
from service.store.course_rows import write_course
from service.store.database import Database
from service.store.history import NOT_TRIED, Scopes, causes_open, history
from service.store.proposals import add, end
from service.store.schema import Row, incidents, ledger

_PROGRESS: TypeAdapter[Progress] = TypeAdapter(Progress)


class Ledger:
    """Actions in the store. Rows are added and completed, never deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(
        self,
        incident: Incident,
        claim: Claim,
        intent: Intent[Any],
        judge: Callable[[History], tuple[Ruling, Change]],
        *,
        scopes: Scopes,
        before: Facts,
        now: datetime,
    ) -> tuple[Ruling, Change]:
        """Asks `judge` and, if it allows, commits the intent in the same transaction as
        the ruling, with its mode.

        A ruling that allows keeps the claim: the action follows. One that denies is written as the
        step it is, and the claim is given back. Raises Refused(claim_lost).
        """

        def decide(tx: sa.Connection) -> tuple[Ruling, Change]:
            if tx.dialect.name == "postgresql":
                # SQLite has one writer. Here two would read the same history,
                # and both spend the last of a budget.
                tx.execute(sa.text("LOCK TABLE ledger IN SHARE ROW EXCLUSIVE MODE"))
                # Who says no just now waits for this commit, or is heard by it:
                # `store/approvals.py` locks it too.
                if incident.approval is not None:
                    mine = sa.select(incidents.c.id).where(incidents.c.id == incident.id)
                    _ = tx.execute(mine.with_for_update()).scalar()
            past = history(tx, incident, scopes, now)
            ruling, change = judge(past)
            breaker.trip(tx, scopes.breaker, past.breaker, now)
            if not ruling.allowed:
                if change.proposed is not None:
                    add(tx, incident, change.proposed)
                write_change(tx, claim, change, now)
                return ruling, change
            confirm_held(tx, claim)
            if change.action is not None:  # a return: what it takes back ends in the same moment
                complete(tx, change.action)
            tx.execute(
                sa.insert(ledger).values(_row(incident, replace(intent, mode=ruling.mode), before))
            )
            if change.course is not None and not write_course(tx, change.course):
                raise lost(claim)  # a person has taken it back in this moment
            moved: Row = {"state": change.move.state, "reason": change.move.reason}
            moved |= {"due_at": now, "rank": 0, "quiet": 0}
            if change.outcome is not None:
                moved["outcome"] = change.outcome
            tx.execute(sa.update(incidents).where(incidents.c.id == incident.id).values(moved))
            write_steps(tx, incident.id, change.steps)
            if change.approval is not None:
                write_steps(tx, incident.id, end(tx, incident.id, change.approval, now))
            return ruling, change

        return await self._database.write(decide)

    async def new_incidents(self, limits: BreakerLimits, now: datetime) -> BreakerState:
        """What the circuit breaker counts, and whether it is open."""
        return await self._database.read(lambda c: breaker.state(c, limits, now))

    async def open_causes(self, incident: Incident, causes: Sequence[str]) -> tuple[OpenCause, ...]:
        """The open incidents of some playbooks in the incident's namespace,
        oldest first, a few of them.
        """
        return await self._database.read(lambda c: causes_open(c, incident, causes))

    async def tried(self, incident_id: str) -> Mapping[str, int]:
        """How often each rung was tried in the incident, whatever came of it."""
        query = (
            sa.select(ledger.c.rung, sa.func.count())
            .where(ledger.c.incident_id == incident_id, ledger.c.returns.is_(None))
            .where(sa.func.coalesce(ledger.c.applied_reason, "").not_in(NOT_TRIED))
            .group_by(ledger.c.rung)
        )
        rows = await self._database.read(lambda c: c.execute(query).all())
        return {str(rung): int(count) for rung, count in rows}

    async def last_done(self, kinds: Kinds, incident_id: str) -> Intent[Any] | None:
        """The incident's newest action that was done; None where there is
        none, or its kind is gone.
        """
        query = (
            sa.select(ledger)
            .where(ledger.c.incident_id == incident_id, ledger.c.applied == Applied.DONE)
            .order_by(ledger.c.intended_at.desc())
            .limit(1)
        )
        row = await self._database.read(lambda c: c.execute(query).mappings().first())
        if row is None or row["kind"] not in kinds:
            return None
        return _intent(kinds, dict(row))

    async def entries(self, incident_id: str | None, limit: int) -> list[dict[str, Any]]:
        """Lines of the ledger as they stand, of one incident or the newest of all."""
        query = sa.select(ledger).order_by(ledger.c.intended_at.desc()).limit(limit)
        if incident_id is not None:
            its = sa.select(ledger).where(ledger.c.incident_id == incident_id)
            query = its.order_by(ledger.c.intended_at).limit(limit)
        return await self._database.read(
            lambda c: [dict(row) for row in c.execute(query).mappings()]
        )


def _row(incident: Incident, intent: Intent[Any], before: Facts) -> dict[str, object]:
    return {
        "action_id": intent.action_id,
        "incident_id": incident.id,
        "playbook": incident.playbook,
        "target_key": incident.target.key,
        "namespace": incident.target.namespace,
        "rung": intent.rung,
        "kind": intent.kind,
        "request": plain(intent.request),
        "uids": dict(intent.uids),
        "returns": intent.returns,
        "mode": intent.mode,
        "intended_at": intent.intended_at,
        "before": to_json(before),
        "progress": plain(Progress()),
    }


def under_way_rows(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Row]:
    """The lines without an outcome, by incident."""
    found = connection.execute(_UNDER_WAY, {"ids": list(ids)}).mappings()
    return {row["incident_id"]: dict(row) for row in found}


_UNDER_WAY = sa.select(ledger).where(
    ledger.c.incident_id.in_(sa.bindparam("ids", expanding=True)), ledger.c.settled_at.is_(None)
)


def under_way(kinds: Kinds, row: Row) -> UnderWay:
    """The action that a line tells of. Raises LookupError or ValueError for a
    line that cannot be read.
    """
    result = None
    if row["applied"]:
        result = ActionResult(
            Applied(row["applied"]),
            Reason(row["applied_reason"]),
            row["applied_detail"],
            row["applied_at"],
        )
    progress = _PROGRESS.validate_python(row["progress"] or {})
    return UnderWay(_intent(kinds, row), result, from_json(row["before"] or {}), progress)


def _intent(kinds: Kinds, row: Row) -> Intent[Any]:
    return Intent(
        action_id=row["action_id"],
        incident_id=row["incident_id"],
        rung=row["rung"],
        kind=row["kind"],
        request=request_from(kinds, row["kind"], row["request"]),
        mode=Mode(row["mode"]),
        intended_at=row["intended_at"],
        uids=row["uids"] or {},
        returns=row["returns"],
    )
