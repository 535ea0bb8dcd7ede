"""What one reading means: an outcome, or when to read again. Pure;
the streak comes in and goes out.

Time in which nothing could be read is not time in which it did not heal: it lengthens the window,
at most by the window's own length. Instants come from the wall clock, which may step; so no wait is
longer than what is written.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.model.incident import Outcome, OutcomeKind, Progress
from service.model.playbook import Playbook, Truth, VerifyPlan
from service.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Reading:
    """One look after an action. `reverted` says which written field is not as it was
    written, and who holds it.
    """

    healed: Truth
    worse: Truth = Truth.FAILS
    reverted: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """No verdict yet: read again at `due_at`, with this progress."""

    due_at: datetime
    progress: Progress


def begin(plan: VerifyPlan, progress: Progress, now: datetime) -> Again:
    """The first reading's time after an action that was done just now."""
    ends_at = now + timedelta(seconds=plan.within_s)
    due_at = now + timedelta(seconds=plan.settle_s)
    begun = replace(
        progress, in_a_row=0, due_at=due_at, read_at=due_at, ends_at=ends_at, lengthened_s=0.0
    )
    return Again(due_at, begun)


def judge(
    reading: Reading,
    progress: Progress,
    plan: VerifyPlan,
    playbook: Playbook,
    *,
    began_at: datetime,
    now: datetime,
) -> Outcome | Again:
    """The verdict of a reading that was begun at `began_at` and taken at
    `now`, or when to read again.
    """
    if reading.reverted is not None:
        return Outcome(OutcomeKind.REVERTED, Reason.REVERTED, reading.reverted, now)
    in_a_row = progress.in_a_row + 1 if reading.healed is Truth.HOLDS else 0
    if in_a_row >= plan.readings:
        detail = f"{playbook.healed.text} in {in_a_row} readings"
        return Outcome(OutcomeKind.HEALED, Reason.READINGS_GOOD, detail, now)
    if reading.worse is Truth.HOLDS and playbook.worse is not None:
        return Outcome(OutcomeKind.WORSE, Reason.READINGS_WORSE, playbook.worse.text, now)
    going = _lengthened(reading, progress, plan, began_at, now)
    due_at = now + timedelta(seconds=plan.every_s)
    if going.ends_at is None or due_at > going.ends_at:
        return _out_of_time(reading.healed, plan, playbook, now)
    return Again(due_at, replace(going, in_a_row=in_a_row, due_at=due_at, read_at=now))


def _lengthened(
    reading: Reading, progress: Progress, plan: VerifyPlan, began_at: datetime, now: datetime
) -> Progress:
    """The window, moved by the time in which nobody could read;
    after a stop it has room for its readings.

    Both are bounded: in all by the window's own length, and by three stops.
    """
    ends_at = progress.ends_at or now + timedelta(seconds=plan.within_s)
    ends_at = min(ends_at, now + timedelta(seconds=2 * plan.within_s))  # the clock was set back
    left_s = max(0.0, plan.within_s - progress.lengthened_s)
    late_s = max(0.0, (began_at - (progress.due_at or began_at)).total_seconds())
    blind_s = late_s
    if reading.healed is Truth.UNKNOWN:
        blind_s = max(0.0, (now - (progress.read_at or now)).total_seconds())
    more_s = min(blind_s, left_s)
    moved = ends_at + timedelta(seconds=more_s)
    # Taken up after a stop: one look would condemn what has healed meanwhile,
    # so there is room for a whole row.
    lacking = plan.readings - 1 if reading.healed is Truth.HOLDS else plan.readings
    room = now + timedelta(seconds=lacking * plan.every_s)
    if late_s > plan.every_s and left_s > 0 and moved < room:
        moved, more_s = room, max(more_s, plan.within_s / 3)
    return replace(progress, ends_at=moved, lengthened_s=progress.lengthened_s + more_s)


def _out_of_time(last: Truth, plan: VerifyPlan, playbook: Playbook, now: datetime) -> Outcome:
    healed = playbook.healed.text
    if last is Truth.UNKNOWN:
        detail = f"after {plan.within_s:g} s the last reading of {healed} is unknown"
        return Outcome(OutcomeKind.INCONCLUSIVE, Reason.READINGS_UNKNOWN, detail, now)
    detail = f"not {plan.readings} readings in a row of {healed} within {plan.within_s:g} s"
    return Outcome(OutcomeKind.NOT_HEALED, Reason.READINGS_BAD, detail, now)
