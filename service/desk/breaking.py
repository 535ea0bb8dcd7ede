"""The circuit breaker for people and for Prometheus: how it stands, and lifting it before its time.

Never here: when it trips (guard/breaker.py), or what it holds.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog
from aiohttp import web

from service.desk.admission import Admission, error, reply
from service.desk.bodies import read_map, text
from service.kit.clock import Clock
from service.model.errors import BadInput, Unavailable
from service.model.limits import BreakerLimits
from service.model.reasons import Reason
from service.record.metrics import Metrics
from service.store.breaker import Breaker
from service.web.credentials import Caller, Role

log = structlog.get_logger()

Json: TypeAlias = dict[str, Any]  # Any: JSON as it goes out

_EVERY_S = 2.0
_LONGEST_WHY = 500


@dataclass(frozen=True, slots=True)
class BreakerDesk:
    """`wake` tells the worker that what was held is due."""

    breaker: Breaker
    limits: BreakerLimits
    metrics: Metrics
    clock: Clock
    wake: Callable[[], None]

    async def standing(self) -> Json:
        """Whether it is open, until when, and the newest trip with who lifted it."""
        now = self.clock.now()
        state, newest = await self.breaker.look(now)
        is_open = state.until is not None and state.until > now
        self.metrics.breaker_open.set(is_open)
        limits = self.limits
        return {
            "open": is_open,
            "until": state.until if is_open else None,
            "limit": f"{limits.opened} new incidents in {limits.window_s:g} s",
            "new_incidents": state.opened,
            "last": {k: v for k, v in newest.items() if k != "id"} if newest else None,
        }

    async def lift(self, by: str, why: str) -> Json:
        """Closes it; what it held is looked at again at once. Raises BadInput without a why."""
        why = " ".join(why.split())
        if not why:
            raise BadInput(Reason.WRONG_SHAPE, "say why: it stands in the record under your name")
        if len(why) > _LONGEST_WHY:
            raise BadInput(Reason.WRONG_SHAPE, f"why: at most {_LONGEST_WHY} characters")
        lifted = await self.breaker.lift(by, why, self.clock.now())
        if lifted:
            log.warning("circuit breaker lifted", by=by, why=why)
            self.wake()
        return {"lifted": lifted, **await self.standing()}

    async def run(self) -> None:
        """Looks every two seconds, so that it trips, and is on /metrics,
        while nothing asks for an action.
        """
        was_open = False
        while True:
            try:
                standing = await self.standing()
            except Unavailable as problem:
                log.error("the circuit breaker cannot be read", reason=problem.reason)
            else:
                if standing["open"] and not was_open:
                    log.error("circuit breaker open", until=str(standing["until"]))
                was_open = standing["open"]
            await asyncio.sleep(_EVERY_S)

    def routes(self, admission: Admission) -> list[web.RouteDef]:
        """Looking wants the role `read`, lifting `operate`."""
        return [
            web.get("/api/v1/breaker", admission.to(Role.READ, self._show)),
            web.post("/api/v1/breaker/lift", admission.to(Role.OPERATE, self._lift)),
        ]

    async def _show(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        return reply(await self.standing())

    async def _lift(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """`{"why": "..."}`"""
        try:
            why = text(await read_map(request), "why")
            return reply(await self.lift(caller.name, why))
        except BadInput as mistake:
            return error(400, mistake.reason, mistake.detail)
