"""7.2: the last good backup is too old, or never was; or there is no disk to put one on."""

from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import HandedOver, Healed, Scenario
from rehearsal.scenarios.world import BARE_CLICKHOUSE, CLICKHOUSE, World

_FIRED = Fired(
    "BackupTooOld", "StatefulSet/clickhouse", {"database": "carbon_ingestion"}, value="1d 6h"
)


async def data(world: World) -> None:
    """A database with ten thousand rows."""
    await world.sql(
        "CREATE DATABASE carbon_ingestion",
        "CREATE TABLE carbon_ingestion.bronze_raw_trades (id UInt64, price Float64) ENGINE = MergeTree ORDER BY id",
        "INSERT INTO carbon_ingestion.bronze_raw_trades SELECT number, number / 7 FROM numbers(10000)",
    )


async def _no_backup(world: World) -> None:
    """Nothing has to be broken: nobody ever made one."""


async def _too_old(world: World) -> bool:
    made = await world.asked("SELECT count() FROM system.backups WHERE status = 'BACKUP_CREATED'")
    return made == 0


BACKUP = Scenario(
    name="7.2",
    row="7.2",
    breaks="The job that makes backups has not run, and nobody noticed.",
    does="It makes a backup, watches it to its end, and proves that system.backups has it with a size.",
    end=Healed("back-up"),
    prepares=data,
    wrecks=_no_backup,
    fired=_FIRED,
    ill=_too_old,
    servers=frozenset({CLICKHOUSE}),
)

DISK = Scenario(
    name="7.2-disk",
    row="7.2",
    breaks="The newest backup is too old, and ClickHouse has lost its disk for backups.",
    does="It starts nothing, and tells a person which disk is missing.",
    end=HandedOver("backup-disk-missing", "no disk backups"),
    wrecks=_no_backup,
    fired=_FIRED,
    servers=frozenset({BARE_CLICKHOUSE}),
)
