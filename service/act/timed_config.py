"""A value of a ConfigMap for a while: set, and set back by itself when the time is
over, also after a crash.

What was done stands on the ConfigMap itself, as the action's mark on the key;
the time is that of the intent.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from service.act import config_values
from service.act.kind import Deed, Hand, Kind, Permit, TargetState, Writers
from service.act.objects import replaced
from service.clients.kubernetes_write import KubernetesWriter
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode, NotPossible
from service.model.errors import Unavailable
from service.model.objects import ObjectRef, Write
from service.model.reasons import Reason
from service.model.target import Target

_LONGEST_S = 86_400
_AGAIN_S = 10.0  # while the server is away and the value is to go back
_LONGEST_PAUSE_S = 60.0  # somebody else's change is noticed within that time


@dataclass(frozen=True, slots=True)
class TimedConfigArguments:
    """`from` is the value that was seen and that comes back after `for_s`.
    `readers` as in patch_config.
    """

    config_map: str
    key: str
    from_: str | int
    to: str | int
    for_s: Annotated[float, Field(ge=10, le=_LONGEST_S, allow_inf_nan=False)]
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimedConfig:
    """Set a value for a time, restart its readers, and set it back. Idempotent:
    value and time are absolute.
    """

    target: Target
    config_map: str
    key: str
    from_: str
    to: str
    for_s: float
    readers: tuple[Target, ...]

    def __str__(self) -> str:
        what = (
            f"set {self.key} in ConfigMap {self.config_map} to {self.to[:60]} for {self.for_s:g} s"
        )
        return f"{what}, then back to {self.from_[:60]}"

    @property
    def ref(self) -> ObjectRef:
        return config_values.ref_to(self.target.namespace, self.config_map)


def plan(target: Target, arguments: TimedConfigArguments) -> TimedConfig | NotPossible:
    """The change, of a ConfigMap and readers in the target's namespace."""
    from_, to = str(arguments.from_), str(arguments.to)
    readers = config_values.change_of(
        target, arguments.config_map, arguments.key, from_, to, arguments.readers
    )
    if isinstance(readers, NotPossible):
        return readers
    return TimedConfig(
        target, arguments.config_map, arguments.key, from_, to, arguments.for_s, readers
    )


def _back(action_id: str) -> str:
    return f"{action_id}.back"


def _writes(request: TimedConfig, action_id: str) -> tuple[Write, ...]:
    # As it stands when the action is over, which is when it is looked at again.
    return config_values.writes(
        request.ref, request.key, request.from_, request.readers, _back(action_id)
    )


