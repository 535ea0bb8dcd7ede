"""How many connections there are, and for how long one may keep still.

A connection that never sends a whole head costs a file descriptor for as long as it likes;
some hundreds of them and nobody else is let in. So there is a bound, and beyond it the one
that has been idle longest has to go.
"""

import asyncio
import resource

from aiohttp import web
from aiohttp.typedefs import Handler

BACKLOG = 100  # asyncio accepts this many in one go, before anything can be counted
_OTHER_FILES = 64  # descriptors of the store, the backends and the log
_WANTED_FILES = 65_536
_SWEEP_EVERY_S = 0.5


def most_connections(wanted: int) -> int:
    """`wanted`, or fewer where the process may not open as many files.
    Raises that limit as far as it may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _WANTED_FILES:
        raised = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
        if raised > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(8, min(wanted, soft - BACKLOG - _OTHER_FILES))


class Connections:
    """The open connections of one server."""

    def __init__(self, server: web.Server, most: int, header_timeout_s: float) -> None:
        self._server = server
        self._most = most
        self._header_timeout_s = header_timeout_s
        self._since: dict[web.RequestHandler, float] = {}  # idle since; the longest idle first
        self._busy: dict[web.RequestHandler, None] = {}
        self._served: set[web.RequestHandler] = set()  # they have sent a whole head once
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> web.RequestHandler:
        """A protocol for a connection that was just accepted."""
        if len(self._since) + len(self._busy) >= self._most:
            self._make_room()
        made = self._server()
        self._since[made] = self._loop.time()
        return made

    def _make_room(self) -> None:
        self._forget_the_closed()
        if len(self._since) + len(self._busy) < self._most:
            return
        for handler in self._since:
            if handler.transport is not None:
                handler.force_close()
                del self._since[handler]
                self._served.discard(handler)
                return

    def _forget_the_closed(self) -> None:
        there = set(self._server.connections)
        now = self._loop.time()
        for handler, since in list(self._since.items()):
            # One that is not connected yet shakes hands (TLS) and gets as long as for its head.
            if handler not in there and (
                handler in self._served or now - since > self._header_timeout_s or since < now - 1
            ):
                del self._since[handler]
                self._served.discard(handler)

    @web.middleware
    async def counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Knows which connection is busy with a request."""
        protocol = request.protocol
        self._since.pop(protocol, None)
        self._busy[protocol] = None
        try:
            return await handler(request)
        finally:
            self._busy.pop(protocol, None)
            if protocol.transport is not None:
                self._served.add(protocol)
                self._since[protocol] = self._loop.time()

    async def run(self) -> None:
        """Closes those that have not sent a whole head in time, for ever."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            self._forget_the_closed()
            too_old = self._loop.time() - self._header_timeout_s
            for handler, since in list(self._since.items()):
                if since > too_old:
                    break
                if handler not in self._served:
                    handler.force_close()
                    del self._since[handler]
