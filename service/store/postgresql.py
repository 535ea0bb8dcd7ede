"""PostgreSQL: the step to several replicas. Loaded only where it is used: its driver and what
SQLAlchemy needs for it are a fifth of a second of every start.
"""

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from service.store.sqlite import down

T = TypeVar("T")


class Postgresql:
    """A pool of connections, all of which write."""

    dialect = "postgresql"

    def __init__(self, url: sa.URL) -> None:
        self.engine = create_async_engine(url, pool_pre_ping=True)

    async def write(self, transaction: Callable[[sa.Connection], T], *, optional: bool) -> T:
        """Runs `transaction` and commits it. Raises Unavailable(store_down)."""
        return await self.read(transaction)

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        """Runs `query` in a transaction. Raises Unavailable(store_down)."""
        try:
            async with self.engine.begin() as connection:
                return await connection.run_sync(query)
        except (SQLAlchemyError, OSError) as error:
            raise down(str(error)) from error

    def check(self) -> None:
        """A server has no file that could be replaced."""

    async def close(self) -> None:
        await self.engine.dispose()
