"""What all stores of a session share, so that each test pays for its own rows only: the migrated
file that a SQLite store begins as, and the statements that SQLAlchemy has compiled. Never rows.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.store.database import Database

_COMPILED: dict[Any, Any] = {}  # Any: SQLAlchemy's own keys and values
_DIALECTS: dict[str, sa.Dialect] = {}


def migrate(url: str) -> None:
    """Makes an empty store."""

    async def opened() -> None:
        await (await Database.open(url)).close()

    with ThreadPoolExecutor(1) as thread:  # a loop of its own: the tests' loops come and go
        thread.submit(asyncio.run, opened()).result()


@contextmanager
def template() -> Iterator[Path]:
    """The file of an empty SQLite store, migrated once, to copy from."""
    with tempfile.TemporaryDirectory(prefix="paramedic-store-") as folder:
        made = Path(folder) / "empty.db"
        migrate(f"sqlite:///{made}")
        yield made


def copied(made: Path, path: Path) -> str:
    """The URL of a new store: a copy of `made`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made, path)
    return f"sqlite:///{path}"


@sa.event.listens_for(sa.Engine, "engine_connect")
def share_compiled(connection: sa.Connection) -> None:
    """Compiles a statement once per session, not once per engine.

    SQLAlchemy files what it compiled under its dialect, and makes a dialect for
    each engine: one for all.
    """
    shared = _DIALECTS.setdefault(connection.dialect.driver, connection.dialect)
    connection.dialect = shared
    connection.execution_options(compiled_cache=_COMPILED)
