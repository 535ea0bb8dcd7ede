"""Background tasks that may not die unnoticed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def running(
    name: str,
    eternal: Coroutine[object, object, None],
    on_death: Callable[[str, BaseException | None], None],
) -> AsyncIterator[asyncio.Task[None]]:
    """Runs `eternal` until the block ends. A task that ends by itself is a
    fault: `on_death` hears of it.
    """
    task = asyncio.create_task(eternal, name=name)
    leaving = False

    def ended(done: asyncio.Task[None]) -> None:
        if not leaving and not done.cancelled():
            on_death(name, done.exception())

    task.add_done_callback(ended)
    try:
        yield task
    finally:
        leaving = True
        if not task.done():
            task.cancel()
            await asyncio.wait(
                [task]
            )  # `await task` would take our own cancellation for the task's
            if not task.cancelled() and (error := task.exception()):
                raise error
