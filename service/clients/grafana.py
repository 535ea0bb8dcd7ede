"""The wire to Grafana's annotations, by the legacy API: find by a tag, add, amend.

Grafana deprecates `/api/annotations` in favour of `annotation.grafana.app`, where the
caller names the object; that one is a second class with the same three methods. Never here:
what an annotation says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
from yarl import URL

from service.clients import http
from service.clients.http_client import HttpClient
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason
from service.settings import PublishSettings, secret

MAX_TAGS = 500  # bytes of all tags as JSON: Grafana's `tags_length` as it is shipped


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is shown: a region from `time` to `end`; without an end, a point."""

    time: datetime
    end: datetime | None
    tags: Sequence[str]
    text: str


@dataclass(frozen=True, slots=True)
class Posted:
    """An annotation that Grafana has."""

    id: int
    tags: Sequence[str]
    text: str


class GrafanaAnnotations(HttpClient):
    """Organization annotations of one Grafana: every dashboard shows them by
    their tags, none is named.

    Errors: Unavailable; Refused (400: invalid_request, 401, 403, 404).
    """

    def __init__(self, settings: PublishSettings) -> None:
        self._url = _parsed(settings.grafana_url or "")
        self._token_file = settings.grafana_token_file

    async def find(self, tag: str, *, deadline: Deadline) -> Posted | None:
        """The oldest annotation with this tag."""
        query = {"type": "annotation", "tags": tag, "limit": "10"}
        answer = await self._ask("GET", "/api/annotations", deadline, query=query)
        try:
            rows = [Posted(r["id"], tuple(r["tags"]), r["text"]) for r in answer]
        except (KeyError, TypeError) as error:
            raise Unavailable(Reason.WRONG_ANSWER, "grafana: not a list of annotations") from error
        # Asked again on this side: what a server makes of a tag with a colon is its own affair.
        return min((row for row in rows if tag in row.tags), key=lambda row: row.id, default=None)

    async def add(self, annotation: Annotation, *, deadline: Deadline) -> None:
        """Makes one. After a lost reply it may be there: `find` tells."""
        await self._ask("POST", "/api/annotations", deadline, body=_body(annotation))

    async def amend(self, posted: Posted, annotation: Annotation, *, deadline: Deadline) -> None:
        """Gives it another end, other tags and another text; it begins where it began."""
        body = {key: value for key, value in _body(annotation).items() if key != "time"}
        await self._ask("PATCH", f"/api/annotations/{posted.id}", deadline, body=body)

    async def _ask(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Any:  # Any: JSON
        what = f"grafana {method} {path}"
        token = secret(self._token_file)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with deadline.enforced(what):
            try:
                async with (
                    self._opened().request(
                        method,
                        URL(f"{self._url}{path}"),
                        params=query,
                        json=body,
                        headers=headers,
                        timeout=http.timeout(deadline),
                        allow_redirects=False,  # a POST that is redirected becomes a GET, and looks taken
                    ) as response
                ):
                    status, said = response.status, await response.read()
                    retry_after = response.headers.get("Retry-After")
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise http.from_transport(error, what) from error
        if status >= 300:
            detail = said[: http.MAX_DETAIL].decode(errors="replace")
            raise http.from_status(status, f"{what}: {detail}", retry_after)
        return http.parsed_any(said, what)


def _body(annotation: Annotation) -> dict[str, object]:
    body: dict[str, object] = {
        "time": _millis(annotation.time),
        "tags": list(annotation.tags),
        "text": annotation.text,
    }
    return body if annotation.end is None else {**body, "timeEnd": _millis(annotation.end)}


def _millis(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _parsed(url: str) -> str:
    try:
        parsed = URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query_string:
            raise ValueError
        if parsed.user is not None:
            raise ValueError
    except ValueError:
        # Not repeated: a password may stand in it.
        raise BadConfig(
            "publish.grafana_url is not a URL like http://host:3000/prefix; its token comes from a file"
        ) from None
    return url.rstrip("/")
