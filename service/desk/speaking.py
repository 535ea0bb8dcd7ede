"""What people say, checked and written with who, why and when:
the one way in which a person changes anything.

Never here: who may (web), the wire (decisions.py), or what it means for an incident (phases).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from service.guard.recurrence import check, closes, opens
from service.guard.switch import paused
from service.kit.clock import Clock
from service.model import matcher
from service.model.action import Mode
from service.model.approval import Answer
from service.model.control import Ceiling, Control, Once, Pause, Recurring, Spoken, Window
from service.model.errors import BadInput, Refused
from service.model.reasons import Reason
from service.record.metrics import Metrics
from service.store.approvals import Approvals
from service.store.controls import Controls
from service.store.names import new_id

Json: TypeAlias = dict[str, Any]  # Any: JSON as it goes out

_LONGEST_WHY = 500
_MOST_MATCHERS = 20
_FURTHEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Desk:
    """Writes what people say. `setting` is the ceiling of the settings;
    `wake` tells the worker what is due.

    Every method raises BadInput for what makes no sense,
    Refused for what cannot be any more, Unavailable.
    """

    controls: Controls
    approvals: Approvals
    metrics: Metrics
    setting: Mode
    clock: Clock
    wake: Callable[[], None]

    async def standing(self) -> Json:
        """What holds now, and the newest things that were said."""
        now = self.clock.now()
        control = await self.controls.standing(now)
        return {**self._shown(control, now), "history": await self.controls.history(20)}

    async def set_mode(self, mode: str, by: str, why: str) -> Json:
        """Sets the ceiling over every playbook."""
        if mode not in list(Mode):
            known = ", ".join(Mode)
            raise BadInput(Reason.WRONG_SHAPE, f"{mode[:40]!r} is no mode; known are {known}")
        ceiling = Ceiling(Mode(mode), self.setting, self._spoken(by, why))
        return self._said(await self.controls.say_ceiling(ceiling))

    async def pause(self, by: str, why: str, for_s: float | None) -> Json:
        """No action from now on, for so many seconds or until somebody resumes."""
        said = self._spoken(by, why)
        until = said.at + _span(for_s) if for_s is not None else None
        return self._said(await self.controls.say_pause(Pause(said, until)))

    async def resume(self, by: str, why: str) -> Json:
        """Ends the pause."""
        return self._said(await self.controls.say_resume(self._spoken(by, why)))

    async def add_window(
        self, by: str, why: str, when: Once | Recurring, matchers: Sequence[str]
    ) -> Json:
        """Adds a maintenance window."""
        said = self._spoken(by, why)
        if len(matchers) > _MOST_MATCHERS:
            raise BadInput(Reason.WRONG_SHAPE, f"at most {_MOST_MATCHERS} matchers")
        try:
            check(when)
            parsed = tuple(matcher.parse(text[:500]) for text in matchers)
        except ValueError as error:
            raise BadInput(Reason.WRONG_SHAPE, str(error)) from error
        if isinstance(when, Once) and when.ends_at <= said.at:
            raise BadInput(Reason.WRONG_SHAPE, "the window is over already")
        window = Window(new_id("win", said.at), when, parsed, tuple(matchers), said)
        self._said(await self.controls.add_window(window))
        return _window(window, said.at)

    async def end_window(self, window_id: str, by: str, why: str) -> Json:
        """Ends a window before its time."""
        if not await self.controls.end_window(window_id, self._spoken(by, why)):
            told = f"no window {window_id[:80]} is open or to come; GET /api/v1/windows lists them"
            raise Refused(Reason.NOT_FOUND, told, 404)
        self.wake()
        return {"id": window_id, "ended_by": by}

    async def windows(self) -> list[Json]:
        """Every window that is open or to come."""
        now = self.clock.now()
        return [_window(w, now) for w in (await self.controls.standing(now)).windows]

    async def proposals(self, limit: int, *, every: bool) -> list[Json]:
        """The proposals that wait, those due first; or the newest of all, with what became of
        them.
        """
        rows = await self.approvals.listing(limit, every=every)
        return [_proposal(row) for row in rows]

    async def answer(self, approval_id: str, answer: Answer, by: str, why: str) -> Json:
        """Says yes or no to a proposal."""
        said = self._spoken(by, why)
        row = await self.approvals.answer(approval_id, answer, by, said.why, said.at)
        self.metrics.approvals.labels(
            row["playbook"], "asked" if row["state"] == "pending" else row["state"]
        ).inc()
        self.wake()
        return _proposal(row)

    def _spoken(self, by: str, why: str) -> Spoken:
        why = " ".join(why.split())
        if not why:
            raise BadInput(Reason.WRONG_SHAPE, "say why: the record is read by people")
        if len(why) > _LONGEST_WHY:
            raise BadInput(Reason.WRONG_SHAPE, f"why: at most {_LONGEST_WHY} characters")
        return Spoken(by, why, self.clock.now())

    def _said(self, control: Control) -> Json:
        self.wake()
        return self._shown(control, self.clock.now())

    def _shown(self, control: Control, now: datetime) -> Json:
        held = paused(control, now) is not None and control.pause is not None
        return {
            "mode": control.mode(self.setting),
            "setting": self.setting,
            "ceiling": control.ceiling,
            "paused": control.pause if held else None,
            "windows_open": [w.id for w in control.windows if closes(w.when, now) is not None],
        }


def _span(for_s: float) -> timedelta:
    if not 0 < for_s <= _FURTHEST.total_seconds():
        raise BadInput(Reason.WRONG_SHAPE, "for how long: more than nothing, at most a year")
    return timedelta(seconds=for_s)


def _window(window: Window, now: datetime) -> Json:
    return {
        "id": window.id,
        "match": window.texts,
        "when": window.when,
        "by": window.said.by,
        "why": window.said.why,
        "at": window.said.at,
        "open_until": closes(window.when, now),
        "opens_at": opens(window.when, now),
    }


def _proposal(row: Json) -> Json:
    return {name: value for name, value in row.items() if name not in ("request", "uid")}
