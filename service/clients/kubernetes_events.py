"""The wire to the Kubernetes API for Events: making one, and nothing else.

Of core/v1, which every server has and one right allows; the server keeps the same
objects for events.k8s.io.
"""

import re
from pathlib import Path

import aiohttp

from service.clients import http
from service.clients.kubernetes import KubernetesReader, Object, message
from service.kit.deadline import Deadline
from service.model.errors import Refused
from service.model.reasons import Reason

_EVENTS = re.compile(r"/api/v1/namespaces/[a-z0-9-]+/events")


class KubernetesEvents(KubernetesReader):
    """Makes Events, with the acting account where one is configured. Errors: Unavailable,
    Refused.
    """

    def _kubeconfig(self) -> Path | None:
        return self._settings.act_kubeconfig or self._settings.kubeconfig

    def _may(self, method: str, path: str) -> bool:
        return method == "POST" and _EVENTS.fullmatch(path) is not None

    async def create(self, namespace: str, event: Object, *, deadline: Deadline) -> None:
        """Makes an Event. Its name is its identity: one of that name is there
        already, and that is well.
        """
        path = f"/api/v1/namespaces/{namespace}/events"
        what = f"post {path}"
        if not self._may("POST", path):
            raise Refused(
                Reason.INVALID_REQUEST, http.bounded(f"{path!r} is no place of Events"), 400
            )
        query = {"fieldManager": self._settings.field_manager}
        async with deadline.enforced(what):
            try:
                answer = await self._wire.send("POST", path, query, deadline, body=event)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise http.from_transport(error, what) from error
        if answer.status >= 300 and answer.status != 409:
            said = f"{what}: {message(answer.body)}"
            raise http.from_status(answer.status, said, answer.headers.get("Retry-After"))
