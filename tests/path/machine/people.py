"""People who say something over the API, and what they believe that they have said.

What was acknowledged is believed, whatever the service remembers of it. What had no answer, because
the process died or its store was away, is read from the store afterwards: both would be right.
"""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeAlias

import sqlalchemy as sa
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Response

from service.desk.admission import Admission
from service.desk.breaking import BreakerDesk
from service.desk.decisions import Decisions
from service.model.action import Mode
from service.model.approval import Answer
from service.settings import IntakeSettings
from service.store.breaker import Breaker
from service.web.credentials import Credentials
from tests.path.machine.store import new_folder
from tests.path.world import Crash, World

Json: TypeAlias = dict[str, Any]  # Any: JSON

ROLES = {
    "anna": "[read, operate, approve]",
    "ben": "[read, operate, approve]",
    "carl": "[read, operate]",  # may not say yes or no
    "dora": "[read]",
}


@cache
def credentials() -> Credentials:
    """Of everybody, in a file."""
    file = new_folder() / "people.yaml"
    entries = [
        f"- {{name: {name}, roles: {roles}, token: {_token(name)}}}\n"
        for name, roles in ROLES.items()
    ]
    file.write_text("people:\n" + "".join(entries))
    file.chmod(0o600)
    return Credentials(IntakeSettings(people_file=file))


def _token(name: str) -> str:
    return f"token-of-{name}-for-tests"


