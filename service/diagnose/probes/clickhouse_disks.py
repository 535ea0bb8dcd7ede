"""The disks of ClickHouse: free, total, and what the server keeps free for itself.

Never here: what may be deleted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.clients.clickhouse import ClickHouseClient
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.reasons import Reason

_DISKS = """
SELECT name, path, free_space, total_space, keep_free_space FROM system.disks ORDER BY name LIMIT 100
"""
_ENDLESS = 2**62  # an object store says that it has no end


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk of the server's storage configuration."""

    name: str
    path: str
    free_bytes: int
    total_bytes: int
    keep_free_bytes: int  # that the server leaves free: inserts fail before the disk is full
    free_ratio: float  # 0.0 to 1.0, of what may be used: without keep_free_bytes


@dataclass(frozen=True, slots=True)
class Disks:
    """All disks that have a size."""

    disks: tuple[Disk, ...]
    fullest: str  # name of the disk with the smallest free_ratio
    free_ratio: float  # of that disk
    free_bytes: int  # of that disk
    total_bytes: int  # of that disk


async def clickhouse_disks(clickhouse: ClickHouseClient, *, deadline: Deadline) -> Disks:
    """The disks now. Refused(not_found) before ClickHouse 19.15; no disk with a size: no_data."""
    return summary(await clickhouse.query(_DISKS, deadline=deadline))


def summary(rows: Sequence[Mapping[str, Any]]) -> Disks:  # Any: columns of several types
    """The same from the rows. Pure."""
    disks = tuple(_disk(row) for row in rows if 0 < int(row["total_space"]) < _ENDLESS)
    if not disks:
        raise Unavailable(Reason.NO_DATA, "no disk of ClickHouse has a size")
    fullest = min(disks, key=lambda d: d.free_ratio)
    return Disks(disks, fullest.name, fullest.free_ratio, fullest.free_bytes, fullest.total_bytes)


def _disk(row: Mapping[str, Any]) -> Disk:
    free, total = int(row["free_space"]), int(row["total_space"])
    kept = min(int(row["keep_free_space"]), total)
    usable = max(total - kept, 1)
    return Disk(
        name=str(row["name"]),
        path=str(row["path"])[:300],
        free_bytes=free,
        total_bytes=total,
        keep_free_bytes=kept,
        free_ratio=min(1.0, max(0, free - kept) / usable),
    )
