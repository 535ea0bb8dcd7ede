"""The journal as an outbox: steps in their order, behind a cursor per sink that survives restarts.

On PostgreSQL serial numbers commit out of order: a step with a lower number may appear after one
with a higher was read. So reading stops at a horizon below which no transaction is still at work.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from service.model.journal import JournalEntry
from service.model.reasons import Reason
from service.store.database import Database
from service.store.schema import incidents, sinks, steps

_POLL_S = 0.02
_POLLS = 100

# An INSERT locks its table before it takes its number: who holds no such lock,
# or not any more, adds no lower one.
_WRITERS = sa.text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'"
    " AND relation = 'steps'::regclass AND pid <> pg_backend_pid()"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a sink has come: the last step it has, and how often in a row it has failed since."""

    step_id: int
    failures: int


@dataclass(frozen=True, slots=True)
class Behind:
    """How far a sink is behind: in step numbers, in seconds of the oldest that
    waits, and failures in a row.
    """

    steps: int
    waits_s: float
    failures: int


# The columns of an entry of the journal, in the order of JournalEntry's fields.
ENTRY = (
    steps.c.id,
    steps.c.incident_id,
    incidents.c.playbook,
    incidents.c.target_key,
    steps.c.at,
    steps.c.kind,
    steps.c.data,
)
_NEWEST = sa.select(sa.func.coalesce(sa.func.max(steps.c.id), 0))
_FIRST_AFTER = (
    sa.select(steps.c.at).where(steps.c.id > sa.bindparam("cursor")).order_by(steps.c.id).limit(1)
)


class Outbox:
    """Steps for sinks, in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self,
        sink: str,
        owner: str,
        now: datetime,
        lease: timedelta,
        *,
        from_the_first: bool = False,
    ) -> Cursor | None:
        """The sink's cursor, for `owner` alone until `now + lease`;
        None while another has it, or it is put off.

        A sink that was never seen begins with what is told from now on,
        or with the first step that is kept.
        Nothing is written while it is put off.
        """
        known = sa.select(sinks).where(sinks.c.name == sink)
        row = await self._database.read(lambda c: c.execute(known).mappings().first())
        if row is None:
            await self._begin(sink, 0 if from_the_first else await self._horizon() or 0)
        elif row["retry_at"] is not None and now < row["retry_at"] <= now + timedelta(hours=1):
            return None
        elif row["owner"] == owner and row["claimed_until"] > now + lease / 2:
            return Cursor(row["cursor"], row["failures"])
        free = sa.or_(
            sinks.c.owner.is_(None),
            sinks.c.owner == owner,
            sinks.c.claimed_until <= now,
            sinks.c.claimed_until > now + 2 * lease,  # the clock was set back
        )
        take = (
            sa.update(sinks)
            .where(sinks.c.name == sink, free)
            .values(owner=owner, claimed_until=now + lease)
            .returning(sinks.c.cursor, sinks.c.failures)
        )
        taken = await self._database.write(lambda tx: tx.execute(take).first())
        return None if taken is None else Cursor(*taken)

    async def _begin(self, sink: str, cursor: int) -> None:
        """Two replicas may see a new sink at once: the second one's row is the first one's."""

        def add(tx: sa.Connection) -> None:
            if tx.dialect.name == "postgresql":
                tx.execute(sa.text("LOCK TABLE sinks IN SHARE ROW EXCLUSIVE MODE"))
            if tx.execute(sa.select(sinks.c.name).where(sinks.c.name == sink)).scalar() is None:
                tx.execute(sa.insert(sinks).values(name=sink, cursor=cursor))

        await self._database.write(add)

    async def after(self, step_id: int, limit: int) -> Sequence[JournalEntry]:
        """At most `limit` steps after `step_id`, oldest first,
        none of which another will be put before.
        """
        query = (
            sa.select(*ENTRY)
            .join(incidents, incidents.c.id == steps.c.incident_id)
            .where(steps.c.id > step_id)
            .order_by(steps.c.id)
            .limit(limit)
        )
        # SQLite has one writer: numbers are in the order of commits, and nothing comes before them.
        if self._database.dialect == "postgresql":
            newest = await self._horizon()
            if newest is None or newest <= step_id:
                return ()
            query = query.where(steps.c.id <= newest)
        return await self._database.read(lambda c: [JournalEntry(*row) for row in c.execute(query)])

    async def _horizon(self) -> int | None:
        """The newest step, once all who were writing when it was looked up have ended;
        None: they take too long.
        """
        found: int = await self._database.read(lambda c: c.execute(_NEWEST).scalar_one())
        if self._database.dialect != "postgresql":
            return found  # one writer: numbers are in the order of commits
        left = await self._writers()
        for _ in range(_POLLS):
            if not left:
                return found
            await asyncio.sleep(_POLL_S)
            left &= await self._writers()
        return None

    async def _writers(self) -> set[str]:
        return set(await self._database.read(lambda c: c.execute(_WRITERS).scalars().all()))

    async def advance(self, sink: str, owner: str, step_id: int) -> None:
        """The sink has everything up to this step. Not written when another replica follows by
        now.
        """
        done = (
            sa.update(sinks)
            .where(sinks.c.name == sink, sinks.c.owner == owner, sinks.c.cursor < step_id)
            .values(cursor=step_id, failures=0, retry_at=None, reason=None, detail=None)
        )
        await self._database.write(lambda tx: tx.execute(done).rowcount)

    async def release(self, owner: str) -> None:
        """Lets another process follow at once what this one has followed."""
        mine = sa.update(sinks).where(sinks.c.owner == owner)
        await self._database.write(
            lambda tx: tx.execute(mine.values(owner=None, claimed_until=None)).rowcount
        )

    async def release_all(self) -> None:
        """Drops every claim: right at the start of the one process that owns a
        SQLite file, and only then.
        """
        held = sa.update(sinks).where(sinks.c.owner.is_not(None))
        await self._database.write(
            lambda tx: tx.execute(held.values(owner=None, claimed_until=None)).rowcount
        )

    async def behind(self, now: datetime) -> Mapping[str, Behind]:
        """How far each sink is behind."""

        def query(connection: sa.Connection) -> dict[str, Behind]:
            newest = connection.execute(_NEWEST).scalar_one()
            found: dict[str, Behind] = {}
            for row in connection.execute(sa.select(sinks)).mappings():
                first = connection.execute(_FIRST_AFTER, {"cursor": row["cursor"]}).scalar()
                waits_s = max(0.0, (now - first).total_seconds()) if first else 0.0
                steps_behind = max(0, newest - row["cursor"])
                found[row["name"]] = Behind(steps_behind, waits_s, row["failures"])
            return found

        return await self._database.read(query)

    async def put_off(
        self, sink: str, owner: str, retry_at: datetime, reason: Reason, detail: str
    ) -> None:
        """Delivering failed: nobody tries again before `retry_at`."""
        failed = (
            sa.update(sinks)
            .where(sinks.c.name == sink, sinks.c.owner == owner)
            .values(failures=sinks.c.failures + 1, retry_at=retry_at, reason=reason, detail=detail)
        )
        await self._database.write(lambda tx: tx.execute(failed).rowcount)
