"""A steady load in a process of its own, so that a bench does not measure its own generator.

`python -m tests.bench.load URL RATE` posts webhooks until its input is closed, then prints the
seconds that each answer took, as JSON. Never here: what runs beside it.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator

import aiohttp

from tests.bench.intake import PATH, webhook

WARM_UP_S = 1.0  # left out: connections are opened, and the server answers its first


async def until_closed(url: str, rate: float) -> list[float]:
    """Posts `rate` webhooks a second; each is timed from when it was sent."""
    took: list[float] = []
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    closed = asyncio.create_task(reader.read())
    first = time.time_ns() // 1_000_000  # no two loads post the same body: it would be stored once
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.TaskGroup() as tasks:

        async def post(body: bytes, *, counts: bool) -> None:
            began = time.perf_counter()
            async with session.post(url + PATH, data=body) as answer:
                await answer.read()
                answer.raise_for_status()
            if counts:
                took.append(time.perf_counter() - began)

        began, n = time.perf_counter(), 0
        while not closed.done():
            due_s = n / rate
            await asyncio.sleep(max(0.0, began + due_s - time.perf_counter()))
            tasks.create_task(post(webhook(1, first + n), counts=due_s >= WARM_UP_S))
            n += 1
    return took


@contextlib.asynccontextmanager
async def steadily(url: str, rate: float) -> AsyncIterator[list[float]]:
    """The load beside the body of `async with`; the list is filled when that has ended."""
    took: list[float] = []
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load", url, str(rate), stdin=pipe, stdout=pipe
    )
    try:
        yield took
        said, _ = await child.communicate(b"")  # closes its input, which None would not
        took += json.loads(said)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(until_closed(sys.argv[1], float(sys.argv[2])))))
