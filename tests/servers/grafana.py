"""Grafana's annotations API in this process, by its documented rules:
no Grafana server could be had from a registry.

The rules are those of the HTTP API's documentation and of Grafana's source (annotationsimpl,
pkg/api/annotations.go):
a text is required, a missing end is the start, a patch ignores what is
empty and replaces tags whole, tags must all match unless `matchAny`,
all tags as JSON take at most 500 bytes, 401 without a token.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from rehearsal.servers import free_port

TAGS_LENGTH = 500


@dataclass
class Grafana:
    """What it was told. `lose_replies`: how many of the next POSTs are
    taken, and their answer lost.
    """

    token: str
    port: int = field(default_factory=free_port)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lose_replies: int = 0
    answers: list[int] = field(default_factory=list)  # statuses to give instead, one a request
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def annotations(self) -> list[dict[str, Any]]:
        return list(self.rows.values())

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/api/annotations", self._guarded(self.find))
        app.router.add_post("/api/annotations", self._guarded(self.add))
        app.router.add_patch("/api/annotations/{id}", self._guarded(self.patch))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        """Nobody listens any more; what it was told is kept."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            self.asked.append(f"{request.method} {request.path}")
            if self.answers and (status := self.answers.pop(0)) != 200:
                return _said(status, "not now")
            if request.headers.get("Authorization") != f"Bearer {self.token}":
                return _said(401, "Unauthorized")
            return await handler(request)

        return guarded

    async def find(self, request: web.Request) -> web.Response:
        tags = request.query.getall("tags", [])
        match = any if request.query.get("matchAny") == "true" else all
        limit = int(request.query.get("limit", "100"))
        found = [
            row
            for row in reversed(self.annotations)
            if not tags or match(tag in row["tags"] for tag in tags)
        ]
        return web.json_response(found[:limit])

    async def add(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("text"):
            return _said(400, "Failed to save annotation: text field should not be empty")
        if len(json.dumps(body.get("tags", []))) > TAGS_LENGTH:
            return _said(500, "Failed to save annotation: tags length exceeds the maximum allowed")
        start, end = body["time"], body.get("timeEnd") or body["time"]
        number = len(self.rows) + 1
        self.rows[number] = {
            "id": number, "time": min(start, end), "timeEnd": max(start, end), "text": body["text"],
            "tags": list(body.get("tags", [])), "dashboardUID": body.get("dashboardUID", ""),
        }  # fmt: skip
        if self.lose_replies:
            self.lose_replies -= 1
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"message": "Annotation added", "id": number})

    async def patch(self, request: web.Request) -> web.Response:
        row = self.rows.get(int(request.match_info["id"]))
        if row is None:
            return _said(404, "Annotation not found")
        body = await request.json()
        if len(json.dumps(body.get("tags", []))) > TAGS_LENGTH:
            return _said(500, "Failed to update annotation: tags length exceeds the maximum")
        row |= {name: body[name] for name in ("time", "timeEnd", "text", "tags") if body.get(name)}
        return web.json_response({"message": "Annotation patched"})


def _said(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)


@asynccontextmanager
async def grafana(token: str) -> AsyncIterator[Grafana]:
    """One that listens."""
    made = Grafana(token)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
