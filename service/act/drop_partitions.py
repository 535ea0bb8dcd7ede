"""Dropping old partitions of one allowed table, after a verified backup,
oldest first, and never all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field

from service.act import clickhouse_names
from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.objects import taken
from service.clients.clickhouse_write import ClickHouseWriter
from service.kit.deadline import Deadline
from service.model.action import Applied, Grant, Intent, Mode, NotPossible
from service.model.reasons import Reason
from service.model.target import Target

LEAST_RETENTION_DAYS = 7
_UNDATED = date(1970, 1, 1)  # what ClickHouse says where the partition key has no date

# Dates are those of the partition key's columns: of a Date in max_date, of a DateTime in max_time.
_PARTITIONS = """
SELECT partition_id, any(partition) AS name,
       greatest(max(max_date), toDate(max(max_time))) AS newest,
       toUnixTimestamp(max(modification_time)) AS written_at,
       sum(rows) AS row_count, sum(bytes_on_disk) AS size_bytes
FROM system.parts
WHERE active AND database = %(database)s AND table = %(table)s
GROUP BY partition_id ORDER BY newest, partition_id
"""


@dataclass(frozen=True, slots=True)
class DropArguments:
    """`table` is `database.table`, and one of `allowed`. The backup is the newest
    one, as the evidence has it.
    """

    table: str
    allowed: tuple[str, ...]
    retention_days: Annotated[int, Field(ge=LEAST_RETENTION_DAYS, le=36_500)]
    newest_backup_at: datetime | float | None
    backup_ok: bool
    most: Annotated[int, Field(gt=0, le=1_000)] = 100


@dataclass(frozen=True, slots=True)
class DropPartitions:
    """Drop the partitions whose newest day is before a day that is counted from the intent.
    Idempotent: what is dropped is not there any more.
    """

    target: Target
    database: str
    table: str
    retention_days: int
    backup_at: datetime
    most: int

    def __str__(self) -> str:
        table = f"{self.database}.{self.table}"
        return f"drop the partitions of {table} that are older than {self.retention_days} days"


def plan(target: Target, arguments: DropArguments) -> DropPartitions | NotPossible:
    """The bounds. Which partitions these are is asked right before each is dropped."""
    database, dot, table = arguments.table.partition(".")
    why = clickhouse_names.identifier("database", database)
    why = why or clickhouse_names.identifier("table", table)
    if why or not dot:
        return why or NotPossible(Reason.BAD_NAME, "write database.table")
    if arguments.table not in arguments.allowed:
        detail = f"{arguments.table} is not among {', '.join(arguments.allowed) or 'no tables'}"
        return NotPossible(Reason.TABLE_NOT_ALLOWED, detail[:300])
    backup_at = _instant(arguments.newest_backup_at)
    if not arguments.backup_ok or backup_at is None:
        detail = "the newest backup failed, is empty, or there is none"
        return NotPossible(Reason.BACKUP_NOT_VERIFIED, detail)
    return DropPartitions(
        target, database, table, arguments.retention_days, backup_at, arguments.most
    )


def _instant(given: datetime | float | None) -> datetime | None:
    if given is None:
        return None
    if isinstance(given, datetime):
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    return datetime.fromtimestamp(given, UTC) if 0 < given < 4e9 else None


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as system.parts tells it."""

    id: str
    name: str
    newest: date
    written_at: datetime
    rows: int
    size_bytes: int

    def __str__(self) -> str:
        return f"{self.name} ({self.rows} rows, {self.size_bytes} bytes, newest {self.newest})"


