"""What the store is asked at a scrape: one read of counts, ages and totals, each found by an index.

Totals of actions are counted from the ledger itself, whose lines are never deleted: whatever process dies, and
whichever replica is asked, they say the same and only grow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from service.model.action import Mode
from service.model.incident import IncidentState
from service.model.reasons import Reason
from service.model.target import TargetKind
from service.store.database import Database
from service.store.ledger import LOOKBACK, NOT_TRIED
from service.store.schema import dead_letters, inbox, incidents, ledger, waiting

_MOST = 10_000  # newest actions whose budgets are counted


class ActionTotal(NamedTuple):
    """How many lines of the ledger are alike. `applied` and `outcome` are None while there is none yet."""

    playbook: str
    rung: str
    action: str
    target_kind: str
    mode: str
    applied: str | None
    outcome: str | None
    lines: int


class Spent(NamedTuple):
    """One action that counts in budgets."""

    playbook: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the store. `incidents` are those that are not closed, by playbook and state."""

    incidents: Mapping[tuple[str, str], int]
    approvals: int
    oldest_waiting_at: datetime | None
    dead_letters: int
    actions: Sequence[ActionTotal]
    spent: Sequence[Spent]


_OPEN = incidents.c.state != sa.literal_column("'closed'")  # as the partial indexes have it
_STANDING = (
    sa.select(incidents.c.playbook, incidents.c.state, sa.func.count())
    .where(_OPEN)
    .group_by(incidents.c.playbook, incidents.c.state)
)
_APPROVALS = (
    sa.select(sa.func.count())
    .select_from(incidents)
    .where(_OPEN, incidents.c.reason == Reason.APPROVAL_REQUIRED)
    .where(incidents.c.state != IncidentState.HEALED)
)
_OLDEST = sa.select(inbox.c.received_at).where(
    inbox.c.id == sa.select(sa.func.min(waiting.c.inbox_id)).scalar_subquery()
)
_DEAD = sa.select(sa.func.count()).select_from(dead_letters)
_TARGET_KIND = sa.case(
    *((ledger.c.target_key.startswith(f"{kind.value}/"), kind.value) for kind in TargetKind),
    else_="other",
).label("target_kind")
_ACTIONS = sa.select(
    ledger.c.playbook,
    ledger.c.rung,
    ledger.c.kind,
    _TARGET_KIND,
    ledger.c.mode,
    ledger.c.applied,
    ledger.c.outcome,
    sa.func.count(),
).group_by(
    ledger.c.playbook,
    ledger.c.rung,
    ledger.c.kind,
    sa.text("target_kind"),
    ledger.c.mode,
    ledger.c.applied,
    ledger.c.outcome,
)
_SPENT = (
    sa.select(ledger.c.playbook, ledger.c.intended_at)
    .where(ledger.c.intended_at > sa.bindparam("since", type_=ledger.c.intended_at.type))
    .where(ledger.c.mode == Mode.AUTO)
    .where(sa.func.coalesce(ledger.c.applied_reason, "").not_in(NOT_TRIED))
    .order_by(ledger.c.intended_at.desc())
    .limit(_MOST)
)


class Figures:
    """Counts, ages and totals of the whole store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, now: datetime) -> Seen:
        """Raises Unavailable."""

        def query(connection: sa.Connection) -> Seen:
            def rows(statement: sa.Executable, **values: Any) -> Sequence[Any]:
                return connection.execute(statement, values).all()

            return Seen(
                {(row[0], str(row[1])): int(row[2]) for row in rows(_STANDING)},
                int(connection.execute(_APPROVALS).scalar_one()),
                connection.execute(_OLDEST).scalar(),
                int(connection.execute(_DEAD).scalar_one()),
                [ActionTotal(*row) for row in rows(_ACTIONS)],
                [Spent(*row) for row in rows(_SPENT, since=now - LOOKBACK)],
            )

        return await self._database.read(query)
