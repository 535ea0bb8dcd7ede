"""What ClickHouse is busy with: running queries, the fullest disk, parts and merges.

Never here: which query is a runaway.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from service.clients.clickhouse import OWN, ClickHouseClient
from service.diagnose.redact import redacted
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class ClickHouseLoad:
    """What the database is busy with. Seconds and bytes.

    The longest query is a plain SELECT of a user who is no system user:
    all else that runs long is work.
    """

    queries: int
    memory_bytes: int  # of all running queries together
    longest_query_s: float  # 0.0 when none runs
    longest_query_id: str
    longest_query_user: str
    longest_query_text: str  # bounded and redacted
    disk_free_ratio: (
        float | None
    )  # of the fullest disk, 0.0 to 1.0; None where the server cannot tell
    disk_fullest: str | None
    max_parts: int  # most active parts in one partition of one table
    merges: int


# Queries of a client, not the parts of them that other servers of a cluster
# sent on; without our own.
_PROCESSES = """
SELECT query_id, user, elapsed, memory_usage, query, {plain_select} AS plain_select FROM system.processes
WHERE is_initial_query = 1 AND query_id NOT LIKE %(own)s
"""
_DISKS = "SELECT name, free_space, total_space FROM system.disks WHERE total_space > 0"
_PARTS = """
SELECT max(parts) AS parts FROM
(SELECT count() AS parts FROM system.parts WHERE active GROUP BY database, table, partition)
"""
_MERGES = "SELECT count() AS merges FROM system.merges"


async def clickhouse_load(
    clickhouse: ClickHouseClient, system_users: Sequence[str], *, deadline: Deadline
) -> ClickHouseLoad:
    """The load now. The longest query is a plain SELECT of a user that is none of
    `system_users`.
    """
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(_running(clickhouse, deadline))
        disk = tasks.create_task(_fullest(clickhouse, deadline))
        parts = tasks.create_task(clickhouse.query(_PARTS, deadline=deadline))
        merges = tasks.create_task(clickhouse.query(_MERGES, deadline=deadline))
    rows = running.result()
    candidates = [row for row in rows if row["plain_select"] and row["user"] not in system_users]
    longest = max(candidates, key=lambda row: float(row["elapsed"]), default=None)
    name, free_ratio = disk.result()
    return ClickHouseLoad(
        queries=len(rows),
        memory_bytes=sum(
            max(0, int(row["memory_usage"])) for row in rows
        ),  # can be negative for a moment
        longest_query_s=float(longest["elapsed"]) if longest else 0.0,
        longest_query_id=str(longest["query_id"]) if longest else "",
        longest_query_user=str(longest["user"]) if longest else "",
        longest_query_text=redacted(str(longest["query"])) if longest else "",
        disk_free_ratio=free_ratio,
        disk_fullest=name,
        max_parts=_number(parts.result(), "parts"),
        merges=_number(merges.result(), "merges"),
    )


async def _running(clickhouse: ClickHouseClient, deadline: Deadline) -> list[dict[str, Any]]:
    plain_select = await clickhouse.plain_select(deadline=deadline)
    # A text of our own is filled in; the argument is bound.
    sql = _PROCESSES.format(plain_select=plain_select)
    return await clickhouse.query(sql, {"own": f"{OWN}%"}, deadline=deadline)


async def _fullest(
    clickhouse: ClickHouseClient, deadline: Deadline
) -> tuple[str | None, float | None]:
    """The disk with the least share of free space, 0.0 to 1.0; nothing before ClickHouse 19.15."""
    try:
        rows: list[dict[str, Any]] = await clickhouse.query(_DISKS, deadline=deadline)
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return None, None
        raise
    if not rows:
        return None, None
    ratio, name = min(
        (min(1.0, row["free_space"] / row["total_space"]), str(row["name"])) for row in rows
    )
    return name, ratio


def _number(rows: list[dict[str, Any]], column: str) -> int:
    return int(rows[0][column] or 0) if rows else 0
