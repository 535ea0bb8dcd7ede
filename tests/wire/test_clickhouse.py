"""The ClickHouse client and the load probe against a recent server and against Debian's 18.16."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from service.clients.clickhouse import OWN, ClickHouseClient
from service.diagnose.probes.clickhouse_load import clickhouse_load
from service.kit.deadline import Deadline
from service.model.errors import Indeterminate, Refused, Unavailable
from service.model.evidence import ClickHouseLoad
from service.model.reasons import Reason
from service.settings import ClickHouseSettings
from tests.servers import clickhouse as servers
from tests.servers.faults import FaultyProxy

# The proxy before the recent server lives in the loop, so tests and server share one.
pytestmark = pytest.mark.asyncio(loop_scope="module")
LONG = "SELECT sleepEachRow(0.1) FROM numbers(3000) SETTINGS max_block_size = 1 FORMAT Null"
READER = "<password/><profile>readonly</profile>"
USERS = {"app": "<password/><profile>default</profile>", "reader": READER}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def modern(tmp_path_factory) -> AsyncIterator[servers.ClickHouseServer]:
    folder = tmp_path_factory.mktemp("clickhouse")
    (folder / "cold").mkdir()
    async with servers.modern(folder, disks={"cold": folder / "cold"}, users=USERS) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def debian(tmp_path_factory) -> AsyncIterator[servers.DebianClickHouse]:
    async with servers.debian(tmp_path_factory.mktemp("clickhouse")) as server:
        yield server


@pytest_asyncio.fixture(params=["modern", "debian"], scope="module", loop_scope="module")
async def either(
    request, tmp_path_factory
) -> AsyncIterator[servers.ClickHouseServer | servers.DebianClickHouse]:
    folder = tmp_path_factory.mktemp("clickhouse")
    async with (
        servers.modern(folder, users=USERS)
        if request.param == "modern"
        else servers.debian(folder) as server
    ):
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(either) -> AsyncIterator[ClickHouseClient]:
    async with ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=either.port)) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def recent(modern) -> AsyncIterator[ClickHouseClient]:
    async with ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=modern.port)) as opened:
        yield opened


def soon(seconds: float = 10.0) -> Deadline:
    return Deadline.after(seconds)


async def load_when(
    client: ClickHouseClient, seen: Callable[[ClickHouseLoad], bool], **kw: object
) -> ClickHouseLoad:
    """The first load that satisfies `seen`, within 5 s."""
    give_up_at = time.monotonic() + 5.0
    while True:
        load = await clickhouse_load(client, kw.get("system_users", ("system",)), deadline=soon())
        if seen(load) or time.monotonic() > give_up_at:
            assert seen(load), load
            return load


async def test_rows_come_by_column_name_and_as_text(client):
    rows = await client.query(
        "SELECT 1 AS one, 'ä' AS text, %(a)s AS arg", {"a": "it's 5%"}, deadline=soon()
    )
    assert rows == [{"one": 1, "text": "ä", "arg": "it's 5%"}]


async def test_bytes_that_are_no_text_are_replaced_and_break_nothing(client):
    rows = await client.query("SELECT unhex('FF41') AS raw", deadline=soon())
    assert rows == [{"raw": "\ufffdA"}]
    assert await client.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]


async def test_a_statement_without_a_result_gives_no_rows(client):
    assert await client.query("KILL QUERY WHERE query_id = 'nobody' ASYNC", deadline=soon()) == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELEC 1", Reason.INVALID_REQUEST),
        ("SELECT nothing_of_that_name", Reason.INVALID_REQUEST),
        ("SELECT * FROM default.nowhere", Reason.NOT_FOUND),
        ("SELECT no_such_function(1)", Reason.INVALID_REQUEST),
    ],
)
async def test_a_wrong_query_is_refused_and_the_next_one_answers(client, sql, reason):
    with pytest.raises(Refused) as refused:
        await client.query(sql, deadline=soon())
    assert refused.value.reason is reason
    assert len(refused.value.detail) <= 300
    assert await client.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]


async def test_a_query_longer_than_its_deadline_is_late_and_does_not_run_on(recent):
    query_id = f"late-{uuid.uuid4()}"
    with pytest.raises(Unavailable) as unavailable:
        await recent.query(LONG, query_id=query_id, deadline=soon(0.3))
    assert unavailable.value.reason is Reason.LATE
    left = "SELECT count() AS n FROM system.processes WHERE query_id = %(id)s"
    give_up_at = time.monotonic() + 5.0
    while (await recent.query(left, {"id": query_id}, deadline=soon()))[0]["n"]:
        assert time.monotonic() < give_up_at
    assert await recent.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]


async def test_the_servers_own_time_limit_is_late_too(recent):
    with pytest.raises(Unavailable) as unavailable:
        await recent.query(LONG, settings={"max_execution_time": 1}, deadline=soon())
    assert unavailable.value.reason is Reason.LATE


async def test_queries_at_once_do_not_wait_for_each_other(client):
    started = time.monotonic()
    await asyncio.gather(*(client.query("SELECT sleep(0.5)", deadline=soon()) for _ in range(4)))
    assert time.monotonic() - started < 1.5


async def test_a_user_who_may_send_no_settings_reads_all_the_same(either):
    async with ClickHouseClient(
        ClickHouseSettings(host="127.0.0.1", port=either.port, user="reader")
    ) as client:
        load = await clickhouse_load(client, (), deadline=soon())
        assert load.queries == 0
        with pytest.raises(Refused) as refused:
            await client.query("CREATE DATABASE nope", deadline=soon())
        assert refused.value.reason is Reason.FORBIDDEN


async def test_a_wrong_password_is_unauthorized(debian, tmp_path):
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


async def test_the_acting_client_uses_the_acting_user(modern):
    settings = ClickHouseSettings(host="127.0.0.1", port=modern.port, act_user="app")
    for for_acting, user in ((False, "default"), (True, "app")):
        async with ClickHouseClient(settings, for_acting=for_acting) as client:
            assert await client.query("SELECT user() AS user", deadline=soon()) == [{"user": user}]


async def test_an_idle_server_has_no_load(client):
    load = await clickhouse_load(client, ("system",), deadline=soon())
    assert (load.queries, load.longest_query_s, load.longest_query_id) == (0, 0.0, "")
    assert load.merges == 0


async def test_a_long_query_is_seen_and_can_be_killed(modern, recent):
    query_id = f"runaway-{uuid.uuid4()}"
    async with servers.long_query(modern.port, user="app", query_id=query_id, sql=LONG):
        load = await load_when(recent, lambda seen: seen.longest_query_s > 0.2)
        assert (load.queries, load.longest_query_id, load.longest_query_user) == (
            1,
            query_id,
            "app",
        )
        assert "sleepEachRow" in load.longest_query_text
        kill = "KILL QUERY WHERE query_id = %(id)s AND user = %(user)s SYNC"
        await recent.query(kill, {"id": query_id, "user": "app"}, write=True, deadline=soon())
        await load_when(recent, lambda seen: seen.queries == 0)


async def test_a_query_of_a_system_user_is_load_but_never_the_longest(modern, recent):
    async with servers.long_query(modern.port, user="app", query_id=f"s-{uuid.uuid4()}", sql=LONG):
        load = await load_when(recent, lambda seen: seen.queries == 1, system_users=("app",))
        assert (load.longest_query_s, load.longest_query_user) == (0.0, "")


async def test_a_long_query_on_the_old_server_is_seen_too(debian):
    sql = "SELECT sleep(3) FROM system.numbers LIMIT 1"
    client = ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=debian.port))
    async with client, servers.long_query(debian.port, query_id="old", sql=sql):
        load = await load_when(client, lambda seen: seen.longest_query_s > 0.2)
        assert (load.longest_query_id, load.longest_query_user) == ("old", "default")
        assert load.disk_free_ratio is None  # it has no system.disks


async def test_our_own_queries_are_no_load(modern, recent):
    async with servers.long_query(modern.port, query_id=f"{OWN}x", sql=LONG):
        own = "SELECT count() AS n FROM system.processes WHERE query_id = %(id)s"
        give_up_at = time.monotonic() + 5.0
        while not (await recent.query(own, {"id": f"{OWN}x"}, deadline=soon()))[0]["n"]:
            assert time.monotonic() < give_up_at
        assert (await clickhouse_load(recent, (), deadline=soon())).queries == 0


async def test_the_fullest_disk_and_the_most_parts_are_found(modern, recent):
    await recent.query("CREATE DATABASE IF NOT EXISTS d", deadline=soon())
    await recent.query("CREATE TABLE d.t (a Int32) ENGINE = MergeTree ORDER BY a", deadline=soon())
    await recent.query("SYSTEM STOP MERGES d.t", deadline=soon())
    for n in range(3):
        await recent.query(f"INSERT INTO d.t SELECT {n}", deadline=soon())
    load = await clickhouse_load(recent, (), deadline=soon())
    assert load.max_parts == 3
    assert load.disk_fullest in ("default", "cold")
    assert 0.0 < load.disk_free_ratio < 1.0
    await recent.query("DROP TABLE d.t", deadline=soon())


async def test_an_outage_is_an_error_and_needs_no_restart_of_ours(modern, recent):
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


async def test_a_frozen_server_is_late_and_a_write_to_it_indeterminate(modern, recent):
    await recent.query("SELECT 1", deadline=soon())
    modern.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable) as unavailable:
            await recent.query("SELECT 1", deadline=soon(0.3))
        assert unavailable.value.reason is Reason.LATE
        assert time.monotonic() - started < 0.6
    finally:
        modern.send(signal.SIGCONT)
    assert await recent.query("SELECT 1 AS one", deadline=soon()) == [{"one": 1}]
    with pytest.raises(Indeterminate):
        await recent.query(LONG, write=True, deadline=soon(0.3))


async def test_one_connection_that_died_in_silence_tells_of_the_others(modern):
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
