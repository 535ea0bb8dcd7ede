"""How a run of a saga goes on: act, look again, or end. Pure; the index and the instants are the caller's row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from service.model.action import ActionResult, Applied
from service.model.reasons import Reason
from service.model.target import Target


class Settles(StrEnum):
    """What has to be seen on a step's target before the next step begins."""

    ROLLED_OUT = "rolled_out"  # every pod is of the newest template, and available
    SCALED = "scaled"  # as many pods as wanted, and no more
    AT_ONCE = "at_once"  # the action's own end says it all: a RESTORE is followed to its end


@dataclass(frozen=True, slots=True)
class Step:
    """One action: the word of its kind, its arguments as YAML has them, and what has to be seen after it."""

    name: str
    kind: str
    target: Target
    arguments: Mapping[str, Any]  # Any: plain values
    settles: Settles
    within_s: float = 600.0

    def __str__(self) -> str:
        return f"{self.name}: {self.kind} {self.target}"


@dataclass(frozen=True, slots=True)
class Run:
    """Where a run stands: `at` is the step's index. `acted_at` is when its action was done, None before that."""

    at: int = 0
    acted_at: datetime | None = None
    stop_wanted: bool = False  # by a person; heard between two steps


@dataclass(frozen=True, slots=True)
class Act:
    """The step's action is to be admitted and done now."""

    step: Step
    run: Run


@dataclass(frozen=True, slots=True)
class LookAgain:
    """The step's action is done, and its target has not settled yet."""

    step: Step
    run: Run
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over. `left` are the steps that were not done, for a person to go on with or to leave."""

    reason: Reason
    detail: str
    run: Run
    left: Sequence[Step] = ()


Next: TypeAlias = Act | LookAgain | Ended


def begin(steps: Sequence[Step], run: Run) -> Act | Ended:
    """The step that is due; or the end, where a person has asked for it or there is none left."""
    left = steps[run.at :]
    if not left:
        return Ended(Reason.DONE, f"all {len(steps)} steps are done", run)
    if run.stop_wanted:
        detail = f"stopped by a person before step {run.at + 1} of {len(steps)}, {left[0].name}"
        return Ended(Reason.HUMAN_NEEDED, detail, run, left)
    return Act(left[0], run)


def after_action(steps: Sequence[Step], run: Run, result: ActionResult) -> Next:
    """The step's action has ended: it is looked at until it has settled, or the run ends here."""
    step = steps[run.at]
    if result.applied is not Applied.DONE:
        detail = f"step {run.at + 1}, {step.name}: {result.reason}: {result.detail}"
        return Ended(Reason.ACTION_FAILED, detail, run, steps[run.at :])
    done = replace(run, acted_at=result.at)
    if step.settles is Settles.AT_ONCE:
        return begin(steps, replace(done, at=run.at + 1, acted_at=None))
    return LookAgain(step, done, result.at)


def after_look(
    steps: Sequence[Step], run: Run, settled: bool | None, now: datetime, every_s: float = 5.0
) -> Next:
    """The step's target was looked at: `settled` is None where that could not be read.

    What cannot be read is not settled, and its time is the step's own: no step begins on a guess.
    """
    step = steps[run.at]
    if settled:
        return begin(steps, replace(run, at=run.at + 1, acted_at=None))
    waited_s = (now - (run.acted_at or now)).total_seconds()
    if waited_s >= step.within_s:
        reason = Reason.READINGS_UNKNOWN if settled is None else Reason.TIMED_OUT
        detail = f"step {run.at + 1}, {step.name}, had not settled after {waited_s:.0f} s"
        return Ended(reason, detail, run, steps[run.at + 1 :])
    return LookAgain(step, run, now + timedelta(seconds=every_s))
