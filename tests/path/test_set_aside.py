"""What is set aside for a person, and what comes back by itself."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from service.act.executor import Deed
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Intent, Mode
from service.model.errors import Indeterminate, Unavailable
from service.model.incident import IncidentState
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.settings import GuardSettings
from service.worker import Worker
from tests.path.world import World, world
from tests.unit.made import evidence, shipped


class Nobody:
    """A hand whose replies are lost, and whose target cannot be read back."""

    def __init__(self) -> None:
        self.sent = 0

    async def apply(self, intent: Intent, deadline: Deadline) -> Deed:
        self.sent += 1
        raise Indeterminate("no reply")

    async def read_back(self, intent: Intent, deadline: Deadline) -> object:
        raise Indeterminate("no reply either")


class Brittle(Playbook):
    """A playbook whose matching has a bug for one kind of alert."""

    def matches(self, labels: object) -> bool:
        if "poison" in labels:  # type: ignore[operator]
            raise ZeroDivisionError("a bug of ours")
        return super().matches(labels)  # type: ignore[arg-type]


async def test_one_letter_that_cannot_be_sorted_holds_nobody_up(
    store_url: str, clock: VirtualClock
) -> None:
    good = shipped()
    brittle = Brittle(**{f.name: getattr(good, f.name) for f in fields(good)})
    async with world(store_url, clock, playbooks=(brittle,)) as made:
        await made.fires("bad", poison="yes")
        await made.fires("good")
        assert made.inbox.waiting == 0
        assert len(await made.incidents.listing(9)) == 1
        (letter,) = await made.inbox.dead(9)
        assert letter["reason"] == Reason.SORTING_FAILED
        assert "ZeroDivisionError" in str(letter["detail"])
        assert made.count("paramedic_faults_total", where="sorter") == 1


async def test_an_alert_that_fired_before_its_playbook_was_there_is_routed_when_it_is_told_again(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, playbooks=()) as made:
        await made.fires()
        await made.fires()
        assert [row["unrouted"] for row in await made.episodes.unrouted(9)] == ["no_playbook"]
        assert made.count("paramedic_alerts_unrouted_total", reason="no_playbook") == 1
        made.playbooks = (shipped(),)
        await made.restart()
        await made.fires()
        assert await made.episodes.unrouted(9) == []
        assert (await made.only()).firing


async def test_an_action_of_which_nobody_knows_whether_it_was_done_goes_to_a_person_and_nothing_follows(
    lively: World,
) -> None:
    nobody = Nobody()
    hands = dict.fromkeys(lively.stages.executor._hands, nobody)
    lively.stages = replace(
        lively.stages, executor=type(lively.stages.executor)(hands, lively.clock, 30.0)
    )  # type: ignore[arg-type]
    await lively.settle()
    incident = await lively.only()
    assert (incident.state, incident.reason) == (IncidentState.HANDED_OVER, Reason.INDETERMINATE)
    assert nobody.sent == 1
    assert [a[1:] for a in await lively.actions()] == [("failed", "inconclusive")]


async def test_a_healed_incident_stays_healed_when_one_look_tells_nothing(lively: World) -> None:
    await lively.settle()
    assert (await lively.only()).state is IncidentState.HEALED
    lively.see = lambda made, _: evidence(
        made.clock.now(), unknown=["kafka", "clickhouse", "pods", "series"]
    )
    lively.clock.advance(timedelta(hours=2).total_seconds())
    assert await lively.round()
    incident = await lively.only()
    assert (incident.state, incident.reason) == (IncidentState.HEALED, Reason.EVIDENCE_UNKNOWN)


async def test_what_is_older_than_it_is_kept_is_pruned_but_the_audit_stays(lively: World) -> None:
    await lively.settle()
    await lively.resolves()
    await lively.settle()
    before = await lively.actions()
    lively.clock.advance(timedelta(days=40).total_seconds())
    await lively.incidents.prune(lively.clock.now() - timedelta(days=30))
    incident = await lively.only()
    assert (incident.state, incident.alerts) == (IncidentState.CLOSED, ())
    assert await lively.told() == []
    assert await lively.actions() == before


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        pytest.param({"mode": Mode.OBSERVE}, Reason.MODE_OBSERVE, id="the ceiling was lowered"),
        pytest.param(
            {"limits": GuardSettings(namespaces=("other",))},
            Reason.NAMESPACE_NOT_ALLOWED,
            id="the namespace",
        ),
    ],
)
async def test_an_intent_of_before_the_restart_is_not_sent_when_the_operator_has_forbidden_it_since(
    lively: World, now: dict[str, object], reason: Reason
) -> None:
    def die(intent: Intent) -> None:
        raise ConnectionAbortedError

    lively.platform.on_apply = die
    with pytest.raises(ConnectionAbortedError):
        await lively.round()
    lively.platform.on_apply = lambda intent: None
    for name, value in now.items():
        setattr(lively, name, value)
    await lively.restart()
    await lively.round()
    assert lively.platform.effects == []
    rows = await lively.ledger.entries(None, 9)
    assert [(r["applied"], r["applied_reason"]) for r in rows] == [("failed", reason)]


async def test_an_incident_whose_playbook_is_gone_goes_to_a_person_once_and_closes_when_it_resolves(
    lively: World,
) -> None:
    lively.playbooks = ()
    await lively.restart()
    worker = Worker(lively.incidents, lively.stages, lively.clock, 1)

    async def rounds() -> int:
        count = 0
        while incident := await worker._claim():
            await worker._round(incident)
            await lively.incidents.release(incident, worker.owner)
            count += 1
            assert count < 5
        return count

    assert await rounds() == 1
    assert (await lively.only()).state is IncidentState.HANDED_OVER
    await lively.resolves()
    assert await rounds() == 1
    assert (await lively.only()).state is IncidentState.CLOSED


async def test_after_a_failed_commit_readiness_says_so_for_a_while(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        await made.database.write(
            lambda tx: tx.execute(sa.text("ALTER TABLE waiting RENAME TO gone")).rowcount
        )
        with pytest.raises(Unavailable):
            await made.inbox.accept(b"{}")
        assert made.inbox.failed_lately
        clock.advance(11)
        assert not made.inbox.failed_lately
