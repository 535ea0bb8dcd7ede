"""The HTTP side: one handler for every path, faults, rights, the right function,
an answer in the server's form.

Never here: what a verb does to an object.
"""

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from rehearsal.cluster import (
    access,
    applying,
    managed,
    metrics,
    newer_events,
    patches,
    reads,
    refusal,
    scale,
    writes,
)
from rehearsal.cluster.custom import CustomResources
from rehearsal.cluster.faults import Cut, Fault, Faults
from rehearsal.cluster.managed import Manager
from rehearsal.cluster.objects import Object
from rehearsal.cluster.resources import (
    ACCESS_REVIEWS,
    NEWER_EVENTS,
    NODE_METRICS,
    POD_METRICS,
    PODS,
    REAL_BUT_NOT_HERE,
    SUBJECT_REVIEWS,
)
from rehearsal.cluster.routing import Options, Target, options_of, target_of
from rehearsal.cluster.schema import OPEN
from rehearsal.cluster.store import Store
from rehearsal.cluster.world import World

_TEXT = "text/plain; charset=utf-8"
_VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "emulated",
    "gitTreeState": "clean",
    "buildDate": "2026-08-21T00:00:00Z",
    "goVersion": "go1.26.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_REAL_SUBRESOURCES = {
    "attach", "binding", "ephemeralcontainers", "eviction", "exec", "finalize", "log", "portforward", "proxy",
    "resize", "scale", "token", "approval",
}  # fmt: skip
_CHECKS = ("ping", "log", "informer-sync", "shutdown")


