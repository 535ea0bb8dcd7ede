"""One bound for the bytes of all webhooks under way: being read,
waiting for their commit, being sorted.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteBudget:
    """`total` bytes. Receiving takes what is free or nothing;
    sorting waits for its turn, and goes first.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def used(self) -> int:
        return self._used

    def try_take(self, size: int) -> bool:
        """Takes `size` bytes if they are free and nobody waits for some."""
        if self._waiting or self._used + size > self._total:
            return False
        self._used += size
        return True

    def give(self, size: int) -> None:
        """Gives bytes back."""
        self._used -= size
        while self._waiting:
            wanted, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif self._used + wanted > self._total:
                return
            else:
                self._waiting.popleft()
                self._used += wanted
                turn.set_result(None)

    @asynccontextmanager
    async def held(self, size: int) -> AsyncIterator[None]:
        """Waits until `size` bytes are free, at most the whole budget, and holds them."""
        size = min(size, self._total)
        if not self.try_take(size):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.give(size)
                else:
                    self._waiting.remove((size, turn))
                    self.give(0)  # whoever stood behind may fit now
                raise
        try:
            yield
        finally:
            self.give(size)
