"""What the guards are told of the past, which incident is worked on next,
and claims while a step goes on.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.kit.clock import VirtualClock
from service.kit.tasks import running
from service.model.action import Applied, Mode
from service.model.evidence import Evidence
from service.model.incident import Incident, IncidentState
from service.model.limits import AttemptLimits, BreakerLimits
from service.model.playbook import Budget, Limits, Playbook
from service.model.reasons import Reason
from service.model.ruling import History
from service.store.codec import plain
from service.store.history import LOOKBACK, NOT_TRIED, Scopes, history
from service.store.schema import incidents, ledger
from tests.path.world import World, world
from tests.unit.made import SCALE

TWO = Budget(2, 3600.0)
SCOPES = Scopes(
    Limits(TWO, TWO, 0.0, TWO),
    TWO,
    Budget(10, 3600.0),
    BreakerLimits(),
    AttemptLimits(),
    "scale-out",
)


async def wrote(made: World, action_id: str, ago: timedelta = timedelta(0), **more: Any) -> None:
    """A line of the ledger, as an action of the world's one incident that was done and settled."""
    incident, at = await made.only(), made.clock.now() - ago
    row = {
        "action_id": action_id, "incident_id": incident.id, "playbook": incident.playbook,
        "target_key": incident.target.key, "namespace": incident.target.namespace, "rung": "scale-out",
        "kind": "scale", "request": plain(SCALE), "mode": Mode.AUTO, "intended_at": at, "applied": Applied.DONE,
        "applied_reason": Reason.DONE, "outcome": "healed", "settled_at": at, **more,
    }  # fmt: skip
    await made.database.write(lambda tx: tx.execute(sa.insert(ledger).values(row)).rowcount)


async def past(made: World) -> History:
    """What a guard is told now."""
    incident, now = await made.only(), made.clock.now()
    return await made.database.read(lambda c: history(c, incident, SCOPES, now))


def names(past: History) -> list[list[str]]:
    return [[a.action_id for a in s] for s in (past.on_target, past.in_playbook, past.overall)]


async def test_what_was_done_counts_in_its_scopes_newest_first(lively: World) -> None:
    await wrote(lively, "old", timedelta(minutes=9))
    await wrote(lively, "new", timedelta(minutes=1))
    await wrote(lively, "elsewhere", target_key="Deployment/x/y")
    await wrote(
        lively, "another", timedelta(minutes=2), playbook="other", target_key="Deployment/x/z"
    )
    assert names(await past(lively)) == [
        ["new", "old"],
        ["elsewhere", "new", "old"],
        ["elsewhere", "new", "another", "old"],
    ]


async def test_a_dry_run_spends_no_budget_and_keeps_no_target_busy(lively: World) -> None:
    await wrote(lively, "dry", mode=Mode.DRY_RUN, applied=Applied.DRY)
    await wrote(lively, "unsettled", mode=Mode.DRY_RUN, settled_at=None, outcome=None)
    assert names(await past(lively)) == [[], [], []]


@pytest.mark.parametrize("reason", NOT_TRIED)
async def test_what_was_let_be_or_never_sent_was_not_tried_and_spends_nothing(
    lively: World, reason: Reason
) -> None:
    incident = await lively.only()
    await wrote(lively, "let-be", applied=Applied.FAILED, applied_reason=reason)
    assert names(await past(lively)) == [[], [], []]
    assert await lively.ledger.tried(incident.id) == {}
    await wrote(lively, "failed", applied=Applied.FAILED, applied_reason=Reason.FORBIDDEN)
    assert await lively.ledger.tried(incident.id) == {"scale-out": 1}
    assert names(await past(lively)) == [["failed"]] * 3


