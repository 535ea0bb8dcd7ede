"""The wire to the Kubernetes API, writing: a patch, an apply, a creation or a deletion, sent once.

Its errors keep three things apart: nothing was sent (Unavailable), the server said no (Refused,
Unavailable), and nobody knows (Indeterminate), after which the caller reads the object back.
Never here: a second attempt at what may have been done, an exec.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from service.clients import http
from service.clients.kubernetes import KubernetesReader, Object, message
from service.kit.deadline import Deadline
from service.model.errors import Indeterminate, ParamedicError, Unavailable
from service.model.reasons import Reason

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

Confirm = Callable[[], Awaitable[None]]


class KubernetesWriter(KubernetesReader):
    """Reads and writes one cluster, with the acting account where one is configured.

    Of every write: `confirm` is awaited right before the request goes out, and may refuse it;
    `action_id` is named in errors; the answer is the object as the server gives it, with the new
    spec and the old status.
    """

    def _kubeconfig(self) -> Path | None:
        return self._settings.act_kubeconfig or self._settings.kubeconfig

    def _may(self, method: str, path: str) -> bool:
        return method in ("GET", "PATCH", "POST", "DELETE")

    async def patch(
        self,
        path: str,
        body: Object,
        *,
        content_type: str,
        action_id: str,
        confirm: Confirm,
        dry_run: bool = False,
        deadline: Deadline,
    ) -> Object:
        """Changes some fields. An annotation of `body` makes the write recognizable."""
        return await self._write(
            "PATCH", path, body, content_type, action_id, confirm, self._query(dry_run), deadline
        )

    async def apply(
        self,
        path: str,
        body: Object,
        *,
        action_id: str,
        confirm: Confirm,
        force: bool = False,
        dry_run: bool = False,
        deadline: Deadline,
    ) -> Object:
        """Server-side apply: the object becomes as `body` says,
        as far as `body` says it; it is made if need be.

        Fields that another manager holds with another value are Refused(conflict) that names
        it, unless `force` takes them. Fields that an earlier apply of ours named and this one
        does not are taken away.
        """
        query = {**self._query(dry_run), "force": str(force).lower()}
        return await self._write("PATCH", path, body, APPLY, action_id, confirm, query, deadline)

    async def create(
        self,
        path: str,
        body: Object,
        *,
        action_id: str,
        confirm: Confirm,
        dry_run: bool = False,
        deadline: Deadline,
    ) -> Object:
        """Makes an object in the collection at `path`. One of that name: Refused(conflict)."""
        return await self._write(
            "POST", path, body, JSON, action_id, confirm, self._query(dry_run), deadline
        )

    async def delete(
        self,
        path: str,
        *,
        uid: str,
        action_id: str,
        confirm: Confirm,
        grace_s: int | None = None,
        dry_run: bool = False,
        deadline: Deadline,
    ) -> Object:
        """Deletes the object of that uid and no other under its name:
        Refused(conflict) for another one.

        `grace_s`: seconds that a pod gets to end; without it the pod's own.
        What it owns goes with it.
        """
        body: dict[str, object] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        if dry_run:
            body["dryRun"] = ["All"]
        return await self._write("DELETE", path, body, JSON, action_id, confirm, {}, deadline)

    def _query(self, dry_run: bool) -> dict[str, str]:
        query = {"fieldManager": self._settings.field_manager, "fieldValidation": "Strict"}
        return {**query, "dryRun": "All"} if dry_run else query

    async def _write(
        self,
        method: str,
        path: str,
        body: Object,
        content_type: str,
        action_id: str,
        confirm: Confirm,
        query: dict[str, str],
        deadline: Deadline,
    ) -> Object:
        what = f"{action_id}: {method.lower()} {path}"
        if deadline.remaining_s() <= 0:
            raise Unavailable(Reason.LATE, f"{what}: not sent, the deadline is over")
        sent = False

        async def confirmed() -> None:
            nonlocal sent
            # Called again after a 401, which says that the first one was not looked at.
            sent = False
            async with deadline.enforced(f"{what}: not sent"):
                await confirm()
            sent = True

        try:
            answer = await self._wire.send(
                method,
                path,
                query,
                deadline,
                body=body,
                content_type=content_type,
                confirm=confirmed,
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if not sent or http.never_sent(error):
                raise http.from_transport(error, what) from error
            said = f"{what}: no reply: {str(error) or type(error).__name__}"
            raise Indeterminate(http.bounded(said)) from error
        if answer.status >= 300:
            said = message(answer.body)
            raise _refusal(answer.status, what, said, answer.headers.get("Retry-After"))
        try:
            return http.parsed(answer.body, what)
        except Unavailable as error:
            raise Indeterminate(f"{what}: {answer.status}, but {error.detail}") from error


def _refusal(status: int, what: str, said: str, retry_after: str | None) -> ParamedicError:
    # A webhook that fails closed ends the request before the store; any other 5xx may have
    # come after it (504 when etcd hangs, 502 and 503 of a proxy that lost its upstream,
    # 500 without a reason).
    before_store = status == 500 and "webhook" in said
    if status >= 500 and not before_store:
        return Indeterminate(f"{what}: {status}: {http.bounded(said)}")
    return http.from_status(status, said, retry_after)
