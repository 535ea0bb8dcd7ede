"""The connection to SQLite or PostgreSQL: opening, migrating, writing, reading.

A transaction is a plain function over a connection, run whole;
the functions are the same for both databases.
SQLite has one writer thread (store/sqlite.py); PostgreSQL is the step to several
replicas (store/postgresql.py).
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Protocol, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason
from service.store import sqlite
from service.store.sqlite import FAULTS, StoreFile, Writer, down

T = TypeVar("T")
Timed: TypeAlias = Callable[[str, float], None]
Transaction: TypeAlias = sa.Connection  # for those who hand one on and do not look inside

HEAD = "0011"  # the newest migration; when the database has it, Alembic need not be loaded at all
PING_WITHIN_S = 1.5
_WATCH_EVERY_S = 1.0


class _Backend(Protocol):
    """What stands behind a database: see store/postgresql.py, and _Sqlite below."""

    dialect: str

    async def write(self, transaction: Callable[[sa.Connection], T], *, optional: bool) -> T: ...

    async def read(self, query: Callable[[sa.Connection], T]) -> T: ...

    def check(self) -> None: ...

    async def close(self) -> None: ...


def _untimed(operation: str, took_s: float) -> None:
    return None


class Database:
    """An open database."""

    def __init__(self, backend: _Backend) -> None:
        self._backend = backend
        self.timed: Timed = _untimed  # told of every read and write that has ended, in seconds
        self.writing = 0  # writes under way

    @property
    def dialect(self) -> str:
        return self._backend.dialect

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Opens and migrates. Raises BadConfig for a URL that cannot be,
        Unavailable for a database away.
        """
        parsed = parse(url)
        if parsed.get_backend_name() == "sqlite":
            return cls(await _Sqlite.open(parsed))
        from service.store.postgresql import Postgresql

        database = cls(Postgresql(parsed))
        try:
            await database.write(_migrate)
        except (Unavailable, BadConfig):
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Waits for what is under way, then closes every connection."""
        await self._backend.close()

    async def write(
        self, transaction: Callable[[sa.Connection], T], *, optional: bool = False
    ) -> T:
        """Runs `transaction` and commits, or rolls back and raises; Unavailable(store_down) for the
        database's fault, Unavailable(store_replaced) when its file is another one by now.

        A caller that is cancelled does not stop it: it commits or fails whole.
        An `optional` one is left out then.
        """
        began = time.perf_counter()
        self.writing += 1
        try:
            return await self._backend.write(transaction, optional=optional)
        finally:
            self.writing -= 1
            self.timed("write", time.perf_counter() - began)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Runs `query` on the last commit. Raises Unavailable(store_down)."""
        began = time.perf_counter()
        try:
            return await self._backend.read(query)
        finally:
            self.timed("read", time.perf_counter() - began)

    async def ping(
        self,
        proof: Callable[[sa.Connection], object] = lambda tx: tx.execute(
            sa.text("SELECT 1")
        ).scalar(),
    ) -> None:
        """Proves within two seconds that a write transaction commits,
        by `proof`. Raises Unavailable.
        """
        try:
            async with asyncio.timeout(PING_WITHIN_S):
                await self.write(proof, optional=True)
        except TimeoutError as error:
            raise Unavailable(
                Reason.STORE_DOWN, f"store: no commit within {PING_WITHIN_S} s"
            ) from error

    async def watch(self) -> None:
        """Returns never; raises Unavailable(store_replaced) when the file of
        SQLite is another one by now.
        """
        while True:
            await asyncio.to_thread(self._backend.check)
            await asyncio.sleep(_WATCH_EVERY_S)


class _Sqlite:
    """What an open file needs."""

    dialect = "sqlite"

    def __init__(self, engine: sa.Engine, lock_file: IO[str], file: StoreFile) -> None:
        self.engine = engine
        self.file = file
        self.writer = Writer(engine, file)
        self.readers = ThreadPoolExecutor(2, "store-read")
        self._lock_file = lock_file
        # Held open: when the last connection is closed SQLite deletes the WAL,
        # and `file` would miss it.
        self._keeper = engine.connect()

    async def write(self, transaction: Callable[[sa.Connection], T], *, optional: bool) -> T:
        result: T = await self.writer.submit(transaction, optional=optional)
        return result

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.readers, _read, self.engine, query)
        except FAULTS as error:
            raise down(str(error)) from error

    def check(self) -> None:
        self.file.check()

    @classmethod
    async def open(cls, url: sa.URL) -> "_Sqlite":
        path = Path(url.database or "")
        lock_file = sqlite.lock(path)
        engine = sqlite.engine(url)
        try:
            await asyncio.to_thread(_migrate_file, engine)
            return cls(engine, lock_file, StoreFile(path))
        except BaseException as error:
            engine.dispose()
            lock_file.close()
            if isinstance(error, FAULTS):
                raise down(str(error)) from error
            raise

    async def close(self) -> None:
        await asyncio.to_thread(self.writer.close)
        await asyncio.to_thread(self.readers.shutdown)
        self._keeper.close()
        self.engine.dispose()
        self._lock_file.close()


def _read(engine: sa.Engine, query: Callable[[sa.Connection], T]) -> T:
    with engine.connect().execution_options(reading=True) as connection, connection.begin():
        return query(connection)


def _migrate_file(engine: sa.Engine) -> None:
    with engine.connect() as connection, connection.begin():
        _migrate(connection)


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


def parse(url: str) -> sa.URL:
    """The URL for the driver. What was written is not shown: it may hold a password."""
    wanted = "use sqlite:///PATH or postgresql://USER@HOST/DB"
    try:
        parsed = sa.make_url(url)
    except (SQLAlchemyError, ValueError):
        raise BadConfig(f"store.url: not the URL of a database; {wanted}") from None
    drivers = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+asyncpg"}
    driver = drivers.get(parsed.get_backend_name())
    if driver is None:
        raise BadConfig(f"store.url: another database; {wanted}")
    if driver.startswith("sqlite") and parsed.database in (None, "", ":memory:"):
        raise BadConfig(
            "store.url: SQLite in memory would lose accepted alerts; give a path: sqlite:///PATH"
        )
    return parsed.set(drivername=driver)
