"""What is set aside for a person, and what comes back by itself."""

from dataclasses import fields
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa

from service.act import KINDS
from service.act.kind import Deed, Permit, TargetState
from service.kit.clock import VirtualClock
from service.kit.deadline import Deadline
from service.model.action import Intent, Mode
from service.model.errors import Indeterminate, Unavailable
from service.model.incident import IncidentState
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.settings import GuardSettings
from tests.path.world import Crash, World, world
from tests.unit.made import evidence, shipped


class Nobody:
    """A hand whose replies are lost, and whose target cannot be read back."""

    def __init__(self) -> None:
        self.sent = 0

    async def apply(self, permit: Permit[Any]) -> Deed:
        self.sent += 1
        raise Indeterminate("no reply")

    async def read_back(self, intent: Intent[Any], deadline: Deadline) -> TargetState:
        raise Unavailable(Reason.UNREACHABLE, "no reply either")


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


async def test_an_action_of_which_nobody_knows_is_read_back_for_minutes_before_a_person_is_called(
    store_url: str, clock: VirtualClock
) -> None:
    nobody = Nobody()
    async with world(store_url, clock, hands=dict.fromkeys(KINDS, nobody)) as made:
        await made.fires()
        await made.settle()
        incident = await made.only()
        assert (incident.state, incident.reason) == (
            IncidentState.ESCALATED,
            Reason.INDETERMINATE,
        )
        assert nobody.sent == 1
        assert [a[1:] for a in await made.actions()] == [("failed", "inconclusive")]
        assert 500 < (clock.now() - incident.opened_at).total_seconds() <= 600


async def test_an_action_whose_reply_was_lost_is_found_done_when_the_server_comes_back(
    lively: World,
) -> None:
    def lose(intent: Intent[Any]) -> None:
        raise Indeterminate("no reply")

    def away(intent: Intent[Any]) -> None:
        if lively.clock.monotonic() < 45:
            raise Unavailable(Reason.UNREACHABLE, "the server is restarted")

    lively.platform.after_apply, lively.platform.before_read = lose, away
    await lively.settle()
    assert await lively.actions() == [("scale-out", "done", "healed")]
    assert len(lively.platform.effects) == 1


async def test_an_outage_before_anything_was_sent_uses_up_no_rung_and_no_budget(
    lively: World,
) -> None:
    def away(intent: Intent[Any]) -> None:
        if lively.clock.monotonic() < 200:
            raise Unavailable(Reason.UNREACHABLE, "connection refused")

    lively.platform.on_apply = lively.platform.before_read = away
    await lively.settle()
    outcomes = await lively.actions()
    assert outcomes[-1] == ("scale-out", "done", "healed")
    assert {outcome[1:] for outcome in outcomes[:-1]} <= {
        ("failed", "failed"),
        ("failed", "inconclusive"),
    }
    assert [w for k, w in await lively.told() if k == "ruled" and w.startswith("budget")] == []


async def test_a_server_that_sheds_load_is_left_alone_for_as_long_as_it_wishes(
    lively: World,
) -> None:
    asked_at: list[float] = []

    def shed(intent: Intent[Any]) -> None:
        asked_at.append(lively.clock.monotonic())
        if len(asked_at) < 3:
            raise Unavailable(Reason.THROTTLED, "429", retry_after_s=7.0)

    lively.platform.on_apply = shed
    await lively.settle()
    assert await lively.actions() == [("scale-out", "done", "healed")]
    assert [round(b - a) for a, b in pairwise(asked_at)] == [7, 7]


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
    def die(intent: Intent[Any]) -> None:
        raise Crash

    lively.platform.on_apply = die
    with pytest.raises(Crash):
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
    assert await lively.round()
    assert not await lively.round()
    assert (await lively.only()).state is IncidentState.ESCALATED
    await lively.resolves()
    assert await lively.round()
    assert not await lively.round()
    assert (await lively.only()).state is IncidentState.CLOSED


async def test_a_row_of_a_newer_version_is_set_aside_and_stops_no_other(
    lively: World,
) -> None:
    await lively.fires("f2", workload="enrichment-service")
    await lively.database.write(
        lambda tx: (
            tx.execute(
                sa.text(
                    "UPDATE incidents SET reason = 'a_word_of_2027' WHERE target_name LIKE 'norm%'"
                )
            ).rowcount
        )
    )
    await lively.settle()
    states = {
        r["target_name"]: (r["state"], r["reason"]) for r in await lively.incidents.listing(9)
    }
    assert states["normalization-service"] == ("escalated", "unreadable")
    assert states["enrichment-service"][0] == "healed"


async def test_after_a_failed_commit_it_is_not_ready_until_a_write_succeeds(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        await made.database.write(
            lambda tx: tx.execute(sa.text("ALTER TABLE waiting RENAME TO gone")).rowcount
        )
        with pytest.raises(Unavailable):
            await made.inbox.accept(b"{}")
        clock.advance(3_600)
        with pytest.raises(Unavailable):
            await made.inbox.ready()
        await made.database.write(
            lambda tx: tx.execute(sa.text("ALTER TABLE gone RENAME TO waiting")).rowcount
        )
        await made.inbox.ready()
