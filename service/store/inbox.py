"""Accepted webhooks and dead letters. `accept` returns when the body is on disk, and not before.

Webhooks that arrive while a commit is under way share the next one:
one statement and one fsync for many.
"""

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple

import sqlalchemy as sa

from service.kit.clock import Clock
from service.model.errors import Unavailable
from service.model.reasons import Reason
from service.store import bulk
from service.store.database import Database
from service.store.schema import EPOCH, dead_letters, inbox, waiting

DEAD_BODY_BYTES = 64 * 1024
OWNED_FOR = timedelta(
    seconds=30
)  # how long one process sorts a batch at most; renewed part by part
MOST_DEATHS = 2  # as often a process may die while it sorts a webhook; then it is set aside
_MICROSECOND = timedelta(microseconds=1)
_REMEMBERED_BODIES = 10_000
_HASHED_AT_ONCE_BYTES = 256 * 1024  # larger bodies are hashed off the loop
_TRIMMED_TO = 0.9  # of the cap, so that trimming is not needed again at once
_ONE_SORTER = (
    0x5041_5241  # the advisory lock of whoever sorts, among all replicas on one PostgreSQL
)


class Webhook(NamedTuple):
    """A committed webhook that is to be sorted. `done` of its alerts are."""

    id: int
    received_at: datetime
    body: bytes
    done: int = 0


@dataclass(slots=True)
class _Pending:
    id: int
    received_at: datetime
    body: bytes | bytearray
    digest: bytes | None
    done: "asyncio.Future[None]"


