"""The probes of ClickHouse on real servers: a recent one, and Debian's,
which lacks half of the system tables.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.clients.clickhouse import ClickHouseClient
from service.clients.clickhouse_write import ClickHouseWriter
from service.diagnose.probes.clickhouse_answer import clickhouse_answer
from service.diagnose.probes.clickhouse_disks import clickhouse_disks
from service.diagnose.probes.clickhouse_errors import clickhouse_errors
from service.diagnose.probes.clickhouse_memory import clickhouse_memory
from service.diagnose.probes.clickhouse_parts import clickhouse_parts
from service.diagnose.probes.clickhouse_replicas import clickhouse_replicas
from service.diagnose.probes.clickhouse_tables import clickhouse_tables
from service.diagnose.probes.clickhouse_work import clickhouse_work
from service.diagnose.probes.table_quality import table_quality
from service.kit.clock import SystemClock, VirtualClock
from service.kit.deadline import Deadline
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason
from service.settings import ClickHouseSettings
from tests.servers import clickhouse

NOW = datetime.now(UTC)
OLD = NOW.date() - timedelta(days=200)
TRADES = "carbon_ingestion.bronze_raw_trades"


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


@pytest.fixture(params=["modern", "debian"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The port of a server, and which it is: `modern:9000`."""
    maker = clickhouse.modern if request.param == "modern" else clickhouse.debian
    async with maker(tmp_path / "server") as started:
        yield f"{request.param}:{started.port}"


@pytest.fixture
async def modern(tmp_path: Path) -> AsyncIterator[int]:
    async with clickhouse.modern(tmp_path / "modern") as started:
        yield started.port


async def sure() -> None:
    """Nothing to ask for in a test."""


async def filled(port: int, *statements: str) -> None:
    settings = ClickHouseSettings(host="127.0.0.1", port=port)
    async with ClickHouseWriter(settings) as writer:
        for sql in statements:
            await writer.execute(sql, confirm=sure, deadline=soon())


def client(port: int | str) -> ClickHouseClient:
    return ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=int(port)))


SCHEMA = (
    "CREATE DATABASE carbon_ingestion",
    f"CREATE TABLE {TRADES} (day Date, id String, price Float64, note Nullable(String)) "
    "ENGINE = MergeTree PARTITION BY toYYYYMM(day) ORDER BY id",
)


async def test_a_server_answers_with_its_latency_and_version(server: str) -> None:
    async with client(server.split(":")[1]) as asked:
        seen = await clickhouse_answer(asked, deadline=soon())
    assert seen.answers
    assert seen.version is not None
    assert seen.latency_s is not None
    assert 0.0 < seen.latency_s < 5.0
    assert seen.problem == ""


async def test_a_server_that_is_away_is_an_answer_and_not_unknown() -> None:
    async with client(1) as asked:
        seen = await clickhouse_answer(asked, deadline=soon())
    assert not seen.answers
    assert seen.latency_s is None
    assert "unreachable" in seen.problem


async def test_tables_tell_their_rows_their_newest_insert_and_what_came_meanwhile(
    server: str,
) -> None:
    port = int(server.split(":")[1])
    insert = f"INSERT INTO {TRADES} (day, id, price) SELECT toDate('{NOW.date()}'), 'a', 1.0"
    await filled(port, *SCHEMA, insert)

    async def later() -> None:
        await asyncio.sleep(0.2)
        await filled(port, insert)

    async with client(port) as asked:
        more = asyncio.create_task(later())
        seen = await clickhouse_tables(
            asked, "carbon_ingestion", ["bronze_raw_trades", "gone"], 1.0,
            deadline=soon(), clock=SystemClock(),
        )  # fmt: skip
        await more
        empty = await clickhouse_tables(
            asked, "nowhere", ["t"], 0.0, deadline=soon(), clock=VirtualClock()
        )
    assert (seen.exists, seen.count, seen.missing) == (True, 1, ("gone",))
    assert seen.growing is True
    (table,) = seen.tables
    assert (table.rows, table.rows_added) == (2, 1)
    assert seen.stalest == "bronze_raw_trades"
    assert seen.stalest_age_s is not None
    assert seen.stalest_age_s < 60.0
    assert (empty.exists, empty.missing, empty.growing, empty.stalest_age_s) == (
        False, ("t",), None, None,
    )  # fmt: skip


