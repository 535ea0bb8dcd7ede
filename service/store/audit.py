"""The audit chain in the store: its lines, and the one transaction that appends.

Never here: what a line says, which is made in audit/chain.py.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from service.model.audit import AuditLine, LineKind
from service.model.journal import JournalEntry
from service.store.bulk import put
from service.store.database import Database
from service.store.outbox import ENTRY, Cursor, Outbox
from service.store.schema import audit, incidents, sinks, steps

T = TypeVar("T")

FOLLOWER = "audit"  # the name of its cursor among those of the sinks


class Readable(Protocol):
    """A store that is read, by the service or beside it."""

    async def read(self, query: Callable[[sa.Connection], T]) -> T: ...


class AuditReader:
    """Reads the chain, and the steps beside it."""

    def __init__(self, database: Readable) -> None:
        self._database = database

    async def head(self) -> tuple[int, str]:
        """Number and MAC of the last line; (0, "") before the first."""
        return await self._database.read(_head)

    async def mac_of(self, seq: int) -> str | None:
        """The MAC of a line."""
        query = sa.select(audit.c.mac).where(audit.c.seq == seq)
        return await self._database.read(lambda c: c.execute(query).scalar())

    async def after(self, seq: int, limit: int) -> list[tuple[AuditLine, JournalEntry | None]]:
        """Lines behind `seq` in their order, each with its step as it is now, if it has one."""
        query = (
            sa.select(*audit.c, *(column.label(f"step_{n}") for n, column in enumerate(ENTRY)))
            .select_from(
                audit.outerjoin(steps, steps.c.id == audit.c.step_id).outerjoin(
                    incidents, incidents.c.id == steps.c.incident_id
                )
            )
            .where(audit.c.seq > seq)
            .order_by(audit.c.seq)
            .limit(limit)
        )
        width = len(audit.c)

        def load(connection: sa.Connection) -> list[tuple[AuditLine, JournalEntry | None]]:
            return [
                (_line(row[:width]), None if row[width] is None else JournalEntry(*row[width:]))
                for row in map(tuple, connection.execute(query))
            ]

        return await self._database.read(load)

    async def cursor(self) -> int:
        """The last step that was chained, as the follower knows it."""
        query = sa.select(sinks.c.cursor).where(sinks.c.name == FOLLOWER)
        return await self._database.read(lambda c: c.execute(query).scalar()) or 0

    async def unchained(self, from_id: int, to_id: int) -> int | None:
        """The first step in this range of numbers that no line is about."""
        its = sa.exists().where(audit.c.step_id == steps.c.id)
        query = sa.select(sa.func.min(steps.c.id)).where(
            steps.c.id >= from_id, steps.c.id <= to_id, ~its
        )
        return await self._database.read(lambda c: c.execute(query).scalar())

    async def steps_between(
        self, from_at: datetime | None, to_at: datetime | None, after: int, limit: int
    ) -> list[tuple[JournalEntry, int | None, str | None]]:
        """Steps of a time, by their numbers: each with number and MAC of the line that
        has it whole, if there is.
        """
        whole = sa.and_(
            audit.c.step_id == steps.c.id, audit.c.kind.in_([LineKind.STEP, LineKind.FOLDED])
        )
        query = (
            sa.select(*ENTRY, audit.c.seq, audit.c.mac)
            .select_from(
                steps.join(incidents, incidents.c.id == steps.c.incident_id).outerjoin(audit, whole)
            )
            .where(steps.c.id > after, *_within(from_at, to_at))
            .order_by(steps.c.id)
            .limit(limit)
        )
        width = len(ENTRY)
        return await self._database.read(
            lambda c: [
                (JournalEntry(*row[:width]), row[width], row[width + 1])
                for row in map(tuple, c.execute(query))
            ]
        )

    async def count_between(self, from_at: datetime | None, to_at: datetime | None) -> int:
        """How many steps a time has."""
        query = sa.select(sa.func.count()).select_from(steps).where(*_within(from_at, to_at))
        return await self._database.read(lambda c: int(c.execute(query).scalar_one()))


class AuditStore(AuditReader):
    """Appends to the chain, under a lease."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._store = database
        self._outbox = Outbox(database)

    async def claim(self, owner: str, now: datetime, lease: timedelta) -> Cursor | None:
        """The right to append, for `owner` alone until `now + lease`.
        It begins with the first step that there is.
        """
        return await self._outbox.claim(FOLLOWER, owner, now, lease, from_the_first=True)

    async def unread(self, after: int, limit: int) -> Sequence[JournalEntry]:
        """Steps to chain next, none of which another will be put before."""
        return await self._outbox.after(after, limit)

    async def unfinished(self, incident_ids: Iterable[str]) -> list[JournalEntry]:
        """The steps of these incidents that were chained when they might
        still grow, as they are now.
        """
        query = (
            sa.select(*ENTRY)
            .select_from(audit)
            .join(steps, steps.c.id == audit.c.step_id)
            .join(incidents, incidents.c.id == steps.c.incident_id)
            .where(audit.c.unfinished == sa.literal_column("1"))  # as the index has it
            .where(audit.c.incident_id.in_(list(incident_ids)))
        )
        return await self._store.read(lambda c: [JournalEntry(*row) for row in c.execute(query)])

    async def append(
        self,
        owner: str,
        was: int,
        cursor: int,
        make: Callable[[int, str], Sequence[AuditLine]],
        finished: Sequence[int],
    ) -> bool:
        """Appends what `make` makes of the last line's number and MAC. False:
        another replica has the chain by now.

        The cursor goes from step `was` to step `cursor` with it,
        and the steps `finished` will not grow any more.
        """

        def commit(tx: sa.Connection) -> bool:
            if not _moved(tx, owner, was, cursor):
                return False
            put(tx, audit, [_row(line) for line in make(*_head(tx))])
            if finished:
                ended = sa.update(audit).where(audit.c.step_id.in_(finished))
                tx.execute(ended.values(unfinished=0))
            return True

        return await self._store.write(commit)

    async def prune(
        self,
        owner: str,
        cutoff: datetime,
        limit: int,
        make: Callable[[int, str, Sequence[int]], AuditLine],
    ) -> int:
        """Deletes at most `limit` chained steps of incidents closed before `cutoff`,
        and appends the line about it.

        Their lines stay, and say which line tells of their pruning. The number of steps deleted.
        """
        grows = sa.exists().where(audit.c.step_id == steps.c.id, audit.c.unfinished == 1)
        known = sa.exists().where(audit.c.step_id == steps.c.id)
        over = (
            sa.select(steps.c.id)
            .join(incidents, incidents.c.id == steps.c.incident_id)
            .where(incidents.c.closed_at < cutoff, known, ~grows)
            .limit(limit)
        )

        def commit(tx: sa.Connection) -> int:
            ids = list(tx.execute(over).scalars())
            if not ids or not _moved(tx, owner, None, None):
                return 0
            its = audit.c.step_id.in_(ids)
            told = list(
                tx.execute(sa.select(audit.c.seq).where(its).order_by(audit.c.seq)).scalars()
            )
            line = make(*_head(tx), told)
            put(tx, audit, [_row(line)])
            tx.execute(sa.update(audit).where(its).values(pruned=line.seq))
            tx.execute(sa.delete(steps).where(steps.c.id.in_(ids)))
            return len(ids)

        return await self._store.write(commit)


