"""Backing a ClickHouse database up to a disk, followed until the server says that
it is there and not empty.
"""

from dataclasses import dataclass
from datetime import UTC
from typing import Any

from service.act import background, clickhouse_names
from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.clients.clickhouse_write import ClickHouseWriter
from service.kit.deadline import Deadline
from service.model.action import Grant, Intent, NotPossible
from service.model.reasons import Reason
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class BackupArguments:
    """The disk is one that the server's `backups.allowed_disk` names."""

    database: str
    disk: str = "backups"


@dataclass(frozen=True, slots=True)
class BackupDatabase:
    """Back a database up under a name of its own. Idempotent: name and id are the action's."""

    target: Target
    database: str
    disk: str

    def __str__(self) -> str:
        return f"back up database {self.database} to disk {self.disk}"


def plan(target: Target, arguments: BackupArguments) -> BackupDatabase | NotPossible:
    """The backup, of names that may stand in a statement."""
    why = clickhouse_names.identifier("database", arguments.database)
    why = why or clickhouse_names.identifier("disk", arguments.disk)
    return why or BackupDatabase(target, arguments.database, arguments.disk)


def name_of(intent: Intent[Any]) -> str:
    """The backup's name: sorted by time, and the action's own."""
    stamp = intent.intended_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{intent.request.database}-{stamp}-{intent.action_id}"


@dataclass(frozen=True, slots=True)
class BackupHand:
    """BACKUP ... ASYNC, and system.backups."""

    client: ClickHouseWriter

    async def apply(self, permit: Permit[BackupDatabase]) -> Deed:
        request, name = permit.intent.request, name_of(permit.intent)
        if why := clickhouse_names.backup(name):
            raise ValueError(why.detail)
        statement = f"BACKUP DATABASE `{request.database}` TO Disk('{request.disk}', '{name}')"
        return await background.follow(
            self.client, permit, statement, what=f"backup {name}", failed=Reason.BACKUP_FAILED
        )

    async def read_back(self, intent: Intent[BackupDatabase], deadline: Deadline) -> TargetState:
        return await background.read_back(self.client, intent.action_id, deadline)


def _bind(writers: Writers) -> Hand[BackupDatabase] | None:
    return BackupHand(writers.clickhouse) if writers.clickhouse else None


KIND = Kind(
    name="backup_database",
    arguments=BackupArguments,
    request=BackupDatabase,
    plan=plan,
    bind=_bind,
    needs=(Grant("BACKUP ON *.*"), Grant("SELECT ON system.backups")),
)
