"""One attempt at an action: a lost reply is read back, what was shed was not done,
a no is a no; nothing twice.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.act import KINDS
from service.act.executor import Attempt, Executor, NotYet, Unsure
from service.act.kind import Deed, Permit, TargetState, Writers
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Applied, Intent, Mode
from service.model.errors import Indeterminate, Refused, Unavailable
from service.model.reasons import Reason
from tests.unit.made import SCALE, T0

DONE = Deed(Applied.DONE, Reason.DONE, "2 -> 3")
DRY = Deed(Applied.DRY, Reason.MODE_DRY_RUN, "would")
STARTED = Deed(Applied.STARTED, Reason.DONE, "it goes on", 5.0)
LOST = Indeterminate("no reply")
SHED = Unavailable(Reason.THROTTLED, "busy", 7.0)
AWAY = Unavailable(Reason.UNREACHABLE, "refused")
LATE = Unavailable(Reason.LATE, "no answer")
NO = Refused(Reason.FORBIDDEN, "no", 403)
GONE = Refused(Reason.NOT_FOUND, "no such thing", 404)
APPLIED, UNTOUCHED, CHANGED, REPLACED, UNDER_WAY = TargetState


@dataclass
class ScriptedHand:
    """Does what it is told, once; counts."""

    does: Deed | Exception = DONE
    reads: TargetState | Exception = UNTOUCHED
    calls: list[str] = field(default_factory=list)
    modes: list[Mode] = field(default_factory=list)

    async def apply(self, permit: Permit[Any]) -> Deed:
        self.calls.append("apply")
        self.modes.append(permit.intent.mode)
        if isinstance(self.does, Exception):
            raise self.does
        return self.does

    async def read_back(self, intent: Intent[Any], deadline: Deadline) -> TargetState:
        self.calls.append("read")
        if isinstance(self.reads, Exception):
            raise self.reads
        return self.reads


async def tried(
    hand: ScriptedHand | None, *, look_first: bool = False, mode: Mode = Mode.AUTO,
    lapsed: Reason | None = None, within_s: float = 5.0,
) -> Attempt:  # fmt: skip
    async def confirm() -> None:
        """Nobody else has it."""

    intent = Intent("act-1", "inc-1", "scale-out", "scale", SCALE, mode, T0)
    executor = Executor({"scale": hand} if hand else {})
    return await executor.attempt(
        intent, look_first=look_first, lapsed=lapsed, confirm=confirm, deadline=Deadline.after(within_s)
    )  # fmt: skip


def word(attempt: Attempt) -> object:
    """What an attempt came to, in short."""
    match attempt:
        case Deed():
            return attempt.applied, attempt.reason
        case NotYet():
            return "not yet", attempt.reason
        case Unsure():
            return "unsure"


FAILED = Applied.FAILED
IS_DONE = (Applied.DONE, Reason.DONE)


@pytest.mark.parametrize(
    ("does", "reads", "expected", "calls"),
    [
        pytest.param(DONE, NO, IS_DONE, ["apply"], id="done"),
        pytest.param(STARTED, NO, (Applied.STARTED, Reason.DONE), ["apply"], id="it goes on"),
        pytest.param(LOST, APPLIED, IS_DONE, ["apply", "read"], id="reply lost, it was done"),
        pytest.param(LOST, UNTOUCHED, "unsure", ["apply", "read"], id="reply lost, it may be slow"),
        pytest.param(LOST, CHANGED, (FAILED, Reason.TARGET_CHANGED), ["apply", "read"], id="changed by another"),
        pytest.param(LOST, REPLACED, (FAILED, Reason.TARGET_REPLACED), ["apply", "read"], id="another object"),
        pytest.param(LOST, UNDER_WAY, (Applied.STARTED, Reason.IN_PROGRESS), ["apply", "read"], id="it has begun"),
        pytest.param(LOST, GONE, (FAILED, Reason.TARGET_REPLACED), ["apply", "read"], id="the object is gone"),
        pytest.param(LOST, LATE, "unsure", ["apply", "read"], id="reading back is late"),
        pytest.param(LOST, AWAY, "unsure", ["apply", "read"], id="reading back reaches nobody"),
        pytest.param(LOST, NO, "unsure", ["apply", "read"], id="reading back is refused"),
        pytest.param(LATE, APPLIED, IS_DONE, ["apply", "read"], id="late, and it was done"),
        pytest.param(LATE, UNTOUCHED, "unsure", ["apply", "read"], id="late: a server that hangs may still do it"),
        pytest.param(SHED, NO, ("not yet", Reason.THROTTLED), ["apply"], id="shed unread"),
        pytest.param(AWAY, NO, ("not yet", Reason.UNREACHABLE), ["apply"], id="never sent"),
        pytest.param(NO, APPLIED, (FAILED, Reason.FORBIDDEN), ["apply"], id="a no"),
        pytest.param(GONE, APPLIED, (FAILED, Reason.NOT_FOUND), ["apply"], id="there is no such thing"),
    ],
)  # fmt: skip
async def test_an_attempt_comes_to_what_the_backend_says_and_what_is_lost_is_read_back_not_sent(
    does: Deed | Exception, reads: TargetState | Exception, expected: object, calls: Sequence[str]
) -> None:
    hand = ScriptedHand(does, reads)
    assert word(await tried(hand)) == expected
    assert hand.calls == calls


@pytest.mark.parametrize(
    ("reads", "lapsed", "expected", "calls"),
    [
        pytest.param(APPLIED, None, IS_DONE, ["read"], id="it was done"),
        pytest.param(UNTOUCHED, None, IS_DONE, ["read", "apply"], id="it was not"),
        pytest.param(UNDER_WAY, None, IS_DONE, ["read", "apply"], id="it goes on"),
        pytest.param(
            UNDER_WAY, Reason.EVIDENCE_STALE, IS_DONE, ["read", "apply"], id="begun, and brought to its end"
        ),
        pytest.param(CHANGED, None, (FAILED, Reason.TARGET_CHANGED), ["read"], id="changed since"),
        pytest.param(REPLACED, None, (FAILED, Reason.TARGET_REPLACED), ["read"], id="replaced since"),
        pytest.param(GONE, None, (FAILED, Reason.TARGET_REPLACED), ["read"], id="gone since"),
        pytest.param(LATE, None, "unsure", ["read"], id="nobody knows"),
        pytest.param(NO, None, "unsure", ["read"], id="nobody may know"),
        pytest.param(APPLIED, Reason.ALERT_RESOLVED, IS_DONE, ["read"], id="unwanted, and done all the same"),
        pytest.param(
            UNTOUCHED, Reason.ALERT_RESOLVED, (FAILED, Reason.ALERT_RESOLVED), ["read"], id="unwanted by now"
        ),
        pytest.param(
            CHANGED, Reason.ALERT_RESOLVED, (FAILED, Reason.TARGET_CHANGED), ["read"], id="unwanted, and changed"
        ),
        pytest.param(LATE, Reason.ALERT_RESOLVED, "unsure", ["read"], id="unwanted, and nobody knows"),
    ],
)  # fmt: skip
async def test_what_may_have_been_done_is_read_back_before_anything_is_sent(
    reads: TargetState | Exception, lapsed: Reason | None, expected: object, calls: Sequence[str]
) -> None:
    hand = ScriptedHand(reads=reads)
    assert word(await tried(hand, look_first=True, lapsed=lapsed)) == expected
    assert hand.calls == calls


async def test_what_is_not_wanted_any_more_and_was_never_sent_is_not_sent() -> None:
    hand = ScriptedHand()
    attempt = await tried(hand, lapsed=Reason.MODE_OBSERVE)
    assert word(attempt) == (FAILED, Reason.MODE_OBSERVE)
    assert hand.calls == []


async def test_a_dry_run_that_a_crash_broke_off_is_asked_anew_and_never_called_done() -> None:
    hand = ScriptedHand(DRY, APPLIED)
    attempt = await tried(hand, look_first=True, mode=Mode.DRY_RUN)
    assert word(attempt) == (Applied.DRY, Reason.MODE_DRY_RUN)
    assert (hand.calls, hand.modes) == (["apply"], [Mode.DRY_RUN])


async def test_the_server_s_own_wish_is_kept() -> None:
    attempt = await tried(ScriptedHand(SHED))
    assert isinstance(attempt, NotYet)
    assert (attempt.retry_after_s, attempt.detail) == (7.0, "busy")


async def test_a_hand_that_hangs_is_given_up_at_the_deadline_and_read_back() -> None:
    class Hanging(ScriptedHand):
        async def apply(self, permit: Permit[Any]) -> Deed:
            self.calls.append("apply")
            await asyncio.Event().wait()
            raise AssertionError

    hand = Hanging(reads=APPLIED)
    assert word(await tried(hand, within_s=0.05)) == IS_DONE
    assert hand.calls == ["apply", "read"]


async def test_an_action_without_a_backend_fails_with_that_word() -> None:
    assert word(await tried(None)) == (FAILED, Reason.NOT_CONFIGURED)


async def test_only_kinds_whose_backend_is_configured_have_a_hand() -> None:
    executor = Executor.of(KINDS, Writers(VirtualClock()))
    assert executor._hands == {}


@pytest.mark.parametrize("bug", [ZeroDivisionError(), TimeoutError()])
async def test_a_bug_of_a_hand_is_not_hidden(bug: Exception) -> None:
    with pytest.raises(type(bug)):
        await tried(ScriptedHand(bug))
