"""Reads until healed, worse, or out of time. Unknown readings heal nothing and break a row of good ones."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from service.kit.clock import Clock
from service.model.evidence import Evidence, Facts, facts
from service.model.incident import Outcome, OutcomeKind
from service.model.playbook import Playbook, Truth, VerifyPlan
from service.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class HealthReading:
    """One look after the action."""

    at: datetime
    healed: Truth
    in_a_row: int
    facts: Facts


Probe: TypeAlias = Callable[[], Awaitable[Evidence]]
Report: TypeAlias = Callable[[HealthReading], Awaitable[None]]


async def prove(
    playbook: Playbook,
    plan: VerifyPlan,
    *,
    acted_at: datetime,
    before: Facts,
    probe: Probe,
    report: Report,
    clock: Clock,
) -> Outcome:
    """The outcome. After a crash it is called again with the same `acted_at`, and goes on to the same end."""
    settled_at = acted_at + timedelta(seconds=plan.settle_s)
    ends_at = acted_at + timedelta(seconds=plan.within_s)
    await clock.sleep((settled_at - clock.now()).total_seconds())
    # Taken up after a long stop it still gets its readings: one look would condemn what has healed meanwhile.
    ends_at = max(ends_at, clock.now() + timedelta(seconds=(plan.readings - 1) * plan.every_s))
    in_a_row = 0
    while True:
        view = {"evidence": facts(await probe()), "before": before}
        healed = playbook.healed.judge(view)
        in_a_row = in_a_row + 1 if healed is Truth.HOLDS else 0
        now = clock.now()
        await report(HealthReading(now, healed, in_a_row, view["evidence"]))
        if in_a_row >= plan.readings:
            detail = f"{playbook.healed.text} in {in_a_row} readings"
            return Outcome(OutcomeKind.HEALED, Reason.READINGS_GOOD, detail, now)
        if playbook.worse is not None and playbook.worse.judge(view) is Truth.HOLDS:
            return Outcome(OutcomeKind.WORSE, Reason.READINGS_WORSE, playbook.worse.text, now)
        if now + timedelta(seconds=plan.every_s) > ends_at:
            return _out_of_time(playbook, healed, plan, now)
        await clock.sleep(plan.every_s)


def _out_of_time(playbook: Playbook, last: Truth, plan: VerifyPlan, now: datetime) -> Outcome:
    if last is Truth.UNKNOWN:
        detail = f"after {plan.within_s:g} s the last reading of {playbook.healed.text} is unknown"
        return Outcome(OutcomeKind.INCONCLUSIVE, Reason.READINGS_UNKNOWN, detail, now)
    detail = f"not {plan.readings} readings in a row of {playbook.healed.text} within {plan.within_s:g} s"
    return Outcome(OutcomeKind.NOT_HEALED, Reason.READINGS_BAD, detail, now)
