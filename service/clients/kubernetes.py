"""The wire to the Kubernetes API, reading: GET, lists in pages, logs,
access reviews. Raw JSON, no models.

Never here: a request that changes something. An access review is a POST that stores nothing.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

import aiohttp

from service.clients import http
from service.clients.kubernetes_wire import ANY_JSON, Wire
from service.kit.deadline import Deadline
from service.model.errors import BadInput, Refused, Unavailable
from service.model.reasons import Reason
from service.model.target import Target
from service.settings import KubernetesSettings

Object: TypeAlias = Mapping[str, Any]  # Any: the JSON of an API object, as deep as it likes

PAGE = 500
MAX_LOG_BYTES = 256 * 1024
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
# Nothing else is accepted: a server that cannot answer so says 406, and sends no value.
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_SECRETS = re.compile(r"^/api/v1/(namespaces/[^/]+/)?secrets(/|$)")


def workload_path(target: Target) -> str:
    """The path of a Deployment or StatefulSet. Raises BadInput for what is no object of the
    cluster: its name is another system's, and may be anything.
    """
    if target.ref is None:
        raise BadInput(Reason.TARGET_UNRESOLVED, f"{target} is no workload")
    return f"/apis/apps/v1/namespaces/{target.namespace}/{target.kind.lower()}s/{target.name}"


class KubernetesReader:
    """Reads one cluster. Errors: Unavailable, Refused; `open` raises
    BadConfig for a wrong kubeconfig.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._wire = Wire(self._kubeconfig(), settings.context, self._may)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def source(self) -> str:
        """How readings name it: with its address, without credentials."""
        return f"kubernetes at {self._wire.host}" if self._wire.host else "kubernetes"

    @property
    def field_manager(self) -> str:
        """The name under which this service's own writes stand in managedFields."""
        return self._settings.field_manager

    def _kubeconfig(self) -> Path | None:
        return self._settings.kubeconfig

    def _may(self, method: str, path: str) -> bool:
        return method == "GET" or (method, path) == ("POST", REVIEWS)

    async def open(self) -> None:
        """Loads the configuration; asks the cluster nothing. Called by the first request too."""
        await self._wire.open()

    async def close(self) -> None:
        await self._wire.close()

    async def get(
        self, path: str, *, query: Mapping[str, str] | None = None, deadline: Deadline
    ) -> Object:
        """The object at `path`."""
        return http.parsed(await self._read("GET", path, query or {}, deadline), path)

    async def list(
        self, path: str, *, labels: str | None = None, fields: str | None = None, deadline: Deadline
    ) -> Sequence[Object]:
        """All objects of a collection, in pages. A namespace that does not exist is an empty
        list.
        """
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
                raise Unavailable(Reason.WRONG_ANSWER, f"{path}: the answer is not a list")
            found += items
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = token

    async def secret_names(self, namespace: str, *, deadline: Deadline) -> frozenset[str] | None:
        """The names of the Secrets there, asked for as metadata alone; None where the setting does
        not allow it, or the account has not got the right. A value is asked for nowhere.
        """
        if not self._settings.secret_names:
            return None
        path, names = f"/api/v1/namespaces/{namespace}/secrets", set[str]()
        query = {"limit": str(PAGE)}
        while True:
            try:
                body = await self._read("GET", path, query, deadline, accept=METADATA_ONLY)
            except Refused as error:
                if error.reason is Reason.FORBIDDEN:
                    return None
                raise
            page: Object = http.parsed(body, path)
            if page.get("kind") != "PartialObjectMetadataList":
                raise Unavailable(Reason.WRONG_ANSWER, f"{path}: the answer is not metadata alone")
            # The names and no more: an annotation may repeat what somebody
            # applied, with its values.
            names |= {str(item["metadata"]["name"]) for item in page.get("items") or ()}
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return frozenset(names)
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
        """The last `tail` lines of a container's log, at most 256 KiB;
        bytes that are not UTF-8 are replaced.
        """
        query = {"tailLines": str(tail), "limitBytes": str(MAX_LOG_BYTES)}
        if container is not None:
            query["container"] = container
        if previous:
            query["previous"] = "true"
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        body = await self._read("GET", path, query, deadline)
        return body[:MAX_LOG_BYTES].decode(errors="replace")

    async def review(self, attributes: Mapping[str, str], *, deadline: Deadline) -> bool:
        """Whether this account may do that: `{"verb": "patch", "group": "apps",
        "resource": "deployments"}`.

        Of a kind that is not installed the server says the same as of one that is (recorded).
        """
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": dict(attributes)},
        }
        answer: Object = http.parsed(
            await self._read("POST", REVIEWS, {}, deadline, body=body), REVIEWS
        )
        allowed = (answer.get("status") or {}).get("allowed")
        if not isinstance(allowed, bool):
            raise Unavailable(Reason.WRONG_ANSWER, f"{REVIEWS}: the answer says neither yes nor no")
        return allowed

    async def _read(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        deadline: Deadline,
        *,
        body: object = None,
        accept: str = ANY_JSON,
    ) -> bytes:
        if accept is not METADATA_ONLY and _SECRETS.search(path):
            raise PermissionError(f"{path}: a Secret is never read")  # a bug of ours
        async with deadline.enforced(f"kubernetes {path}"):
            try:
                answer = await self._wire.send(
                    method, path, query, deadline, body=body, accept=accept
                )
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise http.from_transport(error, f"kubernetes {path}") from error
        if answer.status >= 300:
            said = message(answer.body)
            raise http.from_status(answer.status, said, answer.headers.get("Retry-After"))
        return answer.body


def message(body: bytes) -> str:
    """What a Status says, or the plain text that stands where one should."""
    try:
        status = http.parsed(body, "")
    except Unavailable:
        return body[: http.MAX_DETAIL].decode(errors="replace")
    return str(status.get("message") or status.get("reason") or "")
