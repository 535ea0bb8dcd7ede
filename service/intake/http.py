"""`POST /api/v1/alertmanager`: read, check, commit, answer.

What Alertmanager does with an answer decides the codes: 2xx ends the matter; 5xx is sent again at once; any
4xx is sent again at every group interval for ever. So what can never become valid is kept as a dead letter and
answered 200 with the reason in the body, and only bad credentials get a 4xx.
"""

import asyncio
from dataclasses import dataclass

import structlog
from aiohttp import web
from pydantic_core import to_json

from service.intake.auth import admitted
from service.intake.payload import NAME_LIMIT, check
from service.model.errors import BadInput, Unavailable
from service.model.reasons import Reason
from service.record.metrics import Metrics
from service.settings import IntakeSettings
from service.store.inbox import DEAD_BODY_BYTES, Inbox

PATH = "/api/v1/alertmanager"

log = structlog.get_logger()


@dataclass(slots=True)
class Door:
    """The webhook's handler. `closing` is set when the service is about to stop."""

    settings: IntakeSettings
    inbox: Inbox
    metrics: Metrics
    closing: bool = False

    def routes(self) -> list[web.RouteDef]:
        return [web.post(PATH, self.post), web.post(PATH + "/", self.post)]

    async def post(self, request: web.Request) -> web.Response:
        """Answers 200 after the commit, 401 for bad credentials, 503 for `come again`."""
        with self.metrics.webhook_seconds.time():
            reason, response = await self._receive(request)
        self.metrics.webhooks.labels(reason).inc()
        return response

    async def _receive(self, request: web.Request) -> tuple[Reason, web.Response]:
        try:
            good = admitted(self.settings, request.headers.get("Authorization"))
        except Unavailable as error:  # the secret is being replaced: come again
            log.error("credentials not checked", reason=error.reason, detail=error.detail)
            return _answer(error.reason, 503, "credentials cannot be checked now")
        if not good:
            log.warning("webhook refused", reason=Reason.BAD_CREDENTIALS, remote=request.remote)
            return _answer(
                Reason.BAD_CREDENTIALS, 401, "send the configured Bearer or Basic credentials"
            )
        if self.closing:
            return _answer(Reason.SHUTTING_DOWN, 503, "about to stop, send it again")
        try:
            body, size = await self._read(request)
        except TimeoutError:
            return _answer(
                Reason.LATE, 503, f"the body took over {self.settings.read_timeout_s:g} s"
            )
        except (ConnectionError, web.HTTPException, web.RequestPayloadError):
            return _answer(Reason.CONNECTION_LOST, 503, "the body did not arrive whole")
        try:
            return await self._keep(body, size)
        except Unavailable as error:
            log.error("webhook not taken", reason=error.reason, detail=error.detail)
            return _answer(error.reason, 503, "not stored, send it again")

    async def _keep(self, body: bytes, size: int) -> tuple[Reason, web.Response]:
        try:
            if size > self.settings.max_body_bytes:
                raise BadInput(
                    Reason.TOO_LARGE,
                    f"{size} bytes; at most {self.settings.max_body_bytes} are read",
                )
            webhook = check(body)
        except BadInput as error:
            await self.inbox.bury(body, size, error.reason, error.detail)
            log.warning("dead letter", reason=error.reason, detail=error.detail, size=size)
            return _answer(error.reason, 200, error.detail, status="dead_letter")
        await self.inbox.accept(body)
        if cut := webhook.get("truncatedAlerts", 0):
            self.metrics.truncated.inc(cut)
            receiver = webhook.get("receiver", "")[:NAME_LIMIT]
            log.warning("alerts cut off by max_alerts", truncated=cut, receiver=receiver)
        return _answer(Reason.ACCEPTED, 200, f"{len(webhook['alerts'])} alerts", status="accepted")

    async def _read(self, request: web.Request) -> tuple[bytes, int]:
        """The body and its size. Of a body over the limit the first part only, read to its end all the same:
        closing on a sender in the middle of its body looks like an outage to it, and it would come again."""
        chunks: list[bytes] = []
        size = 0
        async with asyncio.timeout(self.settings.read_timeout_s):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size <= self.settings.max_body_bytes or size - len(chunk) < DEAD_BODY_BYTES:
                    chunks.append(chunk)
        return b"".join(chunks), size


def _answer(
    reason: Reason, code: int, detail: str, status: str = "refused"
) -> tuple[Reason, web.Response]:
    headers = {"WWW-Authenticate": "Bearer"} if code == 401 else None
    body = to_json({"status": status, "reason": reason, "detail": detail[:500]})
    return reason, web.Response(
        body=body, status=code, headers=headers, content_type="application/json"
    )