class Inbox:
    """Accepted webhooks, until they are sorted and after."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        max_waiting: int,
        max_dead_letters: int,
        keep_body_bytes: int = 2 * 2**30,
    ) -> None:
        self._database = database
        self._clock = clock
        self._max_waiting = max_waiting
        self._max_dead_letters = max_dead_letters
        self._keep_body_bytes = keep_body_bytes
        # Taken by the transaction itself, so that it commits all that came until then;
        # a deque because that is another thread.
        self._pending: deque[_Pending] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._last_id, self._own = 0, secrets.randbelow(1000)
        self._bodies: OrderedDict[bytes, int] = OrderedDict()  # digest -> id of the row that has it
        self.owner = secrets.token_hex(8)  # this process, among all that ever sort
        self.accepting = 0  # waiting for their commit
        self.waiting = 0  # committed, not yet sorted
        self.kept_bytes = 0  # bytes of all bodies in the store
        self.arrived = asyncio.Event()  # set when there may be something to sort

    async def open(self) -> None:
        """Counts what an earlier run left."""
        size = sa.select(sa.func.coalesce(sa.func.sum(inbox.c.size), 0)).where(
            inbox.c.body_id == inbox.c.id
        )
        self.kept_bytes = await self._database.read(lambda c: int(c.execute(size).scalar_one()))
        await self.recount()
        if self.waiting:
            self.arrived.set()

    async def recount(self) -> None:
        """Counts what waits."""
        count = sa.select(sa.func.count()).select_from(waiting)
        self.waiting = await self._database.read(lambda c: int(c.execute(count).scalar_one()))

    @property
    def full(self) -> bool:
        return self.waiting + len(self._pending) >= self._max_waiting

    async def ready(self) -> None:
        """Proves that a webhook would be taken: writes one, as `accept` does, and takes it back.

        Raises Unavailable(store_full | store_down | store_replaced), within two seconds.
        """
        if self.full:
            raise Unavailable(Reason.STORE_FULL, f"{self.waiting} webhooks wait to be sorted")
        now = self._clock.now()
        row = {"id": self._next_id(now), "received_at": now, "size": 0, "body": b"", "body_id": 0}

        def proof(tx: sa.Connection) -> None:
            bulk.put(tx, inbox, [row])
            bulk.put(tx, waiting, [{"inbox_id": row["id"]}])
            tx.execute(sa.delete(waiting).where(waiting.c.inbox_id == row["id"]))
            tx.execute(sa.delete(inbox).where(inbox.c.id == row["id"]))

        await self._database.ping(proof)

    # ------------------------------------------------------------------ accepting

    async def accept(self, body: bytes | bytearray) -> None:
        """Commits a webhook. Raises Unavailable(store_full | store_down); then it was not taken."""
        if self.full:
            raise Unavailable(Reason.STORE_FULL, f"{self.waiting} webhooks wait to be sorted")
        now = self._clock.now()
        digest = _digest(body) if len(body) <= _HASHED_AT_ONCE_BYTES else None
        done = asyncio.get_running_loop().create_future()
        self._pending.append(_Pending(self._next_id(now), now, body, digest, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_pending(), name="inbox commit")
        self.accepting += 1
        try:
            await done
        finally:
            self.accepting -= 1

    def _next_id(self, now: datetime) -> int:
        """An id that sorts by time and is known before the insert,
        so that a batch is two plain statements.

        Nanoseconds since 1970 with the last three digits this process's own: replicas do not meet.
        """
        self._last_id = max(self._last_id + 1000, (now - EPOCH) // _MICROSECOND * 1000 + self._own)
        return self._last_id

    async def _commit_pending(self) -> None:
        """Commits what is pending until nothing is."""
        try:
            while self._pending:
                await self._commit_once()
        finally:
            self._committing = None

    async def _commit_once(self) -> None:
        batch: list[_Pending] = []
        stored: dict[bytes, int] = {}

        def commit(tx: sa.Connection) -> int:
            while self._pending:
                batch.append(self._pending.popleft())
            rows, size = self._rows(tx, batch, stored)
            bulk.put(tx, inbox, rows)
            bulk.put(tx, waiting, [{"inbox_id": p.id} for p in batch])
            return size

        try:
            size = await self._database.write(commit)
        except Exception as error:  # noqa: BLE001 - handed to those who wait for it
            # Not begun at all, as with a locked file: all are told now, not after another try each.
            batch.extend(self._pending)
            self._pending.clear()
            for pending in batch:
                if not pending.done.done():
                    pending.done.set_exception(error)
            return
        self.waiting += len(batch)
        self.kept_bytes += size
        self._bodies.update(stored)
        while len(self._bodies) > _REMEMBERED_BODIES:
            self._bodies.popitem(last=False)
        for pending in batch:
            if not pending.done.done():
                pending.done.set_result(None)
        self.arrived.set()

    def _rows(
        self, tx: sa.Connection, batch: Sequence[_Pending], stored: dict[bytes, int]
    ) -> tuple[list[dict[str, Any]], int]:
        """Rows for the batch, and how many bytes of bodies they add.
        `stored` is told which bodies those are.
        """
        own = memoryview if tx.dialect.name == "sqlite" else bytes  # asyncpg takes only bytes
        rows: list[dict[str, Any]] = []
        added = 0
        for pending in batch:
            digest = pending.digest or _digest(pending.body)
            same = stored.get(digest) or self._bodies.get(digest)
            if same is not None and digest not in stored and not _there(tx, same):
                same = None  # it was pruned
            if same is None:
                same = stored[digest] = pending.id
                added += len(pending.body)
            rows.append(
                {
                    "id": pending.id, "received_at": pending.received_at, "size": len(pending.body),
                    "body": own(pending.body) if same == pending.id else b"", "body_id": same,
                }
            )  # fmt: skip
        return rows, added

    # ------------------------------------------------------------------ dead letters

    async def set_aside(
        self, body: bytes | bytearray, size: int, reason: Reason, detail: str
    ) -> None:
        """Commits a dead letter of `size` bytes: the first 64 KiB, and why it can never be
        taken.
        """
        row = self.dead_row(self._clock.now(), body, size, reason, detail)
        await self._database.write(lambda tx: self.write_dead(tx, [row]))

    @staticmethod
    def dead_row(
        received_at: datetime, body: bytes | bytearray, size: int, reason: Reason, detail: str
    ) -> Mapping[str, object]:
        """A row of `dead_letters`."""
        return {"received_at": received_at, "reason": reason.value, "detail": detail[:1000],
                "size": size, "body": bytes(body[:DEAD_BODY_BYTES])}  # fmt: skip

    def write_dead(self, tx: sa.Connection, rows: Sequence[Mapping[str, object]]) -> None:
        """Adds dead letters within a transaction that is under way; the oldest over the limit
        go.
        """
        if not rows:
            return
        bulk.put(tx, dead_letters, rows)
        newest = sa.select(sa.func.max(dead_letters.c.id)).scalar_subquery()
        tx.execute(
            sa.delete(dead_letters).where(dead_letters.c.id <= newest - self._max_dead_letters)
        )

    async def dead(self, limit: int) -> list[dict[str, object]]:
        """The newest dead letters, for people. The body as text, undecodable bytes replaced."""
        query = sa.select(dead_letters).order_by(dead_letters.c.id.desc()).limit(limit)
        rows = await self._database.read(
            lambda c: [dict(row) for row in c.execute(query).mappings()]
        )
        return [{**row, "body": bytes(row["body"]).decode(errors="replace")} for row in rows]

    # ------------------------------------------------------------------ sorting

    async def sizes(self, limit: int, limit_bytes: int) -> int:
        """About how many bytes `begin` with these limits will hand out."""
        query = (
            sa.select(inbox.c.size)
            .join(waiting, waiting.c.inbox_id == inbox.c.id)
            .order_by(waiting.c.inbox_id)
            .limit(limit)
        )

        def ask(connection: sa.Connection) -> int:
            total = 0
            for (size,) in connection.execute(query):
                if total and total + size > limit_bytes:
                    break
                total += size
            return total

        return await self._database.read(ask)

    async def begin(self, limit: int = 1000, limit_bytes: int = 8 * 2**20) -> list[Webhook]:
        """The oldest webhooks that wait: at least one, then as many as the limits let in.
        They are this process's.

        That their sorting has begun is durable before anything is done with them. One
        that a process died over is handed out alone, so that it takes no other with it;
        one that two died over becomes a dead letter. Empty while another replica sorts:
        one at a time, so that webhooks are sorted in their order.
        """
        now = self._clock.now()

        def claim(tx: sa.Connection) -> tuple[list[Webhook], int]:
            only_sorter(tx)
            if tx.execute(_taken_by_others(self.owner, now)).first() and not _alone(tx):
                return [], 0
            rows = list(tx.execute(_OLDEST.limit(limit)))
            dead = [r for r in rows if r.attempts >= MOST_DEATHS and r.owner != self.owner]
            for row in dead:
                self._give_up(tx, row)
            rows = [r for r in rows if r not in dead]
            chosen: list[Any] = []
            total = 0
            for row in rows:
                risky = row.attempts > 0 and row.owner != self.owner
                if chosen and (risky or total + row.size > limit_bytes):
                    break
                chosen.append(row)
                total += row.size
                if risky:
                    break
            self._mark(tx, chosen, now)
            return _webhooks(tx, chosen), len(dead)

        webhooks, gone = await self._database.write(claim)
        self.waiting -= gone
        return webhooks

    def _mark(self, tx: sa.Connection, rows: Sequence[Any], now: datetime) -> None:
        until = now + OWNED_FOR
        fresh = [r.inbox_id for r in rows if r.owner != self.owner]  # again by this one is no death
        for some in _portions([r.inbox_id for r in rows]):
            tx.execute(
                sa.update(waiting)
                .where(waiting.c.inbox_id.in_(some))
                .values(owner=self.owner, owned_until=until)
            )
        for some in _portions(fresh):
            tx.execute(
                sa.update(waiting)
                .where(waiting.c.inbox_id.in_(some))
                .values(attempts=waiting.c.attempts + 1)
            )

    async def put_back(self) -> None:
        """What this process has begun and not finished is nobody's again: it stops,
        and has not died over it.
        """
        back = (
            sa.update(waiting)
            .where(waiting.c.owner == self.owner)
            .values(owner=None, owned_until=None, attempts=waiting.c.attempts - 1)
        )
        await self._database.write(lambda tx: tx.execute(back).rowcount)

    def _give_up(self, tx: sa.Connection, row: Any) -> None:
        (webhook,) = _webhooks(tx, [row])
        detail = (
            f"{row.attempts} processes died while they sorted it; {row.done} alerts were sorted"
        )
        dead = self.dead_row(
            webhook.received_at, webhook.body, row.size, Reason.SORTING_FAILED, detail
        )
        self.write_dead(tx, [dead])
        tx.execute(sa.delete(waiting).where(waiting.c.inbox_id == row.inbox_id))

    def still_mine(self, tx: sa.Connection, webhooks: Mapping[int, int]) -> set[int]:
        """Those of `webhooks` (id -> alerts done) that nobody else has sorted
        further in the meantime.
        """
        only_sorter(tx)
        found: set[int] = set()
        for some in _portions(list(webhooks)):
            query = sa.select(waiting.c.inbox_id, waiting.c.done).where(
                waiting.c.inbox_id.in_(some), waiting.c.owner == self.owner
            )
            found |= {i for i, done in tx.execute(query) if done == webhooks[i]}
        return found

    def finish(self, tx: sa.Connection, ids: Sequence[int]) -> None:
        """Marks webhooks as sorted, within a transaction that is under way."""
        for some in _portions(ids):
            tx.execute(sa.delete(waiting).where(waiting.c.inbox_id.in_(some)))

    def advance(self, tx: sa.Connection, webhook_id: int, done: int) -> None:
        """Marks the first `done` alerts of a webhook as sorted,
        within a transaction that is under way.
        """
        values = {"done": done, "owned_until": self._clock.now() + OWNED_FOR}
        tx.execute(sa.update(waiting).where(waiting.c.inbox_id == webhook_id).values(**values))

    # ------------------------------------------------------------------ keeping

    async def prune(self, keep: timedelta) -> None:
        """Deletes sorted webhooks that were received longer ago than `keep`, then `trim`s."""
        cutoff = self._clock.now() - keep

        def delete(tx: sa.Connection) -> int | None:
            return _delete_sorted(tx, inbox.c.received_at < cutoff, None)

        while (freed := await self._database.write(delete)) is not None:
            self.kept_bytes -= freed
        await self.trim()

    async def trim(self) -> None:
        """Deletes the oldest sorted webhooks while all bodies together are over their cap in
        bytes.
        """
        while self.kept_bytes > self._keep_body_bytes:
            surplus = self.kept_bytes - int(self._keep_body_bytes * _TRIMMED_TO)
            freed = await self._database.write(
                lambda tx, most=surplus: _delete_sorted(tx, sa.true(), most)  # type: ignore[misc]
            )
            if freed is None:
                return  # all of the rest waits to be sorted, or is repeated by what does
            self.kept_bytes -= freed


_OLDEST = (
    sa.select(
        waiting.c.inbox_id, waiting.c.attempts, waiting.c.done, waiting.c.owner,
        inbox.c.received_at, inbox.c.size, inbox.c.body_id,
    )
    .join(inbox, waiting.c.inbox_id == inbox.c.id)
    .order_by(waiting.c.inbox_id)
)  # fmt: skip
_BODIES = sa.select(inbox.c.id, inbox.c.body).where(
    inbox.c.id.in_(sa.bindparam("ids", expanding=True))
)
_THERE = sa.select(inbox.c.id).where(inbox.c.id == sa.bindparam("body_id"))


def only_sorter(tx: sa.Connection) -> None:
    """Until this transaction ends nobody else sorts. SQLite has one writer and needs nothing."""
    if tx.dialect.name != "sqlite":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_SORTER)))


def _alone(tx: sa.Connection) -> bool:
    """Whether no other process can have this store open: whoever owned something in it has died."""
    return tx.dialect.name == "sqlite"


def _taken_by_others(owner: str, now: datetime) -> sa.Select[Any]:
    return (
        sa.select(waiting.c.inbox_id)
        .where(waiting.c.owner != owner, waiting.c.owned_until > now)
        .limit(1)
    )


def _webhooks(tx: sa.Connection, rows: Sequence[Any]) -> list[Webhook]:  # Any: rows of _OLDEST
    bodies: dict[int, bytes] = {}
    for some in _portions(sorted({row.body_id for row in rows})):
        bodies.update((row[0], row[1]) for row in tx.execute(_BODIES, {"ids": some}))
    return [Webhook(r.inbox_id, r.received_at, bodies[r.body_id], r.done) for r in rows]


def _there(tx: sa.Connection, body_id: int) -> bool:
    query = _THERE if tx.dialect.name == "sqlite" else _THERE.with_for_update(key_share=True)
    return tx.execute(query, {"body_id": body_id}).first() is not None


def _delete_sorted(
    tx: sa.Connection, which: sa.ColumnElement[bool], most_bytes: int | None
) -> int | None:
    """Deletes some of the oldest sorted webhooks; the bytes of bodies that it freed,
    None when there are none.

    One whose body a later one repeats stays until that one goes.
    """
    repeat = inbox.alias()
    repeated = sa.exists().where(repeat.c.body_id == inbox.c.id, repeat.c.body_id != repeat.c.id)
    query = (
        sa.select(inbox.c.id, sa.case((inbox.c.body_id == inbox.c.id, inbox.c.size), else_=0))
        .where(which, ~repeated)
        .where(~sa.exists().where(waiting.c.inbox_id == inbox.c.id))
        .order_by(inbox.c.received_at)
        .limit(500)
    )
    ids: list[int] = []
    freed = 0
    for row_id, size in tx.execute(query):
        if most_bytes is not None and freed >= most_bytes:
            break
        ids.append(row_id)
        freed += size
    if not ids:
        return None
    tx.execute(sa.delete(inbox).where(inbox.c.id.in_(ids)))
    return freed


def _digest(body: bytes | bytearray) -> bytes:
    return blake2b(body, digest_size=16).digest()


def _portions(ids: Sequence[int]) -> list[Sequence[int]]:
    """As many at a time as every database takes in one statement."""
    return [ids[start : start + 500] for start in range(0, len(ids), 500)]
