"""Requests to one Kubernetes API server: configuration, TLS, credentials and their rotation;
one request, one answer.

The library's models take 6 s for 5,000 pods and block the loop; `json.loads` takes half a second.
So the library gives authentication and TLS, and its callers check every status themselves: with
`_preload_content=False` version 36.1 raises nothing.
Never here: what a status means, which object is read or written.
"""

import asyncio
import importlib
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from service.clients import http
from service.kit.deadline import Deadline
from service.kit.hollow import hollow
from service.model.errors import BadConfig, Refused, Unavailable
from service.model.reasons import Reason

# Names come from alert labels: nothing that changes which object a path means may stand in one.
ANY_JSON = "application/json, */*"
_PATH = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._:-]*)+")


class Answer(NamedTuple):
    """What the server said, whatever it is."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Session:
    """One ApiClient with the credentials that were read for it; closed when it is retired and
    idle.
    """

    def __init__(self, api: Any) -> None:
        self.api = api  # kubernetes_asyncio.client.ApiClient, typed by nobody
        self.under_way = 0


class Wire:
    """One API server. `may` says of method and path what may ever be sent:
    a reader's wire carries no PATCH.
    """

    def __init__(
        self, kubeconfig: Path | None, context: str | None, may: Callable[[str, str], bool]
    ) -> None:
        self._kubeconfig, self._context, self._may = kubeconfig, context, may
        self._session: _Session | None = None
        self._retired: set[_Session] = set()
        self._opening = asyncio.Lock()
        self.host = ""  # known when it is open; without credentials

    async def open(self) -> None:
        """Loads the configuration; asks the cluster nothing. Raises BadConfig."""
        async with self._opening:
            if self._session is None:
                self._session = _Session(await self._load())

    async def close(self) -> None:
        """Ends every session, also those that still carry requests."""
        sessions, self._retired = set(self._retired), set()
        if self._session is not None:
            sessions.add(self._session)
        self._session = None
        for session in sessions:
            await session.api.close()

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        deadline: Deadline,
        *,
        body: object = None,
        content_type: str = "application/json",
        accept: str = ANY_JSON,
        confirm: Callable[[], Awaitable[None]] | None = None,
    ) -> Answer:
        """One request, whatever its status. `confirm` is awaited right before anything goes out.

        A 401 says that the server did not look at it: the credentials,
        which may have been rotated, are read anew and it is sent once more.
        Raises what aiohttp raises, and Unavailable(credentials_unreadable).
        """
        if not self._may(method, path):
            raise PermissionError(f"{method} {path}: not through this client")  # a bug of ours
        if not _PATH.fullmatch(path):
            detail = http.bounded(f"{path!r} is no path of an object")
            raise Refused(Reason.INVALID_REQUEST, detail, 400)
        async with deadline.enforced("kubernetes: credentials"):
            session = await self._current()
        for last in (False, True):
            if confirm is not None:
                await confirm()
            headers = {"Accept": accept, "Content-Type": content_type}
            answer = await self._once(session, method, path, query, deadline, body, headers)
            if answer.status != 401 or last:
                return answer
            async with deadline.enforced("kubernetes: credentials"):
                session = await self._renewed(session)
        raise AssertionError("the second turn returns")

    async def _once(
        self,
        session: _Session,
        method: str,
        path: str,
        query: Mapping[str, str],
        deadline: Deadline,
        body: object,
        headers: Mapping[str, str],
    ) -> Answer:
        session.under_way += 1
        try:
            response = await session.api.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params=dict(headers),
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=http.timeout(deadline),
            )
            try:
                return Answer(response.status, response.headers, await response.read())
            finally:
                response.release()
        finally:
            session.under_way -= 1
            if session in self._retired and not session.under_way:
                self._retired.discard(session)
                await session.api.close()

    async def _current(self) -> _Session:
        """The session that new requests use."""
        try:
            while (session := self._session) is None:
                await self.open()
        except BadConfig as error:
            raise Unavailable(Reason.CREDENTIALS_UNREADABLE, str(error)) from error
        return session

    async def _renewed(self, refused: _Session) -> _Session:
        """A session with the credentials of now. The refused one ends when its
        last request has its answer.
        """
        async with self._opening:
            if self._session is refused:
                try:
                    self._session = _Session(await self._load())
                except BadConfig as error:  # as in the moment in which the file is replaced
                    raise Unavailable(Reason.CREDENTIALS_UNREADABLE, str(error)) from error
                if refused.under_way:
                    self._retired.add(refused)
                else:
                    await refused.api.close()
        return await self._current()

    async def _load(self) -> Any:
        # Off the loop, and only where a cluster is configured.
        library = await asyncio.to_thread(_library)
        configuration = library.client.Configuration()
        try:
            if self._kubeconfig is None:
                library.config.load_incluster_config(client_configuration=configuration)
            else:
                await library.config.load_kube_config(
                    config_file=str(self._kubeconfig),
                    context=self._context,
                    client_configuration=configuration,
                    persist_config=False,
                )
            api = library.client.ApiClient(configuration)
        except (
            library.config.ConfigException,
            OSError,
            ValueError,
            LookupError,
            TypeError,
            yaml.YAMLError,
        ) as error:
            where = self._kubeconfig or "the service account of the pod"
            # Of broken YAML only the place: the error quotes the line, and a token may stand in it.
            mark = getattr(error, "problem_mark", None)
            said = f"not valid YAML, line {mark.line + 1}" if mark else http.bounded(str(error))
            raise BadConfig(f"kubernetes: {where}: {said}") from error
        # The library's own name is the same for all its users, and owns fields.
        api.user_agent = _agent()
        self.host = http.without_userinfo(str(configuration.host))
        return api


def _agent() -> str:
    try:
        return f"paramedic/{version('paramedic')}"
    except PackageNotFoundError:
        return "paramedic"


def _library() -> Any:
    """kubernetes_asyncio without its models and APIs, of which nothing is used here."""
    parts = ("client.api", "client.models", "dynamic", "stream", "utils", "watch")
    with hollow(*(f"kubernetes_asyncio.{part}" for part in parts)):
        return importlib.import_module("kubernetes_asyncio")