@dataclass(frozen=True, slots=True)
class TimedConfigHand:
    """Asked again until the time is over; then it takes its own change back, and nobody else's."""

    client: KubernetesWriter
    clock: Clock

    async def apply(self, permit: Permit[TimedConfig]) -> Deed:
        intent, request = permit.intent, permit.intent.request
        end_at = intent.intended_at + timedelta(seconds=request.for_s)
        left_s = (end_at - self.clock.now()).total_seconds()
        try:
            found = await config_values.read(self.client, permit, request.ref, request.key)
            if isinstance(found, Deed):
                return found
            now = config_values.value_of(found, request.key)
            mark = config_values.mark_on(found, request.key)
            if mark == _back(intent.action_id):
                return await self._ended(permit, end_at)
            if mark != intent.action_id:
                return await self._begin(permit, str(now), left_s)
            if now != request.to:
                detail = f"somebody has set {request.key} to {now!r:.80} since; that stays"
                return Deed(Applied.DONE, Reason.TARGET_CHANGED, detail)
            if left_s <= 0:
                return await self._return(permit, end_at)
            return await self._hold(permit, left_s)
        except Unavailable as error:
            if left_s > 0:
                raise
            # It must not be given up now: the value would stay for good.
            detail = f"the time is over, and the value is not back yet: {error.detail}"
            return Deed(Applied.STARTED, error.reason, detail, _AGAIN_S)

    async def _begin(self, permit: Permit[TimedConfig], now: str, left_s: float) -> Deed:
        intent, request = permit.intent, permit.intent.request
        if left_s <= 0:
            detail = "the time was over before the value was set"
            return Deed(Applied.FAILED, Reason.LATE, detail)
        if now == request.to:
            detail = (
                f"{request.key} is {now[:60]} already, and was not set by this action: it stays"
            )
            return Deed(Applied.DONE, Reason.ALREADY_DONE, detail)
        if ended := await self._write(permit, dry_run=True):
            return ended
        if intent.mode is Mode.DRY_RUN:
            detail = f"the server would take it: {request}"
            return Deed(Applied.DRY, Reason.MODE_DRY_RUN, detail)
        if ended := await self._write(permit, dry_run=False):
            return ended
        return self._going_on(request, left_s)

    async def _write(self, permit: Permit[TimedConfig], *, dry_run: bool) -> Deed | None:
        request, mark = permit.intent.request, permit.intent.action_id
        change = (request.key, request.from_, request.to)
        ended = await config_values.write(
            self.client, permit, request.ref, change, mark=mark, dry_run=dry_run
        )
        return ended or await self._restart(
            permit, mark, permit.intent.intended_at, dry_run=dry_run
        )

    async def _hold(self, permit: Permit[TimedConfig], left_s: float) -> Deed:
        intent = permit.intent
        ended = await self._restart(permit, intent.action_id, intent.intended_at)
        if ended is None:
            return self._going_on(intent.request, left_s)
        detail = f"{ended.detail}; {intent.request.key} goes back at its time"
        return Deed(Applied.STARTED, ended.reason, detail, min(left_s, _LONGEST_PAUSE_S))

    async def _return(self, permit: Permit[TimedConfig], end_at: datetime) -> Deed:
        request, mark = permit.intent.request, _back(permit.intent.action_id)
        change = (request.key, request.to, request.from_)
        ended = await config_values.write(
            self.client, permit, request.ref, change, mark=mark, dry_run=False
        )
        return ended or await self._ended(permit, end_at)

    async def _ended(self, permit: Permit[TimedConfig], end_at: datetime) -> Deed:
        request, mark = permit.intent.request, _back(permit.intent.action_id)
        ended = await self._restart(permit, mark, end_at)
        if ended is not None:
            return ended
        detail = (
            f"{request.key} was {request.to[:60]} for its time, and is {request.from_[:60]} again"
        )
        return Deed(Applied.DONE, Reason.DONE, detail)

    async def _restart(
        self, permit: Permit[TimedConfig], mark: str, at: datetime, *, dry_run: bool = False
    ) -> Deed | None:
        readers = permit.intent.request.readers
        return await config_values.restart_all(
            self.client, permit, readers, mark=mark, at=at, dry_run=dry_run
        )

    def _going_on(self, request: TimedConfig, left_s: float) -> Deed:
        detail = f"{request.key} is {request.to[:60]}, and goes back in {left_s:.0f} s"
        return Deed(Applied.STARTED, Reason.IN_PROGRESS, detail, min(left_s, _LONGEST_PAUSE_S))

    async def read_back(self, intent: Intent[TimedConfig], deadline: Deadline) -> TargetState:
        request = intent.request
        found = await self.client.get(request.ref.path, deadline=deadline)
        if replaced(intent, request.ref, found):
            return TargetState.REPLACED
        mark = config_values.mark_on(found, request.key)
        if mark == intent.action_id:
            return TargetState.UNDER_WAY
        if mark == _back(intent.action_id):
            done = await config_values.restarted(self.client, request.readers, mark, deadline)
            return TargetState.APPLIED if done else TargetState.UNDER_WAY
        return TargetState.UNTOUCHED


def _bind(writers: Writers) -> Hand[TimedConfig] | None:
    return TimedConfigHand(writers.kubernetes, writers.clock) if writers.kubernetes else None


KIND = Kind(
    name="timed_config",
    arguments=TimedConfigArguments,
    request=TimedConfig,
    plan=plan,
    bind=_bind,
    needs=config_values.NEEDS,
    writes=_writes,
    interrupts=True,
)
