"""Listening: ports, their bounds, and an end that lets requests under way finish."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
from aiohttp import web

from service.model.errors import BadConfig
from service.settings import IntakeSettings
from service.web import tls
from service.web.connections import BACKLOG, Connections, most_connections

_SHUTDOWN_WITHIN_S = 10.0
_LINGER_S = 2.0  # how long a body that nobody wants is read on, so that its sender hears the answer
_HANDSHAKE_WITHIN_S = 10.0
_LOGGED, _LOGGED_IN_S = 10, 10.0  # lines of one kind in so many seconds

log = structlog.get_logger()


@asynccontextmanager
async def serving(
    settings: IntakeSettings,
    routes: Sequence[web.RouteDef],
    plain_routes: Sequence[web.RouteDef] = (),
) -> AsyncIterator[str]:
    """Serves `routes` on the port, `plain_routes` on the plain port where one is
    wanted; gives the port's URL.

    Leaving the block stops listening, then waits for the requests under way. Raises BadConfig.
    """
    async with AsyncExitStack() as stack:
        _limit_loop_errors(stack)
        context = tls.context(settings)
        port = await stack.enter_async_context(_port(settings, routes, settings.port, context))
        if settings.plain_port is not None:
            await stack.enter_async_context(
                _port(settings, plain_routes, settings.plain_port, None)
            )
        yield f"{'https' if context else 'http'}://{settings.host}:{port}"


@asynccontextmanager
async def _port(
    settings: IntakeSettings,
    routes: Sequence[web.RouteDef],
    port: int,
    context: ssl.SSLContext | None,
) -> AsyncIterator[int]:
    connections: Connections | None = None

    @web.middleware
    async def counted(request: web.Request, handler: Any) -> web.StreamResponse:  # Any: aiohttp's
        assert connections is not None
        return await connections.counted(request, handler)

    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=[counted])
    app.add_routes(routes)
    runner = web.AppRunner(
        app, access_log=None, logger=_http_log, keepalive_timeout=settings.keepalive_s,
        shutdown_timeout=_SHUTDOWN_WITHIN_S, lingering_time=_LINGER_S, auto_decompress=False,
    )  # fmt: skip
    await runner.setup()
    try:
        assert runner.server is not None
        most = most_connections(settings.max_connections)
        connections = Connections(runner.server, most, settings.header_timeout_s)
        listener = await _listener(connections, settings.host, port, context)
        sweeping = asyncio.create_task(connections.run(), name="connections")
        try:
            yield int(listener.sockets[0].getsockname()[1])
        finally:
            listener.close()
            sweeping.cancel()
            await asyncio.wait([sweeping])
    finally:
        await runner.cleanup()


async def _listener(
    connections: Connections, host: str, port: int, context: ssl.SSLContext | None
) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            connections, host, port, ssl=context, backlog=BACKLOG,
            ssl_handshake_timeout=_HANDSHAKE_WITHIN_S if context else None,
        )  # fmt: skip
    except OSError as error:
        raise BadConfig(
            f"intake: cannot listen on {host}:{port}: {error.strerror}; "
            "choose another with PARAMEDIC_INTAKE__HOST and PARAMEDIC_INTAKE__PORT"
        ) from error


class _Seldom(logging.Filter):
    """Lets a few lines of each kind through in a while: a flood of bad requests must
    not become one of lines.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, tuple[float, int]] = {}

    def lets(self, kind: str) -> bool:
        now = time.monotonic()
        since, count = self._seen.get(kind, (now, 0))
        if now - since > _LOGGED_IN_S:
            since, count = now, 0
        self._seen[kind] = (since, count + 1)
        return count < _LOGGED

    def filter(self, record: logging.LogRecord) -> bool:
        return self.lets(str(record.msg))


_http_log = logging.getLogger("paramedic.web")
_http_log.addFilter(_Seldom())


def _limit_loop_errors(stack: AsyncExitStack) -> None:
    """The event loop tells of each connection that it cannot accept, 100 at a time."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    seldom = _Seldom()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not seldom.lets(str(context.get("message"))):
            return
        if before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
    stack.callback(loop.set_exception_handler, before)
