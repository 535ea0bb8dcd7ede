"""The backups that ClickHouse knows of, and whether what they should save is
whole: disks and replicas.

`system.backups` forgets at a restart of the server: no row is no proof that there is no backup.
Never here: making or restoring one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.diagnose.probes.plain_text import safe
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.reasons import Reason

MOST = 20


@dataclass(frozen=True, slots=True)
class Backup:
    """One row of system.backups."""

    id: str
    name: str  # Disk('backups', 'stamp'): without credentials, as ClickHouse writes it
    status: str  # CREATING_BACKUP, BACKUP_CREATED, BACKUP_FAILED, BACKUP_CANCELLED, RESTORING, RESTORED ...
    ended_at: datetime | None  # None while it runs
    size_bytes: int
    error: str  # "" when there is none; bounded, redacted


@dataclass(frozen=True, slots=True)
class Backups:
    """What the server knows. Ages are seconds; None where there is no such backup."""

    disk: str  # the backup disk that was asked for
    disk_exists: bool
    disk_free_bytes: int | None  # None without the disk, or where it cannot tell
    running: int  # backups or restores under way
    good: int  # BACKUP_CREATED with a size
    newest_good: str  # name; "" when there is none
    newest_good_at: datetime | None
    newest_good_age_s: float | None
    newest_good_bytes: int | None
    failed_since: int  # failed backups after the newest good one
    last_error: str  # of the newest failed one; "" when none failed
    readonly_replicas: int  # tables that cannot be written; 0 without replication
    backups: tuple[Backup, ...]  # newest first, at most MOST


_BACKUPS = """
SELECT id, name, toString(status) AS status, toUnixTimestamp(end_time) AS ended, total_size, error
FROM system.backups ORDER BY start_time DESC LIMIT 200
"""
_DISK = "SELECT free_space, total_space FROM system.disks WHERE name = %(disk)s"
_REPLICAS = "SELECT countIf(is_readonly) AS readonly FROM system.replicas"


async def backups(
    clickhouse: ClickHouseClient, disk: str, now: datetime, *, deadline: Deadline
) -> Backups:
    """The backups now. Raises what the client raises; a server without
    system.backups (before 22.7) has none.
    """
    async with asyncio.TaskGroup() as tasks:
        rows = tasks.create_task(_rows(clickhouse, _BACKUPS, {}, deadline))
        disks = tasks.create_task(_rows(clickhouse, _DISK, {"disk": disk}, deadline))
        replicas = tasks.create_task(_rows(clickhouse, _REPLICAS, {}, deadline))
    readonly = int(replicas.result()[0]["readonly"]) if replicas.result() else 0
    return summary(rows.result(), disk, disks.result(), readonly, now)


def summary(
    rows: Sequence[Mapping[str, Any]],  # Any: columns of several types
    disk: str,
    disks: Sequence[Mapping[str, Any]],
    readonly: int,
    now: datetime,
) -> Backups:
    """The same from the rows, without waiting; `rows` are newest first."""
    seen = [_backup(row) for row in rows]
    good = [b for b in seen if b.status == "BACKUP_CREATED" and b.size_bytes > 0 and b.ended_at]
    newest = max(good, key=lambda b: b.ended_at or now, default=None)
    at = newest.ended_at if newest else None
    failed = [b for b in seen if b.status == "BACKUP_FAILED"]
    # Times are whole seconds: one that failed in the second of the good one counts as later.
    since = [b for b in failed if at is None or (b.ended_at and b.ended_at >= at)]
    running = sum(b.status in ("CREATING_BACKUP", "RESTORING") for b in seen)
    return Backups(
        disk=disk,
        disk_exists=bool(disks),
        disk_free_bytes=_free(disks),
        running=running,
        good=len(good),
        newest_good=newest.name if newest else "",
        newest_good_at=at,
        newest_good_age_s=(now - at).total_seconds() if at else None,
        newest_good_bytes=newest.size_bytes if newest else None,
        failed_since=len(since),
        last_error=failed[0].error if failed else "",
        readonly_replicas=readonly,
        backups=tuple(seen[:MOST]),
    )


def _backup(row: Mapping[str, Any]) -> Backup:
    ended = int(row["ended"] or 0)
    return Backup(
        id=str(row["id"])[:100],
        name=safe(str(row["name"]), 200)
        if "Disk(" not in str(row["name"])
        else str(row["name"])[:200],
        status=str(row["status"]),
        ended_at=datetime.fromtimestamp(ended, UTC) if ended > 0 else None,
        size_bytes=int(row["total_size"] or 0),
        error=safe(str(row["error"] or "")),
    )


def _free(disks: Sequence[Mapping[str, Any]]) -> int | None:
    # A disk of an object store says it has no total, or all there is.
    if not disks or not int(disks[0]["total_space"]) or int(disks[0]["total_space"]) >= 2**63:
        return None
    return int(disks[0]["free_space"])


async def _rows(
    clickhouse: ClickHouseClient, query: str, params: Mapping[str, Any], deadline: Deadline
) -> Sequence[Mapping[str, Any]]:
    try:
        found: Sequence[Mapping[str, Any]] = await clickhouse.query(
            query, dict(params), deadline=deadline
        )
    except Refused as error:
        if error.reason is Reason.NOT_FOUND:
            return ()
        raise
    return found
