"""Does one intended action once, and says what became of it.

A write whose reply was lost is never sent again blindly: the target is read back first. Only if the target is
untouched is the write sent once more; every action is absolute and idempotent, so even that cannot double it.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_exponential_jitter,
)

from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.action import ActionResult, Applied, Intent, Mode
from service.model.errors import Indeterminate, ParamedicError, Refused, Unavailable
from service.model.reasons import Reason

log = structlog.get_logger()


class TargetState(StrEnum):
    """What reading the target back says about an action."""

    APPLIED = "applied"
    UNTOUCHED = "untouched"
    CHANGED = "changed"  # by somebody else: neither as before nor as wanted


class Deed(NamedTuple):
    """How an attempt ended."""

    applied: Applied
    reason: Reason
    detail: str


class Hand(Protocol):
    """One kind of action on one backend."""

    async def apply(self, intent: Intent, deadline: Deadline) -> Deed:
        """Does it. Raises Unavailable (nothing was sent), Refused, or Indeterminate (the reply was lost)."""
        ...

    async def read_back(self, intent: Intent, deadline: Deadline) -> TargetState:
        """What the target says. Raises Unavailable or Refused."""
        ...


class Executor:
    """Holds the hands, by kind of action."""

    def __init__(self, hands: Mapping[str, Hand], clock: Clock, within_s: float) -> None:
        self._hands = hands
        self._clock = clock
        self._within_s = within_s

    async def act(
        self, intent: Intent, *, resumed: bool, lapsed: Reason | None = None
    ) -> ActionResult:
        """Does the intent's action. `resumed`: a crash came in between, so it may have been done already.

        `lapsed` is why a resumed action that was not done yet is not wanted any more.
        """
        hand = self._hands.get(intent.action.kind)
        if hand is None:
            return self._result(
                Deed(
                    Applied.FAILED,
                    Reason.NOT_CONFIGURED,
                    f"no backend is configured for {intent.action.kind}",
                )
            )
        deadline = Deadline.after(self._within_s)
        try:
            if resumed:
                return self._result(await self._after_silence(hand, intent, deadline, lapsed))
            try:
                return self._result(await self._send(hand, intent, deadline))
            except Indeterminate as error:
                log.warning(
                    "reply lost, reading back", action_id=intent.action_id, detail=error.detail
                )
                return self._result(await self._after_silence(hand, intent, deadline))
        except ParamedicError as error:
            return self._result(Deed(Applied.FAILED, error.reason, error.detail))

    async def _after_silence(
        self, hand: Hand, intent: Intent, deadline: Deadline, lapsed: Reason | None = None
    ) -> Deed:
        """Reads the target back, and sends the write once more only where nothing of it is seen."""
        if (
            intent.mode is Mode.DRY_RUN
        ):  # it left no trace to read back, and asking again does nothing either
            return await self._send(hand, intent, deadline)
        try:
            state = await self._read_back(hand, intent, deadline)
        except (Unavailable, Refused) as error:
            if error.reason is Reason.NOT_FOUND:
                raise  # the target is gone, and with it whatever was done to it
            raise Indeterminate(
                f"not known whether it was done, and reading back failed: {error}"
            ) from error
        match state:
            case TargetState.APPLIED:
                return Deed(
                    Applied.DONE,
                    Reason.DONE,
                    "the reply was lost; reading back shows that it was done",
                )
            case TargetState.CHANGED:
                return Deed(
                    Applied.FAILED, Reason.TARGET_CHANGED, "reading back shows another value"
                )
            case TargetState.UNTOUCHED if lapsed:
                return Deed(
                    Applied.FAILED, lapsed, "it was not done before the restart, and is let be now"
                )
            case TargetState.UNTOUCHED:
                return await self._send_again(hand, intent, deadline)

    async def _send_again(self, hand: Hand, intent: Intent, deadline: Deadline) -> Deed:
        try:
            return await self._send(hand, intent, deadline)
        except Unavailable as error:
            if error.reason is not Reason.LATE:
                raise
            # A server that hangs may still do the first one: "failed" would be a guess.
            what = "reading back shows nothing of it yet, and no time is left to send it again"
            raise Indeterminate(f"{what}: {error.detail}") from error

    async def _send(self, hand: Hand, intent: Intent, deadline: Deadline) -> Deed:
        # Unavailable means that nothing was sent or that it was shed unread: trying again is safe.
        async for attempt in self._few_times(deadline.remaining_s):
            with attempt:
                return await hand.apply(intent, deadline)
        raise AssertionError("tenacity ends by returning or raising")

    async def _read_back(self, hand: Hand, intent: Intent, deadline: Deadline) -> TargetState:
        # Reading has a deadline of its own: the action's may be what has just run out.
        def left_s() -> float:
            return max(5.0, deadline.remaining_s())

        async for attempt in self._few_times(left_s):
            with attempt:
                patience = Deadline.after(left_s())
                async with patience.enforced(f"reading back {intent.action}"):
                    return await hand.read_back(intent, patience)
        raise AssertionError("tenacity ends by returning or raising")

    def _result(self, deed: Deed) -> ActionResult:
        return ActionResult(deed.applied, deed.reason, deed.detail, self._clock.now())

    def _few_times(self, left_s: Callable[[], float]) -> AsyncRetrying:
        backoff = wait_exponential_jitter(multiplier=0.2, max=2.0, jitter=0.2)

        def pause_s(state: RetryCallState) -> float:
            return max(
                backoff(state), _wished_s(state.outcome.exception() if state.outcome else None)
            )

        return AsyncRetrying(
            sleep=self._clock.sleep,
            stop=stop_after_attempt(3),
            wait=pause_s,
            retry=retry_if_exception(
                lambda e: (
                    isinstance(e, Unavailable)
                    and e.reason is not Reason.LATE
                    and _wished_s(e) < left_s()
                )
            ),
            reraise=True,
        )


def _wished_s(error: BaseException | None) -> float:
    """How long the server asked to be left alone."""
    return (error.retry_after_s or 0.0) if isinstance(error, Unavailable) else 0.0
