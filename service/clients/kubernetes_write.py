"""The wire to the Kubernetes API, writing: one PATCH, sent once.

Its errors keep three things apart: nothing was sent (Unavailable), the server said no (Refused, Unavailable),
and nobody knows (Indeterminate), after which the caller reads the object back.
Called by: act only, with its own service account. Never here: a second attempt, a DELETE, an exec.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from service.clients import http
from service.clients.kubernetes import KubernetesReader, Object, message
from service.kit.deadline import Deadline
from service.model.errors import Indeterminate, ParamedicError, Unavailable
from service.model.reasons import Reason

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
MANAGER = "paramedic"


class KubernetesWriter(KubernetesReader):
    """Reads and patches one cluster, with the acting account where one is configured."""

    def _kubeconfig(self) -> Path | None:
        return self._settings.act_kubeconfig or self._settings.kubeconfig

    async def patch(
        self,
        path: str,
        body: Object,
        *,
        content_type: str,
        action_id: str,
        confirm: Callable[[], Awaitable[None]],
        dry_run: bool = False,
        deadline: Deadline,
    ) -> Object:
        """Sends one patch and gives the object as the server answers it: new spec, old status.

        `confirm` is awaited right before the request goes out, and may refuse it.
        `action_id` is named in errors; an annotation of `body` makes the write recognizable.
        """
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        what = f"{action_id}: patch {path}"
        if deadline.remaining_s() <= 0:
            raise Unavailable(Reason.LATE, f"{what}: not sent, the deadline is over")
        async with deadline.enforced(f"{what}: not sent"):
            await self.open()
            await confirm()
        try:
            status, headers, content = await self._send(
                "PATCH", path, query, deadline, body=body, content_type=content_type
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if http.never_sent(error):
                raise http.from_transport(error, what) from error
            raise Indeterminate(
                http.bounded(f"{what}: no reply: {str(error) or type(error).__name__}")
            ) from error
        if status >= 300:
            raise _refusal(status, what, message(content), headers.get("Retry-After"))
        try:
            return http.parsed(content, what)
        except Unavailable as error:
            raise Indeterminate(f"{what}: {status}, but {error.detail}") from error


def _refusal(status: int, what: str, said: str, retry_after: str | None) -> ParamedicError:
    # A webhook that fails closed ends the request before the store; any other 5xx may have come after it
    # (504 when etcd hangs, 502 and 503 of a proxy that lost its upstream, 500 without a reason).
    before_store = status == 500 and "webhook" in said
    if status >= 500 and not before_store:
        return Indeterminate(f"{what}: {status}: {http.bounded(said)}")
    return http.from_status(status, said, retry_after)
