"""Work that nobody waits for, spread out: a loop that is kept busy, even for a little while,
lets those wait who were promised an answer.
"""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from service.kit.clock import Clock

T = TypeVar("T")


async def evenly(things: Sequence[T], over_s: float, clock: Clock) -> AsyncIterator[T]:
    """The things one after the other, begun at even distances within `over_s` seconds.

    One that takes longer than its share delays those behind it, which do not hurry then.
    """
    due_s = clock.monotonic()
    for thing in things:
        await clock.sleep(due_s - clock.monotonic())
        yield thing
        due_s = max(due_s + over_s / len(things), clock.monotonic())