def chosen(
    request: DropPartitions, partitions: Sequence[Partition], intended_at: datetime
) -> Sequence[Partition] | Deed:
    """The partitions to drop, oldest first; or why none may be."""
    if any(partition.newest <= _UNDATED for partition in partitions):
        detail = f"{request.database}.{request.table}: its partition key has no date to compare"
        return Deed(Applied.FAILED, Reason.PARTITION_UNDATED, detail)
    first_kept = intended_at.astimezone(UTC).date() - timedelta(days=request.retention_days)
    old = [partition for partition in partitions if partition.newest < first_kept]
    if old and len(old) == len(partitions):
        detail = f"all {len(old)} partitions are older than {request.retention_days} days"
        return Deed(Applied.FAILED, Reason.DROPS_EVERYTHING, detail)
    if request.backup_at > intended_at:
        detail = f"the newest backup is said to be of {request.backup_at}, which is to come"
        return Deed(Applied.FAILED, Reason.BACKUP_NOT_VERIFIED, detail)
    for partition in old:
        # A merge rewrites a part too, so this errs on the side of keeping.
        if partition.written_at >= request.backup_at:
            detail = f"partition {partition.name} was written after the newest backup"
            return Deed(Applied.FAILED, Reason.BACKUP_NOT_VERIFIED, detail)
    if len(old) > request.most:
        detail = f"{len(old)} partitions are old enough, and at most {request.most} may go at once"
        return Deed(Applied.FAILED, Reason.ARGUMENT_OUT_OF_BOUNDS, detail)
    return old


@dataclass(frozen=True, slots=True)
class DropHand:
    """Looks before each partition: one that was written to in between stays."""

    client: ClickHouseWriter

    async def apply(self, permit: Permit[DropPartitions]) -> Deed:
        intent, deadline = permit.intent, permit.deadline
        dropped: list[str] = []
        while True:
            old = await self._chosen(intent, deadline)
            if isinstance(old, Deed):
                return old
            if intent.mode is Mode.DRY_RUN or not old:
                return self._ended(intent, dropped, old)
            await self._drop(permit, old[0])
            dropped.append(str(old[0]))

    def _ended(
        self, intent: Intent[DropPartitions], dropped: Sequence[str], old: Sequence[Partition]
    ) -> Deed:
        if not dropped and not old:
            days = intent.request.retention_days
            detail = f"no partition is older than {days} days"
            return Deed(Applied.DONE, Reason.ALREADY_DONE, detail)
        return taken(intent, "dropped: " + ", ".join(dropped or map(str, old))[:600])

    async def _drop(self, permit: Permit[DropPartitions], partition: Partition) -> None:
        request = permit.intent.request
        await self.client.execute(
            f"ALTER TABLE `{request.database}`.`{request.table}` DROP PARTITION ID %(id)s",
            {"id": partition.id},
            confirm=permit.confirm,
            deadline=permit.deadline,
        )

    async def _chosen(
        self, intent: Intent[DropPartitions], deadline: Deadline
    ) -> Sequence[Partition] | Deed:
        request = intent.request
        names = {"database": request.database, "table": request.table}
        rows = await self.client.query(_PARTITIONS, names, deadline=deadline)
        return chosen(request, [_partition(row) for row in rows], intent.intended_at)

    async def read_back(self, intent: Intent[DropPartitions], deadline: Deadline) -> TargetState:
        old = await self._chosen(intent, deadline)
        if isinstance(old, Deed):
            return TargetState.CHANGED
        return TargetState.UNTOUCHED if old else TargetState.APPLIED


def _partition(row: Any) -> Partition:  # Any: a row of the client
    written_at = datetime.fromtimestamp(int(row["written_at"]), UTC)
    return Partition(
        str(row["partition_id"]),
        str(row["name"]),
        row["newest"],
        written_at,
        int(row["row_count"]),
        int(row["size_bytes"]),
    )


def _bind(writers: Writers) -> Hand[DropPartitions] | None:
    return DropHand(writers.clickhouse) if writers.clickhouse else None


KIND = Kind(
    name="drop_partitions",
    arguments=DropArguments,
    request=DropPartitions,
    plan=plan,
    bind=_bind,
    needs=(Grant("ALTER DELETE ON *.*"), Grant("SELECT ON system.parts")),
    disruptive=True,
)
