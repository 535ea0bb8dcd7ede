"""Chains the journal: one replica at a time, about a second behind it;
and tells each minute how long the chain is.

Looks that change nothing share one step, which is written anew at each of them (store/changes.py).
Waiting for it to end would hold the whole chain up for as long as one incident is quiet, and
leaving it out until then would hide its deletion. So it is chained twice: at once what of it will
not change (that it is there, since when, in which place), and whole when the next step of its
incident ends it. Until then its count and its last look are unprotected.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import structlog

from service.audit.chain import chained, hash_of, pruned_line, step_line
from service.audit.keys import Keys, read
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.audit import AuditLine, Checkpoint, LineKind
from service.model.errors import BadConfig, ParamedicError, Unavailable
from service.model.journal import JournalEntry
from service.store.audit import AuditStore

log = structlog.get_logger()

_BATCH = 200
_IDLE_S = 1.0
_LEASE = timedelta(seconds=60)
_CHECKPOINT_S = 60.0
_KEEP_WITHIN_S = 20.0  # well below a minute: a place that is away is asked again at the next one
_PRUNED_AT_ONCE = 500


class Told(Protocol):
    """Is told how the chain stands. `intact`: the line of the newest known checkpoint
    is still the one it was.
    """

    def __call__(self, length: int, head: str, key: str, intact: bool, at: datetime) -> None: ...


class Place(Protocol):
    """Keeps checkpoints where the store's owner cannot write."""

    @property
    def name(self) -> str: ...

    def newest(self) -> Checkpoint | None:
        """The newest that it has, if it can tell without waiting. Raises BadConfig."""

    async def keep(self, made: Checkpoint, *, deadline: Deadline) -> None:
        """Adds one, durably. Raises Unavailable, Refused or OSError."""


class Kept(Protocol):
    """Is told of each try to keep a checkpoint in a place."""

    def __call__(self, place: str, kept: bool) -> None: ...


