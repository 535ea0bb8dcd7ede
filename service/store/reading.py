"""A store that another process works on, opened to be read: no lock is taken,
nothing is migrated or written.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from service.model.errors import BadConfig
from service.store.database import HEAD, parse
from service.store.sqlite import FAULTS, down

T = TypeVar("T")


class ReadOnly:
    """What `Database.read` is, and nothing else."""

    def __init__(self, engine: sa.Engine | AsyncEngine) -> None:
        self._engine = engine

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Runs `query` on the last commit. Raises Unavailable(store_down)."""
        try:
            if isinstance(self._engine, AsyncEngine):
                async with self._engine.connect() as connection:
                    return await connection.run_sync(query)
            return await asyncio.to_thread(_run, self._engine, query)
        except FAULTS as error:
            raise down(str(error)) from error


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[ReadOnly]:
    """The store at `url`. Raises BadConfig for one that is not there or is of another
    version, or Unavailable.
    """
    parsed = parse(url)
    engine: sa.Engine | AsyncEngine
    if parsed.get_backend_name() == "sqlite":
        engine = _of_file(Path(parsed.database or ""))
    else:
        engine = create_async_engine(
            parsed, connect_args={"server_settings": {"default_transaction_read_only": "on"}}
        )
    store = ReadOnly(engine)
    try:
        version = await store.read(_version)
        if version != HEAD:
            raise BadConfig(
                f"store: its schema is {version or 'none'}, not {HEAD}; use the version that runs on it"
            )
        yield store
    finally:
        if isinstance(engine, AsyncEngine):
            await engine.dispose()
        else:
            engine.dispose()


def _of_file(path: Path) -> sa.Engine:
    if not path.is_file():
        raise BadConfig(f"store {path}: no such file")
    # By a URI of SQLite's own: only there reading alone can be said.
    return sa.create_engine(f"sqlite+pysqlite:///{path.absolute().as_uri()}?mode=ro&uri=true")


def _version(connection: sa.Connection) -> str | None:
    try:
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    except SQLAlchemyError as error:
        if "alembic_version" in str(error):  # not ours, or empty
            return None
        raise


def _run(engine: sa.Engine, query: Callable[[sa.Connection], T]) -> T:
    with engine.connect() as connection:
        return query(connection)
