"""One absolute deadline, handed down the whole way: nobody below invents a timeout of its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.model.errors import Unavailable
from service.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant of `time.monotonic()`. Waiting for backends is real time even
    where the clock is virtual.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        return cls(time.monotonic() + seconds)

    def remaining_s(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - time.monotonic())

    def sooner(self, seconds: float) -> "Deadline":
        """This deadline or `seconds` from now, whichever is first."""
        return Deadline(min(self.at, time.monotonic() + seconds))

    @asynccontextmanager
    async def enforced(self, what: str) -> AsyncIterator[None]:
        """Ends the body at the deadline with Unavailable(late);
        a TimeoutError of the body's own stays as it is.
        """
        budget_s = self.remaining_s()
        scope = asyncio.timeout(budget_s)
        try:
            async with scope:
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise Unavailable(Reason.LATE, f"{what}: no answer within {budget_s:.1f} s") from error