@dataclass(slots=True)
class Asked:
    """One request as it came. `status` is 0 when no answer went out."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float
    status: int = 0


@dataclass(slots=True)
class _Reply:
    code: int
    body: Object | str | bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    content_type: str = "application/json"


class Server:
    """aiohttp on 127.0.0.1, a free port."""

    def __init__(
        self,
        world: World,
        identities: Mapping[str, access.Identity],
        faults: Faults,
        usage: metrics.UsageSource | None,
        remembered: int,
    ) -> None:
        self._world = world
        self._identities = identities
        self._faults = faults
        self.usage = usage
        self.requests: deque[Asked] = deque(maxlen=remembered)
        self.failures: list[Exception] = []
        self._closing = asyncio.Event()
        app = web.Application(client_max_size=8 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> int:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        self._closing.set()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        asked = Asked(
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            _readable(raw),
            self._world.clock.monotonic(),
        )
        self.requests.append(asked)
        fault = self._faults.strike(request.method, request.path)
        if fault is not None and fault.delay_s:
            await self._world.clock.sleep(fault.delay_s)
        if (
            fault is not None
            and not fault.after_commit
            and (fault.cut is Cut.HANG or fault.cut is Cut.RESET)
        ):
            return await self._cut(request, fault)
        scripted = fault is not None and fault.status is not None
        reply = None if fault is None or not scripted else _scripted(fault)
        if fault is None or not scripted or fault.after_commit:
            true_reply = self._reply(request, raw)
            reply = reply or true_reply
        assert reply is not None
        if fault is not None and fault.cut is not None:
            return await self._cut(request, fault, reply)
        asked.status = reply.code
        return _response(reply)

    async def _cut(
        self, request: web.Request, fault: Fault, reply: _Reply | None = None
    ) -> web.StreamResponse:
        if fault.cut is Cut.HANG:
            await self._closing.wait()
        if fault.cut is Cut.TRUNCATE and reply is not None:
            whole = _bytes(reply.body)
            stream = web.StreamResponse(
                status=reply.code, headers={"Content-Length": str(len(whole))}
            )
            stream.content_type = reply.content_type
            await stream.prepare(request)
            await stream.write(whole[: len(whole) // 2])
        _reset(request)
        return web.Response()

    def _reply(self, request: web.Request, raw: bytes) -> _Reply:
        try:
            return self._answer(request, raw)
        except refusal.Refusal as no:
            text = isinstance(no.body, str)
            return _Reply(
                no.code, no.body, list(no.headers.items()), _TEXT if text else "application/json"
            )
        except Exception as error:  # noqa: BLE001  a bug here must reach the embedder, not only the client
            self.failures.append(error)
            return _Reply(
                500,
                {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Failure",
                    "message": f"the emulator failed: {error!r}",
                    "reason": "InternalError",
                    "code": 500,
                },
            )

    def _answer(self, request: web.Request, raw: bytes) -> _Reply:
        plain = self._plain(request)
        if plain is not None:
            return plain
        if request.path.startswith("/apis/") and request.path.count("/") == 2:
            return _Reply(200, _group(request.path.split("/")[2], self._world.custom))
        identity = access.identify(request.headers.get("Authorization"), self._identities)
        target = target_of(
            request.method,
            request.path,
            request.query,
            has_metrics=self.usage is not None,
            custom=self._world.custom,
        )
        access.authorize(identity, target)
        _check_emulated(target)
        if target.resource in {ACCESS_REVIEWS, SUBJECT_REVIEWS}:
            return _Reply(201, self._review(request, identity, target, raw))
        if target.verb in {"get", "list"}:
            return self._read(request, target)
        return self._write(request, target, raw)

    def _review(
        self, request: web.Request, identity: access.Identity, target: Target, raw: bytes
    ) -> Object:
        """Stored nowhere, and tracked like anything that is created."""
        body = writes.parse(raw)
        if target.resource is SUBJECT_REVIEWS:
            identity = access.of_user(body["spec"].get("user", ""), self._identities)
        verdict = access.review(identity, body, target.resource.kind)
        agent = request.headers.get("User-Agent", "")
        who = Manager(options_of("create", request.query, agent, applies=False).manager)
        managed.updated(None, verdict, OPEN, who, self._world.now())
        return verdict

    def _plain(self, request: web.Request) -> _Reply | None:
        """What is there for everybody, and is no resource."""
        path = request.path.rstrip("/")
        if path == "/version":
            return _Reply(200, dict(_VERSION))
        if path in {"/healthz", "/livez", "/readyz"}:
            if "verbose" not in request.query:
                return _Reply(200, "ok", content_type=_TEXT)
            lines = [f"[+]{check} ok\n" for check in _CHECKS]
            return _Reply(200, "".join(lines) + f"{path[1:]} check passed\n", content_type=_TEXT)
        return None

    def _read(self, request: web.Request, target: Target) -> _Reply:
        store = self._world.store
        if target.resource in {POD_METRICS, NODE_METRICS} and self.usage is not None:
            return _Reply(200, metrics.answer(store, target, self.usage, request.query))
        accept = request.headers.get("Accept", "")
        many, one = (
            (newer_events.list_, newer_events.get)
            if target.resource is NEWER_EVENTS
            else (reads.list_, _one)
        )
        if target.verb == "list":
            return _Reply(200, many(store, target, request.query, accept))
        if target.subresource == "log":
            text = self._world.logs.read(
                reads.get(store, target), request.query, self._world.clock.now()
            )
            return _Reply(204, "") if text is None else _Reply(200, text, content_type="text/plain")
        if target.subresource == "scale":
            return _Reply(200, scale.read(store, target).body)
        return _Reply(200, one(store, target, accept))

    def _write(self, request: web.Request, target: Target, raw: bytes) -> _Reply:
        content_type = request.content_type
        if target.verb == "patch":
            _check_form(target, content_type)
        options = options_of(
            target.verb,
            request.query,
            request.headers.get("User-Agent", ""),
            applies=content_type == patches.APPLY,
        )
        answer = self._written(request, target, raw, options)
        warnings = [("Warning", f'299 - "{_escaped(text)}"') for text in answer.warnings]
        return _Reply(answer.code, answer.body, warnings)

    def _written(
        self, request: web.Request, target: Target, raw: bytes, options: Options
    ) -> writes.Answer:
        store, content_type = self._world.store, request.content_type
        if target.resource is NEWER_EVENTS and target.verb == "create":
            return newer_events.create(store, target, raw, options)
        if target.resource is NEWER_EVENTS:
            return newer_events.patch(store, target, content_type, raw, options)
        match target.verb, target.subresource:
            case "patch", "scale":
                return scale.patch(store, target, content_type, raw, options)
            case "update", "scale":
                return scale.replace(store, target, raw, options)
            case "patch", _ if content_type == patches.APPLY:
                return applying.apply(store, target, raw, options)
            case "patch", _:
                return writes.patch(store, target, content_type, raw, options)
            case "update", _:
                return writes.replace(store, target, raw, options)
            case "create", _:
                return writes.create(store, target, raw, options)
            case _:
                return writes.delete(store, target, raw, request.query, options)


def _one(store: Store, target: Target, accept: str) -> Object:
    return reads.in_form(reads.get(store, target), accept)


def _group(name: str, custom: CustomResources) -> Object:
    """Discovery of one group, enough to ask whether a custom resource is installed."""
    versions = custom.versions(name)
    if not versions and name in {group for group, _ in REAL_BUT_NOT_HERE}:
        raise refusal.not_emulated("API discovery")
    if not versions:
        raise refusal.page_not_found()
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    about = {"kind": "APIGroup", "apiVersion": "v1", "name": name}
    return about | {"versions": listed, "preferredVersion": listed[0]}


def _check_form(target: Target, content_type: str) -> None:
    forms = (patches.JSON, patches.MERGE, patches.STRATEGIC, patches.APPLY)
    if target.resource.custom and content_type not in {patches.JSON, patches.MERGE, patches.APPLY}:
        raise refusal.unsupported_media_type((patches.JSON, patches.MERGE, patches.APPLY))
    applies = content_type == patches.APPLY
    if content_type == patches.APPLY_CBOR or (
        applies and (target.subresource or target.resource is NEWER_EVENTS)
    ):
        raise refusal.not_emulated(
            f"{content_type} of {target.resource.qualified}/{target.subresource}"
        )
    if content_type not in forms:
        raise refusal.unsupported_media_type()


def _check_emulated(target: Target) -> None:
    resource, what = target.resource, f"{target.verb} of {target.resource.qualified}"
    if not target.emulated or target.verb == "watch":
        raise refusal.not_emulated(what)
    if target.subresource and target.subresource not in resource.subresources | {"status"}:
        if resource.custom:  # as if the object were missing
            raise refusal.not_found(resource, target.name)
        if target.subresource not in _REAL_SUBRESOURCES:
            raise refusal.unknown_resource()
        raise refusal.not_emulated(f"{resource.qualified}/{target.subresource}")
    writes_status = target.verb in {"patch", "update"} and target.subresource == "status"
    if resource in {POD_METRICS, NODE_METRICS}:
        allowed = target.verb in {"get", "list"}
    elif target.subresource == "log":
        allowed = target.verb == "get"
    elif target.subresource:
        allowed = target.verb in {"get", "patch", "update"} and (
            resource is not PODS or not writes_status
        )
    else:
        allowed = target.verb in resource.verbs
    if not allowed:
        raise refusal.not_emulated(what)


def _scripted(fault: Fault) -> _Reply:
    text = isinstance(fault.body, str)
    return _Reply(
        fault.status or 500,
        fault.body,
        list(fault.headers.items()),
        _TEXT if text else "application/json",
    )


def _response(reply: _Reply) -> web.Response:
    response = web.Response(status=reply.code, body=_bytes(reply.body))
    if reply.code != 204:
        response.headers["Content-Type"] = reply.content_type
    for name, value in reply.headers:
        if name.lower() == "content-type":
            response.headers["Content-Type"] = value
        else:
            response.headers.add(name, value)
    return response


def _bytes(body: Object | str | bytes) -> bytes:
    if isinstance(body, bytes):
        return body
    return (
        body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()
    )


def _readable(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode("utf-8", "replace")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _reset(request: web.Request) -> None:
    """A reset and not a polite end: the client must not take it for a closed keep-alive
    connection.
    """
    transport = request.transport
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
