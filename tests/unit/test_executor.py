"""The executor: a lost reply is read back, what was shed is tried again, a no is a no, and nothing is done twice."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from service.act.executor import Executor
from service.act.kind import Deed, TargetState
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import ActionResult, Applied, Intent, Mode
from service.model.errors import Indeterminate, ParamedicError, Refused, Unavailable
from service.model.reasons import Reason
from tests.unit.made import SCALE, T0, after

DONE = Deed(Applied.DONE, Reason.DONE, "2 -> 3")
DRY = Deed(Applied.DRY, Reason.MODE_DRY_RUN, "would")
LOST = Indeterminate("no reply")
SHED = Unavailable(Reason.THROTTLED, "busy")
LATE = Unavailable(Reason.LATE, "no answer")
NO = Refused(Reason.FORBIDDEN, "no", 403)
APPLIED, UNTOUCHED, CHANGED = TargetState


@dataclass
class ScriptedHand:
    """Does what it is told, a line a call, the last one for ever; counts."""

    apply_script: Sequence[Deed | Exception] = (DONE,)
    read_script: Sequence[TargetState | Exception] = (UNTOUCHED,)
    applied: int = 0
    read: int = 0
    modes: list[Mode] = field(default_factory=list)

    async def apply(self, intent: Intent, deadline: Deadline) -> Deed:
        self.applied += 1
        self.modes.append(intent.mode)
        line = self.apply_script[min(self.applied, len(self.apply_script)) - 1]
        if isinstance(line, Exception):
            raise line
        return line

    async def read_back(self, intent: Intent, deadline: Deadline) -> TargetState:
        self.read += 1
        line = self.read_script[min(self.read, len(self.read_script)) - 1]
        if isinstance(line, Exception):
            raise line
        return line


def intent(mode: Mode = Mode.AUTO) -> Intent:
    return Intent("act-1", "inc-1", "scale-out", SCALE, mode, T0)


async def acted(
    hand: ScriptedHand,
    *,
    resumed: bool = False,
    mode: Mode = Mode.AUTO,
    lapsed: Reason | None = None,
) -> ActionResult:
    executor = Executor({"scale": hand}, VirtualClock(after(5)), 30.0)
    return await executor.act(intent(mode), resumed=resumed, lapsed=lapsed)


@pytest.mark.parametrize(
    ("apply", "read", "resumed", "expected", "calls"),
    [
        pytest.param([DONE], [], False, (Applied.DONE, Reason.DONE), (1, 0), id="done"),
        pytest.param([LOST], [APPLIED], False, (Applied.DONE, Reason.DONE), (1, 1), id="reply lost, it was done"),
        pytest.param([LOST, DONE], [UNTOUCHED], False, (Applied.DONE, Reason.DONE), (2, 1),
 id="reply lost, it was not"),
        pytest.param(
            [LOST], [CHANGED], False, (Applied.FAILED, Reason.TARGET_CHANGED), (1, 1), id="somebody else changed it"
        ),
        pytest.param(
            [LOST], [UNTOUCHED], False, (Applied.FAILED, Reason.INDETERMINATE), (2, 1), id="the reply is lost twice"
        ),
        pytest.param(
            [LOST], [LATE], False, (Applied.FAILED, Reason.INDETERMINATE), (1, 1), id="reading back is late"
        ),
        pytest.param([LOST], [NO], False, (Applied.FAILED, Reason.INDETERMINATE), (1, 1), id="read back: refused"),
        pytest.param([SHED, DONE], [], False, (Applied.DONE, Reason.DONE), (2, 0), id="shed, then taken"),
        pytest.param([SHED], [], False, (Applied.FAILED, Reason.THROTTLED), (3, 0), id="shed three times"),
        pytest.param([LATE], [], False, (Applied.FAILED, Reason.LATE), (1, 0), id="late is not tried again"),
        pytest.param([NO], [], False, (Applied.FAILED, Reason.FORBIDDEN), (1, 0), id="a no is not tried again"),
        pytest.param([LOST], [SHED, APPLIED], False, (Applied.DONE, Reason.DONE), (1, 2),
 id="reading back is shed once"),
        pytest.param([DONE], [APPLIED], True, (Applied.DONE, Reason.DONE), (0, 1), id="resumed, it was done"),
        pytest.param([DONE], [UNTOUCHED], True, (Applied.DONE, Reason.DONE), (1, 1), id="resumed, it was not"),
        pytest.param(
            [DONE], [CHANGED], True, (Applied.FAILED, Reason.TARGET_CHANGED), (0, 1), id="resumed, changed since"
        ),
        pytest.param(
            [DONE], [LATE], True, (Applied.FAILED, Reason.INDETERMINATE), (0, 1), id="resumed, and nobody knows"
        ),
    ],
)  # fmt: skip
async def test_an_action_is_done_once_or_told_why_not(
    apply: list[Deed | Exception], read: list[TargetState | Exception], resumed: bool,
    expected: tuple[Applied, Reason], calls: tuple[int, int],
) -> None:  # fmt: skip
    hand = ScriptedHand(apply, read)
    result = await acted(hand, resumed=resumed)
    assert (result.applied, result.reason) == expected
    assert (hand.applied, hand.read) == calls
    assert result.at >= after(5)


@pytest.mark.parametrize("state", list(TargetState))
async def test_a_resumed_action_that_is_not_wanted_any_more_is_not_sent(state: TargetState) -> None:
    hand = ScriptedHand(read_script=[state])
    result = await acted(hand, resumed=True, lapsed=Reason.ALERT_RESOLVED)
    assert hand.applied == 0
    expected = {
        APPLIED: Reason.DONE,
        UNTOUCHED: Reason.ALERT_RESOLVED,
        CHANGED: Reason.TARGET_CHANGED,
    }
    assert result.reason is expected[state]


async def test_a_dry_run_that_a_crash_broke_off_is_asked_anew_and_never_called_done() -> None:
    hand = ScriptedHand([DRY], [APPLIED])
    result = await acted(hand, resumed=True, mode=Mode.DRY_RUN)
    assert (result.applied, hand.modes) == (Applied.DRY, [Mode.DRY_RUN])


async def test_an_action_without_a_backend_fails_with_that_word() -> None:
    result = await Executor({}, VirtualClock(), 30.0).act(intent(), resumed=False)
    assert (result.applied, result.reason) == (Applied.FAILED, Reason.NOT_CONFIGURED)


@pytest.mark.parametrize(
    "error",
    [Refused(r, "x", 400) for r in (Reason.NOT_FOUND, Reason.CONFLICT)]
    + [Unavailable(Reason.LATE, "x")],
)
async def test_the_word_of_the_backend_is_kept(error: ParamedicError) -> None:
    result = await acted(ScriptedHand([error]))
    assert (result.applied, result.reason, result.detail) == (Applied.FAILED, error.reason, "x")


async def test_a_bug_of_a_hand_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await acted(ScriptedHand([ZeroDivisionError()]))
