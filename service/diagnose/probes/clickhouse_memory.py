"""The memory of ClickHouse against its own limit, and the query that holds most of it.

Never here: which query may be ended.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.clients.clickhouse import OWN, ClickHouseClient
from service.diagnose.probes.system_tables import rows_of
from service.diagnose.redact import redacted
from service.kit.deadline import Deadline

_TRACKED = "SELECT value FROM system.metrics WHERE metric = 'MemoryTracking'"
_LIMIT = "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'"
# Queries of a client, not the parts of them that other servers of a cluster
# sent on; without our own.
_PROCESSES = """
SELECT query_id, user, elapsed, memory_usage, query, {plain_select} AS plain_select FROM system.processes
WHERE is_initial_query = 1 AND query_id NOT LIKE %(own)s ORDER BY memory_usage DESC LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class ClickHouseMemory:
    """Memory as the server itself counts it, in bytes.

    The hog is the plain SELECT of a user who is no system user that holds most: a BACKUP,
    an INSERT ... SELECT or a mutation is work.
    """

    used_bytes: int
    limit_bytes: int | None  # max_server_memory_usage; None before 23.x, which does not say it
    used_ratio: float | None  # of that limit; None without one
    queries: int  # that run
    queries_bytes: int  # of all of them together
    hog_query_id: str  # "" when no plain SELECT of a person or a report runs
    hog_user: str
    hog_elapsed_s: float  # seconds it has run; 0.0 for none
    hog_bytes: int
    hog_share: float  # 0.0 to 1.0, of used_bytes
    hog_text: str  # bounded, its literals hidden


async def clickhouse_memory(
    clickhouse: ClickHouseClient, system_users: Sequence[str], *, deadline: Deadline
) -> ClickHouseMemory:
    """The memory now; queries of `system_users` are nobody's hog. Raises what the client raises."""
    async with asyncio.TaskGroup() as tasks:
        tracked = tasks.create_task(clickhouse.query(_TRACKED, deadline=deadline))
        limit = tasks.create_task(rows_of(clickhouse, _LIMIT, deadline=deadline))
        running = tasks.create_task(_running(clickhouse, deadline))
    used: Any = tracked.result()[0]["value"] if tracked.result() else 0  # Any: a number or its text
    most: Any = (limit.result() or [{"value": 0}])[0]["value"]
    return summary(int(used), int(most), running.result(), system_users)


async def _running(clickhouse: ClickHouseClient, deadline: Deadline) -> list[dict[str, Any]]:
    plain_select = await clickhouse.plain_select(deadline=deadline)
    # A text of our own is filled in; the argument is bound.
    sql = _PROCESSES.format(plain_select=plain_select)
    return await clickhouse.query(sql, {"own": f"{OWN}%"}, deadline=deadline)


def summary(
    used: int,
    limit: int,
    running: Sequence[Mapping[str, Any]],  # Any: columns of several types
    system_users: Sequence[str],
) -> ClickHouseMemory:
    """The same from the rows; a limit of 0 is none. Pure."""
    held = [max(0, int(row["memory_usage"])) for row in running]  # can be negative for a moment
    candidates = [r for r in running if r["plain_select"] and r["user"] not in system_users]
    hog = max(candidates, key=lambda r: int(r["memory_usage"]), default=None)
    hog_bytes = max(0, int(hog["memory_usage"])) if hog else 0
    used = max(used, sum(held), 0)
    return ClickHouseMemory(
        used_bytes=used,
        limit_bytes=limit or None,
        used_ratio=used / limit if limit else None,
        queries=len(running),
        queries_bytes=sum(held),
        hog_query_id=str(hog["query_id"]) if hog else "",
        hog_user=str(hog["user"]) if hog else "",
        hog_elapsed_s=float(hog["elapsed"]) if hog else 0.0,
        hog_bytes=hog_bytes,
        hog_share=hog_bytes / used if used else 0.0,
        hog_text=redacted(str(hog["query"])) if hog else "",
    )
