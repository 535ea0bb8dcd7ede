"""What waits for a person now: open incidents that are escalated, or that wait for a word,
and what was told of them.

Derived from the incidents and their steps alone: whoever starts anew knows at
once who is to be called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.store.database import Database
from service.store.schema import incidents, steps

MOST = 2_000  # calls that are kept up at one time; the oldest go first
TOLD = ("diagnosed", "decided", "ruled", "called", "proposed", "verified", "kept", "moved")
_FOR_PEOPLE = ("escalated", "waiting")
_NEWEST = 40  # steps of one incident


@dataclass(frozen=True, slots=True)
class Waiting:
    """An open incident that waits for a person."""

    incident_id: str
    playbook: str
    kind: str
    namespace: str
    name: str
    state: str
    reason: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """One step of an incident."""

    kind: str
    at: datetime
    data: Mapping[str, Any]  # Any: JSON


_COLUMNS = (
    incidents.c.id,
    incidents.c.playbook,
    incidents.c.target_kind,
    incidents.c.target_namespace,
    incidents.c.target_name,
    incidents.c.state,
    sa.func.coalesce(incidents.c.reason, ""),
    incidents.c.opened_at,
)
_OPEN = (
    sa.select(*_COLUMNS)
    .where(incidents.c.state != sa.literal_column("'closed'"))  # as the index has it
    .where(incidents.c.state.in_(_FOR_PEOPLE))
    .order_by(incidents.c.opened_at)
    .limit(MOST)
)


class Escalations:
    """Reads what waits for people."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self) -> Sequence[Waiting]:
        """Every open incident that waits for a person, oldest first, at most MOST."""
        return await self._database.read(lambda c: [Waiting(*row) for row in c.execute(_OPEN)])

    async def named(self, ids: Sequence[str]) -> Sequence[Waiting]:
        """These incidents, whatever their state is by now."""
        query = sa.select(*_COLUMNS).where(incidents.c.id.in_(ids))
        return await self._database.read(lambda c: [Waiting(*row) for row in c.execute(query)])

    async def told(self, ids: Sequence[str]) -> Mapping[str, Sequence[Told]]:
        """The newest steps of each incident that matter to a person, oldest first."""

        def load(connection: sa.Connection) -> dict[str, Sequence[Told]]:
            return {incident_id: _newest(connection, incident_id) for incident_id in ids}

        return await self._database.read(load)


def _newest(connection: sa.Connection, incident_id: str) -> Sequence[Told]:
    query = (
        sa.select(steps.c.kind, steps.c.at, steps.c.data)
        .where(steps.c.incident_id == incident_id, steps.c.kind.in_(TOLD))
        .order_by(steps.c.id.desc())
        .limit(_NEWEST)
    )
    return [Told(*row) for row in connection.execute(query)][::-1]
