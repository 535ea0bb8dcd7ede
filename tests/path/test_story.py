"""The story of an incident from its first alert to its close, over the real store."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from service.decide.course import Patience
from service.kit.clock import VirtualClock
from service.kit.tasks import running
from service.model.action import Intent, Mode
from service.model.evidence import Evidence
from service.model.incident import IncidentState, OutcomeKind
from service.model.playbook import Budget, Limits, Playbook
from service.model.reasons import Reason
from service.settings import GuardSettings
from service.worker import Worker
from tests.path.world import Crash, World, world
from tests.unit.made import GOOD, TARGET, evidence, item, playbooks_in, shipped

OPEN, HEALED, HANDED_OVER, CLOSED = IncidentState
LEASE = timedelta(seconds=60)


async def until(holds: Callable[[], bool], what: str) -> None:
    """Waits for something that a background task brings about, at most five seconds."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)
    assert holds(), what


async def test_an_alert_is_diagnosed_remedied_proved_and_closed_when_it_resolves(
    lively: World,
) -> None:
    await lively.settle()
    assert await lively.told() == [
        ("diagnosed", ""), ("decided", "scale-out"), ("ruled", "within_limits"), ("acted", "done"),
        ("read", "holds"), ("read", "holds"), ("read", "holds"), ("verified", "healed"), ("moved", "healed"),
    ]  # fmt: skip
    assert lively.platform.replicas == 3
    await lively.resolves()
    assert await lively.round()
    incident = await lively.only()
    assert (incident.state, incident.outcome, incident.reason) == (
        CLOSED,
        OutcomeKind.HEALED,
        Reason.READINGS_GOOD,
    )
    assert lively.count(
        "paramedic_incidents_closed_total", playbook="high-latency", outcome="healed", reason="readings_good"
    ) == 1.0  # fmt: skip
    assert not await lively.round()


async def test_a_healed_incident_is_read_again_until_its_alert_resolves(lively: World) -> None:
    await lively.settle()
    lively.clock.advance(60)
    assert await lively.round()
    assert (await lively.told())[-2:] == [("decided", "already_healthy"), ("moved", "healed")]


async def test_a_runaway_query_is_ended_first_and_then_a_consumer_added(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, runaway_matters=True) as made:
        await made.fires()
        await made.settle()
        assert await made.actions() == [
            ("kill-runaway-query", "done", "not_healed"),
            ("scale-out", "done", "healed"),
        ]
        assert ("moved", "open") in await made.told()
        assert (await made.only()).state is HEALED


async def test_what_nothing_heals_goes_rung_by_rung_to_a_person(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, runaway_matters=True, replicas_needed=99) as made:
        await made.fires()
        await made.settle()
        assert [a[::2] for a in await made.actions()] == [
            ("kill-runaway-query", "not_healed"), ("scale-out", "not_healed"), ("scale-out", "not_healed"),
        ]  # fmt: skip
        incident = await made.only()
        assert incident.state is HANDED_OVER
        assert made.platform.replicas == 4
        handed = made.metrics.handed_over.labels("high-latency", incident.reason)._value.get()
        assert handed == 1.0


async def test_what_gets_worse_goes_to_a_person_at_once(lively: World) -> None:
    def see(made: World, playbook: Playbook) -> Evidence:
        acted = made.platform.replicas == 3
        return evidence(made.clock.now(), pods={"ready": 1 if acted else 2})

    lively.see = see
    await lively.settle()
    assert [a[2] for a in await lively.actions()] == ["worse"]
    assert (await lively.only()).state is HANDED_OVER


async def test_with_unknown_evidence_nothing_is_done_and_a_person_is_called_in_the_end(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, patience=Patience(60.0, 900.0)) as made:
        made.see = lambda w, p: evidence(
            w.clock.now(), unknown=["kafka", "clickhouse", "pods", "series"]
        )
        await made.fires()
        await made.settle()
        incident = await made.only()
        assert (incident.state, incident.reason) == (HANDED_OVER, Reason.EVIDENCE_UNKNOWN)
        assert await made.actions() == []
        assert made.looks == 16


