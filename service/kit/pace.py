"""Work that nobody waits for, spread out: a loop that is kept busy, even for a little while,
lets those wait who were promised an answer.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from service.kit.clock import Clock

T = TypeVar("T")

_LOOK_S = 0.0015
_LOOKS = 6  # where somebody always goes first, the others get on too


def never() -> bool:
    return False


async def evenly(
    things: Sequence[T], over_s: float, clock: Clock, busy: Callable[[], bool] = never
) -> AsyncIterator[T]:
    """The things one after the other, begun at even distances within `over_s` seconds.

    One that takes longer than its share delays those behind it, which do not hurry then. None is
    begun while the process is `busy` with what goes first; for 9 ms at most.
    """
    due_s = clock.monotonic()
    for thing in things:
        await clock.sleep(due_s - clock.monotonic())
        for _ in range(_LOOKS):
            if not busy():
                break
            await clock.sleep(_LOOK_S)
        yield thing
        due_s = max(due_s + over_s / len(things), clock.monotonic())
