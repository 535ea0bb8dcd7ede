"""Kinds that write to ClickHouse, on a recent server: backups and restores to their
end, partitions that may go.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rehearsal.servers.clickhouse import ClickHouseServer
from service.act import KINDS, rights
from service.act.executor import Executor
from service.act.kind import Deed, Writers
from service.clients.clickhouse_write import ClickHouseWriter
from service.kit.clock import SystemClock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent
from service.model.errors import Refused
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import ClickHouseSettings
from tests.servers import clickhouse as servers
from tests.wire.acting import ALREADY, DONE, DRY, GOING_ON, dry, failed, intent, planned

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLICKHOUSE = Target(TargetKind.STATEFULSET, "carbon-ingestion", "clickhouse")
NOW = datetime.now(UTC)


@dataclass
class Database:
    """A server, a writer, and the executor on it."""

    server: ClickHouseServer
    writer: ClickHouseWriter
    executor: Executor
    confirmed: int = 0
    claim_lost: bool = False

    async def sql(self, sql: str) -> list[Any]:
        async def confirm() -> None:
            return None

        deadline = Deadline.after(15.0)
        if sql.startswith("SELECT"):
            return list(await self.writer.query(sql, deadline=deadline))
        return list(await self.writer.execute(sql, confirm=confirm, deadline=deadline))

    async def attempt(self, intended: Intent[Any], **options: Any) -> Deed:
        async def confirm() -> None:
            if self.claim_lost:
                raise Refused(Reason.CLAIM_LOST, "another process has it", 0)
            self.confirmed += 1

        given = {"look_first": False, "lapsed": None, **options}
        attempt = await self.executor.attempt(
            intended, confirm=confirm, deadline=Deadline.after(10.0), **given
        )
        assert isinstance(attempt, Deed), attempt
        return attempt

    async def said(self, intended: Intent[Any], **options: Any) -> tuple[Applied, Reason]:
        attempt = await self.attempt(intended, **options)
        return attempt.applied, attempt.reason

    async def ended(self, intended: Intent[Any]) -> tuple[Applied, Reason]:
        """Asks again, as the pipeline does, until the action is over."""
        said = await self.said(intended)
        for _ in range(200):
            if said[0] is not Applied.STARTED:
                return said
            await asyncio.sleep(0.05)
            said = await self.said(intended, look_first=True, lapsed=Reason.EVIDENCE_STALE)
        raise AssertionError("it did not end")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClickHouseServer]:
    folder: Path = tmp_path_factory.mktemp("clickhouse")
    (folder / "backups").mkdir()
    async with servers.modern(folder, disks={"backups": folder / "backups"}) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def database(running: ClickHouseServer) -> AsyncIterator[Database]:
    settings = ClickHouseSettings(host="127.0.0.1", port=running.port)
    async with ClickHouseWriter(settings) as writer:
        executor = Executor.of(KINDS, Writers(SystemClock(), clickhouse=writer))
        made = Database(running, writer, executor)
        for name in ("carbon", "restored"):
            await made.sql(f"DROP DATABASE IF EXISTS {name} SYNC")
        await made.sql("CREATE DATABASE carbon ENGINE = Atomic")
        await table(made, "trades", "toYYYYMM(day)", "Date")
        yield made


async def table(made: Database, name: str, key: str, kind: str, months: int = 4) -> None:
    """A table with one partition a month, the newest of today."""
    await made.sql(
        f"CREATE TABLE carbon.{name} (day {kind}, n UInt64) ENGINE = MergeTree ORDER BY n"
        f" PARTITION BY {key}"
    )
    await made.sql(
        f"INSERT INTO carbon.{name} SELECT toDate('{NOW:%Y-%m-%d}') - 40 * number, number"
        f" FROM numbers({months})"
    )


def action(kind: str, request: Any, number: str) -> Intent[Any]:
    return replace(intent(kind, request, action_id=f"act-{number}"), intended_at=NOW)


def backup(number: str, **more: str) -> Intent[Any]:
    arguments = {"database": "carbon", "disk": "backups", **more}
    return action("backup_database", planned("backup_database", CLICKHOUSE, **arguments), number)


# --- backups


async def test_a_backup_is_followed_until_it_is_there_and_not_empty(database: Database) -> None:
    intended = backup("b1")
    assert await database.said(dry(intended)) == DRY
    assert await database.said(intended) == GOING_ON
    assert await database.ended(intended) == DONE
    assert (await database.attempt(intended, look_first=True)).applied is Applied.DONE
    rows = await database.sql("SELECT name, total_size FROM system.backups WHERE id = 'act-b1'")
    stamp = f"{NOW:%Y%m%dT%H%M%SZ}"
    assert [row["name"] for row in rows] == [f"Disk('backups', 'carbon-{stamp}-act-b1')"]
    assert rows[0]["total_size"] > 0
    assert database.confirmed == 1


async def test_a_second_start_of_the_same_backup_is_no_second_backup(database: Database) -> None:
    intended = backup("b2")
    both = await asyncio.gather(database.said(intended), database.said(intended))
    assert {applied for applied, _ in both} <= {Applied.STARTED, Applied.DONE}
    assert await database.ended(intended) == DONE
    rows = await database.sql("SELECT id FROM system.backups WHERE id = 'act-b2'")
    assert len(rows) == 1


@pytest.mark.parametrize(
    ("number", "arguments", "said"),
    [
        ("b3", {"database": "nobody"}, "Database nobody does not exist"),
        ("b4", {"disk": "nowhere"}, "not allowed for backups"),
    ],
)
async def test_a_backup_that_fails_says_why_without_the_stack(
    database: Database, number: str, arguments: dict[str, str], said: str
) -> None:
    intended = backup(number, **arguments)
    assert await database.ended(intended) == failed(Reason.BACKUP_FAILED)
    detail = (await database.attempt(intended, look_first=True)).detail
    assert said in detail
    assert "Stack trace" not in detail


async def test_a_claim_that_was_lost_starts_no_backup(database: Database) -> None:
    database.claim_lost = True
    assert await database.said(backup("b5")) == failed(Reason.CLAIM_LOST)
    assert await database.sql("SELECT id FROM system.backups WHERE id = 'act-b5'") == []


# --- restores


def restore(number: str, name: str, **more: str) -> Intent[Any]:
    arguments = {"database": "carbon", "backup": name, **more}
    return action("restore_database", planned("restore_database", CLICKHOUSE, **arguments), number)


async def test_a_database_is_restored_under_its_own_name_or_another(database: Database) -> None:
    assert await database.ended(backup("b6")) == DONE
    name = f"carbon-{NOW:%Y%m%dT%H%M%SZ}-act-b6"
    other = restore("r1", name, as_="restored")
    assert await database.said(dry(other)) == DRY
    assert await database.ended(other) == DONE
    assert (await database.sql("SELECT count() AS n FROM restored.trades"))[0]["n"] == 4
    await database.sql("DROP DATABASE carbon SYNC")
    assert await database.ended(restore("r2", name)) == DONE
    assert (await database.sql("SELECT count() AS n FROM carbon.trades"))[0]["n"] == 4


async def test_a_restore_over_data_is_refused_and_the_data_stays(database: Database) -> None:
    assert await database.ended(backup("b7")) == DONE
    await database.sql("INSERT INTO carbon.trades SELECT today(), 99")
    over = restore("r3", f"carbon-{NOW:%Y%m%dT%H%M%SZ}-act-b7")
    assert await database.ended(over) == failed(Reason.RESTORE_FAILED)
    assert (await database.sql("SELECT count() AS n FROM carbon.trades"))[0]["n"] == 5


async def test_a_backup_that_is_not_there_is_not_restored(database: Database) -> None:
    assert await database.ended(restore("r4", "no-such-backup")) == failed(Reason.RESTORE_FAILED)


# --- partitions


def drop(number: str, **more: Any) -> Intent[Any]:
    arguments: dict[str, Any] = {
        "table": "carbon.trades",
        "allowed": ("carbon.trades", "carbon.events", "carbon.numbers"),
        "retention_days": 60,
        "newest_backup_at": NOW + timedelta(hours=1),
        "backup_ok": True,
        **more,
    }
    request = planned("drop_partitions", CLICKHOUSE, **arguments)
    made = action("drop_partitions", request, number)
    return replace(made, intended_at=NOW + timedelta(hours=2))


async def months(database: Database, name: str = "trades") -> int:
    rows = await database.sql(
        f"SELECT uniq(partition_id) AS n FROM system.parts WHERE active AND table = '{name}'"
        " AND database = 'carbon'"
    )
    return int(rows[0]["n"])


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [
        ("trades", "Date", ""),
        ("events", "DateTime('UTC')", "toYYYYMM(day)"),
        ("events", "DateTime64(3)", "(toYYYYMM(day), n % 1)"),
    ],
)
async def test_only_partitions_beyond_the_retention_go(
    database: Database, name: str, kind: str, key: str
) -> None:
    if key:
        await table(database, name, key, kind)
    intended = drop("d1", table=f"carbon.{name}")
    would = await database.attempt(dry(intended))
    assert would.reason is Reason.MODE_DRY_RUN
    assert would.detail.count("rows") == 2
    assert await months(database, name) == 4
    assert await database.said(intended) == DONE
    assert await months(database, name) == 2
    left = await database.sql(f"SELECT min(n) AS a, max(n) AS b FROM carbon.{name}")
    assert left == [{"a": 0, "b": 1}]
    assert await database.said(intended) == ALREADY
    assert await database.said(intended, look_first=True) == DONE
    assert database.confirmed == 2


async def test_all_partitions_are_never_dropped(database: Database) -> None:
    await database.sql("ALTER TABLE carbon.trades DELETE WHERE n < 2 SETTINGS mutations_sync = 2")
    await database.sql(f"ALTER TABLE carbon.trades DROP PARTITION {NOW:%Y%m}")
    intended = drop("d2", retention_days=7)
    assert await database.said(intended) == failed(Reason.DROPS_EVERYTHING)
    assert (await database.sql("SELECT count() AS n FROM carbon.trades"))[0]["n"] == 2


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"newest_backup_at": NOW - timedelta(days=1)}, Reason.BACKUP_NOT_VERIFIED),
        ({"newest_backup_at": NOW + timedelta(days=1)}, Reason.BACKUP_NOT_VERIFIED),
        ({"most": 1}, Reason.ARGUMENT_OUT_OF_BOUNDS),
    ],
    ids=["written after the backup", "a backup of tomorrow", "too many at once"],
)
async def test_partitions_stay(database: Database, more: dict[str, Any], reason: Reason) -> None:
    assert await database.said(drop("d3", **more)) == failed(reason)
    assert await months(database) == 4


@pytest.mark.parametrize("key", ["n % 3", "tuple()", "toYYYYMM(toDate(n * 30))"])
async def test_partitions_without_a_date_stay(database: Database, key: str) -> None:
    await table(database, "numbers", key, "Date")
    intended = drop("d4", table="carbon.numbers")
    assert await database.said(intended) == failed(Reason.PARTITION_UNDATED)
    assert (await database.sql("SELECT count() AS n FROM carbon.numbers"))[0]["n"] == 4


async def test_a_table_without_partitions_has_nothing_to_drop(database: Database) -> None:
    assert await database.said(drop("d5", table="carbon.events")) == ALREADY


# --- rights


async def test_the_rendered_grants_are_enough_and_no_more(tmp_path: Path) -> None:
    kinds = rights.of(KINDS, ["backup_database", "restore_database", "drop_partitions"])
    queries = "".join(
        f"<query>{grant.partition(' TO ')[0]}</query>"
        for grant in rights.grants(kinds, "acts", ["carbon", "restored"])
    )
    (tmp_path / "backups").mkdir()
    users = {"acts": f"<password/><grants>{queries}</grants>"}
    async with servers.modern(
        tmp_path, disks={"backups": tmp_path / "backups"}, users=users
    ) as server:
        settings = ClickHouseSettings(host="127.0.0.1", port=server.port)
        acting = settings.model_copy(update={"act_user": "acts"})
        async with ClickHouseWriter(settings) as writer, ClickHouseWriter(acting) as actor:
            executor = Executor.of(KINDS, Writers(SystemClock(), clickhouse=actor))
            admin = Database(server, writer, executor)
            await admin.sql("CREATE DATABASE carbon ENGINE = Atomic")
            await table(admin, "trades", "toYYYYMM(day)", "Date")
            as_actor = Database(server, actor, executor)
            assert await as_actor.ended(backup("g1")) == DONE
            name = f"carbon-{NOW:%Y%m%dT%H%M%SZ}-act-g1"
            assert await as_actor.ended(restore("g2", name, as_="restored")) == DONE
            assert await as_actor.said(drop("g3")) == DONE
            for more in ("DROP TABLE carbon.trades", "SELECT n FROM carbon.trades"):
                with pytest.raises(Refused):
                    await as_actor.sql(more)
