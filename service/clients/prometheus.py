"""The wire to Prometheus: instant queries.

Never here: which series matter.
"""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from service.clients import http
from service.clients.http_client import HttpClient
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, ParamedicError, Unavailable
from service.model.reasons import Reason
from service.settings import PrometheusSettings, secret

LONGEST_GET = 2000  # characters


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of an instant vector; `value` may be NaN or infinite. A scalar has no labels."""

    labels: Mapping[str, str]
    value: float


class PrometheusClient(HttpClient):
    """Asks one Prometheus. Errors: Unavailable, Refused (a query that cannot be
    parsed: invalid_request).
    """

    def __init__(self, settings: PrometheusSettings) -> None:
        if settings.url is None:
            raise BadConfig("prometheus.url is not set")
        base = _parsed(settings.url)
        self._bearer_file = settings.bearer_file
        self._basic: str | None = None
        if base.user is not None:
            if settings.bearer_file is not None:
                raise BadConfig("prometheus: credentials in `url` or a `bearer_file`, not both")
            login = f"{base.user}:{base.password or ''}".encode()
            self._basic = f"Basic {b64encode(login).decode()}"
        # From here on nobody sees the credentials: not the requests,
        # whose errors quote their URL, nor the readings.
        bare = base.with_user(None)
        self._url = URL(str(bare).rstrip("/") + "/api/v1/query")
        self.source = f"prometheus at {bare}".rstrip("/")

    async def query(self, promql: str, *, deadline: Deadline) -> Sequence[Sample]:
        """The samples of an instant query now; none when nothing matches. Warnings are no
        errors.
        """
        what = http.bounded(f"prometheus {promql}")
        # The server's own timeout frees it when we are gone. GET, because aiohttp
        # sends that once more when the server has closed an idle connection meanwhile;
        # POST for what proxies would find too long.
        form = {"query": promql, "timeout": f"{max(1, math.ceil(deadline.remaining_s()))}s"}
        short = len(promql) < LONGEST_GET
        async with deadline.enforced(what):
            try:
                async with self._opened().request(
                    "GET" if short else "POST",
                    self._url,
                    params=form if short else None,
                    data=None if short else form,
                    headers=self._headers(),
                    timeout=http.timeout(deadline),
                ) as response:
                    status, headers, body = response.status, response.headers, await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise http.from_transport(error, what) from error
        if status >= 300:
            raise _refusal(status, body, headers.get("Retry-After"))
        return _samples(http.parsed(body, what), what)

    def _headers(self) -> dict[str, str]:
        if self._basic:
            return {"Authorization": self._basic}
        token = secret(self._bearer_file)
        return {"Authorization": f"Bearer {token}"} if token else {}


def _parsed(url: str) -> URL:
    try:
        parsed = URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query_string:
            raise ValueError
    except ValueError:
        # Its value may hold a password, so it is not repeated; nor is the error that quotes it.
        raise BadConfig("prometheus.url is not a URL like http://host:9090/prefix") from None
    return parsed


def _refusal(status: int, body: bytes, retry_after: str | None) -> ParamedicError:
    try:
        answer = http.parsed(body, "")
        said = str(answer.get("error", ""))
    except Unavailable:
        return http.from_status(
            status, body[: http.MAX_DETAIL].decode(errors="replace"), retry_after
        )
    if answer.get("errorType") == "timeout":
        return Unavailable(Reason.LATE, f"{status}: {http.bounded(said)}")
    return http.from_status(status, said, retry_after)


def _samples(answer: dict[str, Any], what: str) -> Sequence[Sample]:
    try:
        data = answer["data"]
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return [Sample({}, float(result[1]))]
        if kind != "vector":
            raise Unavailable(
                Reason.WRONG_ANSWER, f"{what}: a {kind}, where a vector or scalar is needed"
            )
        # A native histogram has "histogram" instead of "value": it is no number.
        return [Sample(dict(s["metric"]), float(s["value"][1])) for s in result if "value" in s]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise Unavailable(
            Reason.WRONG_ANSWER, f"{what}: not the answer of an instant query"
        ) from error
