"""A store for each sequence, made in no time: migrated once, and written in the caller's thread."""

import asyncio
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from service.store.database import Database, _Sqlite
from tests.path.world import MortalDatabase

T = TypeVar("T")


@cache
def migrated() -> Path:
    """An empty store, migrated once for all sequences."""
    folder = new_folder()

    async def make() -> None:
        await (await Database.open(f"sqlite:///{folder / 'empty.db'}")).close()

    asyncio.run(make())
    return folder / "empty.db"


def new_folder() -> Path:
    """In memory, where the machine has such a place."""
    fast = "/dev/shm" if Path("/dev/shm").is_dir() else None
    return Path(tempfile.mkdtemp(prefix="paramedic-machine-", dir=fast))


class InPlace(Database):
    """Transactions run in the caller's thread: a hop to another one and back costs
    more than all else here.
    """

    async def write(
        self, transaction: Callable[[sa.Connection], T], *, optional: bool = False
    ) -> T:
        return self._whole(transaction, reading=False)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        return self._whole(query, reading=True)

    def _whole(self, work: Callable[[sa.Connection], T], *, reading: bool) -> T:
        assert isinstance(self._backend, _Sqlite)
        engine = self._backend.engine
        # SQLAlchemy keeps what it compiled by dialect: one for the engines of all sequences.
        engine.dialect = _DIALECTS.setdefault("sqlite", engine.dialect)
        engine = engine.execution_options(compiled_cache=_COMPILED)
        with engine.connect() as connection, connection.execution_options(reading=reading).begin():
            return work(connection)


class MortalInPlace(MortalDatabase, InPlace):
    """Both."""


_COMPILED: dict[Any, Any] = {}
_DIALECTS: dict[str, sa.Dialect] = {}
