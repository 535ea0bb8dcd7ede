"""The connection to SQLite or PostgreSQL: opening, migrating, one writer, many readers.

SQLite: WAL with synchronous=FULL (a commit that returned survives a power cut), and a lock file, because two
services on one file would each believe in their own claims. PostgreSQL is the step to several replicas.
"""

import asyncio
import fcntl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason

T = TypeVar("T")

HEAD = "0003"  # the newest migration; when the database has it, Alembic need not be loaded at all


class Database:
    """One engine. A transaction is a plain function over a connection, run whole: one thread hop on SQLite (where
    every statement of an async driver would be several), `run_sync` on PostgreSQL; the functions are the same.
    """

    def __init__(self, engine: sa.Engine | AsyncEngine, lock_file: IO[str] | None = None) -> None:
        self._engine = engine
        self._lock_file = lock_file
        # One writer: SQLite has one, and queueing here is cheaper than its busy handler.
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._readers = ThreadPoolExecutor(2, "store-read")

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Opens and migrates. Raises BadConfig for a URL that cannot be, Unavailable for a database away."""
        parsed = _parse(url)
        if parsed.get_backend_name() == "sqlite":
            lock_file = _lock(Path(parsed.database or ""))
            engine = sa.create_engine(parsed)
            sa.event.listen(engine, "connect", _tune_sqlite)
            sa.event.listen(engine, "begin", _begin)
            database = cls(engine, lock_file)
        else:
            database = cls(create_async_engine(parsed, pool_pre_ping=True))
        try:
            await database.write(_migrate)
        except (Unavailable, BadConfig):
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Waits for what is under way, then closes every connection."""
        for pool in (self._writer, self._readers):
            await asyncio.to_thread(pool.shutdown)
        if isinstance(self._engine, AsyncEngine):
            await self._engine.dispose()
        else:
            self._engine.dispose()
        if self._lock_file:
            self._lock_file.close()

    async def write(self, transaction: Callable[[sa.Connection], T]) -> T:
        """Runs `transaction` and commits, or rolls back and raises; Unavailable(store_down) for the database's fault.

        A caller that is cancelled does not stop it: it commits or fails whole.
        """
        return await self._run(self._writer, _WRITING, transaction)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Runs `query` on the last commit. Raises Unavailable(store_down)."""
        return await self._run(self._readers, _READING, query)

    async def _run(
        self, pool: ThreadPoolExecutor, options: dict[str, Any], work: Callable[[sa.Connection], T]
    ) -> T:
        try:
            if isinstance(self._engine, AsyncEngine):
                async with self._engine.begin() as connection:
                    return await connection.run_sync(work)
            return await asyncio.get_running_loop().run_in_executor(
                pool, _whole, self._engine, options, work
            )
        except (SQLAlchemyError, OSError) as error:
            raise Unavailable(Reason.STORE_DOWN, f"store: {str(error).splitlines()[0]}") from error

    async def ping(self) -> None:
        """Proves that the store can be written: begins and ends a write transaction."""
        await self.write(lambda tx: tx.execute(sa.text("SELECT 1")).scalar())


_WRITING: dict[str, Any] = {}
_READING: dict[str, Any] = {"reading": True}


def _whole(engine: sa.Engine, options: dict[str, Any], work: Callable[[sa.Connection], T]) -> T:
    with engine.connect().execution_options(**options) as connection, connection.begin():
        return work(connection)


def _migrate(connection: sa.Connection) -> None:
    if "alembic_version" in sa.inspect(connection).get_table_names():
        version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        if version == HEAD:
            return
    from alembic import command  # 20 MiB that only a migration needs
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise BadConfig(
            f"store: {error}: was it written by a newer Paramedic? Run that one, or restore"
        ) from error


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError as error:
        raise BadConfig(f"store.url {url!r}: {error}") from error
    drivers = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+asyncpg"}
    driver = drivers.get(parsed.get_backend_name())
    if driver is None:
        raise BadConfig(f"store.url {url!r}: use sqlite:///PATH or postgresql://USER@HOST/DB")
    if driver.startswith("sqlite") and parsed.database in (None, "", ":memory:"):
        raise BadConfig(
            "store.url: SQLite in memory would lose accepted alerts; give a path: sqlite:///PATH"
        )
    return parsed.set(drivername=driver)


def _lock(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock_file = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise BadConfig(f"store {path}: its folder has to be writable: {error}") from error
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock_file.close()
        raise BadConfig(
            f"store {path}: another Paramedic has it open; stop that one, or use PostgreSQL for replicas"
        ) from error
    return lock_file


def _tune_sqlite(connection: Any, _record: object) -> None:  # Any: the driver's own connection
    # The driver must not begin transactions by itself: _begin does, so that two writers queue
    # at the start instead of failing in the middle.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
