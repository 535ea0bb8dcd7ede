"""What happens later: actions due at an instant of the cluster's clock,
and the embedder's work in the background.

An action runs without a wait, so the store is never seen half written.
Never here: what an action does.
"""

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field

from service.kit.clock import Clock


@dataclass(order=True, slots=True)
class _Timer:
    due_at: float
    order: int
    action: Callable[[], None] = field(compare=False)
    patient: bool = field(compare=False)


class Timers:
    """One loop sleeps until the next action is due. `patient` ones (back-off,
    autoscaler) do not keep it from rest.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[_Timer] = []
        self._count = 0
        self._busy = 0  # impatient actions that are due or running, and background work
        self._sooner = asyncio.Event()
        self._rest = asyncio.Event()
        self._rest.set()
        self._work: set[asyncio.Task[None]] = set()
        self.failure: BaseException | None = None

    def after(self, delay_s: float, action: Callable[[], None], *, patient: bool = False) -> None:
        self._count += 1
        heapq.heappush(
            self._heap, _Timer(self._clock.monotonic() + delay_s, self._count, action, patient)
        )
        if not patient:
            self._add(1)
        self._sooner.set()

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Runs in the background; a failure ends the cluster's loop rather than going unnoticed."""
        self._add(1)
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())
        self._add(-1)

    def _fail(self, error: BaseException | None) -> None:
        self.failure = self.failure or error
        self._rest.set()

    def _add(self, change: int) -> None:
        self._busy += change
        if self._busy == 0 or self.failure is not None:
            self._rest.set()
        else:
            self._rest.clear()

    async def at_rest(self) -> None:
        """Returns when nothing is due any more but what is patient.
        Raises what went wrong in the background.
        """
        await self._rest.wait()
        if self.failure is not None:
            raise self.failure

    async def run(self) -> None:
        try:
            while True:
                self._sooner.clear()
                self._run_due()
                await self._until_next()
        except Exception as error:
            self._fail(error)
            raise

    def _run_due(self) -> None:
        while self._heap and self._heap[0].due_at <= self._clock.monotonic() + 1e-9:
            timer = heapq.heappop(self._heap)
            timer.action()
            if not timer.patient:
                self._add(-1)

    async def _until_next(self) -> None:
        if self._sooner.is_set():
            return
        waits: list[asyncio.Task[object]] = [asyncio.create_task(self._sooner.wait())]
        if self._heap:
            waits.append(
                asyncio.create_task(self._sleep(self._heap[0].due_at - self._clock.monotonic()))
            )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            for wait in waits:
                with suppress(asyncio.CancelledError):
                    await wait

    async def _sleep(self, seconds: float) -> object:
        await self._clock.sleep(seconds)
        return None

    async def stop(self) -> None:
        """Ends the background work."""
        work = list(self._work)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
