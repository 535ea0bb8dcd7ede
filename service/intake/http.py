"""`POST /api/v1/alertmanager`: read, check, commit, answer.

What Alertmanager does with an answer decides the codes: 2xx ends the matter; 5xx is sent again
at once; any 4xx is sent again at every group interval for ever. So what can never become valid
is kept as a dead letter and answered 200 with the reason in the body; only bad credentials,
and without credentials a body that a foreign web page could have sent, get a 4xx.
"""

import asyncio
import zlib

import structlog
from aiohttp import StreamReader, web
from pydantic_core import to_json

from service.intake.budget import ByteBudget
from service.intake.payload import WHOLE_BYTES, Checked, check
from service.model.errors import BadInput, Unavailable
from service.model.reasons import Reason
from service.record.metrics import Metrics
from service.settings import IntakeSettings
from service.store.inbox import DEAD_BODY_BYTES, Inbox
from service.web.credentials import Credentials, Role

PATH = "/api/v1/alertmanager"
_CLOSING_WITHIN_S = 1.0  # a body that is not here this long after the stop is asked to come again
_GZIP = 31  # zlib's word for a gzip header

log = structlog.get_logger()


class Intake:
    """The webhook's handler."""

    def __init__(
        self, settings: IntakeSettings, inbox: Inbox, budget: ByteBudget, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._credentials = Credentials(settings)
        self._inbox = inbox
        self._budget = budget
        self._metrics = metrics
        self._reading: set[asyncio.Timeout] = set()
        self.closing = False

    def routes(self) -> list[web.RouteDef]:
        return [web.post(PATH, self.post), web.post(PATH + "/", self.post)]

    def close(self) -> None:
        """The service stops: what is under way has a second to arrive,
        what comes is asked to come again.
        """
        self.closing = True
        soon = asyncio.get_running_loop().time() + _CLOSING_WITHIN_S
        for timeout in self._reading:
            when = timeout.when()
            if when is None or when > soon:
                timeout.reschedule(soon)

    async def post(self, request: web.Request) -> web.Response:
        """Answers 200 after the commit, 401 for bad credentials,
        415 for a type that is not JSON, 503 for `come again`.
        """
        with self._metrics.webhook_seconds.time():
            reason, response = await self._receive(request)
        self._metrics.webhooks.labels(reason).inc()
        return response

    async def _receive(self, request: web.Request) -> tuple[Reason, web.Response]:
        refused = self._refused(request)
        if refused is not None:
            return refused
        if self.closing:
            return _answer(Reason.SHUTTING_DOWN, 503, "about to stop, send it again")
        body = _Body(self._settings.max_body_bytes, self._budget)
        if not body.expect(request.content_length):
            return _answer(Reason.INTAKE_FULL, 503, "too much is under way, send it again")
        try:
            return await self._take(request, body)
        except TimeoutError:
            if self.closing:
                return _answer(Reason.SHUTTING_DOWN, 503, "about to stop, send it again")
            within_s = self._settings.read_timeout_s
            return _answer(Reason.LATE, 503, f"the body took over {within_s:g} s")
        except (ConnectionError, web.HTTPException, web.RequestPayloadError):
            return _answer(Reason.CONNECTION_LOST, 503, "the body did not arrive whole")
        except Unavailable as error:
            log.error("webhook not taken", reason=error.reason, detail=error.detail)
            return _answer(error.reason, 503, "not stored, send it again")
        finally:
            body.close()

    def _refused(self, request: web.Request) -> tuple[Reason, web.Response] | None:
        try:
            good = self._credentials.admits(request.headers.get("Authorization"), Role.SEND)
        except Unavailable as error:  # the secret is being replaced: come again
            log.error("credentials not checked", reason=error.reason, detail=error.detail)
            return _answer(error.reason, 503, "credentials cannot be checked now")
        if not good:
            log.warning("webhook refused", reason=Reason.BAD_CREDENTIALS, remote=request.remote)
            return _answer(
                Reason.BAD_CREDENTIALS, 401, "send the configured Bearer or Basic credentials"
            )
        # A page in somebody's browser may post text to any address without asking; JSON it may not.
        if not self._credentials.configured and request.content_type != "application/json":
            log.warning("webhook refused", reason=Reason.NOT_JSON_TYPE, remote=request.remote)
            return _answer(
                Reason.NOT_JSON_TYPE, 415, "without credentials only application/json is taken"
            )
        return None

    async def _take(self, request: web.Request, body: "_Body") -> tuple[Reason, web.Response]:
        async with asyncio.timeout(self._settings.read_timeout_s) as timeout:
            self._reading.add(timeout)
            try:
                if self.closing:
                    self.close()
                await body.read(request.content)
            finally:
                self._reading.discard(timeout)
        try:
            content = await body.content(request.headers.get("Content-Encoding"))
            checked = await _checked(content)
        except BadInput as error:
            await self._inbox.set_aside(body.bytes, body.size, error.reason, error.detail)
            log.warning("dead letter", reason=error.reason, detail=error.detail, size=body.size)
            return _answer(error.reason, 200, error.detail, status="dead_letter")
        await self._inbox.accept(content)
        return self._accepted(checked)

    def _accepted(self, checked: Checked) -> tuple[Reason, web.Response]:
        if cut := checked.truncated:
            self._metrics.truncated.inc(cut)
            log.warning("alerts cut off by max_alerts", truncated=cut, receiver=checked.receiver)
        told = f"{checked.good} alerts"
        if checked.bad:
            told += f"; {checked.bad} bad ones become dead letters"
        return _answer(Reason.ACCEPTED, 200, told, status="accepted")


class _Body:
    """The body of one request, and its part of the budget."""

    def __init__(self, limit: int, budget: ByteBudget) -> None:
        self._limit = limit
        self._budget = budget
        self._held = 0
        self.bytes = bytearray()
        self.size = 0  # as it came over the wire, also what was not kept

    def expect(self, size: int | None) -> bool:
        """Takes the budget's bytes for a body of `size` bytes, before one of them is read."""
        if size is None:
            return True  # chunked: taken as it grows
        return self._hold(DEAD_BODY_BYTES if size > self._limit else size)

    def _hold(self, size: int) -> bool:
        if size > self._held:
            if not self._budget.try_take(size - self._held):
                return False
            self._held = size
        return True

    async def read(self, stream: StreamReader) -> None:
        """Reads to the end. Of a body over the limit only the first part is kept,
        and it is read all the same:
        closing on a sender in the middle of its body looks like an outage to it,
        and it would come again.
        """
        async for chunk in stream.iter_any():
            self.size += len(chunk)
            if self.size <= self._limit:
                if not self._hold(self.size):
                    raise Unavailable(Reason.INTAKE_FULL, "too much is under way")
                self.bytes += chunk
            elif len(self.bytes) < DEAD_BODY_BYTES:
                self.bytes += chunk
            elif len(self.bytes) > DEAD_BODY_BYTES:
                del self.bytes[DEAD_BODY_BYTES:]

    async def content(self, encoding: str | None) -> bytearray:
        """What the bytes say, unpacked. Raises BadInput(too_large | bad_encoding),
        Unavailable(intake_full).
        """
        if self.size > self._limit:
            raise BadInput(Reason.TOO_LARGE, f"{self.size} bytes; at most {self._limit} are read")
        match (encoding or "identity").strip().lower():
            case "identity":
                return self.bytes
            case "gzip" | "x-gzip":
                return await self._unpacked(_GZIP)
            case "deflate":
                return await self._unpacked(zlib.MAX_WBITS)
            case other:
                raise BadInput(
                    Reason.BAD_ENCODING,
                    f"Content-Encoding {other[:32]!r}; gzip and deflate are read",
                )

    async def _unpacked(self, window: int) -> bytearray:
        unpacker = zlib.decompressobj(window)
        content = bytearray()
        packed = bytes(self.bytes)
        try:
            while True:
                content += unpacker.decompress(packed, 64 * 1024)
                if len(content) > self._limit:
                    raise BadInput(Reason.TOO_LARGE, f"over {self._limit} bytes unpacked")
                if not self._hold(self.size + len(content)):
                    raise Unavailable(Reason.INTAKE_FULL, "too much is under way")
                packed = unpacker.unconsumed_tail
                if unpacker.eof or not packed:
                    break
                await asyncio.sleep(0)
        except zlib.error as error:
            raise BadInput(Reason.BAD_ENCODING, f"cannot be unpacked: {error}") from error
        if not unpacker.eof:
            raise BadInput(Reason.BAD_ENCODING, "cannot be unpacked: it breaks off")
        return content

    def close(self) -> None:
        """Gives the budget's bytes back."""
        self._budget.give(self._held)
        self._held = 0


async def _checked(content: bytearray) -> Checked:
    if len(content) <= WHOLE_BYTES:
        return check(content)
    return await asyncio.to_thread(check, content)


def _answer(
    reason: Reason, code: int, detail: str, status: str = "refused"
) -> tuple[Reason, web.Response]:
    headers = {"WWW-Authenticate": "Bearer"} if code == 401 else None
    body = to_json({"status": status, "reason": reason, "detail": detail[:500]})
    return reason, web.Response(
        body=body, status=code, headers=headers, content_type="application/json"
    )
