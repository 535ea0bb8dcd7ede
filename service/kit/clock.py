"""The only place that reads a clock. Logic gets `now` as an argument;
whoever waits asks the clock to.

`VirtualClock` is for tests and rehearsals: waiting takes no time and moves the clock.
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for durations, and waiting."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class VirtualClock:
    """A clock that moves when somebody sleeps on it, or when it is told to."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._elapsed = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)


class ClockWatch:
    """Notices when the wall clock jumps, by the monotonic one, which never does."""

    def __init__(self, clock: Clock, *, at_least_s: float = 5.0) -> None:
        self._clock = clock
        self._at_least_s = at_least_s
        self._offset = self._now()

    def _now(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()

    def step_s(self) -> float:
        """By how many seconds the clock has jumped since the last call; 0.0 for what is only
        drift.
        """
        offset = self._now()
        jumped = offset - self._offset
        self._offset = offset
        return jumped if abs(jumped) >= self._at_least_s else 0.0
