"""Totals that only grow: what is tallied of the journal, and what is counted in the ledger."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.publish import SINKS
from service.publish.follower import followers
from service.publish.sink import Outlets
from service.store.figures import _ACTIONS, ActionTotal, Figures
from service.store.outbox import Outbox
from service.store.schema import ledger
from service.store.tallies import Count, Tallies, Total
from tests.path.test_ledger import twin, wrote
from tests.path.world import World

LABELS = {"playbook": "p", "verdict": "deny"}


async def test_what_is_counted_again_counts_once(lively: World) -> None:
    tallies = Tallies(lively.database)
    counts = [Count(n, "rulings", LABELS) for n in (1, 2, 3)]
    await tallies.add(counts[:2], 2)
    await tallies.add(counts, 3)  # the reply was lost: the batch comes again, and a step more
    await tallies.add(counts, 3)
    assert await tallies.totals() == [Total("rulings", LABELS, 3)]


async def test_a_held_back_remedy_is_tallied_once_however_often_it_is_asked_again(
    lively: World,
) -> None:
    await wrote(lively, "other", timedelta(minutes=20), settled_at=None, outcome=None)
    await lively.database.write(twin)  # that action is another incident's, and goes on
    for _ in range(8):
        await lively.step_when_due()
    assert [word for kind, word in await lively.told() if kind == "ruled"] == ["target_busy"]
    assert ("again", "") in await lively.told()
    outlets = Outlets(lively.clock, tallies=Tallies(lively.database))
    (follower,) = followers(SINKS, outlets, Outbox(lively.database), "w1")
    while await follower.follow():
        pass
    totals = await Tallies(lively.database).totals()
    ruled = [t for t in totals if t.name == "rulings"]
    assert [(t.labels["reason"], t.labels["target_kind"], t.value) for t in ruled] == [
        ("target_busy", "Deployment", 1)
    ]


async def test_the_ledger_is_counted_by_playbook_rung_action_kind_of_target_and_end(
    lively: World,
) -> None:
    await lively.settle()
    seen = await Figures(lively.database).seen(lively.clock.now())
    assert seen.actions == [
        ActionTotal("high-latency", "scale-out", "scale", "Deployment", "auto", "done", "healed", 1)
    ]
    assert seen.incidents == {("high-latency", "healed"): 1}
    assert [s.playbook for s in seen.spent] == ["high-latency"]
    later = await Figures(lively.database).seen(lively.clock.now() + timedelta(days=8))
    assert later.spent == []
    assert later.actions == seen.actions


async def test_the_age_of_the_oldest_webhook_that_waits_is_seen(lively: World) -> None:
    figures, now = Figures(lively.database), lively.clock.now()
    assert (await figures.seen(now)).oldest_waiting_at is None
    await lively.inbox.accept(b"{}")
    lively.clock.advance(60)
    assert (await figures.seen(now)).oldest_waiting_at == now


@pytest.mark.only_on("sqlite")
async def test_counting_the_ledger_reads_its_index_alone(lively: World) -> None:
    def explained(connection: sa.Connection) -> Any:
        text = str(_ACTIONS.compile(connection, compile_kwargs={"literal_binds": True}))
        return [row[-1] for row in connection.execute(sa.text(f"EXPLAIN QUERY PLAN {text}"))]

    plan = await lively.database.read(explained)
    assert f"SCAN {ledger.name} USING COVERING INDEX ledger_totals" in plan
