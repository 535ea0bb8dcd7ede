"""The part of the HTTP API that changes something: mode, pause, windows, approvals.
Each wants a named person.

Never here: what a decision means (speaking.py writes it, the phases take it up).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler

from service.desk.admission import Admission, error, reply
from service.desk.bodies import Body, read_map, text
from service.desk.speaking import Desk
from service.model.approval import Answer
from service.model.control import Once, Recurring
from service.model.errors import BadInput, Refused
from service.model.reasons import Reason
from service.web.credentials import Caller, Role

_MOST = 1_000
_FURTHEST_S = 366 * 86_400.0

Deciding: TypeAlias = Callable[[web.Request, Caller, Body], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Decisions:
    """Questions want the role `read`, changes `operate`, answers to proposals `approve`."""

    admission: Admission
    desk: Desk

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/api/v1/mode", self._read(self.show)),
            web.post("/api/v1/mode", self._write(Role.OPERATE, self.set_mode)),
            web.get("/api/v1/pause", self._read(self.show)),
            web.post("/api/v1/pause", self._write(Role.OPERATE, self.pause)),
            web.post("/api/v1/resume", self._write(Role.OPERATE, self.resume)),
            web.get("/api/v1/windows", self._read(self.list_windows)),
            web.post("/api/v1/windows", self._write(Role.OPERATE, self.add_window)),
            web.post("/api/v1/windows/{id}/end", self._write(Role.OPERATE, self.end_window)),
            web.get("/api/v1/approvals", self._read(self.list_approvals)),
            web.post("/api/v1/approvals/{id}/approve", self._write(Role.APPROVE, self.approve)),
            web.post("/api/v1/approvals/{id}/reject", self._write(Role.APPROVE, self.reject)),
        ]

    async def show(self, request: web.Request) -> object:
        """The ceiling, the pause, the open windows, and the newest things that people said."""
        return await self.desk.standing()

    async def set_mode(self, request: web.Request, caller: Caller, body: Body) -> object:
        """`{"mode": "veto", "why": "..."}`"""
        return await self.desk.set_mode(text(body, "mode"), caller.name, text(body, "why"))

    async def pause(self, request: web.Request, caller: Caller, body: Body) -> object:
        """`{"why": "...", "for_s": 3600}`; without `for_s` until somebody resumes."""
        for_s = _seconds(body, "for_s") if body.get("for_s") is not None else None
        return await self.desk.pause(caller.name, text(body, "why"), for_s)

    async def resume(self, request: web.Request, caller: Caller, body: Body) -> object:
        """`{"why": "..."}`"""
        return await self.desk.resume(caller.name, text(body, "why"))

    async def list_windows(self, request: web.Request) -> object:
        """Every window that is open or to come."""
        return await self.desk.windows()

    async def add_window(self, request: web.Request, caller: Caller, body: Body) -> object:
        """`why`, `match`, and `starts_at` with `ends_at` or `lasts_s`,
        or `cron` with `lasts_s`, `zone`, `until`.
        """
        matchers = body.get("match", [])
        if not isinstance(matchers, list) or not all(isinstance(m, str) for m in matchers):
            raise BadInput(Reason.WRONG_SHAPE, "`match` has to be a list of matchers")
        when = _when(body, self.desk.clock.now())
        return await self.desk.add_window(caller.name, text(body, "why"), when, matchers)

    async def end_window(self, request: web.Request, caller: Caller, body: Body) -> object:
        """`{"why": "..."}`"""
        window_id = request.match_info["id"]
        return await self.desk.end_window(window_id, caller.name, text(body, "why"))

    async def list_approvals(self, request: web.Request) -> object:
        """The proposals that wait, those due first; `?all=1`:
        the newest of all; `?limit=` up to 1000.
        """
        limit = request.query.get("limit", "")
        most = min(int(limit), _MOST) if limit.isdecimal() and len(limit) < 10 else 100
        every = request.query.get("all", "") not in ("", "0", "false")
        return await self.desk.proposals(max(1, most), every=every)

    async def approve(self, request: web.Request, caller: Caller, body: Body) -> object:
        """`{"why": "..."}`; for two people the first one asks, and the second one says yes."""
        return await self._answer(request, caller, body, Answer.APPROVE)

    async def reject(self, request: web.Request, caller: Caller, body: Body) -> object:
        """`{"why": "..."}`"""
        return await self._answer(request, caller, body, Answer.REJECT)

    async def _answer(
        self, request: web.Request, caller: Caller, body: Body, answer: Answer
    ) -> object:
        approval_id = request.match_info["id"]
        return await self.desk.answer(approval_id, answer, caller.name, text(body, "why"))

    def _read(self, handler: Callable[[web.Request], Awaitable[object]]) -> Handler:
        async def read(request: web.Request, caller: Caller) -> web.StreamResponse:
            return reply(await handler(request))

        return self.admission.to(Role.READ, read)

    def _write(self, role: Role, handler: Deciding) -> Handler:
        async def write(request: web.Request, caller: Caller) -> web.StreamResponse:
            try:
                return reply(await handler(request, caller, await read_map(request)))
            except BadInput as wrong:
                return error(400, wrong.reason, wrong.detail)
            except Refused as refused:
                return error(refused.status, refused.reason, refused.detail)

        return self.admission.to(role, write)


def _when(body: Body, now: datetime) -> Once | Recurring:
    if body.get("cron") is None:
        starts_at = _instant(body, "starts_at") if body.get("starts_at") else now
        if body.get("lasts_s") is not None:
            return Once(starts_at, starts_at + timedelta(seconds=_seconds(body, "lasts_s")))
        return Once(starts_at, _instant(body, "ends_at"))
    until = _instant(body, "until") if body.get("until") else None
    zone = text(body, "zone") if body.get("zone") else "UTC"
    return Recurring(text(body, "cron"), zone, _seconds(body, "lasts_s"), until)


def _seconds(body: Body, name: str) -> float:
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(Reason.WRONG_SHAPE, f"`{name}` has to be a number of seconds")
    if not abs(value) <= _FURTHEST_S:
        raise BadInput(Reason.WRONG_SHAPE, f"`{name}` is longer than a year")
    return float(value)


def _instant(body: Body, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(text(body, name))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not 2000 <= at.year <= 2200:
        told = f"`{name}` has to be an instant with its zone: 2026-11-24T20:00:00Z"
        raise BadInput(Reason.WRONG_SHAPE, told)
    return at.astimezone(UTC)
