"""A clock that moves only when a test says so: everything that is due on the way
happens at its own instant.
"""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

_START = datetime(2026, 11, 23, 18, 50, tzinfo=UTC)


class SteppedClock:
    def __init__(self) -> None:
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        return _START + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        self._count += 1
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._count, waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        until = self._elapsed + seconds
        await self._breathe()
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():
                self._elapsed = max(self._elapsed, due)
                waiter.set_result(None)
                await self._breathe()
        self._elapsed = until
        await self._breathe()

    async def _breathe(self) -> None:
        for _ in range(40):  # a woken timer runs, makes new ones and goes to sleep again
            await asyncio.sleep(0)
