"""Proof: good readings in a row, until the time is over. Unknown heals nothing,
and condemns nothing either.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.incident import Outcome, OutcomeKind, Progress
from service.model.playbook import Playbook, Truth, VerifyPlan
from service.model.reasons import Reason
from service.verify.judge import Again, Reading, begin
from service.verify.judge import judge as judge_reading
from tests.unit.made import T0, after, shipped

PLAN = VerifyPlan(settle_s=30.0, within_s=120.0, readings=3, every_s=15.0)
PLAYBOOK = shipped()
GOOD, BAD, UNKNOWN = Reading(Truth.HOLDS), Reading(Truth.FAILS), Reading(Truth.UNKNOWN)
WORSE = Reading(Truth.FAILS, Truth.HOLDS)
REVERTED = Reading(Truth.HOLDS, reverted="somebody took it back")


def judge(
    reading: Reading, progress: Progress, plan: VerifyPlan, playbook: Playbook, now: datetime
) -> Outcome | Again:
    """A reading that took no time."""
    return judge_reading(reading, progress, plan, playbook, began_at=now, now=now)


@dataclass
class Proof:
    """A verification as the pipeline goes through it: each reading is taken when
    it is due, plus `late_s`.
    """

    plan: VerifyPlan = PLAN
    late_s: float = 0.0

    def go(self, readings: Sequence[Reading]) -> tuple[Outcome, list[float]]:
        """The outcome, and when was read; the last reading is repeated for ever."""
        again = begin(self.plan, Progress(), T0)
        read_at: list[float] = []
        forever: Iterator[Reading] = chain(readings, repeat(readings[-1]))
        for reading in forever:
            now = again.due_at + timedelta(seconds=self.late_s)
            read_at.append((now - T0).total_seconds())
            verdict = judge(reading, again.progress, self.plan, PLAYBOOK, now)
            if isinstance(verdict, Outcome):
                assert verdict.at == now
                return verdict, read_at
            again = verdict
        raise AssertionError


@pytest.mark.parametrize(
    ("script", "kind", "reason", "at"),
    [
        pytest.param([GOOD], OutcomeKind.HEALED, Reason.READINGS_GOOD, [30, 45, 60], id="three good ones in a row"),
        pytest.param(
            [BAD, GOOD], OutcomeKind.HEALED, Reason.READINGS_GOOD, [30, 45, 60, 75], id="a bad one first"
        ),
        pytest.param(
            [GOOD, GOOD, BAD, GOOD], OutcomeKind.HEALED, Reason.READINGS_GOOD, [30, 45, 60, 75, 90, 105],
            id="a bad one breaks the row",
        ),
        pytest.param(
            [GOOD, GOOD, UNKNOWN, GOOD], OutcomeKind.HEALED, Reason.READINGS_GOOD, [30, 45, 60, 75, 90, 105],
            id="an unknown one breaks the row",
        ),
        pytest.param(
            [BAD], OutcomeKind.NOT_HEALED, Reason.READINGS_BAD, [30, 45, 60, 75, 90, 105, 120], id="never good"
        ),
        pytest.param(
            [GOOD, GOOD, BAD, GOOD, GOOD, BAD, GOOD], OutcomeKind.NOT_HEALED, Reason.READINGS_BAD,
            [30, 45, 60, 75, 90, 105, 120], id="never three in a row",
        ),
        pytest.param([WORSE], OutcomeKind.WORSE, Reason.READINGS_WORSE, [30], id="worse ends it at once"),
        pytest.param([BAD, WORSE], OutcomeKind.WORSE, Reason.READINGS_WORSE, [30, 45], id="worse later on"),
        pytest.param([BAD, REVERTED], OutcomeKind.REVERTED, Reason.REVERTED, [30, 45], id="somebody took it back"),
        pytest.param(
            [GOOD, GOOD, REVERTED], OutcomeKind.REVERTED, Reason.REVERTED, [30, 45, 60],
            id="taken back, it did not heal by itself",
        ),
        pytest.param(
            [BAD, UNKNOWN, UNKNOWN, BAD], OutcomeKind.NOT_HEALED, Reason.READINGS_BAD,
            [30, 45, 60, 75, 90, 105, 120, 135, 150], id="30 s in which nobody could read are 30 s more",
        ),
        pytest.param(
            [UNKNOWN], OutcomeKind.INCONCLUSIVE, Reason.READINGS_UNKNOWN, list(range(30, 241, 15)),
            id="nobody knows: twice the time, and no more",
        ),
    ],
)  # fmt: skip
def test_an_action_is_proved_by_readings(
    script: list[Reading], kind: OutcomeKind, reason: Reason, at: list[float]
) -> None:
    outcome, read_at = Proof().go(script)
    assert (outcome.kind, outcome.reason) == (kind, reason)
    assert read_at == at


def test_after_a_reading_of_a_worker_that_was_late_the_next_is_due_a_whole_pause_later() -> None:
    outcome, read_at = Proof(late_s=5.0).go([BAD])
    assert outcome.kind is OutcomeKind.NOT_HEALED
    assert read_at == [
        35,
        55,
        75,
        95,
        115,
        135,
        155,
    ]  # and being late is not time in which it did not heal


def test_without_a_worse_condition_nothing_is_worse() -> None:
    again = begin(PLAN, Progress(), T0)
    playbook = replace(PLAYBOOK, worse=None)
    assert isinstance(judge(WORSE, again.progress, PLAN, playbook, after(30)), Again)


@pytest.mark.parametrize("first", [GOOD, BAD, UNKNOWN])
def test_after_a_long_stop_it_still_gets_the_readings_that_it_needs(first: Reading) -> None:
    again = begin(PLAN, Progress(), T0)
    now, verdict = after(5_000), judge(first, again.progress, PLAN, PLAYBOOK, after(5_000))
    readings = 1
    while isinstance(verdict, Again):
        assert verdict.due_at == now + timedelta(seconds=15)
        now = verdict.due_at
        verdict, readings = judge(GOOD, verdict.progress, PLAN, PLAYBOOK, now), readings + 1
    assert (verdict.kind, readings) == (OutcomeKind.HEALED, 3 if first is GOOD else 4)


def test_a_stop_is_not_time_in_which_it_did_not_heal_but_does_not_go_on_for_ever() -> None:
    progress, now = begin(PLAN, Progress(), T0).progress, after(0)
    for _ in range(100):  # one reading, then a stop of an hour, again and again
        now += timedelta(hours=1)
        verdict = judge(BAD, progress, PLAN, PLAYBOOK, now)
        if isinstance(verdict, Outcome):
            return
        progress = verdict.progress
        assert progress.lengthened_s <= PLAN.within_s
        now = verdict.due_at
        verdict = judge(BAD, progress, PLAN, PLAYBOOK, now)
        if isinstance(verdict, Outcome):
            return
        progress = verdict.progress
    raise AssertionError("it never ends")


READINGS = st.lists(st.sampled_from([GOOD, BAD, UNKNOWN]), min_size=1, max_size=60)
STEPS = st.dictionaries(st.integers(0, 30), st.sampled_from([-3_600.0, 3_600.0]), max_size=3)


@given(READINGS, STEPS)
def test_whatever_the_clock_does_no_wait_is_longer_than_written_and_it_ends(
    readings: list[Reading], steps: dict[int, float]
) -> None:
    again: Outcome | Again = begin(PLAN, Progress(), T0)
    assert isinstance(again, Again)
    wall: datetime = again.due_at
    for n, reading in enumerate([*readings, *[readings[-1]] * 200]):
        wall += timedelta(seconds=steps.get(n, 0.0))
        verdict = judge(reading, again.progress, PLAN, PLAYBOOK, wall)
        if isinstance(verdict, Outcome):
            if verdict.kind is OutcomeKind.HEALED:
                assert reading is GOOD
            return
        assert verdict.due_at - wall == timedelta(seconds=PLAN.every_s)
        assert verdict.progress.ends_at is not None
        assert verdict.progress.ends_at - wall <= timedelta(seconds=3 * PLAN.within_s)
        again, wall = verdict, verdict.due_at
    raise AssertionError("it never ends")


def test_the_first_reading_is_after_the_settling_and_the_row_begins_anew() -> None:
    again = begin(PLAN, Progress(attempts=2, in_a_row=2, lengthened_s=50.0), after(7))
    assert again.due_at == after(37)
    assert again.progress == Progress(
        attempts=2, due_at=after(37), read_at=after(37), ends_at=after(127), lengthened_s=0.0
    )


HEALED_TEXT = PLAYBOOK.healed.text
assert PLAYBOOK.worse is not None
WORSE_TEXT = PLAYBOOK.worse.text


@pytest.mark.parametrize(
    ("reading", "kind", "reason", "detail"),
    [
        (GOOD, OutcomeKind.HEALED, Reason.READINGS_GOOD, f"{HEALED_TEXT} in 3 readings"),
        (WORSE, OutcomeKind.WORSE, Reason.READINGS_WORSE, WORSE_TEXT),
        (REVERTED, OutcomeKind.REVERTED, Reason.REVERTED, "somebody took it back"),
        (
            BAD,
            OutcomeKind.NOT_HEALED,
            Reason.READINGS_BAD,
            f"not 3 readings in a row of {HEALED_TEXT} within 120 s",
        ),
        (
            UNKNOWN,
            OutcomeKind.INCONCLUSIVE,
            Reason.READINGS_UNKNOWN,
            f"after 120 s the last reading of {HEALED_TEXT} is unknown",
        ),
    ],
)
def test_a_verdict_says_by_which_condition(
    reading: Reading, kind: OutcomeKind, reason: Reason, detail: str
) -> None:
    outcome, read_at = Proof().go([reading])
    assert outcome == Outcome(kind, reason, detail, after(read_at[-1]))


@pytest.mark.parametrize(
    ("reading", "progress", "now_s", "ends_s", "lengthened_s"),
    [
        pytest.param(BAD, Progress(), 30, 150, 0, id="never begun: a whole window from now"),
        pytest.param(BAD, Progress(ends_at=after(9_999)), 0, 240, 0, id="the clock was set back"),
        pytest.param(
            UNKNOWN, Progress(due_at=after(30), read_at=after(30), ends_at=after(120)), 30, 120, 0,
            id="unknown at once: nothing was missed",
        ),
        pytest.param(
            BAD, Progress(due_at=after(30), read_at=after(30), ends_at=after(120)), 30, 120, 0, id="in time"
        ),
        pytest.param(
            BAD, Progress(due_at=after(105), read_at=after(105), ends_at=after(120)), 120, 135, 15,
            id="late by one pause is no stop",
        ),
        pytest.param(
            BAD, Progress(due_at=after(105), read_at=after(105), ends_at=after(120)), 120.5, 165.5, 40,
            id="later is one: room for a whole row, and a third of the window is spent",
        ),
        pytest.param(
            GOOD, Progress(due_at=after(105), read_at=after(105), ends_at=after(120)), 120.5, 150.5, 40,
            id="a good one is the first of its row",
        ),
        pytest.param(
            BAD, Progress(due_at=after(105), ends_at=after(120), lengthened_s=119.5), 125, 170, 159.5,
            id="as long as anything of the window is left",
        ),
        pytest.param(
            BAD, Progress(due_at=after(90), read_at=after(90), ends_at=after(135)), 120, 165, 30,
            id="a stop with just enough room left spends no more than itself",
        ),
    ],
)  # fmt: skip
def test_the_window_moves_by_what_could_not_be_read_and_no_more(
    reading: Reading, progress: Progress, now_s: float, ends_s: float, lengthened_s: float
) -> None:
    verdict = judge(reading, progress, PLAN, PLAYBOOK, after(now_s))
    assert isinstance(verdict, Again)
    assert verdict.progress.ends_at == after(ends_s)
    assert verdict.progress.lengthened_s == lengthened_s
