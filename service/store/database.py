"""The connection to SQLite or PostgreSQL: opening, migrating, one writer, many readers.

SQLite: WAL with synchronous=FULL (a commit that returned survives a power cut), and a lock file, because two
services on one file would each believe in their own claims. PostgreSQL is the step to several replicas.
"""

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason

HEAD = "0001"  # the newest migration; when the database has it, Alembic need not be loaded at all


class Database:
    """One engine. `write()` is one transaction at a time; `read()` sees the last commit."""

    def __init__(self, engine: AsyncEngine, lock_file: IO[str] | None = None) -> None:
        self._engine = engine
        self._lock_file = lock_file
        self._writing = asyncio.Lock()

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Opens and migrates. Raises BadConfig for a URL that cannot be, Unavailable for a database away."""
        parsed = _parse(url)
        lock_file = None
        if parsed.get_backend_name() == "sqlite":
            lock_file = _lock(Path(parsed.database or ""))
        engine = create_async_engine(parsed, pool_pre_ping=lock_file is None)
        if lock_file:
            sa.event.listen(engine.sync_engine, "connect", _tune_sqlite)
            sa.event.listen(engine.sync_engine, "begin", _begin_immediate)
        database = cls(engine, lock_file)
        try:
            await database._migrate()
        except (SQLAlchemyError, OSError) as error:
            await database.close()
            raise Unavailable(Reason.STORE_DOWN, f"store {parsed.render_as_string()}: {error}") from error
        return database

    async def close(self) -> None:
        await self._engine.dispose()
        if self._lock_file:
            self._lock_file.close()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed at the end of the block. Raises Unavailable(store_down)."""
        async with self._writing:
            try:
                async with self._engine.begin() as tx:
                    yield tx
            except SQLAlchemyError as error:
                raise Unavailable(Reason.STORE_DOWN, f"store: {error}") from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection to read from. Raises Unavailable(store_down)."""
        try:
            async with self._engine.connect() as connection:
                yield await connection.execution_options(reading=True)
        except SQLAlchemyError as error:
            raise Unavailable(Reason.STORE_DOWN, f"store: {error}") from error

    async def ping(self) -> None:
        """Proves that the store can be written: opens and ends a write transaction."""
        async with self.write() as tx:
            await tx.execute(sa.text("SELECT 1"))

    async def _migrate(self) -> None:
        async with self._engine.begin() as tx:
            tables = await tx.run_sync(lambda c: set(sa.inspect(c).get_table_names()))
            if "alembic_version" in tables:
                version = (await tx.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar()
                if version == HEAD:
                    return
            await tx.run_sync(_upgrade)


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError as error:
        raise BadConfig(f"store.url {url!r}: {error}") from error
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    driver = drivers.get(parsed.get_backend_name())
    if driver is None:
        raise BadConfig(f"store.url {url!r}: use sqlite:///PATH or postgresql://USER@HOST/DB")
    if driver.startswith("sqlite") and not parsed.database:
        raise BadConfig("store.url: SQLite in memory would lose accepted alerts; give a path: sqlite:///PATH")
    return parsed.set(drivername=driver)


def _lock(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock_file = path.with_name(path.name + ".lock").open("w")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock_file.close()
        raise BadConfig(
            f"store {path}: another Paramedic has it open; stop that one, or use PostgreSQL for replicas"
        ) from error
    return lock_file


def _tune_sqlite(connection: Any, _record: object) -> None:  # Any: the driver's own connection
    # The driver must not begin transactions by itself: _begin_immediate does, so that two writers queue
    # at the start instead of failing in the middle.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    immediate = connection.get_execution_options().get("reading") is not True
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