async def test_parts_tell_the_worst_partition_the_largest_table_and_what_has_expired(
    server: str,
) -> None:
    port = int(server.split(":")[1])
    recent = [
        f"INSERT INTO {TRADES} (day, id, price) SELECT toDate('{NOW.date()}'), 'a{n}', 1.0"
        for n in range(3)
    ]
    old = f"INSERT INTO {TRADES} (day, id, price) SELECT toDate('{OLD}'), 'b', number FROM system.numbers LIMIT 10"
    undated = (
        "CREATE TABLE carbon_ingestion.undated (n UInt64) ENGINE = MergeTree ORDER BY n",
        "INSERT INTO carbon_ingestion.undated SELECT 1",
    )
    await filled(port, *SCHEMA, *recent, old, *undated)
    async with client(port) as asked:
        seen = await clickhouse_parts(
            asked, [TRADES, "carbon_ingestion.undated"], 90, NOW, deadline=soon()
        )
        none = await clickhouse_parts(asked, [], 90, NOW, deadline=soon())
    assert seen.max_in_partition >= 1
    assert seen.worst is not None
    assert seen.worst.table == TRADES
    assert (seen.expired_table, seen.expired_partitions) == (TRADES, 1)
    assert seen.expired_bytes > 0
    assert seen.oldest_partition is not None
    assert seen.oldest_partition.newest_at is not None
    assert seen.oldest_partition.newest_at.date() == OLD
    assert {p.newest_at for p in seen.partitions if p.table.endswith("undated")} == {None}
    assert (none.expired_table, none.expired_partitions) == ("", 0)


async def test_disks_tell_what_is_free_and_are_unknown_before_19_15(
    server: str, tmp_path: Path
) -> None:
    name, port = server.split(":")
    async with client(port) as asked:
        if name == "debian":
            with pytest.raises(Refused) as refused:
                await clickhouse_disks(asked, deadline=soon())
            assert refused.value.reason is Reason.NOT_FOUND
            return
        seen = await clickhouse_disks(asked, deadline=soon())
    assert seen.fullest == "default"
    assert 0.0 < seen.free_ratio <= 1.0
    assert seen.total_bytes >= seen.free_bytes > 0


async def test_work_tells_merges_and_mutations_that_fail(modern: int) -> None:
    await filled(
        modern,
        *SCHEMA,
        f"INSERT INTO {TRADES} (day, id, price) SELECT toDate('{NOW.date()}'), 'a', 1.0",
    )
    with contextlib.suppress(Unavailable):  # some versions wait for the mutation, and fail with it
        await filled(modern, f"ALTER TABLE {TRADES} UPDATE price = throwIf(id = 'a', 'no') WHERE 1")
    async with client(modern) as asked:
        seen = await clickhouse_work(asked, deadline=soon())
        while not seen.failing_mutation:
            await asyncio.sleep(0.1)
            seen = await clickhouse_work(asked, deadline=soon())
    assert (seen.mutations, seen.failing_table) == (1, TRADES)
    assert seen.failure
    assert "'no'" not in seen.waiting[0].command
    assert seen.oldest_mutation_at is not None


async def test_work_and_replicas_are_known_of_an_idle_server_too(server: str) -> None:
    async with client(server.split(":")[1]) as asked:
        work = await clickhouse_work(asked, deadline=soon())
        replicas = await clickhouse_replicas(asked, deadline=soon())
    assert (work.mutations, work.failing_mutation, work.oldest_mutation_at) == (0, "", None)
    assert (replicas.count, replicas.readonly, replicas.zookeeper_problem) == (0, 0, "")


SLEEPER = "SELECT sleepEachRow(1) FROM system.numbers LIMIT 20 SETTINGS max_block_size = 1"


async def test_the_memory_hog_is_a_plain_select_of_no_system_user(server: str) -> None:
    name, port = server.split(":")
    async with client(port) as asked, clickhouse.long_query(int(port), query_id="hog", sql=SLEEPER):
        seen = await clickhouse_memory(asked, (), deadline=soon())
        while seen.hog_query_id != "hog":
            await asyncio.sleep(0.05)
            seen = await clickhouse_memory(asked, (), deadline=soon())
        spared = await clickhouse_memory(asked, ("default",), deadline=soon())
        await filled(int(port), "KILL QUERY WHERE query_id = 'hog' ASYNC")
    assert (seen.hog_query_id, seen.hog_user) == ("hog", "default")
    assert seen.used_bytes > 0
    assert (seen.limit_bytes is None) is (name == "debian")
    assert (seen.used_ratio is None) is (name == "debian")
    assert spared.hog_query_id != "hog"
    assert spared.queries >= 1


