"""Restoring a ClickHouse database from a backup, under its own name or another;
never over data that is there.
"""

from dataclasses import dataclass

from service.act import background, clickhouse_names
from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.clients.clickhouse_write import ClickHouseWriter
from service.kit.deadline import Deadline
from service.model.action import Grant, Intent, NotPossible
from service.model.reasons import Reason
from service.model.target import Target


@dataclass(frozen=True, slots=True)
class RestoreArguments:
    """`backup` is a name on the disk; `as` another database than the one that was backed up."""

    database: str
    backup: str
    disk: str = "backups"
    as_: str = ""


@dataclass(frozen=True, slots=True)
class RestoreDatabase:
    """Restore a database. Idempotent: the operation's id is the action's,
    and tables with data are refused by the server.
    """

    target: Target
    database: str
    backup: str
    disk: str
    as_database: str

    def __str__(self) -> str:
        into = f" as {self.as_database}" if self.as_database != self.database else ""
        return f"restore database {self.database}{into} from {self.backup} on disk {self.disk}"


def plan(target: Target, arguments: RestoreArguments) -> RestoreDatabase | NotPossible:
    """The restore, of names that may stand in a statement."""
    into = arguments.as_ or arguments.database
    why = clickhouse_names.identifier("database", arguments.database)
    why = why or clickhouse_names.identifier("database", into)
    why = why or clickhouse_names.identifier("disk", arguments.disk)
    why = why or clickhouse_names.backup(arguments.backup)
    return why or RestoreDatabase(
        target, arguments.database, arguments.backup, arguments.disk, into
    )


@dataclass(frozen=True, slots=True)
class RestoreHand:
    """RESTORE ... ASYNC, and system.backups."""

    client: ClickHouseWriter

    async def apply(self, permit: Permit[RestoreDatabase]) -> Deed:
        request = permit.intent.request
        into = f" AS `{request.as_database}`" if request.as_database != request.database else ""
        source = f"FROM Disk('{request.disk}', '{request.backup}')"
        statement = f"RESTORE DATABASE `{request.database}`{into} {source}"
        return await background.follow(
            self.client, permit, statement, what=str(request), failed=Reason.RESTORE_FAILED
        )

    async def read_back(self, intent: Intent[RestoreDatabase], deadline: Deadline) -> TargetState:
        return await background.read_back(self.client, intent.action_id, deadline)


def _bind(writers: Writers) -> Hand[RestoreDatabase] | None:
    return RestoreHand(writers.clickhouse) if writers.clickhouse else None


KIND = Kind(
    name="restore_database",
    arguments=RestoreArguments,
    request=RestoreDatabase,
    plan=plan,
    bind=_bind,
    needs=(
        Grant("CREATE DATABASE, CREATE TABLE, CREATE VIEW, INSERT ON *.*"),
        Grant("TABLE ENGINE ON *"),  # where the server asks for it: table_engines_require_grant
        Grant("SELECT ON system.backups"),
    ),
    disruptive=True,
)
