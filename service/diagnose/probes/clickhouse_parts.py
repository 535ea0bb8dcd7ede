"""Parts and partitions: where merges do not keep up, which tables and partitions are
the largest, and how old.

Dates are those of the partition key's columns, as the server keeps them;
a key without a date has none.
Never here: dropping anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.kit.deadline import Deadline

MOST_SHOWN = 10
MOST_READ = 20_000  # partitions, the largest first
_UNDATED = date(1970, 1, 1)  # what ClickHouse says where the partition key has no date

_PARTITIONS = """
SELECT database, table, partition_id, any(partition) AS partition, count() AS parts, sum(rows) AS rows,
       sum(bytes_on_disk) AS bytes,
       greatest(max(max_date), toDate(max(max_time))) AS newest
FROM system.parts
WHERE active AND database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema')
GROUP BY database, table, partition_id ORDER BY bytes DESC LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of one table, its active parts."""

    table: str  # database.table
    partition: str  # as the key writes it: 202601, tuple()
    partition_id: str
    parts: int
    rows: int
    size_bytes: int
    newest_at: datetime | None  # midnight (UTC) of its newest day; None for a key without a date


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table, all its partitions."""

    table: str  # database.table
    partitions: int
    parts: int
    size_bytes: int
    expired_partitions: int  # wholly older than the retention; 0 for a table that is not allowed
    expired_bytes: int  # of these


@dataclass(frozen=True, slots=True)
class Parts:
    """The partitions of all tables of users; the largest MOST_READ of them."""

    max_in_partition: int  # most active parts of one partition; 0 without any
    worst: Partition | None  # the partition that has them; None without any
    total_bytes: int  # of all that were read
    largest_table: str  # database.table; "" without any
    largest_table_bytes: int
    largest_partition: Partition | None
    oldest_partition: Partition | None  # of those with a date; None where none has one
    # Of the allowed tables the one whose partitions that are wholly older than the retention are
    # the largest together: "" where none has such a partition.
    expired_table: str
    expired_partitions: int
    expired_bytes: int
    tables: tuple[TableSize, ...]  # the largest first, at most MOST_SHOWN
    partitions: tuple[Partition, ...]  # those with most parts first, at most MOST_SHOWN


async def clickhouse_parts(
    clickhouse: ClickHouseClient,
    allowed: Sequence[str],
    retention_days: int,
    now: datetime,
    *,
    deadline: Deadline,
) -> Parts:
    """The partitions now; `allowed` are the tables (database.table) whose old partitions may go.

    Raises what the client raises.
    """
    rows = await clickhouse.query(_PARTITIONS, {"most": MOST_READ}, deadline=deadline)
    return summary(rows, allowed, retention_days, now)


def summary(
    rows: Sequence[Mapping[str, Any]],  # Any: columns of several types
    allowed: Sequence[str],
    retention_days: int,
    now: datetime,
) -> Parts:
    """The same from the rows. Pure."""
    found = [_partition(row) for row in rows]
    before = (now - timedelta(days=retention_days)).date()
    by_table: dict[str, list[Partition]] = {}
    for one in found:
        by_table.setdefault(one.table, []).append(one)
    tables = sorted(
        (_table(name, ps, before if name in allowed else None) for name, ps in by_table.items()),
        key=lambda t: -t.size_bytes,
    )
    worst = sorted(found, key=lambda p: (-p.parts, -p.size_bytes, p.table, p.partition_id))
    expired = max(
        (t for t in tables if t.expired_partitions), key=lambda t: t.expired_bytes, default=None
    )
    dated = [p for p in found if p.newest_at is not None]
    return Parts(
        max_in_partition=worst[0].parts if worst else 0,
        worst=worst[0] if worst else None,
        total_bytes=sum(p.size_bytes for p in found),
        largest_table=tables[0].table if tables else "",
        largest_table_bytes=tables[0].size_bytes if tables else 0,
        largest_partition=max(found, key=lambda p: p.size_bytes, default=None),
        oldest_partition=min(dated, key=lambda p: p.newest_at or now, default=None),
        expired_table=expired.table if expired else "",
        expired_partitions=expired.expired_partitions if expired else 0,
        expired_bytes=expired.expired_bytes if expired else 0,
        tables=tuple(tables[:MOST_SHOWN]),
        partitions=tuple(worst[:MOST_SHOWN]),
    )


def _partition(row: Mapping[str, Any]) -> Partition:
    newest = row["newest"]
    day = newest if isinstance(newest, date) and newest > _UNDATED else None
    return Partition(
        table=f"{row['database']}.{row['table']}",
        partition=str(row["partition"])[:100],
        partition_id=str(row["partition_id"])[:100],
        parts=int(row["parts"]),
        rows=int(row["rows"]),
        size_bytes=int(row["bytes"]),
        newest_at=datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None,
    )


def _table(name: str, partitions: Sequence[Partition], before: date | None) -> TableSize:
    old = [p for p in partitions if before and p.newest_at and p.newest_at.date() < before]
    if len(old) == len(partitions):
        old = old[:-1]  # never all of a table: the smallest stays
    return TableSize(
        table=name,
        partitions=len(partitions),
        parts=sum(p.parts for p in partitions),
        size_bytes=sum(p.size_bytes for p in partitions),
        expired_partitions=len(old),
        expired_bytes=sum(p.size_bytes for p in old),
    )
