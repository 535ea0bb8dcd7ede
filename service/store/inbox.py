"""Accepted webhooks and dead letters. `accept` returns when the body is on disk, and not before.

Requests that arrive while a commit is under way share the next one: one fsync for many webhooks.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from service.kit.clock import Clock
from service.model.errors import Unavailable
from service.model.reasons import Reason
from service.store.database import Database
from service.store.schema import EPOCH, dead_letters, inbox, waiting

DEAD_BODY_BYTES = 64 * 1024
_MICROSECOND = timedelta(microseconds=1)
_INSERT_LETTERS = sa.insert(inbox)
_INSERT_WAITING = sa.insert(waiting)
_FAILED_LATELY_S = 10.0
PENDING_BYTES = 128 * 2**20  # not yet committed, held in memory


class Letter(NamedTuple):
    """A committed webhook that waits to be sorted."""

    id: int
    received_at: datetime
    body: bytes


@dataclass(frozen=True, slots=True)
class _Pending:
    row: Mapping[str, object]
    table: sa.Table
    size: int
    done: "asyncio.Future[None]"


class Inbox:
    """The door of the store. `run` has to be running for `accept` and `bury` to return."""

    def __init__(
        self, database: Database, clock: Clock, *, max_waiting: int, max_dead_letters: int
    ) -> None:
        self._database = database
        self._clock = clock
        self._max_waiting = max_waiting
        self._max_dead_letters = max_dead_letters
        self._pending: list[_Pending] = []
        self._pending_bytes = 0
        self._something_pending = asyncio.Event()
        self._last_id, self._own = 0, secrets.randbelow(1000)
        self.failed_at: float | None = None  # when a commit last failed, on the monotonic clock
        self.waiting = 0  # committed, not yet sorted
        self.arrived = asyncio.Event()  # set when there may be something to sort

    async def open(self) -> None:
        """Counts what an earlier run left unsorted."""
        count = sa.select(sa.func.count()).select_from(waiting)
        self.waiting = await self._database.read(lambda c: c.execute(count).scalar_one())
        if self.waiting:
            self.arrived.set()

    @property
    def full(self) -> bool:
        return (
            self.waiting + len(self._pending) >= self._max_waiting
            or self._pending_bytes >= PENDING_BYTES
        )

    @property
    def failed_lately(self) -> bool:
        """The last commit failed, less than ten seconds ago. A full disk lets a store be opened and not written."""
        return (
            self.failed_at is not None
            and self._clock.monotonic() - self.failed_at < _FAILED_LATELY_S
        )

    async def accept(self, body: bytes) -> None:
        """Commits a webhook. Raises Unavailable(store_full | store_down); then it was not taken."""
        if self.full:
            raise Unavailable(Reason.STORE_FULL, f"{self.waiting} webhooks wait to be sorted")
        now = self._clock.now()
        row = {"id": self._next_id(now), "received_at": now, "size": len(body), "body": body}
        await self._commit(inbox, row, len(body))

    def _next_id(self, now: datetime) -> int:
        """An id that sorts by time and is known before the insert, so that a batch is two plain statements.

        Nanoseconds since 1970 with the last three digits this process's own: replicas do not meet.
        """
        self._last_id = max(self._last_id + 1000, (now - EPOCH) // _MICROSECOND * 1000 + self._own)
        return self._last_id

    async def bury(self, body: bytes, size: int, reason: Reason, detail: str) -> None:
        """Commits a dead letter of `size` bytes: the first 64 KiB, and why it can never be taken."""
        kept = body[:DEAD_BODY_BYTES]
        row = {"received_at": self._clock.now(), "reason": reason.value, "detail": detail[:1000],
               "size": size, "body": kept}  # fmt: skip
        await self._commit(dead_letters, row, len(kept))

    async def _commit(self, table: sa.Table, row: Mapping[str, object], size: int) -> None:
        pending = _Pending(row, table, size, asyncio.get_running_loop().create_future())
        self._pending.append(pending)
        self._pending_bytes += size
        self._something_pending.set()
        await pending.done

    async def run(self) -> None:
        """Commits what is pending, batch after batch, for ever."""
        while True:
            await self._something_pending.wait()
            self._something_pending.clear()
            batch, self._pending = self._pending, []
            try:
                await self._write(batch)
            except Unavailable as error:
                self.failed_at = self._clock.monotonic()
                for pending in batch:
                    if not pending.done.done():
                        pending.done.set_exception(error)
            else:
                self.failed_at = None
                for pending in batch:
                    if not pending.done.done():
                        pending.done.set_result(None)
            finally:
                self._pending_bytes -= sum(p.size for p in batch)

    async def _write(self, batch: Sequence[_Pending]) -> None:
        letters = [p.row for p in batch if p.table is inbox]
        dead = [p.row for p in batch if p.table is dead_letters]

        def commit(tx: sa.Connection) -> None:
            if letters:
                tx.execute(_INSERT_LETTERS, letters)
                tx.execute(_INSERT_WAITING, [{"inbox_id": letter["id"]} for letter in letters])
            if dead:
                tx.execute(sa.insert(dead_letters), dead)
                newest = sa.select(sa.func.max(dead_letters.c.id)).scalar_subquery()
                tx.execute(
                    sa.delete(dead_letters).where(
                        dead_letters.c.id <= newest - self._max_dead_letters
                    )
                )

        await self._database.write(commit)
        if letters:
            self.waiting += len(letters)
            self.arrived.set()

    async def unsorted(self, limit: int = 1000, limit_bytes: int = 8 * 2**20) -> list[Letter]:
        """The oldest webhooks that wait to be sorted: at least one, then as many as the limits let in."""
        sizes = (
            sa.select(inbox.c.id, inbox.c.size)
            .join(waiting, waiting.c.inbox_id == inbox.c.id)
            .order_by(waiting.c.inbox_id)
            .limit(limit)
        )

        def query(connection: sa.Connection) -> list[Letter]:
            ids: list[int] = []
            total = 0
            for letter_id, size in connection.execute(sizes):
                total += size
                if ids and total > limit_bytes:
                    break
                ids.append(letter_id)
            if not ids:
                return []
            bodies = sa.select(inbox.c.id, inbox.c.received_at, inbox.c.body).where(
                inbox.c.id.in_(ids)
            )
            return [Letter(*row) for row in connection.execute(bodies.order_by(inbox.c.id))]

        return await self._database.read(query)

    async def dead(self, limit: int) -> list[dict[str, object]]:
        """The newest dead letters, for people. The body as text, undecodable bytes replaced."""
        query = sa.select(dead_letters).order_by(dead_letters.c.id.desc()).limit(limit)
        rows = await self._database.read(
            lambda c: [dict(row) for row in c.execute(query).mappings()]
        )
        return [{**row, "body": bytes(row["body"]).decode(errors="replace")} for row in rows]

    async def prune(self, keep: timedelta) -> None:
        """Deletes sorted webhooks that were received longer ago than `keep`."""
        old = (
            sa.delete(inbox)
            .where(inbox.c.received_at < self._clock.now() - keep)
            .where(inbox.c.id.not_in(sa.select(waiting.c.inbox_id)))
        )
        await self._database.write(lambda tx: tx.execute(old).rowcount)
