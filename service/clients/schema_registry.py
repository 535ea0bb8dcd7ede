"""The wire to a Schema Registry that speaks Confluent's REST API: subjects,
versions, compatibility.

Never here: registering or deleting a schema; what a schema says.
"""

import asyncio
import base64
import json
from urllib.parse import quote

import aiohttp

from service.clients import http
from service.clients.http_client import HttpClient
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, Refused, Unavailable
from service.model.reasons import Reason
from service.settings import SchemaRegistrySettings, secret

MOST_BYTES = 4 * 1024 * 1024
_AT_ONCE = 8  # requests; a registry is a small server


class SchemaRegistryClient(HttpClient):
    """Asks one registry. Errors: Unavailable, Refused."""

    def __init__(self, settings: SchemaRegistrySettings) -> None:
        if settings.url is None:
            raise BadConfig("schema_registry.url is not set")
        self._settings = settings
        self._url = http.without_userinfo(settings.url).rstrip("/")
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self.source = f"schema registry at {self._url}"

    async def subjects(self, *, deadline: Deadline) -> tuple[str, ...]:
        """The names of all subjects."""
        found = await self._get("/subjects", deadline)
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise Unavailable(Reason.WRONG_ANSWER, f"{self.source}: /subjects is no list of names")
        return tuple(sorted(found))

    async def versions(self, subject: str, *, deadline: Deadline) -> tuple[int, ...]:
        """The numbers of a subject's versions. Refused(not_found) for a subject that is not
        there.
        """
        found = await self._get(f"/subjects/{quote(subject, safe='')}/versions", deadline)
        if not isinstance(found, list) or not all(isinstance(n, int) for n in found):
            raise Unavailable(Reason.WRONG_ANSWER, f"{self.source}: versions are no numbers")
        return tuple(sorted(found))

    async def compatibility(self, subject: str | None = None, *, deadline: Deadline) -> str | None:
        """BACKWARD, FULL, NONE ... of a subject, None where it has no setting of its
        own; without one the global.
        """
        path = "/config" if subject is None else f"/config/{quote(subject, safe='')}"
        try:
            found = await self._get(path, deadline)
        except Refused as error:
            if subject is not None and error.reason is Reason.NOT_FOUND:
                return None
            raise
        level = found.get("compatibilityLevel") if isinstance(found, dict) else None
        if not isinstance(level, str):
            raise Unavailable(Reason.WRONG_ANSWER, f"{self.source}: no compatibilityLevel")
        return level[:50]

    async def _get(self, path: str, deadline: Deadline) -> object:
        what = f"{self.source} {path[:100]}"
        async with self._turns, deadline.enforced(what):
            try:
                async with self._opened().get(
                    self._url + path,
                    headers=self._headers(),
                    timeout=http.timeout(deadline),
                    allow_redirects=False,
                ) as response:
                    body = await response.content.read(MOST_BYTES + 1)
                    while not response.content.at_eof() and len(body) <= MOST_BYTES:
                        body += await response.content.read(MOST_BYTES + 1)
                    status, after = response.status, response.headers.get("Retry-After")
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise http.from_transport(error, what) from error
        if status >= 300:
            said = body[: http.MAX_DETAIL].decode(errors="replace")
            raise http.from_status(status, said, after)
        if len(body) > MOST_BYTES:
            raise Unavailable(Reason.WRONG_ANSWER, f"{what}: more than {MOST_BYTES} bytes")
        try:
            parsed: object = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Unavailable(Reason.WRONG_ANSWER, f"{what}: not valid JSON") from error
        return parsed

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if self._settings.user is not None:
            password = secret(self._settings.password_file) or ""
            login = f"{self._settings.user}:{password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
        return headers
