"""The wire to the Kubernetes API, reading: GET, lists in pages, logs. Raw JSON, no models.

The library's models take 6 s for 5,000 pods and block the loop; `json.loads` takes half a second. So the
library gives authentication, TLS and token reload, and this module checks every status itself: with
`_preload_content=False` version 36.1 raises nothing.
Called by: diagnose/probes, verify, act (through kubernetes_write). Never here: a request that changes something.
"""

import asyncio
import importlib
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp
import yaml

from service.clients import http
from service.kit.deadline import Deadline
from service.kit.hollow import hollow
from service.model.errors import BadConfig, Refused, Unavailable
from service.model.reasons import Reason
from service.model.target import Target
from service.settings import KubernetesSettings

Object: TypeAlias = Mapping[str, Any]  # Any: the JSON of an API object, as deep as it likes

PAGE = 500
MAX_LOG_BYTES = 256 * 1024
# Names come from alert labels: nothing that changes which object a path means may stand in one.
_PATH = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._:-]*)+")


def _agent() -> str:
    try:
        return f"paramedic/{version('paramedic')}"
    except PackageNotFoundError:
        return "paramedic"


def workload_path(target: Target) -> str:
    """The path of a Deployment or StatefulSet."""
    return f"/apis/apps/v1/namespaces/{target.namespace}/{target.kind.lower()}s/{target.name}"


def _library() -> Any:
    """kubernetes_asyncio without its models and APIs, of which nothing is used here."""
    parts = ("client.api", "client.models", "dynamic", "stream", "utils", "watch")
    with hollow(*(f"kubernetes_asyncio.{part}" for part in parts)):
        return importlib.import_module("kubernetes_asyncio")


class KubernetesReader:
    """Reads one cluster. Errors: Unavailable, Refused; `open` raises BadConfig for a wrong kubeconfig."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._api: Any = None  # kubernetes_asyncio.client.ApiClient, typed by nobody
        self._opening = asyncio.Lock()
        self.source = "kubernetes"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _kubeconfig(self) -> Path | None:
        return self._settings.kubeconfig

    async def open(self) -> None:
        """Loads the configuration; asks the cluster nothing. Called by the first request too."""
        async with self._opening:
            if self._api is None:
                self._api = await self._load()

    async def _load(self) -> Any:
        library = await asyncio.to_thread(
            _library
        )  # off the loop, and only where a cluster is configured
        configuration = library.client.Configuration()
        file = self._kubeconfig()
        try:
            if file is None:
                library.config.load_incluster_config(client_configuration=configuration)
            else:
                await library.config.load_kube_config(
                    config_file=str(file),
                    context=self._settings.context,
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
            raise BadConfig(
                f"kubernetes: {file or 'the service account of the pod'}: {error}"
            ) from error
        api.user_agent = (
            _agent()
        )  # the library's own name is the same for all its users, and owns fields
        self.source = f"kubernetes at {configuration.host}"
        return api

    async def close(self) -> None:
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    async def get(
        self, path: str, *, query: Mapping[str, str] | None = None, deadline: Deadline
    ) -> Object:
        """The object at `path`."""
        return http.parsed(await self._read(path, dict(query or {}), deadline), path)

    async def list(
        self, path: str, *, labels: str | None = None, fields: str | None = None, deadline: Deadline
    ) -> Sequence[Object]:
        """All objects of a collection, in pages. A namespace that does not exist is an empty list."""
        query = {"limit": str(PAGE)}
        if labels is not None:
            query["labelSelector"] = labels
        if fields is not None:
            query["fieldSelector"] = fields
        found: list[Object] = []
        while True:
            page = await self.get(path, query=query, deadline=deadline)
            items = page.get("items")
            if items is None and str(page.get("kind", "")).endswith("List"):
                items = []  # Go writes an empty list as null
            if not isinstance(items, list):
                raise Unavailable(Reason.WRONG_ANSWER, f"{path}: the answer is no list")
            found += items
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = token

    async def log(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        previous: bool = False,
        tail: int = 100,
        deadline: Deadline,
    ) -> str:
        """The last `tail` lines of a container's log, at most 256 KiB; bytes that are no UTF-8 are replaced."""
        query = {"tailLines": str(tail), "limitBytes": str(MAX_LOG_BYTES)}
        if container is not None:
            query["container"] = container
        if previous:
            query["previous"] = "true"
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        return (await self._read(path, query, deadline))[:MAX_LOG_BYTES].decode(errors="replace")

    async def _read(self, path: str, query: dict[str, str], deadline: Deadline) -> bytes:
        async with deadline.enforced(f"kubernetes {path}"):
            try:
                status, headers, body = await self._send("GET", path, query, deadline)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise http.from_transport(error, f"kubernetes {path}") from error
        if status >= 300:
            raise http.from_status(status, message(body), headers.get("Retry-After"))
        return body

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        deadline: Deadline,
        *,
        body: object = None,
        content_type: str = "application/json",
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request: status, headers, body. Raises what aiohttp raises."""
        if not _PATH.fullmatch(path):
            raise Refused(
                Reason.INVALID_REQUEST, http.bounded(f"{path!r} is no path of an object"), 400
            )
        if self._api is None:
            await self.open()
        response = await self._api.call_api(
            path,
            method,
            query_params=list(query.items()),
            header_params={"Accept": "application/json, */*", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=http.timeout(deadline),
        )
        try:
            content = await response.read()
        finally:
            response.release()
        if response.status == 401:
            await (
                self.close()
            )  # the credentials may have been rotated: the next request loads them anew
        return response.status, response.headers, content


def message(body: bytes) -> str:
    """What a Status says, or the plain text that stands where one should."""
    try:
        status = http.parsed(body, "")
    except Unavailable:
        return body[: http.MAX_DETAIL].decode(errors="replace")
    return str(status.get("message") or status.get("reason") or "")
