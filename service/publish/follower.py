"""Follows the journal for one sink: batches behind a durable cursor,
retried for as long as the receiver is away.

Each sink has a follower of its own, so a dead receiver delays only itself.
Never here: what is made of a step.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias

import structlog

from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.errors import ParamedicError, Refused, Unavailable
from service.model.journal import JournalEntry
from service.model.reasons import Reason
from service.publish.sink import STEP_S, Outlets, Sink, SinkKind, Tended
from service.store.outbox import Cursor, Outbox

log = structlog.get_logger()

_BATCH = 50
_IDLE_S = 1.0
_UNWRITTEN_S = 1.0  # a commit for each batch would stand before those of webhooks
_LONGEST_PAUSE_S = 300.0
_LEASE = timedelta(seconds=60)  # another replica follows when this one has been silent for so long
_OF_THE_STEP = (Reason.INVALID_REQUEST, Reason.TOO_LARGE)


Observe: TypeAlias = Callable[[str, str], None]  # a sink's name, and "delivered" or a reason


def _unobserved(sink: str, result: str) -> None:
    return None


class Follower:
    """Brings one sink up to date, again and again. `owner` names this process among its
    replicas.
    """

    def __init__(
        self,
        sink: Sink,
        outbox: Outbox,
        clock: Clock,
        owner: str,
        *,
        deliver_within_s: float = 10.0,
        from_the_first: bool = False,
        observe: Observe = _unobserved,
    ) -> None:
        self._sink = sink
        self._outbox = outbox
        self._clock = clock
        self._owner = owner
        self._deliver_within_s = deliver_within_s
        self._from_the_first = from_the_first
        self._observe = observe
        self._reached: int | None = None  # the last step that was delivered, where not yet written
        # The first batch's cursor is written at once: a process that dies young gets on too.
        self._written_s = float("-inf")

    @property
    def name(self) -> str:
        """The sink's."""
        return self._sink.name

    async def run(self) -> None:
        """Follows for ever; whatever goes wrong is logged and tried again."""
        while True:
            began_s = self._clock.monotonic()
            try:
                told = await self.follow()
                took_s = self._clock.monotonic() - began_s
                pause_s = told * STEP_S - took_s if told else _IDLE_S
            except Unavailable as error:
                log.error(
                    "not published, the store is away", sink=self._sink.name, detail=error.detail
                )
                pause_s = _IDLE_S
            await self._clock.sleep(pause_s)

    async def follow(self) -> int:
        """One batch, when there is one and it is this sink's time; of how many steps.
        0 when there is nothing to do now.

        Raises Unavailable when the store is away.
        """
        now = self._clock.now()
        cursor = await self._outbox.claim(
            self._sink.name, self._owner, now, _LEASE, from_the_first=self._from_the_first
        )
        if cursor is None:
            self._reached = None
            return 0
        # A receiver that did not take a batch in time gets smaller ones, down to a step.
        batch = max(1, _BATCH >> min(cursor.failures, 10))
        steps = await self._outbox.after(max(cursor.step_id, self._reached or 0), batch)
        try:
            await self._tend()
            if steps:
                await self._deliver(steps)
        except Exception as error:  # noqa: BLE001 - a bug in one sink may not stop its follower
            await self._write_down()
            await self._put_off(cursor, error)
            return 0
        if steps:
            self._reached = steps[-1].id
            self._observe(self._sink.name, "delivered")
        unwritten_s = self._clock.monotonic() - self._written_s
        if len(steps) < batch or unwritten_s >= _UNWRITTEN_S:
            await self._write_down()
        return len(steps)

    async def _write_down(self) -> None:
        """Moves the cursor to what was delivered. After a crash before it, a second's worth comes
        again, which each sink knows.
        """
        if self._reached is not None:
            await self._outbox.advance(self._sink.name, self._owner, self._reached)
            self._reached = None
            self._written_s = self._clock.monotonic()

    async def _deliver(self, steps: Sequence[JournalEntry]) -> None:
        try:
            await self._send(steps)
        except Refused as error:
            if error.reason not in _OF_THE_STEP:
                raise
            if len(steps) == 1:
                log.error(
                    "step left out", sink=self._sink.name, step=steps[0].id, detail=error.detail
                )
                return
            for step in steps:  # the guilty one is found, and the others are not lost with it
                await self._deliver([step])

    async def _send(self, steps: Sequence[JournalEntry]) -> None:
        deadline = Deadline.after(self._deliver_within_s)
        async with deadline.enforced(f"sink {self._sink.name}"):
            await self._sink.deliver(steps, deadline)

    async def _tend(self) -> None:
        if isinstance(self._sink, Tended):
            deadline = Deadline.after(self._deliver_within_s)
            async with deadline.enforced(f"sink {self._sink.name}"):
                await self._sink.tend(deadline)

    async def _put_off(self, cursor: Cursor, error: Exception) -> None:
        """1, 2, 4 ... seconds, at most 300; a receiver's own wish goes first."""
        pause_s = min(_LONGEST_PAUSE_S, 2.0 ** min(cursor.failures, 10))
        wish_s = error.retry_after_s if isinstance(error, Unavailable) else None
        retry_at = self._clock.now() + timedelta(seconds=max(pause_s, wish_s or 0.0))
        reason = error.reason if isinstance(error, ParamedicError) else Reason.PIPELINE_FAILED
        detail = (
            error.detail
            if isinstance(error, ParamedicError)
            else f"{type(error).__name__}: {error}"
        )
        self._observe(self._sink.name, reason)
        say = log.warning if isinstance(error, ParamedicError) else log.exception
        say("not published", sink=self._sink.name, reason=reason, detail=detail[:500])
        await self._outbox.put_off(self._sink.name, self._owner, retry_at, reason, detail[:500])


def followers(
    sinks: Mapping[str, SinkKind],
    outlets: Outlets,
    outbox: Outbox,
    owner: str,
    observe: Observe = _unobserved,
) -> Sequence[Follower]:
    """A follower for every sink whose receiver is configured."""
    bound = [(kind, kind.bind(outlets)) for kind in sinks.values()]
    return [
        Follower(
            sink,
            outbox,
            outlets.clock,
            owner,
            from_the_first=kind.from_the_first,
            observe=observe,
        )
        for kind, sink in bound
        if sink is not None
    ]


async def follow_all(all_of_them: Sequence[Follower]) -> None:
    """Runs followers side by side, for ever."""
    async with asyncio.TaskGroup() as tasks:
        for follower in all_of_them:
            tasks.create_task(follower.run())