class Chainer:
    """The follower that chains. `owner` names this process among its replicas."""

    def __init__(
        self,
        store: AuditStore,
        clock: Clock,
        owner: str,
        key_file: Path,
        places: Sequence[Place],
        told: Told,
        kept: Kept,
        *,
        keep_within_s: float = _KEEP_WITHIN_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._key_file = key_file
        self._places = places
        self._told, self._kept = told, kept
        self._keep_within_s = keep_within_s
        self._last: Checkpoint | None = None
        self._behind = {place.name for place in places}  # these miss the last checkpoint
        self._goes_on = False  # the last try to chain went well

    def open(self) -> None:
        """Reads the key and the newest checkpoint. Raises BadConfig or Unavailable:
        it would be found out late.
        """
        read(self._key_file)
        for place in self._places:
            found = place.newest()
            if found is None:
                continue
            self._behind.discard(place.name)
            if self._last is None or found.at > self._last.at:
                self._last = found

    async def run(self) -> None:
        """Chains for ever; whatever goes wrong is logged and tried again.

        Checkpoints beside it: a place that answers slowly holds up no line.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._chaining())
            group.create_task(self._checkpointing())

    async def _chaining(self) -> None:
        while True:
            pause_s = _IDLE_S
            try:
                if await self.chain():
                    pause_s = 0.0
                self._goes_on = True
            except (Unavailable, BadConfig) as error:
                self._goes_on = False
                log.error("audit chain put off", detail=str(error))
            await self._clock.sleep(pause_s)

    async def _checkpointing(self) -> None:
        while True:
            if not self._goes_on:  # its age is what tells of a chain that stands still
                await self._clock.sleep(_IDLE_S)
                continue
            next_at = self._clock.monotonic() + _CHECKPOINT_S
            try:
                await self.checkpoint()
            except (Unavailable, BadConfig) as error:
                log.error("audit checkpoint put off", detail=str(error))
            await self._clock.sleep(max(0.0, next_at - self._clock.monotonic()))

    async def chain(self) -> bool:
        """One batch, if there is one and this replica's; False when there is nothing to do now."""
        cursor = await self._claim()
        if cursor is None:
            return False
        steps = await self._store.unread(cursor, _BATCH)
        if not steps:
            return False
        keys = read(self._key_file)
        grown = await self._store.unfinished({step.incident_id for step in steps})
        # Megabytes of evidence are hashed here: beside the loop, and before the transaction.
        lines, finished = await asyncio.to_thread(_lines, steps, grown, self._clock.now())

        def make(seq: int, before: str) -> Sequence[AuditLine]:
            return chained(keys.current, lines, seq, before)

        return await self._store.append(self._owner, cursor, steps[-1].id, make, finished)

    async def checkpoint(self) -> bool:
        """Tells how the chain stands: to the metrics, and from the replica that chains
        to the log and the places.

        A chain that is not what the newest checkpoint saw is told of as an error,
        and no checkpoint of it is kept:
        the one that shows the forgery stays the newest. False for such a chain.
        """
        keys = read(self._key_file)
        count, head = await self._store.head()
        intact = self._last is None or await self._is_still(self._last)
        made = Checkpoint(count, head, self._clock.now())
        self._told(count, head, keys.current.id, intact, made.at)
        if not intact and self._last is not None:
            log.critical(
                "audit chain is not what its checkpoint saw: run `paramedic audit verify`",
                count=count,
                checkpoint_count=self._last.count,
            )
        elif count and await self._claim() is not None:
            log.info("audit checkpoint", count=count, hash=head, key=keys.current.id)
            await self._keep(made)
        else:
            self._last = made
        return intact

    async def prune(self, cutoff: datetime) -> None:
        """Deletes chained steps of incidents closed before `cutoff`;
        the chain says so. Raises Unavailable.
        """
        while await self._claim() is not None:
            keys: Keys = read(self._key_file)
            now = self._clock.now()

            def make(
                seq: int, before: str, told: Sequence[int], keys: Keys = keys, now: datetime = now
            ) -> AuditLine:
                line = pruned_line(len(told), hash_of(told), cutoff, now)
                return chained(keys.current, [line], seq, before)[0]

            if await self._store.prune(self._owner, cutoff, _PRUNED_AT_ONCE, make) == 0:
                return

    async def _claim(self) -> int | None:
        found = await self._store.claim(self._owner, self._clock.now(), _LEASE)
        return None if found is None else found.step_id

    async def _is_still(self, last: Checkpoint) -> bool:
        return last.count == 0 or await self._store.mac_of(last.count) == last.hash

    async def _keep(self, made: Checkpoint) -> None:
        """To each place that misses it, side by side; one that is away gets the next."""
        if self._last is None or self._last.count < made.count:
            self._behind = {place.name for place in self._places}
        self._last = made
        behind = [place for place in self._places if place.name in self._behind]
        deadline = Deadline.after(self._keep_within_s)
        await asyncio.gather(*(self._keep_in(place, made, deadline) for place in behind))

    async def _keep_in(self, place: Place, made: Checkpoint, deadline: Deadline) -> None:
        try:
            await place.keep(made, deadline=deadline)
        except (ParamedicError, OSError) as error:
            log.warning("audit checkpoint not kept", place=place.name, detail=str(error))
            self._kept(place.name, False)
            return
        self._behind.discard(place.name)
        self._kept(place.name, True)


def _lines(
    steps: Sequence[JournalEntry], grown: Sequence[JournalEntry], at: datetime
) -> tuple[list[AuditLine], list[int]]:
    """Lines for steps in their order; and the steps that will not grow any more."""
    open_ones = {step.incident_id: step for step in grown}
    lines: list[AuditLine] = []
    finished: list[int] = []
    for step in steps:
        ended = open_ones.pop(step.incident_id, None)
        if ended is not None:
            lines.append(step_line(ended, LineKind.FOLDED, at))
            finished.append(ended.id)
        if step.kind == "again":
            lines.append(step_line(step, LineKind.BEGUN, at))
            open_ones[step.incident_id] = step
        else:
            lines.append(step_line(step, LineKind.STEP, at))
    return lines, finished
