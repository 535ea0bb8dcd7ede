"""What the store is asked at a scrape: one read of counts, ages and totals, each found by an index.

Totals of actions are counted from the ledger itself, whose lines are never deleted:
whatever process dies, and whichever replica is asked, they say the same and only grow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from service.model.action import Mode
from service.model.incident import IncidentState
from service.model.reasons import Reason
from service.store.database import Database
from service.store.history import LOOKBACK, NOT_TRIED
from service.store.schema import dead_letters, inbox, incidents, ledger, waiting

_MOST = 2_000  # newest actions that budgets are counted from


class ActionTotal(NamedTuple):
    """How many lines of the ledger are alike. `applied` and `outcome` are None
    while there is none yet.
    """

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
# In the order of the index `ledger_totals`, which is all that is read, and grouped as it goes.
_GROUPED = (
    ledger.c.playbook,
    ledger.c.rung,
    ledger.c.kind,
    ledger.c.mode,
    ledger.c.applied,
    ledger.c.outcome,
    ledger.c.target_key,
)
_ACTIONS = sa.select(*_GROUPED, sa.func.count()).group_by(*_GROUPED)
_SPENT = (
    sa.select(ledger.c.playbook, ledger.c.intended_at)
    .where(ledger.c.intended_at > sa.bindparam("since", type_=ledger.c.intended_at.type))
    .where(ledger.c.mode != Mode.DRY_RUN, ledger.c.returns.is_(None))
    .where(sa.func.coalesce(ledger.c.applied_reason, "").not_in(NOT_TRIED))
    .order_by(ledger.c.intended_at.desc())
    .limit(_MOST)
)


def _by_kind(rows: Sequence[Any]) -> list[ActionTotal]:
    """Of targets only their kind is told: there are few kinds."""
    sums: dict[tuple[Any, ...], int] = {}
    for playbook, rung, action, mode, applied, outcome, target_key, count in rows:
        kind = target_key.partition("/")[0]
        known = (playbook, rung, action, kind, mode, applied, outcome)
        sums[known] = sums.get(known, 0) + count
    return [ActionTotal._make((*known, count)) for known, count in sums.items()]


class Figures:
    """Counts, ages and totals of the whole store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, now: datetime, longest: timedelta = LOOKBACK) -> Seen:
        """`longest` is the longest window of a budget. Raises Unavailable."""

        def query(connection: sa.Connection) -> Seen:
            def rows(statement: sa.Executable, **values: Any) -> Sequence[Any]:
                return connection.execute(statement, values).all()

            return Seen(
                {(row[0], str(row[1])): int(row[2]) for row in rows(_STANDING)},
                int(connection.execute(_APPROVALS).scalar_one()),
                connection.execute(_OLDEST).scalar(),
                int(connection.execute(_DEAD).scalar_one()),
                _by_kind(rows(_ACTIONS)),
                [Spent(*row) for row in rows(_SPENT, since=now - longest)],
            )

        return await self._database.read(query)