@dataclass(frozen=True)
class Hold:
    """A maintenance window: from when to when, and the labels that it means, each with its
    value.
    """

    starts_at: datetime
    ends_at: datetime
    means: dict[str, str]

    def open_at(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at


@dataclass
class People:
    """All of them. `yes` and `no` are by proposal; `ceiling` is the mode,
    and the setting that it was said over.
    """

    world: World
    ceiling: tuple[Mode, Mode] | None = None
    paused: bool = False
    paused_until: datetime | None = None
    windows: dict[str, Hold] = field(default_factory=dict)
    yes: dict[str, list[str]] = field(default_factory=dict)
    no: dict[str, str] = field(default_factory=dict)
    lifted_at: datetime | None = None
    unsure: list[tuple[str, Answer, str]] = field(default_factory=list)
    doubtful: bool = False

    # ------------------------------------------------------------------ what holds, as they believe

    def mode(self) -> Mode:
        """The ceiling in force."""
        setting = self.world.mode
        said = self.ceiling
        return said[0] if said is not None and said[1] is setting else setting

    def pause_holds(self, now: datetime) -> bool:
        return self.paused and (self.paused_until is None or now < self.paused_until)

    def open_windows(self, now: datetime) -> list[Hold]:
        return [window for window in self.windows.values() if window.open_at(now)]

    # ------------------------------------------------------------------ what they say

    async def set_mode(self, who: str, mode: Mode) -> int:
        status, _ = await self._post(who, "/api/v1/mode", mode=mode.value)
        if status == 200:
            self.ceiling = (mode, self.world.mode)
        return status

    async def pause(self, who: str, for_s: float | None) -> int:
        now, more = self.world.clock.now(), {"for_s": for_s} if for_s is not None else {}
        status, _ = await self._post(who, "/api/v1/pause", "", **more)
        if status == 200:
            self.paused = True
            self.paused_until = now + timedelta(seconds=for_s) if for_s is not None else None
        return status

    async def resume(self, who: str) -> int:
        status, _ = await self._post(who, "/api/v1/resume")
        if status == 200:
            self.paused = False
        return status

    async def add_window(
        self, who: str, begins_s: float, lasts_s: float, means: dict[str, str]
    ) -> int:
        starts_at = self.world.clock.now() + timedelta(seconds=begins_s)
        hold = Hold(starts_at, starts_at + timedelta(seconds=lasts_s), means)
        match = [f'{label}="{value}"' for label, value in means.items()]
        status, told = await self._post(
            who, "/api/v1/windows", starts_at=starts_at.isoformat(), lasts_s=lasts_s, match=match
        )
        if status == 200:
            self.windows[told["id"]] = hold
        return status

    async def end_window(self, who: str, window_id: str) -> int:
        status, _ = await self._post(who, "/api/v1/windows/{id}/end", window_id)
        if status == 200:
            self.windows.pop(window_id, None)
        return status

    async def answer(self, who: str, answer: Answer, approval_id: str) -> int:
        self.unsure.append((who, answer, approval_id))
        status, _ = await self._post(who, f"/api/v1/approvals/{{id}}/{answer}", approval_id)
        if status != 503:
            self.unsure.pop()
        if status == 200:
            self._answered(who, answer, approval_id)
        return status

    def _answered(self, who: str, answer: Answer, approval_id: str) -> None:
        if answer is Answer.REJECT:
            self.no[approval_id] = who
        elif who not in self.yes.setdefault(approval_id, []):
            self.yes[approval_id].append(who)

    async def lift_breaker(self, who: str) -> int:
        status, _ = await self._post(who, "/api/v1/breaker/lift")
        return status

    async def _post(self, who: str, path: str, about: str = "", **body: object) -> tuple[int, Json]:
        """As the API takes it: credentials, role, body. A reply that was lost is a
        503, or a process that died.
        """
        await self.remember()
        world, admission = self.world, Admission(credentials())
        limits = world.limits.breaker
        breaker = BreakerDesk(
            Breaker(world.database, limits), limits, world.metrics, world.clock, world._wake
        )
        routes = [*Decisions(admission, world.desk).routes(), *breaker.routes(admission)]
        handler: Any = next(r.handler for r in routes if (r.method, r.path) == ("POST", path))
        loop = asyncio.get_running_loop()
        payload = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
        payload.feed_data(json.dumps({"why": "because", **body}).encode())
        payload.feed_eof()
        headers = {
            "Authorization": f"Bearer {_token(who)}",
            "Content-Type": "application/json",
        }
        request = make_mocked_request(
            "POST", path, headers=headers, match_info={"id": about}, payload=payload
        )
        try:
            response: Response = await handler(request)
        except Crash:
            self.doubtful = True
            raise
        self.doubtful = self.doubtful or response.status == 503
        assert isinstance(response.body, bytes)
        return response.status, json.loads(response.body)

    # ------------------------------------------------------------------ what had no answer

    async def remember(self) -> None:
        """Looks up what became of the words that had no answer."""
        if not self.doubtful:
            return
        self.doubtful = False
        await self.world.database.read(self._look_up)

    def _look_up(self, c: sa.Connection) -> None:
        row = c.execute(sa.text("SELECT ceiling, pause FROM control")).one()
        ceiling, pause = (json.loads(text) if text else None for text in row)
        self.ceiling = (Mode(ceiling["mode"]), Mode(ceiling["setting"])) if ceiling else None
        self.paused = pause is not None
        until = pause.get("until") if pause else None
        self.paused_until = datetime.fromisoformat(until) if until else None
        known = sa.text('SELECT id, "when", matchers FROM windows WHERE ended_at IS NULL')
        self.windows = {
            row.id: _hold(json.loads(row.when), json.loads(row.matchers))
            for row in c.execute(known)
        }
        for who, answer, approval_id in self.unsure:
            its = sa.text('SELECT state, asked_by, "by" FROM approvals WHERE id = :id')
            state, asked_by, by = c.execute(its, {"id": approval_id}).one()
            if answer is Answer.REJECT and state == "rejected" and by == who:
                self._answered(who, answer, approval_id)
            if answer is Answer.APPROVE and who in (asked_by, by if state != "rejected" else None):
                self._answered(who, answer, approval_id)
        self.unsure.clear()


def _hold(when: Json, matchers: list[str]) -> Hold:
    means = dict(text.replace('"', "").split("=") for text in matchers)
    starts_at, ends_at = (datetime.fromisoformat(when[name]) for name in ("starts_at", "ends_at"))
    return Hold(starts_at, ends_at, means)
