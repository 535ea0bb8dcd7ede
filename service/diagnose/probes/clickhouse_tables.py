"""The tables of one database: rows, size, newest insert, and how many rows came within a sample.

Never here: which table ought to grow.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.diagnose.probes.system_tables import instant
from service.kit.clock import Clock
from service.kit.deadline import Deadline

MOST = 50

# A merge writes parts too, of a level above 0: an insert's own part has level 0. Parts that were
# merged away are listed for some minutes more, and count for the time of the insert.
_ROWS = """
SELECT table, sumIf(rows, active) AS rows, sumIf(bytes_on_disk, active) AS bytes,
       toUnixTimestamp(maxIf(modification_time, level = 0)) AS inserted_at
FROM system.parts WHERE database = %(database)s GROUP BY table
"""
_TABLES = """
SELECT name, engine FROM system.tables WHERE database = %(database)s ORDER BY name LIMIT 5000
"""


@dataclass(frozen=True, slots=True)
class TableState:
    """One table. Views and tables that keep no parts have neither rows nor a size."""

    name: str
    engine: str
    rows: int  # of the active parts, at the second reading
    size_bytes: int  # of the active parts on disk
    rows_added: int  # between the two readings; negative after a drop or a deduplicating merge
    newest_insert_at: datetime | None  # None where every part is a merged one, or there is none
    newest_insert_age_s: float | None  # seconds by this process's clock; None as above


@dataclass(frozen=True, slots=True)
class Tables:
    """A database, read twice."""

    database: str
    exists: bool  # it has at least one table
    count: int  # tables of any engine
    missing: tuple[str, ...]  # of the named tables, those that are not there
    growing: bool | None  # a named table got rows meanwhile; None without named tables that exist
    rows_per_s: float | None  # that the named tables got together; None as above
    stalest: str  # the named table whose newest insert is the oldest; "" where none is known
    stalest_age_s: float | None  # seconds since that insert; None where none is known
    tables: tuple[TableState, ...]  # the named ones, then the largest, at most MOST


async def clickhouse_tables(
    clickhouse: ClickHouseClient,
    database: str,
    named: Sequence[str],
    sample_s: float,
    *,
    deadline: Deadline,
    clock: Clock,
) -> Tables:
    """Two readings, `sample_s` apart; a short deadline gets a short sample.
    Raises what the client raises.
    """
    named_so = {"database": database}
    async with asyncio.TaskGroup() as tasks:
        tables = tasks.create_task(clickhouse.query(_TABLES, named_so, deadline=deadline))
        first = tasks.create_task(clickhouse.query(_ROWS, named_so, deadline=deadline))
    started = clock.monotonic()
    await clock.sleep(min(sample_s, deadline.remaining_s() / 2))
    second = await clickhouse.query(_ROWS, named_so, deadline=deadline)
    elapsed_s = max(clock.monotonic() - started, 1e-3)
    engines = {str(row["name"]): str(row["engine"]) for row in tables.result()}
    return compared(database, named, engines, first.result(), second, elapsed_s, clock.now())


def compared(
    database: str,
    named: Sequence[str],
    engines: Mapping[str, str],  # table -> engine
    first: Sequence[Mapping[str, Any]],  # Any: columns of several types
    second: Sequence[Mapping[str, Any]],
    elapsed_s: float,
    now: datetime,
) -> Tables:
    """What two readings say. Pure."""
    before = {str(row["table"]): int(row["rows"] or 0) for row in first}
    after = {str(row["table"]): row for row in second}
    found = {name: _table(name, engines[name], after.get(name), before, now) for name in engines}
    watched = [found[name] for name in named if name in found]
    added = sum(t.rows_added for t in watched)
    dated = [t for t in watched if t.newest_insert_age_s is not None]
    stalest = max(dated, key=lambda t: t.newest_insert_age_s or 0.0, default=None)
    others = sorted((t for t in found.values() if t not in watched), key=lambda t: -t.size_bytes)
    return Tables(
        database=database,
        exists=bool(found),
        count=len(found),
        missing=tuple(name for name in named if name not in found),
        growing=any(t.rows_added > 0 for t in watched) if watched else None,
        rows_per_s=max(0, added) / elapsed_s if watched else None,
        stalest=stalest.name if stalest else "",
        stalest_age_s=stalest.newest_insert_age_s if stalest else None,
        tables=tuple([*watched, *others][:MOST]),
    )


def _table(
    name: str,
    engine: str,
    row: Mapping[str, Any] | None,
    before: Mapping[str, int],
    now: datetime,
) -> TableState:
    rows = int(row["rows"] or 0) if row else 0
    at = instant(row["inserted_at"]) if row else None
    return TableState(
        name=name,
        engine=engine,
        rows=rows,
        size_bytes=int(row["bytes"] or 0) if row else 0,
        rows_added=rows - before.get(name, 0),
        newest_insert_at=at,
        newest_insert_age_s=max(0.0, (now - at).total_seconds()) if at else None,
    )
