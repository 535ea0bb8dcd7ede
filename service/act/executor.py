"""One attempt at one intended action, and what it came to.
Waiting between attempts is the pipeline's.

A write whose reply was lost is never sent again blindly: the target is read back first, and
only where it is untouched is the write sent once more. Every action is absolute and idempotent,
so even that cannot double it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog

from service.act.kind import AnyKind, Deed, Hand, Permit, TargetState, Writers
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode
from service.model.errors import Indeterminate, Refused, Unavailable
from service.model.reasons import Reason

log = structlog.get_logger()

_READ_BACK_S = 5.0  # reading back has time of its own: the attempt's may be what has just run out


@dataclass(frozen=True, slots=True)
class NotYet:
    """Nothing was sent, or it was shed unread: trying again is safe.
    `retry_after_s` is the server's own wish.
    """

    reason: Reason
    detail: str
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Unsure:
    """It may have been done: a reply was lost, and reading back has not told.
    It is read back again later.
    """

    detail: str


Attempt: TypeAlias = Deed | NotYet | Unsure


class Executor:
    """Holds the hands, by kind of action."""

    def __init__(self, hands: Mapping[str, Hand[Any]]) -> None:
        self._hands = hands

    @classmethod
    def of(cls, kinds: Mapping[str, AnyKind], writers: Writers) -> "Executor":
        """The hands of all kinds whose backend is configured."""
        bound = {name: kind.bind(writers) for name, kind in kinds.items()}
        return cls({name: hand for name, hand in bound.items() if hand is not None})

    async def attempt(
        self,
        intent: Intent[Any],
        *,
        look_first: bool,
        lapsed: Reason | None,
        confirm: Callable[[], Awaitable[None]],
        deadline: Deadline,
    ) -> Attempt:
        """Tries once. `look_first`: it may have been done already,
        so the target is read back first.

        `lapsed` is why an action that was not done yet is not wanted any more.
        Raises nothing of the model's errors.
        """
        hand = self._hands.get(intent.kind)
        if hand is None:
            detail = f"no backend is configured for {intent.kind}"
            return Deed(Applied.FAILED, Reason.NOT_CONFIGURED, detail)
        permit = Permit(intent, deadline, confirm)
        # A dry run left no trace to read back, and asking again does nothing either.
        if look_first and intent.mode is not Mode.DRY_RUN:
            return await self._look_first(hand, permit, lapsed)
        if lapsed is not None:
            return Deed(Applied.FAILED, lapsed, "it was not sent, and is not wanted any more")
        return await self._apply(hand, permit)

    async def _apply(self, hand: Hand[Any], permit: Permit[Any]) -> Attempt:
        try:
            async with permit.deadline.enforced(str(permit.intent.request)):
                return await hand.apply(permit)
        except Indeterminate as error:
            log.warning("reply lost", action_id=permit.intent.action_id, detail=error.detail)
            return await self._after_silence(hand, permit, error.detail)
        except Unavailable as error:
            if error.reason is Reason.LATE:  # a server that hangs may still do it
                return await self._after_silence(hand, permit, error.detail)
            return NotYet(error.reason, error.detail, error.retry_after_s or 0.0)
        except Refused as error:
            return Deed(Applied.FAILED, error.reason, error.detail)

    async def _after_silence(self, hand: Hand[Any], permit: Permit[Any], lost: str) -> Attempt:
        """The reply was lost just now: what does the target say? Untouched may only be
        slow, so nothing is sent.
        """
        state = await self._read_back(hand, permit.intent)
        if isinstance(state, Unsure):
            return Unsure(f"{lost}; {state.detail}")
        if state is TargetState.UNTOUCHED:
            return Unsure(f"{lost}; reading back shows nothing of it yet")
        if state is TargetState.UNDER_WAY:
            detail = "the reply was lost; reading back shows that it has begun"
            return Deed(Applied.STARTED, Reason.IN_PROGRESS, detail, 1.0)
        return _told(state, "the reply was lost; ")

    async def _look_first(
        self, hand: Hand[Any], permit: Permit[Any], lapsed: Reason | None
    ) -> Attempt:
        state = await self._read_back(hand, permit.intent)
        if isinstance(state, Unsure):
            return state
        if state is TargetState.UNDER_WAY:  # what has begun is brought to its end
            return await self._apply(hand, permit)
        if state is not TargetState.UNTOUCHED:
            return _told(state)
        if lapsed is not None:
            return Deed(Applied.FAILED, lapsed, "it was not done, and is not wanted any more")
        return await self._apply(hand, permit)

    async def _read_back(self, hand: Hand[Any], intent: Intent[Any]) -> TargetState | Unsure:
        patience = Deadline.after(_READ_BACK_S)
        try:
            async with patience.enforced(f"reading back {intent.request}"):
                return await hand.read_back(intent, patience)
        except Refused as error:
            if error.reason is Reason.NOT_FOUND:
                return (
                    TargetState.REPLACED
                )  # the target is gone, and with it whatever was done to it
            return Unsure(f"reading back was refused: {error}")
        except Unavailable as error:
            return Unsure(f"reading back failed: {error}")


def _told(state: TargetState, lost: str = "") -> Deed:
    match state:
        case TargetState.APPLIED:
            detail = f"{lost}reading back shows that it was done"
            return Deed(Applied.DONE, Reason.DONE, detail)
        case TargetState.CHANGED:
            detail = "reading back shows another value"
            return Deed(Applied.FAILED, Reason.TARGET_CHANGED, detail)
        case TargetState.REPLACED | TargetState.UNTOUCHED | TargetState.UNDER_WAY:
            detail = "what was seen is not there any more"
            return Deed(Applied.FAILED, Reason.TARGET_REPLACED, detail)