async def test_errors_of_the_last_hour_are_counted_by_name(server: str) -> None:
    name, port = server.split(":")
    async with client(port) as asked:
        if name == "debian":
            with pytest.raises(Refused) as refused:
                await clickhouse_errors(asked, deadline=soon())
            assert refused.value.reason is Reason.NOT_FOUND
            return
        with pytest.raises(Refused):
            await asked.query("SELECT * FROM nowhere.at_all", deadline=soon())
        seen = await clickhouse_errors(asked, deadline=soon())
    assert "UNKNOWN_DATABASE" in seen.names or "UNKNOWN_TABLE" in seen.names
    assert seen.newest.startswith(seen.names[0])


async def test_quality_counts_nulls_and_duplicates_of_the_newest_rows(server: str) -> None:
    port = int(server.split(":")[1])
    rows = " UNION ALL ".join(
        f"SELECT toDate('{NOW.date()}') AS day, {values}"
        for values in (
            "'a' AS id, toFloat64(1) AS price, CAST(NULL AS Nullable(String)) AS note",
            "'a', toFloat64(1), CAST('x' AS Nullable(String))",
            "'b', toFloat64(nan), CAST(NULL AS Nullable(String))",
            "'', toFloat64(2), CAST(NULL AS Nullable(String))",
        )
    )
    await filled(port, *SCHEMA, f"INSERT INTO {TRADES} SELECT * FROM ({rows})")
    async with client(port) as asked:
        seen = await table_quality(
            asked, TRADES, ["id", "price", "note", "made_up"], ["id"], deadline=soon()
        )
        everything = await table_quality(asked, TRADES, [], [], deadline=soon())
    assert seen.rows == 4
    assert (seen.null_column, seen.null_share_max) == ("note", 0.75)
    assert {c.column: c.null_share for c in seen.columns} == {
        "note": 0.75,
        "id": 0.25,
        "price": 0.25,
    }
    assert seen.duplicate_share == 0.25
    assert seen.unknown_columns == ("made_up",)
    assert everything.duplicate_share is None
    assert {c.column for c in everything.columns} == {"day", "id", "price", "note"}


async def test_quality_reads_no_more_than_its_sample(modern: int) -> None:
    await filled(
        modern,
        *SCHEMA,
        f"INSERT INTO {TRADES} SELECT today(), toString(number), 1, NULL FROM numbers(50000)",
    )
    async with client(modern) as asked:
        seen = await table_quality(asked, TRADES, ["id"], [], 1000, deadline=soon())
    assert seen.rows == 1000


@pytest.mark.parametrize(
    "table",
    [
        "carbon_ingestion.gone",
        "carbon_ingestion.bronze_raw_trades` WHERE 1 UNION ALL SELECT * FROM system.users --",
        "'; DROP TABLE x; --.t",
        "no_dot",
    ],
)
async def test_quality_puts_no_name_into_a_statement_that_the_server_does_not_have(
    modern: int, table: str
) -> None:
    await filled(modern, *SCHEMA)
    async with client(modern) as asked:
        with pytest.raises(Refused) as refused:
            await table_quality(asked, table, [], [], deadline=soon())
    assert refused.value.reason is Reason.NOT_FOUND


async def test_quality_takes_odd_names_as_they_are(modern: int) -> None:
    odd = "a `b` \\ %s"
    quoted = "`a \\`b\\` \\\\ %s`"
    await filled(
        modern,
        f"CREATE TABLE default.odd ({quoted} String) ENGINE = MergeTree ORDER BY tuple()",
        "INSERT INTO default.odd SELECT ''",
    )
    async with client(modern) as asked:
        seen = await table_quality(asked, "default.odd", [odd], [odd], deadline=soon())
    assert (seen.null_column, seen.null_share_max, seen.duplicate_share) == (odd, 1.0, 0.0)


async def test_quality_of_an_empty_table_is_no_data(modern: int) -> None:
    await filled(modern, *SCHEMA)
    async with client(modern) as asked:
        with pytest.raises(Unavailable) as unavailable:
            await table_quality(asked, TRADES, [], [], deadline=soon())
    assert unavailable.value.reason is Reason.NO_DATA