@pytest.mark.parametrize(
    ("more", "state", "reason"),
    [
        pytest.param(
            {"mode": Mode.OBSERVE}, HANDED_OVER, Reason.MODE_OBSERVE, id="the ceiling observes"
        ),
        pytest.param(
            {"mode": Mode.APPROVE},
            HANDED_OVER,
            Reason.APPROVAL_REQUIRED,
            id="a person has to say yes",
        ),
        pytest.param(
            {"mode": Mode.DRY_RUN}, HANDED_OVER, Reason.MODE_DRY_RUN, id="the server only checks"
        ),
    ],
)
async def test_below_auto_the_target_stays_untouched(
    store_url: str, clock: VirtualClock, more: dict[str, Mode], state: IncidentState, reason: Reason
) -> None:
    async with world(store_url, clock, **more) as made:
        await made.fires()
        await made.settle()
        incident = await made.only()
        assert (incident.state, incident.reason) == (state, reason)
        assert (made.platform.effects, made.platform.replicas) == ([], 2)


async def test_each_guards_word_is_in_the_record(store_url: str, clock: VirtualClock) -> None:
    limited = replace(shipped(), limits=Limits(Budget(1, 3600.0), Budget(9, 3600.0), 0.0))
    async with world(
        store_url,
        clock,
        playbooks=(limited,),
        runaway_matters=True,
        patience=Patience(60.0, 90_000.0),
    ) as made:
        await made.fires()
        for _ in range(3):
            await made.round()
        assert ("ruled", "budget_target") in await made.told()
        assert (await made.only()).due_at > made.clock.now()
        assert len(made.platform.effects) == 1


async def test_cooling_down_puts_the_next_rung_off(store_url: str, clock: VirtualClock) -> None:
    limited = replace(shipped(), limits=Limits(Budget(9, 3600.0), Budget(9, 3600.0), 600.0))
    async with world(store_url, clock, playbooks=(limited,), runaway_matters=True) as made:
        await made.fires()
        await made.settle()
        ruled = [word for kind, word in await made.told() if kind == "ruled"]
        assert ruled == ["within_limits", "cooling_down", "within_limits"]
        (first, second) = sorted(r["intended_at"] for r in await made.ledger.entries(None, 9))
        assert (second - first).total_seconds() >= 600


