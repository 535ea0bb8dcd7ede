"""A TCP proxy that hides a client's reset: the server behind it only ever sees a
connection that ends in order.

The library ClickHouse of `clickhouse.py` ends its process when a client resets a connection,
and asynch does that after an answer it did not read to the end.
Never here: faults on purpose (tests/servers/faults.py).
"""

import asyncio
from contextlib import suppress

CHUNK = 65536


class DrainingProxy:
    """Listens on `port` and passes on to `upstream`, both of the loopback address."""

    def __init__(self, port: int, upstream: int) -> None:
        self.port, self.upstream = port, upstream
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(
            lambda _: writer.close()
        )  # also of a task that was cancelled before it began

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_request(reader, up_writer), _answer(up_reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            up_writer.close()


async def _request(reader: asyncio.StreamReader, up: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            up.write(data)
            await up.drain()
    with suppress(OSError):
        up.write_eof()  # the client is gone in whatever way: the server sees an end, never a reset


async def _answer(up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    client_there = True
    with suppress(OSError):
        while data := await up.read(CHUNK):
            if not client_there:
                continue  # read on, so that the server can finish
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                client_there = False
    writer.close()
