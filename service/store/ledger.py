"""The ledger of actions: intent before act, result, outcome. Budgets are counted from it, audits read it.

`admit` is the key stroke: the guard's judgement runs inside the transaction that writes the intent, so two
workers cannot both spend the last of a budget.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from service.model.action import ActionResult, Applied, Intent, Mode
from service.model.evidence import Facts
from service.model.incident import Incident, Outcome
from service.model.reasons import Reason
from service.model.ruling import History, PastAction, Proposal, Ruling
from service.store.codec import action_from, plain
from service.store.database import Database
from service.store.incidents import count_firing, write_step
from service.store.schema import ledger

LOOKBACK = timedelta(days=7)  # no budget has a longer window: see playbooks/load.py


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An action without an outcome: intended, perhaps sent, perhaps under verification."""

    intent: Intent
    result: ActionResult | None
    before: Facts | None


class Ledger:
    """Actions in the store. Rows are added and completed, never deleted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(
        self,
        incident: Incident,
        proposal: Proposal,
        judge: Callable[[History], Ruling],
        *,
        before: Facts,
        now: datetime,
    ) -> Ruling:
        """Asks `judge` and, if it allows, commits the intent in the same transaction as the ruling."""

        def decide(tx: sa.Connection) -> Ruling:
            if tx.dialect.name == "postgresql":
                # SQLite has one writer. Here two would read the same history, and both spend the last of a budget.
                tx.execute(sa.text("LOCK TABLE ledger IN SHARE ROW EXCLUSIVE MODE"))
            ruling = judge(_history(tx, incident, now))
            if ruling.intent is not None:
                tx.execute(sa.insert(ledger).values(_row(incident, ruling.intent, before)))
            write_step(tx, incident.id, "ruled", _shown(ruling), now)
            return ruling

        return await self._database.write(decide)

    async def tried(self, incident_id: str) -> Mapping[str, int]:
        """How often each rung was tried in the incident, whatever came of it; what was let be was not tried."""
        let_be = (Reason.EVIDENCE_STALE, Reason.ALERT_RESOLVED)  # see stages.resume
        query = (
            sa.select(ledger.c.rung, sa.func.count())
            .where(ledger.c.incident_id == incident_id)
            .where(sa.func.coalesce(ledger.c.applied_reason, "").not_in(let_be))
            .group_by(ledger.c.rung)
        )
        rows = await self._database.read(lambda c: c.execute(query).all())
        return {str(rung): int(count) for rung, count in rows}

    async def unsettled(self, incident_id: str) -> Unsettled | None:
        """The incident's action that has no outcome yet, which a crash may have left."""
        query = sa.select(ledger).where(
            ledger.c.incident_id == incident_id, ledger.c.settled_at.is_(None)
        )
        row = await self._database.read(lambda c: c.execute(query).mappings().first())
        if row is None:
            return None
        intent = Intent(
            row["action_id"], incident_id, row["rung"], action_from(row["kind"], row["request"]),
            Mode(row["mode"]), row["intended_at"],
        )  # fmt: skip
        result = None
        if row["applied"]:
            result = ActionResult(
                Applied(row["applied"]),
                Reason(row["applied_reason"]),
                row["applied_detail"],
                row["applied_at"],
            )
        return Unsettled(intent, result, row["before"])

    async def applied(self, intent: Intent, result: ActionResult) -> None:
        """Writes what became of the action."""
        values = {"applied": result.applied, "applied_reason": result.reason, "applied_detail": result.detail,
                  "applied_at": result.at}  # fmt: skip
        said = {"action_id": intent.action_id, "action": str(intent.action), "result": result}
        await self._complete(intent, values, "acted", said, result.at)

    async def settle(self, intent: Intent, outcome: Outcome) -> None:
        """Writes whether the action helped."""
        values = {"outcome": outcome.kind, "outcome_reason": outcome.reason, "outcome_detail": outcome.detail,
                  "settled_at": outcome.at}  # fmt: skip
        said = {"action_id": intent.action_id, "outcome": outcome}
        await self._complete(intent, values, "verified", said, outcome.at)

    async def settle_open(self, incident_id: str, outcome: Outcome) -> None:
        """Gives every open line of the incident an outcome, so that none blocks its target; reads none of them."""
        line = (
            sa.update(ledger)
            .where(ledger.c.incident_id == incident_id, ledger.c.settled_at.is_(None))
            .values(
                outcome=outcome.kind, outcome_reason=outcome.reason, outcome_detail=outcome.detail,
                settled_at=outcome.at,
            )
        )  # fmt: skip
        await self._database.write(lambda tx: tx.execute(line).rowcount)

    async def _complete(
        self, intent: Intent, values: Mapping[str, object], kind: str, said: object, at: datetime
    ) -> None:
        line = sa.update(ledger).where(ledger.c.action_id == intent.action_id).values(**values)

        def commit(tx: sa.Connection) -> None:
            tx.execute(line)
            write_step(tx, intent.incident_id, kind, said, at)

        await self._database.write(commit)

    async def entries(self, incident_id: str | None, limit: int) -> list[dict[str, Any]]:
        """Lines of the ledger as they stand, of one incident or the newest of all."""
        query = sa.select(ledger).order_by(ledger.c.intended_at.desc()).limit(limit)
        if incident_id is not None:
            query = (
                sa.select(ledger)
                .where(ledger.c.incident_id == incident_id)
                .order_by(ledger.c.intended_at)
            )
        return await self._database.read(
            lambda c: [dict(row) for row in c.execute(query).mappings()]
        )


def _row(incident: Incident, intent: Intent, before: Facts) -> dict[str, object]:
    return {
        "action_id": intent.action_id, "incident_id": incident.id, "playbook": incident.playbook,
        "target_key": incident.target.key, "namespace": incident.target.namespace, "rung": intent.rung,
        "kind": intent.action.kind, "request": plain(intent.action), "mode": intent.mode,
        "intended_at": intent.intended_at, "before": plain(before),
    }  # fmt: skip


def _history(tx: sa.Connection, incident: Incident, now: datetime) -> History:
    columns = (ledger.c.action_id, ledger.c.incident_id, ledger.c.playbook, ledger.c.target_key, ledger.c.rung,
               ledger.c.kind, ledger.c.intended_at, ledger.c.settled_at)  # fmt: skip
    query = sa.select(*columns).where(
        ledger.c.intended_at > now - LOOKBACK, ledger.c.mode == Mode.AUTO
    )
    acted = [_past(dict(row)) for row in tx.execute(query).mappings()]
    return History(
        firing_alerts=count_firing(tx, incident.id),
        on_target=[a for a in acted if a.target_key == incident.target.key],
        in_playbook=[a for a in acted if a.playbook == incident.playbook],
        overall=acted,
    )


def _past(row: dict[str, Any]) -> PastAction:
    return PastAction(
        row["action_id"], row["incident_id"], row["playbook"], row["target_key"], row["rung"], row["kind"],
        row["intended_at"], row["settled_at"] is not None,
    )  # fmt: skip


def _shown(ruling: Ruling) -> dict[str, object]:
    return {
        "verdict": ruling.verdict,
        "guard": ruling.guard,
        "reason": ruling.reason,
        "detail": ruling.detail,
        "mode": ruling.mode,
        "action_id": ruling.intent.action_id if ruling.intent else None,
        "retry_at": ruling.retry_at,
    }
