"""The store itself: durable, one writer, one owner, bounded."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.kit.clock import VirtualClock
from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason
from service.store.database import Database
from service.store.inbox import Inbox
from service.store.schema import metadata
from service.store.sqlite import StoreFile, Writer, engine
from tests.stores import copied

pytestmark = pytest.mark.only_on("sqlite")  # it looks into the file itself


@pytest.fixture
async def inbox(database: Database, clock: VirtualClock) -> Inbox:
    made = Inbox(database, clock, max_waiting=100, max_dead_letters=3)
    await made.open()
    return made


async def scalar(database: Database, query: str) -> Any:
    return await database.read(lambda c: c.execute(sa.text(query)).scalar())


def do(sql: str) -> Callable[[sa.Connection], None]:
    """A transaction of one statement."""

    def transaction(tx: sa.Connection) -> None:
        tx.execute(sa.text(sql))

    return transaction


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        pytest.param("journal_mode", "wal", id="readers do not wait for the writer"),
        pytest.param("synchronous", 2, id="a commit that returned survives a power cut"),
        pytest.param("foreign_keys", 1, id="no step without its incident"),
    ],
)
async def test_sqlite_is_set_to_keep_what_it_took(
    database: Database, pragma: str, value: object
) -> None:
    for ask in (database.read, database.write):
        assert await ask(lambda c: c.execute(sa.text(f"PRAGMA {pragma}")).scalar()) == value


@pytest.mark.parametrize(
    ("url", "told"),
    [
        pytest.param("sqlite://", "in memory would lose accepted alerts", id="in memory"),
        pytest.param("mysql://x/y", "use sqlite:///PATH or postgresql://", id="another database"),
        pytest.param("nonsense", "store.url: not the URL of a database", id="no URL"),
        pytest.param(
            "sqlite:////proc/1/nowhere/p.db",
            "has to be writable",
            id="a folder that cannot be written",
        ),
    ],
)
async def test_a_store_that_cannot_be_is_told_at_the_start(url: str, told: str) -> None:
    with pytest.raises(BadConfig, match=told):
        await Database.open(url)


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/d", "hunter2", "postgresql://u:hunter2@h:port/d", "://hunter2@"]
)
async def test_a_wrong_url_of_the_store_is_not_shown(url: str) -> None:
    with pytest.raises(BadConfig) as caught:
        await Database.open(url)
    assert "hunter2" not in str(caught.value)


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "p.db").write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(Unavailable) as caught:
        await Database.open(f"sqlite:///{tmp_path}/p.db")
    assert caught.value.reason is Reason.STORE_DOWN


async def test_a_store_of_a_newer_version_is_refused(store_url: str) -> None:
    database = await Database.open(store_url)
    await database.write(do("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(BadConfig, match="newer Paramedic"):
        await Database.open(store_url)


async def test_what_was_accepted_is_there_when_the_store_is_opened_again(
    store_url: str, clock: VirtualClock
) -> None:
    for turn in range(3):
        database = await Database.open(store_url)
        inbox = Inbox(database, clock, max_waiting=100, max_dead_letters=3)
        await inbox.open()
        assert (inbox.waiting, inbox.arrived.is_set()) == (turn, turn > 0)
        await inbox.accept(b"%d" % turn)
        await database.close()


# ---------------------------------------------------------------------- group commit


async def test_a_store_says_whether_it_writes(database: Database) -> None:
    found: list[int] = []

    def fails(tx: sa.Connection) -> None:
        found.append(database.writing)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(fails)
    assert [*found, database.writing] == [1, 0]


async def test_a_transaction_that_raises_leaves_nothing_behind(
    database: Database, inbox: Inbox
) -> None:
    def broken(tx: sa.Connection) -> None:
        tx.execute(sa.text("INSERT INTO dead_letters VALUES (1, 0, 'x', 'x', 0, x'00')"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(broken)
    assert await inbox.dead(9) == []


async def test_of_transactions_that_share_a_commit_the_failing_ones_are_taken_back_alone(
    database: Database,
) -> None:
    commits: list[int] = []
    await database.write(do("CREATE TABLE t (n INTEGER PRIMARY KEY)"))

    def insert(n: int) -> Callable[[sa.Connection], int]:
        def transaction(tx: sa.Connection) -> int:
            if n == 0:
                import time

                time.sleep(0.01)  # long enough for all others to queue behind it
            tx.execute(sa.text(f"INSERT INTO t VALUES ({n})"))
            if n % 3 == 1:
                raise ZeroDivisionError
            if n % 3 == 2:
                tx.execute(sa.text("INSERT INTO nowhere VALUES (1)"))
            commits.append(n)
            return n

        return transaction

    results = await asyncio.gather(
        *(database.write(insert(n)) for n in range(30)), return_exceptions=True
    )
    good = [n for n in range(30) if n % 3 == 0]
    assert [r for r in results if isinstance(r, int)] == good
    assert {type(r) for r in results} == {int, ZeroDivisionError, Unavailable}
    found = await database.read(lambda c: [row[0] for row in c.execute(sa.text("SELECT n FROM t"))])
    assert found == good


async def test_a_caller_that_goes_away_does_not_stop_his_transaction(database: Database) -> None:
    await database.write(do("CREATE TABLE t (n INTEGER)"))
    task = asyncio.create_task(database.write(do("INSERT INTO t VALUES (1)")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await database.ping()
    assert await scalar(database, "SELECT count(*) FROM t") == 1


async def test_webhooks_that_arrive_together_share_commits_and_keep_their_order(
    inbox: Inbox,
) -> None:
    await asyncio.gather(*(inbox.accept(str(n).encode()) for n in range(50)))
    assert inbox.waiting == 50
    assert [w.body for w in await inbox.begin()] == [str(n).encode() for n in range(50)]


async def test_a_full_inbox_takes_nothing_and_says_so(inbox: Inbox) -> None:
    taken = await asyncio.gather(
        *(inbox.accept(b"%d" % n) for n in range(130)), return_exceptions=True
    )
    refused = [t for t in taken if isinstance(t, Unavailable)]
    assert {r.reason for r in refused} == {Reason.STORE_FULL}
    assert len(refused) == 30


# ---------------------------------------------------------------------- sorting begins


async def test_the_oldest_are_handed_out_first_and_one_at_least(inbox: Inbox) -> None:
    for n in range(3):
        await inbox.accept(b"%d" % n * 1_000)
    assert [w.body[:1] for w in await inbox.begin(limit_bytes=10)] == [b"0"]
    assert [w.body[:1] for w in await inbox.begin(limit_bytes=2_000)] == [b"0", b"1"]
    assert [w.body[:1] for w in await inbox.begin(limit=2)] == [b"0", b"1"]


async def test_what_a_process_died_over_is_handed_out_alone_and_after_two_deaths_set_aside(
    database: Database, clock: VirtualClock
) -> None:
    def process() -> Inbox:
        return Inbox(database, clock, max_waiting=100, max_dead_letters=9)

    first = process()
    for n in range(3):
        await first.accept(b"%d" % n)
    assert len(await first.begin()) == 3
    assert len(await first.begin()) == 3, "the same process again is no death"
    assert [w.body for w in await process().begin()] == [b"0"], "the next process takes it alone"
    inbox = process()
    await inbox.open()
    batch = await inbox.begin()
    (dead,) = await inbox.dead(9)
    assert (dead["body"], dead["reason"]) == ("0", Reason.SORTING_FAILED)
    assert "2 processes died" in str(dead["detail"])
    assert [w.body for w in batch] == [b"1"], "the next one is risky too, and comes alone"
    assert inbox.waiting == 2


# ---------------------------------------------------------------------- keeping


async def test_equal_bodies_are_stored_once(database: Database, inbox: Inbox) -> None:
    for _ in range(10):
        await inbox.accept(b"x" * 100_000)
    await asyncio.gather(*(inbox.accept(b"x" * 100_000) for _ in range(10)))
    assert await scalar(database, "SELECT sum(length(body)) FROM inbox") == 100_000
    assert inbox.kept_bytes == 100_000
    assert {w.body for w in await inbox.begin(limit_bytes=10**9)} == {b"x" * 100_000}


async def test_a_body_that_was_pruned_is_stored_anew(
    database: Database, inbox: Inbox, clock: VirtualClock
) -> None:
    await inbox.accept(b"x" * 1_000)
    await database.write(lambda tx: inbox.finish(tx, [w.id for w in _all(tx)]))
    clock.advance(90 * 86_400)
    await inbox.prune(timedelta(days=30))
    assert await scalar(database, "SELECT count(*) FROM inbox") == 0
    await inbox.accept(b"x" * 1_000)
    assert [w.body for w in await inbox.begin()] == [b"x" * 1_000]


def _all(tx: sa.Connection) -> list[Any]:
    return list(tx.execute(sa.text("SELECT id FROM inbox")))


async def test_over_the_cap_the_oldest_sorted_bodies_go_first(
    database: Database, clock: VirtualClock
) -> None:
    inbox = Inbox(database, clock, max_waiting=100, max_dead_letters=3, keep_body_bytes=5_000)
    await inbox.open()
    for n in range(9):
        await inbox.accept(b"%d" % n * 1_000)
        clock.advance(1)
    batch = await inbox.begin()
    await database.write(lambda tx: inbox.finish(tx, [w.id for w in batch[:6]]))
    await inbox.trim()
    kept = await database.read(
        lambda c: [r[0][:1] for r in c.execute(sa.text("SELECT body FROM inbox"))]
    )
    assert kept == [b"5", b"6", b"7", b"8"]
    assert inbox.kept_bytes == 4_000
    again = Inbox(database, clock, max_waiting=100, max_dead_letters=3)
    await again.open()
    assert again.kept_bytes == 4_000


async def test_what_waits_is_not_pruned_however_old_nor_is_a_body_that_it_repeats(
    database: Database, inbox: Inbox, clock: VirtualClock
) -> None:
    await inbox.accept(b"sorted")
    await inbox.accept(b"repeated")
    (one, two) = await inbox.begin()
    await inbox.accept(b"repeated")
    await database.write(lambda tx: inbox.finish(tx, [one.id, two.id]))
    clock.advance(90 * 86_400)
    await inbox.prune(timedelta(days=30))
    assert [w.body for w in await inbox.begin()] == [b"repeated"]
    assert await scalar(database, "SELECT count(*) FROM inbox") == 2


# ---------------------------------------------------------------------- not to be trusted


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
async def test_a_file_that_is_another_one_takes_nothing_and_says_so(
    database: Database, inbox: Inbox, store_url: str, replaced: bool
) -> None:
    path = Path(store_url.removeprefix("sqlite:///"))
    await inbox.accept(b"before")
    watching = asyncio.create_task(database.watch())
    path.rename(path.with_name("moved.db"))
    if replaced:
        path.write_bytes(b"")
    for attempt in (inbox.accept(b"after"), inbox.ready(), database.ping()):
        with pytest.raises(Unavailable) as caught:
            await attempt
        assert caught.value.reason is Reason.STORE_REPLACED
    await asyncio.wait([watching], timeout=5)
    assert isinstance(watching.exception(), Unavailable), "the service hears of it and stops"


async def test_a_file_that_is_deleted_while_a_commit_is_under_way_is_noticed_before_the_answer(
    database: Database, store_url: str
) -> None:
    path = Path(store_url.removeprefix("sqlite:///"))
    with pytest.raises(Unavailable) as caught:
        await database.write(lambda tx: path.unlink())
    assert caught.value.reason is Reason.STORE_REPLACED


async def test_the_wal_that_is_deleted_is_noticed_too(inbox: Inbox, store_url: str) -> None:
    await inbox.accept(b"before")
    Path(store_url.removeprefix("sqlite:///") + "-wal").unlink()
    with pytest.raises(Unavailable) as caught:
        await inbox.accept(b"after")
    assert caught.value.reason is Reason.STORE_REPLACED


async def test_readiness_writes_what_a_webhook_would_write(
    database: Database, inbox: Inbox
) -> None:
    await inbox.ready()
    assert await scalar(database, "SELECT count(*) FROM inbox") == 0
    await database.write(do("ALTER TABLE waiting RENAME TO gone"))
    for attempt in (inbox.accept(b"{}"), inbox.ready()):
        with pytest.raises(Unavailable) as caught:
            await attempt
        assert caught.value.reason is Reason.STORE_DOWN
    await database.write(do("ALTER TABLE gone RENAME TO waiting"))
    await inbox.ready()


async def test_a_corrupt_file_is_not_ready_and_takes_nothing(
    store_url: str, clock: VirtualClock
) -> None:
    database = await Database.open(store_url)
    inbox = Inbox(database, clock, max_waiting=10_000, max_dead_letters=3)
    for n in range(200):
        await inbox.accept(b"%d" % n * 500)
    await database.close()
    path = Path(store_url.removeprefix("sqlite:///"))
    whole = path.stat().st_size
    with path.open("r+b") as file:
        for at in range(8192, whole, 4096):  # its first pages still say that it is a database
            file.seek(at)
            file.write(os.urandom(64))
    try:
        database = await Database.open(store_url)
    except Unavailable:  # so broken that it is not even opened
        return
    try:
        inbox = Inbox(database, clock, max_waiting=10_000, max_dead_letters=3)
        for attempt in (inbox.accept(b"x"), inbox.ready(), inbox.ready()):
            with pytest.raises(Unavailable):
                await attempt
            clock.advance(3_600)
    finally:
        await database.close()


# ---------------------------------------------------------------------- schema


async def test_the_migrations_build_what_the_schema_describes(tmp_path: Path) -> None:
    """From nothing: not even the folder is there."""

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    database = await Database.open(f"sqlite:///{tmp_path / 'not yet' / 'p.db'}")
    assert await database.read(differences) == []
    await database.close()


async def test_a_store_begins_empty_whatever_another_left_behind(
    empty_store: Path, tmp_path: Path, clock: VirtualClock
) -> None:
    """The tests copy one migrated file: what is written to a copy reaches
    neither it nor the next copy.
    """
    for turn in range(2):
        database = await Database.open(copied(empty_store, tmp_path / str(turn) / "p.db"))
        inbox = Inbox(database, clock, max_waiting=9, max_dead_letters=3)
        await inbox.open()
        assert inbox.waiting == 0
        await inbox.accept(b"left behind")
        await database.close()


async def test_a_store_of_the_first_version_is_taken_over_with_what_waits_in_it(
    tmp_path: Path, clock: VirtualClock
) -> None:
    from alembic import command
    from alembic.config import Config

    url = f"sqlite:///{tmp_path}/p.db"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config = Config()
        folder = Path(__file__).parents[2] / "service" / "store" / "migrations"
        config.set_main_option("script_location", str(folder))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(sa.text("INSERT INTO inbox VALUES (7, 5, 4, x'61626364')"))
        connection.execute(sa.text("INSERT INTO waiting VALUES (7)"))
    engine.dispose()
    database = await Database.open(url)
    inbox = Inbox(database, clock, max_waiting=9, max_dead_letters=3)
    await inbox.open()
    assert (inbox.waiting, inbox.kept_bytes) == (1, 4)
    assert [(w.id, w.body) for w in await inbox.begin()] == [(7, b"abcd")]
    await database.close()


async def test_every_query_of_the_hot_path_has_its_index(database: Database) -> None:
    asked = {
        "SELECT inbox_id FROM waiting ORDER BY inbox_id LIMIT 500": "autoindex_waiting",
        "SELECT * FROM episodes WHERE fingerprint = 'x' AND starts_at = 5": "autoindex_episodes",
        "SELECT * FROM episodes WHERE fingerprint IN ('x') AND status = 'firing'": "episodes_firing",
        "SELECT max(ends_at) FROM episodes WHERE fingerprint IN ('x') GROUP BY fingerprint":
            "COVERING INDEX episodes_ends_at",
        "SELECT sum(size) FROM inbox WHERE body_id = id": "COVERING INDEX inbox_received_at",
        "SELECT * FROM episodes WHERE incident_id = 'x'": "episodes_incident",
        "SELECT id FROM incidents WHERE playbook='p' AND target_key='t' AND state <> 'closed'":
            "incidents_one_open",
    }  # fmt: skip
    for query, index in asked.items():
        plan = await database.read(
            lambda c, q=query: [row.detail for row in c.execute(sa.text(f"EXPLAIN QUERY PLAN {q}"))]  # type: ignore[misc]
        )
        assert index in " ".join(plan), (query, plan)


def test_the_sqlite_of_this_python_takes_the_statements() -> None:
    assert sqlite3.sqlite_version_info >= (3, 35), "upserts and RETURNING"


class Short(StoreFile):
    """A file that is looked at once in a moment without memory: no fault of the database."""

    looks = 0

    def check(self) -> None:
        self.looks += 1
        if self.looks == 1:
            raise MemoryError
        super().check()


async def test_a_writer_survives_what_is_no_fault_of_the_database_and_tells_who_waits(
    tmp_path: Path,
) -> None:
    file = tmp_path / "p.db"
    connections = engine(sa.make_url(f"sqlite+pysqlite:///{file}"))
    writer = Writer(connections, Short(file))
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="MemoryError"):
            await writer.submit(lambda tx: tx.execute(sa.text("SELECT 1")).scalar())
        assert await writer.submit(lambda tx: tx.execute(sa.text("SELECT 2")).scalar()) == 2
    writer.close()
    connections.dispose()