def _moved(tx: sa.Connection, owner: str, was: int | None, cursor: int | None) -> bool:
    """Takes the row of the cursor, which is the lock on the chain's end, and moves it;
    False when it is not ours.
    """
    mine = sa.update(sinks).where(sinks.c.name == FOLLOWER, sinks.c.owner == owner)
    if was is None:
        return tx.execute(mine.values(failures=0)).rowcount == 1
    return tx.execute(mine.where(sinks.c.cursor == was).values(cursor=cursor)).rowcount == 1


def _head(connection: sa.Connection) -> tuple[int, str]:
    last = sa.select(audit.c.seq, audit.c.mac).order_by(audit.c.seq.desc()).limit(1)
    row = connection.execute(last).first()
    return (0, "") if row is None else (int(row[0]), str(row[1]))


def _within(from_at: datetime | None, to_at: datetime | None) -> list[sa.ColumnElement[bool]]:
    return [
        *([steps.c.at >= from_at] if from_at is not None else []),
        *([steps.c.at < to_at] if to_at is not None else []),
    ]


def _row(line: AuditLine) -> dict[str, Any]:  # Any: what columns take
    return {**asdict(line), "kind": str(line.kind), "unfinished": int(line.unfinished)}


def _line(row: Sequence[Any]) -> AuditLine:  # Any: what columns give
    named = dict(zip((column.name for column in audit.c), row, strict=True))
    return AuditLine(**{**named, "unfinished": bool(named["unfinished"])})
