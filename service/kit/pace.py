"""Work that nobody waits for, spread out: a loop that is kept busy, even for a little while,
lets those wait who were promised an answer.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from service.kit.clock import Clock

T = TypeVar("T")

_LOOK_S = 0.0015
_LOOKS = 6  # who always answers somebody gets on, too


def nobody_waits() -> bool:
    return False


async def evenly(
    things: Sequence[T], over_s: float, clock: Clock, answering: Callable[[], bool] = nobody_waits
) -> AsyncIterator[T]:
    """The things one after the other, begun at even distances within `over_s` seconds.

    One that takes longer than its share delays those behind it, which do not hurry then. None is
    begun while somebody waits for an answer, which is asked of `answering`; for 9 ms at most.
    """
    due_s = clock.monotonic()
    for thing in things:
        await clock.sleep(due_s - clock.monotonic())
        for _ in range(_LOOKS):
            if not answering():
                break
            await clock.sleep(_LOOK_S)
        yield thing
        due_s = max(due_s + over_s / len(things), clock.monotonic())
