"""What ClickHouse does by itself: merges that run, and mutations that are not done.

Never here: ending one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.diagnose.probes.plain_text import safe
from service.diagnose.probes.system_tables import instant, rows_of
from service.diagnose.redact import redacted
from service.kit.deadline import Deadline

MOST_SHOWN = 10
_MERGES = """
SELECT database, table, elapsed, progress, num_parts, memory_usage FROM system.merges
ORDER BY elapsed DESC LIMIT 1000
"""
_MUTATIONS = """
SELECT database, table, mutation_id, command, toUnixTimestamp(create_time) AS created, parts_to_do,
       {reason} AS reason
FROM system.mutations WHERE NOT is_done ORDER BY create_time LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class Merge:
    """One merge that runs."""

    table: str  # database.table
    elapsed_s: float
    progress: float  # 0.0 to 1.0
    parts: int  # that it makes one of
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Mutation:
    """One mutation that is not done."""

    table: str  # database.table
    id: str
    command: str  # bounded, its literals hidden
    created_at: datetime | None
    parts_to_do: int
    failure: str | None  # of its newest try; "" for none; None before 19.x, which does not say


@dataclass(frozen=True, slots=True)
class BackgroundWork:
    """Merges and mutations."""

    merges: int
    longest_merge_s: float  # 0.0 when none runs
    merge_memory_bytes: int  # of all merges together
    mutations: int  # that are not done
    failing_mutation: str  # id of the oldest one that failed; "" for none
    failing_table: str  # its table; "" for none
    failure: str  # what it says; "" for none
    oldest_mutation_at: datetime | None  # None when all are done
    running: tuple[Merge, ...]  # the longest first, at most MOST_SHOWN
    waiting: tuple[Mutation, ...]  # the oldest first, at most MOST_SHOWN


async def clickhouse_work(clickhouse: ClickHouseClient, *, deadline: Deadline) -> BackgroundWork:
    """The work now. Raises what the client raises."""
    async with asyncio.TaskGroup() as tasks:
        merges = tasks.create_task(clickhouse.query(_MERGES, deadline=deadline))
        mutations = tasks.create_task(_mutations(clickhouse, deadline))
    return summary(merges.result(), mutations.result())


async def _mutations(
    clickhouse: ClickHouseClient, deadline: Deadline
) -> Sequence[Mapping[str, Any]]:
    newer = _MUTATIONS.format(reason="latest_fail_reason")
    found = await rows_of(clickhouse, newer, deadline=deadline)
    if found is None:  # no such column
        found = await clickhouse.query(_MUTATIONS.format(reason="NULL"), deadline=deadline)
    return found


def summary(
    merges: Sequence[Mapping[str, Any]], mutations: Sequence[Mapping[str, Any]]
) -> BackgroundWork:
    """The same from the rows. Pure."""
    running = [
        Merge(
            f"{row['database']}.{row['table']}",
            float(row["elapsed"]),
            float(row["progress"]),
            int(row["num_parts"]),
            max(0, int(row["memory_usage"])),
        )
        for row in merges
    ]
    waiting = [_mutation(row) for row in mutations]
    failing = next((m for m in waiting if m.failure), None)
    return BackgroundWork(
        merges=len(running),
        longest_merge_s=max((m.elapsed_s for m in running), default=0.0),
        merge_memory_bytes=sum(m.memory_bytes for m in running),
        mutations=len(waiting),
        failing_mutation=failing.id if failing else "",
        failing_table=failing.table if failing else "",
        failure=(failing.failure or "") if failing else "",
        oldest_mutation_at=waiting[0].created_at if waiting else None,
        running=tuple(running[:MOST_SHOWN]),
        waiting=tuple(waiting[:MOST_SHOWN]),
    )


def _mutation(row: Mapping[str, Any]) -> Mutation:
    return Mutation(
        table=f"{row['database']}.{row['table']}",
        id=str(row["mutation_id"])[:100],
        command=redacted(str(row["command"])),
        created_at=instant(row["created"]),
        parts_to_do=int(row["parts_to_do"]),
        failure=None if row["reason"] is None else safe(str(row["reason"])),
    )
