"""A storm of alerts over many targets: no more is done than the limits allow,
and the record explains each hold.

`PARAMEDIC_STORM=5000x200` runs it whole (alerts x targets); without it the suite runs a small one.
"""

import os
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.incident.lifecycle import Patience
from service.kit.clock import VirtualClock
from service.model.playbook import Budget, Limits
from service.model.reasons import Reason
from service.settings import GuardSettings
from service.store.schema import incidents, ledger, steps
from tests.path.world import LEASE, World, world
from tests.unit.made import item, shipped

ALERTS, TARGETS = map(int, os.environ.get("PARAMEDIC_STORM", "240x12").split("x"))
PER_PLAYBOOK = Budget(6, 3600.0)
GUARD = GuardSettings(breaker_opened=max(2, TARGETS // 4), breaker_cooldown_s=600.0)
HELD = {
    Reason.BREAKER_OPEN, Reason.CANARY, Reason.BLAST_RADIUS, Reason.BUDGET_PLAYBOOK,
    Reason.BUDGET_NAMESPACE, Reason.BUDGET_OVERALL,
}  # fmt: skip


async def works_until(made: World, end: datetime) -> None:
    """Whatever is due until then, and then the time."""
    while True:
        if await made.round():
            continue
        due = await made.incidents.next_due(made.clock.now(), LEASE)
        if due is None or due > end:
            made.clock.advance(max(0.0, (end - made.clock.now()).total_seconds()))
            return
        made.clock.advance(max(0.0, (due - made.clock.now()).total_seconds()))


@pytest.mark.only_on("sqlite")
async def test_in_a_storm_no_more_is_done_than_allowed_and_the_record_explains_each_hold(
    store_url: str, clock: VirtualClock
) -> None:
    playbook = replace(shipped(), limits=Limits(Budget(2, 3600.0), PER_PLAYBOOK, 300.0))
    more: dict[str, Any] = {"playbooks": (playbook,), "limits": GUARD, "replicas_needed": 0}
    began = time.monotonic()
    async with world(store_url, clock, patience=Patience(60.0, 900.0), **more) as made:
        scaled: set[str] = set()
        made.platform.after_apply = lambda intent: scaled.add(intent.request.target.name)
        made.rooms = replace(made.rooms, diagnose=_each_for_itself(made, scaled))
        made.worker = made.worker_of(made.rooms)
        labels = item()["labels"]
        for first in range(0, ALERTS, 500):
            await made.deliver(
                *(
                    item(f"f{n}", labels={**labels, "workload": f"service-{n % TARGETS}"})
                    for n in range(first, min(ALERTS, first + 500))
                )
            )
        start = clock.now()
        await works_until(made, start + timedelta(seconds=599))
        assert made.platform.effects == [], "the breaker is open: diagnosis only"
        await works_until(made, start + timedelta(hours=4))

        lines = await made.database.read(
            lambda c: c.execute(sa.select(ledger.c.intended_at, ledger.c.settled_at)).all()
        )
        stamps = sorted(line.intended_at for line in lines)
        assert 0 < len(stamps) <= TARGETS
        for budget in (PER_PLAYBOOK, GUARD.in_namespace, GUARD.overall):
            for last in stamps:
                opens = last - timedelta(seconds=budget.window_s)
                assert sum(opens < at <= last for at in stamps) <= budget.count
        for at in stamps:  # those without an outcome at that instant
            going = sum(x.intended_at <= at and (x.settled_at or at) >= at for x in lines)
            assert going <= GUARD.blast_targets + 1  # one may have settled in that instant
        assert lines[0].settled_at is not None
        assert stamps[1] >= min(x.settled_at for x in lines if x.settled_at)

        untreated = await _untreated(made)
        assert {row.reason for row in untreated} <= HELD, "each hold has its reason"
        assert all(row.due_at is not None for row in untreated), "nothing is forgotten"
        rulings = await made.database.read(
            lambda c: c.execute(sa.select(steps.c.data).where(steps.c.kind == "ruled")).all()
        )
        assert {r.data["reason"] for r in rulings} >= {Reason.WITHIN_LIMITS, Reason.CANARY}
        assert all(len(r.data["answers"]) == len(made.chain) for r in rulings)
        took_s = time.monotonic() - began
        print(f"{ALERTS} alerts, {TARGETS} targets, 4 h: {len(stamps)} actions in {took_s:.1f} s")


def _each_for_itself(made: World, scaled: set[str]) -> Any:
    async def diagnose(playbook: Any, incident: Any) -> Any:
        made.looks += 1
        made.platform.replicas = 2
        made.replicas_needed = 0 if incident.target.name in scaled else 3
        return made.as_it_is()

    return diagnose


async def _untreated(made: World) -> Any:
    treated = sa.select(ledger.c.incident_id)
    query = sa.select(incidents.c.reason, incidents.c.due_at).where(incidents.c.id.not_in(treated))
    return await made.database.read(lambda c: c.execute(query).all())