async def test_a_namespace_that_is_no_longer_allowed_is_not_acted_on(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        await made.fires()
        made.limits = GuardSettings(namespaces=("other",))
        await made.restart()
        await made.settle()
        assert (await made.only()).reason is Reason.NAMESPACE_NOT_ALLOWED
        assert made.platform.effects == []


async def test_evidence_of_another_time_is_not_acted_on(lively: World) -> None:
    lively.see = lambda w, p: evidence(w.clock.now() - timedelta(seconds=120))
    await lively.round()
    assert (await lively.told())[-2:] == [("ruled", "evidence_stale"), ("moved", "open")]
    assert lively.platform.effects == []


async def test_an_alert_that_resolves_before_the_work_begins_cancels_it(lively: World) -> None:
    await lively.resolves()
    await lively.settle()
    incident = await lively.only()
    assert (incident.state, incident.reason, lively.looks) == (CLOSED, Reason.ALERT_RESOLVED, 0)


async def test_an_alert_that_resolves_during_the_diagnosis_is_not_acted_on(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, patience=Patience(60.0, 1.0)) as made:
        await made.fires()
        clock.advance(900)  # patience is over: even so nobody is called for what has resolved
        look = made.stages.look

        async def resolving(playbook: Playbook, incident: object) -> Evidence:
            await made.resolves()
            return await look(playbook, incident)  # type: ignore[arg-type]

        made.stages = replace(made.stages, look=resolving)
        await made.round()
        assert ("ruled", "alert_resolved") in await made.told()
        assert made.platform.effects == []
        await made.round()
        assert (await made.only()).state is CLOSED
        assert made.metrics.handed_over.labels("high-latency", "alert_resolved")._value.get() == 0.0


async def test_an_alert_that_joins_while_an_incident_closes_is_not_lost(lively: World) -> None:
    await lively.resolves()
    incident = await lively.incidents.claim("w1", lively.clock.now(), LEASE)
    assert incident is not None
    await lively.deliver(
        item("f2", starts_at="2026-01-01T01:00:00Z")
    )  # joins the incident that is about to close
    await lively.stages.close(incident)
    await lively.incidents.release(incident, "w1")
    assert (await lively.only()).state is OPEN
    assert (
        lively.metrics.closed.labels("high-latency", "none", "alert_resolved")._value.get() == 0.0
    )
    await lively.settle()
    assert (await lively.only()).state is HEALED


async def test_what_a_person_has_stays_with_the_person_when_another_alert_joins(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, mode=Mode.OBSERVE) as made:
        await made.fires()
        await made.settle()
        await made.resolves()
        await made.deliver(item("f2", starts_at="2026-01-01T01:00:00Z"))
        made.looks = 0
        assert await made.round()
        incident = await made.only()
        assert (incident.state, incident.reason, made.looks) == (
            HANDED_OVER,
            Reason.MODE_OBSERVE,
            0,
        )
        assert made.metrics.handed_over.labels("high-latency", "mode_observe")._value.get() == 1.0
        assert not await made.round()


async def test_a_verification_that_a_bug_broke_off_does_not_take_the_incident_back_from_a_person(
    lively: World,
) -> None:
    def see(made: World, playbook: Playbook) -> Evidence:
        if made.platform.effects:
            raise ZeroDivisionError("a bug")
        return made.as_it_is()

    lively.see = see
    with pytest.raises(ZeroDivisionError):
        await lively.round()
    incident = await lively.only()
    await lively.stages.set_aside(incident, Reason.PIPELINE_FAILED, "a bug")
    await lively.incidents.release(incident, "w1")
    lively.see = lambda w, p: evidence(w.clock.now())
    await lively.resolves()
    await lively.settle()
    assert [a[2] for a in await lively.actions()] == [
        "inconclusive"
    ]  # nobody will know, and nothing waits for it
    states = [word for kind, word in await lively.told() if kind == "moved"]
    assert states == ["handed_over", "closed"]


CRASHES = [
    pytest.param("before", id="between the intent and the write"),
    pytest.param("after", id="between the write and its result"),
    pytest.param("verify", id="between the result and the outcome"),
]


@pytest.mark.parametrize("place", CRASHES)
@pytest.mark.parametrize("times", [1, 3])
async def test_after_a_crash_it_goes_on_and_nothing_is_done_twice(
    lively: World, place: str, times: int
) -> None:
    left = times

    def die(intent: Intent | None = None) -> None:
        nonlocal left
        if left:
            left -= 1
            raise Crash

    def see(made: World, playbook: Playbook) -> Evidence:
        if place == "verify" and made.platform.effects:
            die()
        return made.as_it_is()

    lively.see = see
    if place == "before":
        lively.platform.on_apply = die
    if place == "after":
        lively.platform.after_apply = die
    for _ in range(times):
        with pytest.raises(Crash):
            await lively.round()
        lively.clock.advance(5)
        await lively.restart()
        if place == "after":
            break  # read back, it shows as done: the write is not sent again, so there is no second death
    await lively.settle()
    assert await lively.actions() == [("scale-out", "done", "healed")]
    assert len(lively.platform.effects) == 1
    assert (await lively.only()).state is HEALED


async def test_an_intent_is_not_sent_after_an_outage_in_which_its_alert_resolved(
    lively: World,
) -> None:
    def die(intent: Intent) -> None:
        raise Crash

    lively.platform.on_apply = die
    with pytest.raises(Crash):
        await lively.round()
    lively.platform.on_apply = lambda intent: None
    await lively.restart()
    await lively.resolves()
    await lively.settle()
    assert lively.platform.effects == []
    assert await lively.actions() == [("scale-out", "failed", "failed")]
    assert (await lively.only()).state is CLOSED


async def test_an_intent_is_not_sent_after_an_outage_that_made_its_evidence_old(
    lively: World,
) -> None:
    def die(intent: Intent) -> None:
        raise Crash

    lively.platform.on_apply = die
    with pytest.raises(Crash):
        await lively.round()
    lively.platform.on_apply = lambda intent: None
    lively.clock.advance(600)
    await lively.restart()
    await lively.settle()
    assert await lively.actions() == [
        ("scale-out", "failed", "failed"),
        ("scale-out", "done", "healed"),
    ]
    assert len(lively.platform.effects) == 1


async def test_two_playbooks_on_one_target_are_worked_one_after_the_other(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    other = GOOD.replace('alertname="ConsumerLagHigh"', 'alertname="Other"')
    playbooks = (shipped(), *playbooks_in(tmp_path / "playbooks", other))
    async with world(store_url, clock, playbooks=playbooks) as made:
        await made.fires()
        await made.fires("f2", alertname="Other")
        first = await made.incidents.claim("w1", clock.now(), LEASE)
        assert first is not None
        assert first.target == TARGET
        assert await made.incidents.claim("w2", clock.now(), LEASE) is None
        assert await made.incidents.claim("w1", clock.now(), LEASE, [TARGET.key]) is None
        await made.incidents.release(first, "w1")
        second = await made.incidents.claim("w2", clock.now(), LEASE)
        assert second is not None


async def test_a_claim_that_broke_off_is_taken_up_by_its_own_process_at_once_and_by_another_after_the_lease(
    lively: World,
) -> None:
    now = lively.clock.now()
    first = await lively.incidents.claim("w1", now, LEASE)
    assert first is not None
    assert await lively.incidents.claim("w1", now, LEASE) is not None
    assert await lively.incidents.claim("w2", now, LEASE) is None
    assert await lively.incidents.next_due("w2", now) == now + LEASE
    assert await lively.incidents.next_due("w1", now) == first.due_at
    assert await lively.incidents.claim("w2", now + LEASE + LEASE, LEASE) is not None
    assert not await lively.incidents.renew(first, "w1", now + LEASE + LEASE)


async def test_two_replicas_of_prometheus_give_one_alert_two_starts_and_one_end(
    lively: World,
) -> None:
    await lively.deliver(item(starts_at="2025-12-31T23:59:30Z"))  # the other replica saw it earlier
    assert len((await lively.only()).firing) == 2
    await lively.deliver(
        item(status="resolved", starts_at="2025-12-31T23:59:30Z", ends_at="2026-01-01T00:10:00Z")
    )
    assert (await lively.only()).firing == ()
    await lively.settle()
    assert (await lively.only()).state is CLOSED


async def test_an_alert_that_starts_anew_has_ended_before(lively: World) -> None:
    await lively.deliver(item(starts_at="2026-01-01T02:00:00Z"))
    assert [a.starts_at.hour for a in (await lively.only()).firing] == [2]


async def test_the_worker_survives_a_bug_of_ours_and_goes_on_with_others(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        other = {"workload": "enrichment-service"}
        await made.fires("f1")
        await made.fires("f2", **other)

        async def look(playbook: Playbook, incident: object) -> Evidence:
            if getattr(incident, "target", None) == TARGET:
                raise ZeroDivisionError("a bug")
            return made.as_it_is()

        worker = Worker(made.incidents, replace(made.stages, look=look), clock, slots=2)
        died: list[str] = []
        async with running("worker", worker.run(), lambda name, error: died.append(repr(error))):
            await until(
                lambda: made.count("paramedic_faults_total", where="pipeline") == 1.0,
                "the bug is counted",
            )
            await until(lambda: len(made.platform.effects) == 1, "the other one is remedied")
        states = {
            r["target_name"]: (r["state"], r["reason"]) for r in await made.incidents.listing(9)
        }
        assert states["normalization-service"] == ("handed_over", "pipeline_failed")
        assert died == []


async def test_a_target_that_the_playbook_has_no_parameters_for_goes_to_a_person_by_that_word(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        await made.fires(workload="unheard-of-service")

        async def look(playbook: Playbook, incident: object) -> Evidence:
            playbook.params_for(incident.target)  # type: ignore[attr-defined]
            raise AssertionError("it has no consumer group")

        worker = Worker(made.incidents, replace(made.stages, look=look), clock, slots=1)
        async with running("worker", worker.run(), lambda name, error: None):
            handed = made.metrics.handed_over.labels("high-latency", "target_unresolved")
            await until(lambda: handed._value.get() == 1.0, "a person has it")
        assert made.count("paramedic_faults_total", where="pipeline") == 0.0


async def test_many_incidents_at_once_never_overspend_the_budget_of_all(
    store_url: str, clock: VirtualClock
) -> None:
    playbook = replace(shipped(), limits=Limits(Budget(9, 3600.0), Budget(99, 3600.0), 0.0))
    async with world(
        store_url,
        clock,
        playbooks=(playbook,),
        limits=GuardSettings(overall_count=3),
        replicas_needed=99,
    ) as made:
        for n in range(12):
            await made.fires(f"f{n}", workload=f"service-{n}")
        claimed = [await made.incidents.claim(f"w{n}", clock.now(), LEASE) for n in range(12)]
        seen = made.as_it_is()
        proposals = [(i, await made.stages.decide(i, seen)) for i in claimed if i is not None]
        assert len(proposals) == 12
        rulings = await asyncio.gather(*(made.stages.admit(i, p, seen) for i, p in proposals))
        assert sum(r.allowed for r in rulings) == 3
        assert {r.reason for r in rulings if not r.allowed} == {Reason.BUDGET_OVERALL}
        assert len(await made.ledger.entries(None, 99)) == 3
