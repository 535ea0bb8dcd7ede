"""Sagas over HTTP: what people ask for, approve and stop, and how each course stands.

One person asks (role `operate`), another one approves (role `approve`): the names come from the
people file, never from the request. Never here: whether a step may be done.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web

from service.desk.admission import Admission, error, reply
from service.desk.saga_view import summary, whole
from service.guard.question import Policy
from service.kit.clock import Clock
from service.model.action import Mode
from service.model.course import Course, CourseState
from service.model.errors import Refused
from service.model.matcher import Operator
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.model.target import Target
from service.phases.asking import APPROVE_WITHIN_S
from service.playbooks.format import suggest
from service.route.target import first
from service.store.courses import Asked, Courses
from service.store.names import new_id
from service.web.credentials import Caller, Credentials, Role

_LARGEST = 16 * 1024  # bytes of a request
_FIELDS = ("playbook", "namespace")


@dataclass(frozen=True, slots=True)
class Sagas:
    """Answers questions and takes wishes. `wake` is called when an incident may have become due."""

    credentials: Credentials
    courses: Courses
    playbooks: Mapping[str, Playbook]
    policy: Callable[[], Policy]
    clock: Clock
    wake: Callable[[], None]

    def routes(self) -> list[web.RouteDef]:
        """The API under /api/v1/sagas."""
        to = Admission(self.credentials).to
        return [
            web.get("/api/v1/sagas", to(Role.READ, self.list)),
            web.get("/api/v1/sagas/{id}", to(Role.READ, self.show)),
            web.post("/api/v1/sagas", to(Role.OPERATE, self.ask)),
            web.post("/api/v1/sagas/{id}/approve", to(Role.APPROVE, self.approve)),
            web.post("/api/v1/sagas/{id}/stop", to(Role.OPERATE, self.stop)),
        ]

    async def list(self, request: web.Request, caller: Caller) -> web.Response:
        """The newest courses, a line each."""
        return reply([summary(course) for course in await self.courses.listing(100)])

    async def show(self, request: web.Request, caller: Caller) -> web.Response:
        """One course with its steps."""
        return await self._shown(request.match_info["id"])

    async def ask(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Opens what a person asks for: `{"namespace": ..., "playbook": ...}`, both with a
        default.
        """
        fields = await _body(request)
        if isinstance(fields, str):
            return error(400, Reason.INVALID_REQUEST, fields)
        policy = self.policy()
        namespace = str(fields.get("namespace") or next(iter(policy.namespaces), ""))
        if namespace not in policy.namespaces:
            told = f"only these may be acted on: {', '.join(policy.namespaces) or 'none'}"
            return error(403, Reason.NAMESPACE_NOT_ALLOWED, told)
        if policy.ceiling.height < Mode.APPROVE.height:
            told = f"the mode is {policy.ceiling}, so nothing would be done; raise it to approve or auto first"
            return error(409, Reason.MODE_OBSERVE, told)
        playbook = self._playbook(fields.get("playbook"))
        if isinstance(playbook, str):
            return error(404, Reason.NO_PLAYBOOK, playbook)
        labels = {**_of_matchers(playbook), "namespace": namespace, "asked_by": caller.name}
        target = first(playbook.target, labels)
        if not isinstance(target, Target):
            return error(409, Reason.TARGET_UNRESOLVED, f"{playbook.name}: {target}")
        now = self.clock.now()
        course = Course(
            id=new_id("saga", now),
            incident_id=new_id("inc", now),
            kind=_people_rung(playbook),
            rung="",
            state=CourseState.ASKED,
            steps=(),
            at=0,
            since=now,
            asked_by=caller.name,
            asked_at=now,
            expires_at=now + timedelta(seconds=APPROVE_WITHIN_S),
            reason=Reason.APPROVAL_REQUIRED,
            detail=f"{caller.name} asks for {playbook.name}",
        )
        wish = Asked(playbook.name, target, labels, f"{caller.name} asks for {playbook.name}")

        async def do() -> Course:
            return await self.courses.ask(wish, course)

        return await self._wished(do, 201)

    async def approve(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Another person's yes to the steps as they are written down."""

        async def do() -> Course:
            return await self.courses.approve(
                request.match_info["id"], caller.name, self.clock.now()
            )

        return await self._wished(do)

    async def stop(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Ends it: at once before its first step, then between two steps."""

        async def do() -> Course:
            return await self.courses.stop(request.match_info["id"], caller.name, self.clock.now())

        return await self._wished(do)

    async def _wished(self, do: Callable[[], Awaitable[Course]], status: int = 200) -> web.Response:
        try:
            course = await do()
        except Refused as refused:
            return error(refused.status, refused.reason, refused.detail)
        self.wake()
        return await self._shown(course.id, status)

    async def _shown(self, course_id: str, status: int = 200) -> web.Response:
        found = await self.courses.get(course_id)
        if found is None:
            return error(404, Reason.NOT_FOUND, "no saga of this id; GET /api/v1/sagas lists them")
        return reply(whole(found.course, found.incident, found.lines, found.called), status)

    def _playbook(self, name: object) -> Playbook | str:
        """The playbook that is asked for, or the only one that people can ask for."""
        may = {n: p for n, p in self.playbooks.items() if _people_rung(p)}
        if name is None and len(may) == 1:
            return next(iter(may.values()))
        if name is None or str(name) not in may:
            near = suggest(str(name or ""), list(may)) if may else "there is none in the folder"
            return f"no playbook that a person can start is called {name!r}; {near}"
        return may[str(name)]


def _people_rung(playbook: Playbook) -> str:
    """The kind of action that people ask for in a playbook; "" where there is none."""
    return next((r.do.kind.name for r in playbook.remedies if r.do.kind.by_people), "")


def _of_matchers(playbook: Playbook) -> Mapping[str, str]:
    """The labels that the playbook's alert has in any case."""
    equal = (m for m in playbook.matchers if m.operator is Operator.EQUAL)
    return {matcher.label: matcher.value for matcher in equal}


async def _body(request: web.Request) -> Mapping[str, Any] | str:
    """The fields, or what is wrong with them."""
    raw = await request.content.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        return f"at most {_LARGEST} bytes"
    try:
        fields = json.loads(raw or b"{}")
    except ValueError:
        return "the body is not valid JSON"
    if not isinstance(fields, dict):
        return 'the body is a map: {"namespace": "carbon-ingestion"}'
    for name, value in fields.items():
        if name not in _FIELDS:
            return f"unknown field {str(name)[:50]!r}; {suggest(str(name), _FIELDS)}"
        if not isinstance(value, str):
            return f"{name} is a text"
    return fields
