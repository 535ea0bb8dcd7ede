"""The ClickHouse client and the load probe against a recent server and against Debian's 18.16."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import pytest
import pytest_asyncio

from rehearsal.servers.clickhouse import ClickHouseServer
from service.clients.clickhouse import OWN, PLAIN_SELECT, PLAIN_SELECT_BY_TEXT, ClickHouseClient
from service.clients.clickhouse_write import ClickHouseWriter
from service.diagnose.probes.clickhouse_load import ClickHouseLoad, clickhouse_load
from service.kit.deadline import Deadline
from service.model.errors import Indeterminate, Refused, Unavailable
from service.model.reasons import Reason
from service.settings import ClickHouseSettings
from tests.servers import clickhouse as servers
from tests.servers.faults import FaultyProxy

# The proxy before the recent server lives in the loop, so tests and server share one.
pytestmark = pytest.mark.asyncio(loop_scope="module")
LONG = "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1 FORMAT Null"
Server: TypeAlias = ClickHouseServer | servers.DebianClickHouse
READER = "<password/><profile>readonly</profile>"
APP = "<password/><profile>default</profile>"
USERS = {"app": APP, "reader": READER}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def modern(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[ClickHouseServer]:
    folder = tmp_path_factory.mktemp("clickhouse")
    (folder / "cold").mkdir()
    async with servers.modern(folder, disks={"cold": folder / "cold"}, users=USERS) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def debian(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[servers.DebianClickHouse]:
    async with servers.debian(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest_asyncio.fixture(params=["modern", "debian"], scope="module", loop_scope="module")
async def either(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ClickHouseServer | servers.DebianClickHouse]:
    folder = tmp_path_factory.mktemp("clickhouse")
    async with (
        servers.modern(folder, users=USERS)
        if request.param == "modern"
        else servers.debian(folder) as server
    ):
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(either: Server) -> AsyncIterator[ClickHouseClient]:
    async with ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=either.port)) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def recent(modern: ClickHouseServer) -> AsyncIterator[ClickHouseClient]:
    async with ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=modern.port)) as opened:
        yield opened


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


async def at_once() -> None:
    """Nothing stands against it."""


def writing(port: int, **settings: str) -> ClickHouseWriter:
    return ClickHouseWriter(ClickHouseSettings(host="127.0.0.1", port=port, **settings))


async def do(port: int, *statements: str) -> None:
    async with writing(port) as writer:
        for sql in statements:
            await writer.execute(sql, confirm=at_once, deadline=soon())


async def load_when(
    client: ClickHouseClient,
    seen: Callable[[ClickHouseLoad], bool],
    system_users: Sequence[str] = ("system",),
) -> ClickHouseLoad:
    """The first load that satisfies `seen`, within 5 s."""
    give_up_at = time.monotonic() + 5.0
    while True:
        load = await clickhouse_load(client, system_users, deadline=soon())
        if seen(load) or time.monotonic() > give_up_at:
            assert seen(load), load
            return load


async def test_rows_come_by_column_name_and_as_text(client: ClickHouseClient) -> None:
    rows = await client.query(
        "SELECT 1 AS one, 'ä' AS text, %(a)s AS arg", {"a": "it's 5%"}, deadline=soon()
    )
    assert rows == [{"one": 1, "text": "ä", "arg": "it's 5%"}]


async def test_bytes_that_are_no_text_are_replaced_and_break_nothing(
    client: ClickHouseClient,
) -> None:
    rows = await client.query("SELECT unhex('FF41') AS raw", deadline=soon())
    assert rows == [{"raw": "\ufffdA"}]
    assert await client.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]


async def test_a_statement_without_a_result_gives_no_rows(either: Server) -> None:
    async with writing(either.port) as writer:
        kill = "KILL QUERY WHERE query_id = 'nobody' ASYNC"
        assert await writer.execute(kill, confirm=at_once, deadline=soon()) == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELEC 1", Reason.INVALID_REQUEST),
        ("SELECT nothing_of_that_name", Reason.INVALID_REQUEST),
        ("SELECT * FROM default.nowhere", Reason.NOT_FOUND),
        ("SELECT no_such_function(1)", Reason.INVALID_REQUEST),
    ],
)
async def test_a_wrong_query_is_refused_and_the_next_one_answers(
    client: ClickHouseClient, sql: str, reason: Reason
) -> None:
    with pytest.raises(Refused) as refused:
        await client.query(sql, deadline=soon())
    assert refused.value.reason is reason
    assert len(refused.value.detail) <= 300
    assert await client.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]


async def test_a_query_longer_than_its_deadline_is_late_and_does_not_run_on(
    recent: ClickHouseClient,
) -> None:
    query_id = f"late-{uuid.uuid4()}"
    with pytest.raises(Unavailable) as unavailable:
        await recent.query(LONG, query_id=query_id, deadline=soon(0.3))
    assert unavailable.value.reason is Reason.LATE
    left = "SELECT count() AS n FROM system.processes WHERE query_id = %(id)s"
    give_up_at = time.monotonic() + 5.0
    while (await recent.query(left, {"id": query_id}, deadline=soon()))[0]["n"]:
        assert time.monotonic() < give_up_at
    assert await recent.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]


async def test_the_servers_own_time_limit_is_late_too(recent: ClickHouseClient) -> None:
    with pytest.raises(Unavailable) as unavailable:
        await recent.query(LONG, settings={"max_execution_time": 1}, deadline=soon())
    assert unavailable.value.reason is Reason.LATE


async def test_queries_at_once_do_not_wait_for_each_other(client: ClickHouseClient) -> None:
    started = time.monotonic()
    await asyncio.gather(*(client.query("SELECT sleep(0.5)", deadline=soon()) for _ in range(4)))
    assert time.monotonic() - started < 1.5


async def test_a_user_who_may_send_no_settings_reads_all_the_same(either: Server) -> None:
    async with ClickHouseClient(
        ClickHouseSettings(host="127.0.0.1", port=either.port, user="reader")
    ) as client:
        load = await clickhouse_load(client, (), deadline=soon())
        assert load.queries == 0
        with pytest.raises(Refused) as refused:
            await client.query("CREATE DATABASE nope", deadline=soon())
        assert refused.value.reason is Reason.FORBIDDEN


async def test_a_wrong_password_is_unauthorized(
    debian: servers.DebianClickHouse, tmp_path: Path
) -> None:
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    wrong.write_text("guess\n")
    right.write_text("secret\n")
    at = {"host": "127.0.0.1", "port": debian.port, "user": "guarded"}
    async with ClickHouseClient(ClickHouseSettings(**at, password_file=wrong)) as client:
        with pytest.raises(Refused) as refused:
            await client.query("SELECT 1", deadline=soon())
        assert refused.value.reason is Reason.UNAUTHORIZED
        assert "guess" not in refused.value.detail
    async with ClickHouseClient(ClickHouseSettings(**at, password_file=right)) as client:
        assert await client.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]


async def test_the_reader_is_the_reading_user_and_the_writer_the_acting_one(
    modern: ClickHouseServer,
) -> None:
    settings = ClickHouseSettings(host="127.0.0.1", port=modern.port, act_user="app")
    for kind, user in ((ClickHouseClient, "default"), (ClickHouseWriter, "app")):
        async with kind(settings) as client:
            assert await client.query("SELECT user() AS user", deadline=soon()) == [{"user": user}]
    async with writing(modern.port) as writer:
        assert await writer.query("SELECT user() AS user", deadline=soon()) == [{"user": "default"}]


@pytest.mark.parametrize(
    "sql",
    ["CREATE DATABASE nope", "CREATE TABLE default.nope (a Int8) ENGINE = Memory"],
)
async def test_a_reader_changes_nothing_though_its_user_might(
    client: ClickHouseClient, either: Server, sql: str
) -> None:
    with pytest.raises(Refused) as refused:
        await client.query(sql, deadline=soon())
    assert refused.value.reason is Reason.FORBIDDEN
    assert not hasattr(client, "execute")
    assert "nope" not in str(await client.query("SHOW DATABASES", deadline=soon()))
    assert await client.query("SHOW TABLES FROM default", deadline=soon()) == []


async def test_a_reader_keeps_its_time_limit_though_it_may_not_ask_to_be_read_only(
    debian: servers.DebianClickHouse,
) -> None:
    settings = ClickHouseSettings(host="127.0.0.1", port=debian.port, user="setter")
    async with ClickHouseClient(settings) as client:
        asked = "SELECT value FROM system.settings WHERE name = 'max_execution_time'"
        assert await client.query(asked, deadline=soon(7.0)) == [{"value": "7"}]
        assert await client.query(asked, settings={"max_threads": 1}, deadline=soon(7.0))


async def test_a_write_is_confirmed_right_before_it_is_sent(
    modern: ClickHouseServer, recent: ClickHouseClient
) -> None:
    async def lost() -> None:
        raise Refused(Reason.CLAIM_LOST, "another one has it", 0)

    async with writing(modern.port) as writer:
        with pytest.raises(Refused) as refused:
            await writer.execute("CREATE DATABASE unwanted", confirm=lost, deadline=soon())
        assert refused.value.reason is Reason.CLAIM_LOST
        with pytest.raises(Unavailable) as unavailable:
            await writer.execute(
                "CREATE DATABASE unwanted", confirm=lambda: asyncio.sleep(60), deadline=soon(0.2)
            )
        assert unavailable.value.reason is Reason.LATE
    assert "unwanted" not in str(await recent.query("SHOW DATABASES", deadline=soon()))


async def test_an_idle_server_has_no_load(client: ClickHouseClient) -> None:
    load = await clickhouse_load(client, ("system",), deadline=soon())
    assert (load.queries, load.longest_query_s, load.longest_query_id) == (0, 0.0, "")
    assert load.merges == 0


async def test_a_long_query_is_seen_and_can_be_killed(
    modern: ClickHouseServer, recent: ClickHouseClient
) -> None:
    query_id = f"runaway-{uuid.uuid4()}"
    async with servers.long_query(modern.port, user="app", query_id=query_id, sql=LONG):
        load = await load_when(recent, lambda seen: seen.longest_query_s > 0.2)
        assert (load.queries, load.longest_query_id, load.longest_query_user) == (
            1,
            query_id,
            "app",
        )
        assert "sleepEachRow" in load.longest_query_text
        await do(modern.port, f"KILL QUERY WHERE query_id = '{query_id}' SYNC")
        await load_when(recent, lambda seen: seen.queries == 0)


async def test_a_query_of_a_system_user_is_load_but_never_the_longest(
    modern: ClickHouseServer, recent: ClickHouseClient
) -> None:
    async with servers.long_query(modern.port, user="app", query_id=f"s-{uuid.uuid4()}", sql=LONG):
        load = await load_when(recent, lambda seen: seen.queries == 1, system_users=("app",))
        assert (load.longest_query_s, load.longest_query_user) == (0.0, "")


# Work that runs for as long as it needs: to end it would lose it.
SLOW = "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1"
WORK = {
    "an INSERT ... SELECT": f"INSERT INTO w.t {SLOW}",
    "one in brackets and comments": f"/* SELECT */ INSERT INTO w.t -- SELECT 1\n {SLOW}",
    "a CREATE ... AS SELECT": f"CREATE TABLE w.made ENGINE = Memory AS {SLOW}",
    "an ALTER": "ALTER TABLE w.t UPDATE a = sleepEachRow(2) WHERE 1 SETTINGS mutations_sync = 1",
    "an OPTIMIZE": "OPTIMIZE TABLE w.t FINAL",
    "a KILL": "KILL QUERY WHERE sleepEachRow(0.1) = 0 SYNC",
    "a BACKUP": "BACKUP TABLE w.t TO File('/nowhere/at/all')",
}
PLAIN = {
    "a SELECT": f"{SLOW} FORMAT Null",
    "a WITH": f"WITH 1 AS one {SLOW} FORMAT Null",
    "one with a comment before it": f"-- report\n/* of ann */ {SLOW} FORMAT Null",
    "one in brackets": "(SELECT sleepEachRow(0.1) FROM numbers(3000) LIMIT 3000 SETTINGS max_block_size = 1)",
}


@pytest.mark.parametrize("sql", [WORK[n] for n in list(WORK)[:3]], ids=list(WORK)[:3])
async def test_work_of_a_user_is_load_but_never_a_runaway(
    modern: ClickHouseServer, recent: ClickHouseClient, sql: str
) -> None:
    await do(
        modern.port,
        "DROP DATABASE IF EXISTS w",
        "CREATE DATABASE w",
        "CREATE TABLE w.t (a UInt8) ENGINE = MergeTree ORDER BY a",
    )
    async with servers.long_query(modern.port, user="app", query_id=f"w-{uuid.uuid4()}", sql=sql):
        load = await load_when(recent, lambda seen: seen.queries == 1)
        assert (load.longest_query_s, load.longest_query_id) == (0.0, "")
    await load_when(recent, lambda seen: seen.queries == 0)


@pytest.mark.parametrize("sql", PLAIN.values(), ids=PLAIN)
async def test_a_plain_select_in_any_form_is_a_runaway(
    modern: ClickHouseServer, recent: ClickHouseClient, sql: str
) -> None:
    query_id = f"p-{uuid.uuid4()}"
    async with servers.long_query(modern.port, user="app", query_id=query_id, sql=sql):
        await load_when(recent, lambda seen: seen.longest_query_id == query_id)
    await load_when(recent, lambda seen: seen.queries == 0)


@pytest.mark.parametrize(
    ("sql", "plain"),
    [
        *((sql, 0) for sql in WORK.values()),
        *((sql, 1) for sql in PLAIN.values()),
        ("  select 1", 1),
        ("SELECTED", 0),
        ("EXPLAIN SELECT 1", 0),
        ("SYSTEM STOP MERGES", 0),
        ("RESTORE TABLE t FROM Disk('b', 'x')", 0),
        ("WITH 1 AS x INSERT INTO t SELECT x", 0),
    ],
)
async def test_by_its_text_too_a_plain_select_is_told_from_work(
    client: ClickHouseClient, sql: str, plain: int
) -> None:
    rows = await client.query(
        f"SELECT {PLAIN_SELECT_BY_TEXT} AS plain FROM (SELECT %(sql)s AS query)",
        {"sql": sql},
        deadline=soon(),
    )
    assert rows == [{"plain": plain}]


async def test_each_server_is_asked_for_what_it_knows(
    modern: ClickHouseServer, debian: servers.DebianClickHouse
) -> None:
    for server, condition in ((modern, PLAIN_SELECT), (debian, PLAIN_SELECT_BY_TEXT)):
        async with ClickHouseClient(
            ClickHouseSettings(host="127.0.0.1", port=server.port)
        ) as asked:
            assert await asked.plain_select(deadline=soon()) == condition


async def test_work_on_the_old_server_is_no_runaway_either(
    debian: servers.DebianClickHouse,
) -> None:
    await do(debian.port, "CREATE TABLE default.w (a UInt8) ENGINE = Memory")
    sql = "INSERT INTO default.w SELECT sleep(3) FROM system.numbers LIMIT 1"
    async with AsyncExitStack() as stack:
        client = ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=debian.port))
        await stack.enter_async_context(client)
        await stack.enter_async_context(servers.long_query(debian.port, query_id="w", sql=sql))
        load = await load_when(client, lambda seen: seen.queries == 1)
        assert load.longest_query_id == ""
    await do(debian.port, "DROP TABLE default.w")


async def test_a_long_query_on_the_old_server_is_seen_too(debian: servers.DebianClickHouse) -> None:
    sql = "SELECT sleep(3) FROM system.numbers LIMIT 1"
    client = ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=debian.port))
    async with client, servers.long_query(debian.port, query_id="old", sql=sql):
        load = await load_when(client, lambda seen: seen.longest_query_s > 0.2)
        assert (load.longest_query_id, load.longest_query_user) == ("old", "default")
        assert load.disk_free_ratio is None  # it has no system.disks


async def test_our_own_queries_are_no_load(
    modern: ClickHouseServer, recent: ClickHouseClient
) -> None:
    async with servers.long_query(modern.port, query_id=f"{OWN}x", sql=LONG):
        own = "SELECT count() AS n FROM system.processes WHERE query_id = %(id)s"
        give_up_at = time.monotonic() + 5.0
        while not (await recent.query(own, {"id": f"{OWN}x"}, deadline=soon()))[0]["n"]:
            assert time.monotonic() < give_up_at
        assert (await clickhouse_load(recent, (), deadline=soon())).queries == 0


async def test_the_fullest_disk_and_the_most_parts_are_found(
    modern: ClickHouseServer, recent: ClickHouseClient
) -> None:
    await do(
        modern.port,
        "CREATE DATABASE IF NOT EXISTS d",
        "CREATE TABLE d.t (a Int32) ENGINE = MergeTree ORDER BY a",
        "SYSTEM STOP MERGES d.t",
        *(f"INSERT INTO d.t SELECT {n}" for n in range(3)),
    )
    load = await clickhouse_load(recent, (), deadline=soon())
    assert load.max_parts == 3
    assert load.disk_fullest in ("default", "cold")
    assert load.disk_free_ratio is not None
    assert 0.0 < load.disk_free_ratio < 1.0
    await do(modern.port, "DROP TABLE d.t")


async def test_an_outage_is_an_error_and_needs_no_restart_of_ours(
    modern: ClickHouseServer, recent: ClickHouseClient
) -> None:
    await asyncio.gather(*(recent.query("SELECT sleep(0.1)", deadline=soon()) for _ in range(4)))
    await modern.listen(False)
    try:
        for _ in range(3):
            with pytest.raises(Unavailable) as unavailable:
                await recent.query("SELECT 1", deadline=soon(1.0))
            assert unavailable.value.reason in (Reason.CONNECTION_LOST, Reason.UNREACHABLE)
    finally:
        await modern.listen(True)
    assert await recent.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]


async def test_a_frozen_server_is_late_and_a_write_to_it_indeterminate(
    modern: ClickHouseServer, recent: ClickHouseClient
) -> None:
    await recent.query("SELECT 1", deadline=soon())
    async with modern.frozen():
        started = time.monotonic()
        with pytest.raises(Unavailable) as unavailable:
            await recent.query("SELECT 1", deadline=soon(0.3))
        assert unavailable.value.reason is Reason.LATE
        assert time.monotonic() - started < 0.6
    assert await recent.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]
    async with writing(modern.port) as writer:
        with pytest.raises(Indeterminate):
            await writer.execute(LONG, confirm=at_once, deadline=soon(0.3))


async def test_one_connection_that_died_in_silence_tells_of_the_others(
    modern: ClickHouseServer,
) -> None:
    async with FaultyProxy(modern.port) as proxy:
        settings = ClickHouseSettings(host="127.0.0.1", port=proxy.port)
        async with ClickHouseClient(settings) as client:
            await asyncio.gather(
                *(client.query("SELECT sleep(0.1)", deadline=soon()) for _ in range(4))
            )
            proxy.stall()
            with pytest.raises(Unavailable):
                await client.query("SELECT 1", deadline=soon(0.3))
            assert await client.query("SELECT 1 AS one", deadline=soon(1.0)) == [{"one": 1}]
