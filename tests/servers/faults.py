"""Faults on purpose: a TCP proxy that misbehaves in a chosen way,
and an HTTP server that answers by script.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web

from rehearsal.servers import free_port


class Fault(StrEnum):
    """What the proxy does to a connection."""

    PASS = "pass"  # nothing: bytes go through
    REFUSE = "refuse"  # the port is closed
    SILENT = "silent"  # connections are taken and never answered
    RESET = "reset"  # the connection is reset when the first bytes of a request have come
    HANG_UP = "hang_up"  # the connection is ended in order when the first bytes have come
    SLOW = "slow"  # the answer comes a byte a second
    GARBAGE = "garbage"  # the answer is `garbage`, then the end


class FaultyProxy:
    """Listens on `port`, passes on to `upstream`; `set` changes what it does,
    also to open connections.
    """

    def __init__(
        self,
        upstream: int | None = None,
        *,
        port: int | None = None,
        garbage: bytes = b"\xff" * 64,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port, self.upstream, self.garbage = port or free_port(), upstream, garbage
        self.fault, self._tls = Fault.PASS, tls
        self._stalled: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def set(self, fault: Fault) -> None:
        """From now on `fault`. Connections that are open meet it at their
        next byte; REFUSE ends them.
        """
        self.fault = fault
        if fault is Fault.REFUSE:
            await self._stop()
        elif self._server is None:
            self._server = await asyncio.start_server(
                self._accept, "127.0.0.1", self.port, ssl=self._tls
            )

    def stall(self) -> None:
        """Connections that are open now get no answer any more,
        as behind a balancer that forgot them.
        """
        self._stalled |= self._writers

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        task.add_done_callback(
            lambda _: writer.close()
        )  # also of a task that was cancelled before it began

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    if writer in self._stalled:
                        continue
                    if self.fault not in (Fault.PASS, Fault.SLOW):
                        await self._misbehave(writer)
                        return
                    if up is None:
                        assert self.upstream is not None
                        up_reader, up = await asyncio.open_connection("127.0.0.1", self.upstream)
                        back = asyncio.create_task(self._back(up_reader, writer))
                    up.write(data)
                    await up.drain()
        except asyncio.CancelledError:
            pass
        finally:
            if back is not None and up is not None:
                up.close()  # before anything that waits: we may be cancelled a second time
                back.cancel()
                await asyncio.wait([back])

    async def _misbehave(self, writer: asyncio.StreamWriter) -> None:
        if self.fault is Fault.SILENT:
            await asyncio.Event().wait()
        elif self.fault is Fault.RESET:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        elif self.fault is Fault.GARBAGE:
            writer.write(self.garbage)
            await writer.drain()

    async def _back(self, up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await up.read(65536):
                if self.fault is Fault.SLOW:
                    for n in range(len(data)):
                        writer.write(data[n : n + 1])
                        await asyncio.sleep(1.0)
                elif self.fault is Fault.PASS:
                    writer.write(data)
                    await writer.drain()
            writer.close()

    async def __aenter__(self) -> "FaultyProxy":
        await self.set(self.fault)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()


@dataclass(frozen=True)
class Asked:
    """One request as the scripted server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Scripted:
    """An HTTP server whose answers are the test's:
    `answer(request)` gives status, headers and body.
    """

    port: int
    asked: list[Asked] = field(default_factory=list)
    answer: Callable[[Asked], web.Response] = lambda _: web.json_response({})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def always(self, status: int, body: object = None, **headers: str) -> None:
        """Every request gets this; a str body is sent as plain text, anything else as JSON."""
        if isinstance(body, str):
            self.answer = lambda _: web.Response(status=status, text=body, headers=headers)
        else:
            self.answer = lambda _: web.json_response(body or {}, status=status, headers=headers)


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    server = Scripted(free_port())

    async def handle(request: web.Request) -> web.Response:
        asked = Asked(
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            await request.read(),
        )
        server.asked.append(asked)
        return server.answer(asked)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", server.port).start()
    try:
        yield server
    finally:
        await runner.cleanup()
