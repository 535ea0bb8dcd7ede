"""Before a question or a wish of somebody is looked at: who it is, and whether he may.

Never here: what is asked for. Every handler under /api/ but the webhook's goes through `Admission`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic_core import to_json

from service.model.errors import Unavailable
from service.model.reasons import Reason
from service.web.credentials import Caller, Credentials, Denied, Role

log = structlog.get_logger()

# A handler that is told who asks.
Answering: TypeAlias = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Admission:
    """Lets callers with a role through, by the same credentials as webhooks."""

    credentials: Credentials

    def to(self, role: Role, handler: Answering) -> Handler:
        """The handler behind the check: 401 for nobody, 403 without the role,
        503 while it cannot be told.

        A change that does not come as JSON is answered 400: a page in somebody's browser may post a
        form to any address, with the credentials that the browser keeps for it, but not JSON.
        """

        async def admitted(request: web.Request) -> web.StreamResponse:
            try:
                caller = self.credentials.demand(request.headers.get("Authorization"), role)
                if isinstance(caller, Denied):
                    return error(caller.status, caller.reason, caller.detail)
                if request.method == "POST" and request.content_type != "application/json":
                    told = "the body has to be application/json"
                    return error(400, Reason.NOT_JSON_TYPE, told)
                return await handler(request, caller)
            except Unavailable as problem:
                log.error("no answer", reason=problem.reason, detail=problem.detail)
                busy = problem.reason is Reason.DIAGNOSING
                told = problem.detail if busy else "no answer can be given now"
                return error(503, problem.reason, told)

        return admitted


def reply(value: object, status: int = 200) -> web.Response:
    """An answer as JSON."""
    body = to_json(value, indent=2)
    return web.Response(body=body, status=status, content_type="application/json")


def error(status: int, reason: str, detail: str) -> web.Response:
    """An answer that is none, as JSON with its reason."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.json_response({"reason": reason, "detail": detail}, status=status, headers=headers)
