"""The memory itself: durable, one writer, one owner, bounded."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.kit.clock import VirtualClock
from service.kit.tasks import running
from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason
from service.store.database import Database
from service.store.inbox import Inbox
from service.store.schema import metadata
from service.worker import Worker
from tests.path.world import world

pytestmark = pytest.mark.only_on("sqlite")  # it looks into the file itself


@pytest.fixture
async def inbox(database: Database, clock: VirtualClock) -> AsyncIterator[Inbox]:
    """An inbox that commits."""
    made = Inbox(database, clock, max_waiting=100, max_dead_letters=3)
    await made.open()
    async with running("inbox", made.run(), lambda name, error: None):
        yield made


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
        pytest.param("nonsense", "store.url 'nonsense'", id="no URL"),
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


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "p.db").write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(Unavailable) as caught:
        await Database.open(f"sqlite:///{tmp_path}/p.db")
    assert caught.value.reason is Reason.STORE_DOWN


async def test_a_store_is_opened_again_with_all_that_was_in_it(
    store_url: str, clock: VirtualClock
) -> None:
    for turn in range(3):
        async with world(store_url, clock) as made:
            await made.fires(f"f{turn}")
            assert len((await made.only()).alerts) == turn + 1


async def test_a_transaction_that_raises_leaves_nothing_behind(
    database: Database, inbox: Inbox
) -> None:
    def broken(tx: sa.Connection) -> None:
        tx.execute(sa.text("INSERT INTO dead_letters VALUES (1, 0, 'x', 'x', 0, x'00')"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(broken)
    assert await inbox.dead(9) == []


async def test_webhooks_that_arrive_together_share_commits_and_keep_their_order(
    inbox: Inbox, store_url: str
) -> None:
    await asyncio.gather(*(inbox.accept(str(n).encode()) for n in range(50)))
    assert [letter.body for letter in await inbox.unsorted()] == [
        str(n).encode() for n in range(50)
    ]
    assert inbox.waiting == 50


async def test_a_full_inbox_takes_nothing_and_says_so(inbox: Inbox) -> None:
    taken = await asyncio.gather(*(inbox.accept(b"x") for _ in range(130)), return_exceptions=True)
    refused = [t for t in taken if isinstance(t, Unavailable)]
    assert {r.reason for r in refused} == {Reason.STORE_FULL}
    assert len(refused) == 30


async def test_large_letters_are_sorted_in_small_batches_and_one_at_least(inbox: Inbox) -> None:
    for _ in range(3):
        await inbox.accept(b"x" * 1_000)
    assert len(await inbox.unsorted(limit_bytes=10)) == 1
    assert len(await inbox.unsorted(limit_bytes=2_000)) == 2
    assert len(await inbox.unsorted(limit=2)) == 2


async def test_what_waits_is_not_pruned_however_old(store_url: str, clock: VirtualClock) -> None:
    async with world(store_url, clock) as made:
        await made.fires()
        await made.inbox.accept(b"{}")
        clock.advance(90 * 86_400)
        await made.inbox.prune(timedelta(days=30))
        assert [letter.body for letter in await made.inbox.unsorted()] == [b"{}"]
        with sqlite3.connect(store_url.removeprefix("sqlite:///")) as connection:
            assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (1,)
        connection.close()


async def test_a_letter_that_an_older_version_took_is_buried_and_holds_nobody_up(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        await made.inbox.accept(b'{"version": "3", "alerts": []}')
        await made.fires()
        assert [d["reason"] for d in await made.inbox.dead(9)] == ["wrong_version"]
        assert len((await made.only()).alerts) == 1


async def test_one_slot_works_through_many_targets(store_url: str, clock: VirtualClock) -> None:
    async with world(store_url, clock) as made:
        for n in range(5):
            await made.fires(f"f{n}", workload=f"service-{n}")
        worker = Worker(made.incidents, made.stages, clock, slots=1)
        async with running("worker", worker.run(), lambda name, error: None), asyncio.timeout(10):
            while not all(row["reason"] for row in await made.incidents.listing(9)):
                await asyncio.sleep(0.01)
        assert {row["state"] for row in await made.incidents.listing(9)} == {"open", "healed"}


async def test_the_migrations_build_what_the_schema_describes(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    assert await database.read(differences) == []


async def test_every_query_of_the_hot_path_has_its_index(database: Database) -> None:
    asked = {
        "SELECT inbox_id FROM waiting ORDER BY inbox_id LIMIT 500": "autoindex_waiting",
        "SELECT * FROM episodes WHERE fingerprint = 'x'": "autoindex_episodes",
        "SELECT * FROM episodes WHERE incident_id = 'x'": "episodes_incident",
        "SELECT id FROM incidents WHERE state <> 'closed' AND due_at <= 5 ORDER BY due_at": "incidents_due",
        "SELECT id FROM incidents WHERE playbook='p' AND target_key='t' AND state <> 'closed'": "incidents_one_open",
        "SELECT * FROM ledger WHERE intended_at > 5": "ledger_intended_at",
        "SELECT * FROM ledger WHERE incident_id = 'x'": "ledger_incident",
        "SELECT * FROM steps WHERE incident_id = 'x' ORDER BY id": "steps_incident",
    }
    for query, index in asked.items():
        plan = await database.read(
            lambda c, q=query: [row.detail for row in c.execute(sa.text(f"EXPLAIN QUERY PLAN {q}"))]
        )
        assert index in " ".join(plan), (query, plan)
