"""A store for each sequence, made in no time: migrated once, and written in the caller's thread."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from service.store.database import Database, _Sqlite
from tests.path.world import MortalDatabase
from tests.stores import migrate

T = TypeVar("T")


@cache
def migrated() -> Path:
    """An empty store, migrated once for all sequences."""
    empty = new_folder() / "empty.db"
    migrate(f"sqlite:///{empty}")
    return empty


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
        with engine.connect() as connection, connection.execution_options(reading=reading).begin():
            return work(connection)


class MortalInPlace(MortalDatabase, InPlace):
    """Both."""