async def test_whether_an_action_has_its_outcome_is_told_however_old_and_however_many_are_newer(
    lively: World,
) -> None:
    await wrote(lively, "settled", timedelta(minutes=1))
    await wrote(lively, "ancient", LOOKBACK + timedelta(days=1), settled_at=None, outcome=None)
    for n in range(20):
        await wrote(lively, f"newer-{n}", timedelta(seconds=n))
    await wrote(lively, "forgotten", LOOKBACK + timedelta(days=1))
    told = await past(lively)
    for scope, most in ((told.on_target, 9), (told.in_playbook, 10), (told.overall, 10)):
        open_ones = [a.action_id for a in scope if a.settled_at is None]
        assert open_ones == ["ancient"]
        assert len(scope) == most + 1
    assert [a.action_id for a in told.under_treatment] == ["ancient"]


async def test_an_action_without_an_outcome_keeps_its_target_busy_and_one_with_it_does_not(
    lively: World,
) -> None:
    other = timedelta(minutes=20)
    await wrote(lively, "other", other, settled_at=None, outcome=None)
    await lively.database.write(twin)
    await lively.round()
    assert ("ruled", "target_busy") in await lively.told()
    assert lively.platform.effects == []
    done = sa.update(ledger).values(settled_at=lively.clock.now() - other, outcome="healed")
    await lively.database.write(lambda tx: tx.execute(done).rowcount)
    await lively.settle()
    assert len(lively.platform.effects) == 1


def twin(tx: sa.Connection) -> None:
    """Another incident on the same target has taken all the actions so far."""
    (row,) = tx.execute(sa.select(incidents)).mappings().all()
    before = row["opened_at"] - timedelta(days=1)
    other = {**row, "id": "inc-0", "playbook": "other", "opened_at": before, "due_at": None}
    other["state"] = IncidentState.CLOSED
    tx.execute(sa.insert(incidents).values(**other))
    tx.execute(sa.update(ledger).values(incident_id="inc-0"))


# ---------------------------------------------------------------------- claims


async def test_new_incidents_go_first_then_readings_then_looks_and_the_oldest_due_of_each(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        for n in range(6):
            await made.fires(f"f{n}", workload=f"service-{n}")
        rows = sorted(await made.incidents.listing(9), key=lambda row: str(row["target_name"]))
        ranks = {0: (3, 60), 1: (0, 10), 2: (0, 50), 3: (1, 55), 4: (2, 5), 5: (1, 90)}
        for n, (rank, ago_s) in ranks.items():
            due_at = clock.now() - timedelta(seconds=ago_s)
            await ranked(made, rows[n]["id"], rank, due_at)
        order = []
        for _ in ranks:
            (held,) = await made.claim(limit=1)
            order.append(int(held.incident.target.name[-1]))
        assert order == [2, 1, 5, 3, 4, 0]


async def ranked(made: World, incident_id: str, rank: int, due_at: datetime) -> None:
    it = sa.update(incidents).where(incidents.c.id == incident_id).values(rank=rank, due_at=due_at)
    await made.database.write(lambda tx: tx.execute(it).rowcount)


async def test_claims_are_renewed_while_a_step_goes_on(lively: World) -> None:
    looking, go_on = asyncio.Event(), asyncio.Event()

    async def diagnose(playbook: Playbook, incident: Incident) -> Evidence:
        looking.set()
        await go_on.wait()
        return await lively.diagnose(playbook, incident)

    worker = lively.worker_of(replace(lively.rooms, diagnose=diagnose), lease_s=0.3)
    async with running("worker", worker.run(), lambda name, error: None), asyncio.timeout(10):
        await looking.wait()
        lively.clock.advance(8.0)  # far over the lease, were it not renewed
        until = sa.select(incidents.c.claimed_until)
        while (
            await lively.database.read(lambda c: c.execute(until).scalar_one()) < lively.clock.now()
        ):
            await asyncio.sleep(0.01)
        assert await lively.claim("w2") == []
        go_on.set()
        while not lively.platform.effects:
            await asyncio.sleep(0.01)
    assert lively.count("paramedic_faults_total", where="claim_lost") == 0.0
