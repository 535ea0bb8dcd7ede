"""The read-only HTTP API, and the endpoints for probes and Prometheus."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client.aiohttp import make_aiohttp_handler

from service.desk.admission import Admission, error, reply
from service.desk.looking import QuickLook
from service.desk.quick import as_json
from service.desk.record import alert, decision_record, summary
from service.desk.scraping import Scraping
from service.model.reasons import Reason
from service.record.metrics import Metrics
from service.store.episodes import Episodes
from service.store.inbox import Inbox
from service.store.incidents import Incidents
from service.store.ledger import Ledger
from service.web.credentials import Caller, Credentials, Role

_MOST = 1_000  # rows of one answer


@dataclass(frozen=True, slots=True)
class Api:
    """Answers questions. Everything under /api/ wants the same credentials as webhooks."""

    credentials: Credentials
    inbox: Inbox
    episodes: Episodes
    incidents: Incidents
    ledger: Ledger
    metrics: Metrics
    ready: Callable[[], Awaitable[str | None]]  # None, or why not
    look: QuickLook
    scraping: Scraping
    namespaces: Sequence[str]  # that may be looked at on demand; the first is the default

    def routes(self) -> list[web.RouteDef]:
        """The API for people and scripts."""
        return [
            web.get("/api/v1/incidents", self._guarded(self.list_incidents)),
            web.get("/api/v1/incidents/{id}", self._guarded(self.get_incident)),
            web.get("/api/v1/actions", self._guarded(self.list_actions)),
            web.get("/api/v1/unrouted", self._guarded(self.list_unrouted)),
            web.get("/api/v1/dead-letters", self._guarded(self.list_dead_letters)),
            web.get("/api/v1/diagnose", self._guarded(self.diagnose)),
            *self.plain_routes(),
        ]

    def plain_routes(self) -> list[web.RouteDef]:
        """What the kubelet and Prometheus ask, without credentials."""
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.scrape),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request, caller: Caller) -> web.StreamResponse:
            return await handler(request)

        return Admission(self.credentials).to(Role.READ, guarded)

    async def healthz(self, request: web.Request) -> web.Response:
        """200 while the event loop runs; it asks no backend."""
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """200 while a webhook would be accepted."""
        why_not = await self.ready()
        return web.Response(text=f"{why_not or 'ok'}\n", status=503 if why_not else 200)

    async def scrape(self, request: web.Request) -> web.StreamResponse:
        """Prometheus text, or OpenMetrics with exemplars for who asks for it."""
        await self.scraping.refresh(await self.ready())
        return await make_aiohttp_handler(self.metrics.registry)(request)

    async def list_incidents(self, request: web.Request) -> web.Response:
        """The newest incidents, a line each; `?limit=` up to 1000."""
        return reply([summary(row) for row in await self.incidents.listing(_limit(request))])

    async def get_incident(self, request: web.Request) -> web.Response:
        """The decision record; `?after=` is its `more_after`, for the steps that did not fit."""
        incident, after = request.match_info["id"], _number(request, "after", 0, 2**53)
        record = await decision_record(self.incidents, self.ledger, incident, after)
        if record is None:
            return error(
                404, "not_found", "no incident of this id; GET /api/v1/incidents lists them"
            )
        return reply(record)

    async def list_actions(self, request: web.Request) -> web.Response:
        """The newest lines of the ledger."""
        rows = await self.ledger.entries(None, _limit(request))
        return reply([{k: v for k, v in row.items() if k != "before"} for row in rows])

    async def list_unrouted(self, request: web.Request) -> web.Response:
        """Alerts that lead to no incident, and why."""
        return reply([alert(row) for row in await self.episodes.unrouted(_limit(request))])

    async def list_dead_letters(self, request: web.Request) -> web.Response:
        """Bodies that could not be taken, and why."""
        return reply(await self.inbox.dead(_limit(request)))

    async def diagnose(self, request: web.Request) -> web.Response:
        """Quick diagnostics of `?namespace=`, now: what is wrong,
        worst first, and all that was seen.
        """
        namespace = request.query.get("namespace") or next(iter(self.namespaces), "")
        if namespace not in self.namespaces:
            told = f"only these may be looked at: {', '.join(self.namespaces) or 'none'}"
            return error(403, Reason.NAMESPACE_NOT_ALLOWED, told)
        answer, seen = await self.look.at(namespace, self.metrics.probe)
        return reply(as_json(answer, seen))


def _limit(request: web.Request) -> int:
    return max(1, _number(request, "limit", 100, _MOST))


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, "")
    return min(int(text), most) if text.isdecimal() and len(text) < 20 else default
