"""The story of an incident from its first alert to its close, over the real store."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.act import KINDS
from service.act.executor import Executor
from service.act.kind import Deed, Permit
from service.incident.lifecycle import Patience
from service.kit.clock import VirtualClock
from service.kit.tasks import running
from service.model.action import Intent, Mode
from service.model.alert import Alert, Standing
from service.model.errors import Refused
from service.model.evidence import Evidence, Known, Reading, Unknown
from service.model.incident import Incident, IncidentState, OutcomeKind
from service.model.playbook import Budget, Limits, Playbook
from service.model.reasons import Reason
from service.settings import GuardSettings
from service.worker import LEASE_S
from tests.path.world import LEASE, Crash, Platform, World, world
from tests.unit.made import GOOD, TARGET, evidence, item, playbooks_in, shipped

OPEN, ACTING, WAITING, VERIFYING, HEALED, ESCALATED, CLOSED = IncidentState


async def until(holds: Callable[[], bool], what: str) -> None:
    """Waits for something that a background task brings about, at most half a minute."""
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.005)
    assert holds(), what


async def test_an_alert_is_diagnosed_remedied_proved_and_closed_when_it_resolves(
    lively: World,
) -> None:
    await lively.settle()
    assert await lively.told() == [
        ("diagnosed", ""), ("decided", "scale-out"), ("ruled", "within_limits"),
        ("acted", "done"), ("moved", "verifying"),
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
        assert incident.state is ESCALATED
        assert made.platform.replicas == 4
        escalated = made.metrics.escalated.labels("high-latency", incident.reason)._value.get()
        assert escalated == 1.0


async def test_what_gets_worse_is_taken_back_and_goes_to_a_person_at_once(lively: World) -> None:
    def see(made: World, playbook: Playbook) -> Evidence:
        acted = made.platform.replicas == 3
        return evidence(made.clock.now(), pods={"ready": 1 if acted else 2})

    lively.see = see
    await lively.settle()
    assert [a[2] for a in await lively.actions()] == ["worse", "not_healed"]
    assert (await lively.only()).state is ESCALATED
    assert lively.platform.replicas == 2


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
        assert (incident.state, incident.reason) == (ESCALATED, Reason.EVIDENCE_UNKNOWN)
        assert await made.actions() == []
        assert made.looks == 16


@pytest.mark.parametrize(
    ("more", "state", "reason"),
    [
        pytest.param(
            {"mode": Mode.OBSERVE}, ESCALATED, Reason.MODE_OBSERVE, id="the ceiling observes"
        ),
        pytest.param(
            {"mode": Mode.APPROVE},
            ESCALATED,
            Reason.APPROVAL_REQUIRED,
            id="a person has to say yes",
        ),
        pytest.param(
            {"mode": Mode.DRY_RUN}, ESCALATED, Reason.MODE_DRY_RUN, id="the server only checks"
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
        while ("ruled", "budget_target") not in await made.told():
            await made.step_when_due()
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


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        pytest.param(Standing(silenced=1), "silenced", id="silenced"),
        pytest.param(Standing(inhibited=1), "inhibited", id="inhibited"),
        pytest.param(Standing(), "not_firing", id="a frozen retry: it has resolved since"),
        pytest.param(None, "firing_unknown", id="Alertmanager is away"),
    ],
)
async def test_what_alertmanager_does_not_have_firing_is_not_acted_on_until_it_does(
    lively: World, found: Standing | None, reason: str
) -> None:
    async def ask(alerts: Sequence[Alert]) -> Reading[Standing]:
        now = lively.clock.now()
        assert [alert.fingerprint for alert in alerts] == ["f1"]
        if found is None:
            return Unknown(Reason.UNREACHABLE, "am", now, 0.1, "refused")
        return Known(found, "am", now, 0.1)

    async def firing(alerts: Sequence[Alert]) -> Reading[Standing]:
        return Known(Standing(active=1), "am", lively.clock.now(), 0.1)

    lively.worker = lively.worker_of(replace(lively.rooms, standing=ask))
    for _ in range(4):
        await lively.step_when_due()
    incident = await lively.only()
    assert (incident.state, incident.reason) == (OPEN, reason)
    assert lively.platform.effects == []
    lively.worker = lively.worker_of(replace(lively.rooms, standing=firing))
    await lively.settle()
    assert (await lively.only()).state is HEALED


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

        async def resolving(playbook: Playbook, incident: Incident) -> Evidence:
            await made.resolves()
            return await made.diagnose(playbook, incident)

        made.worker = made.worker_of(replace(made.rooms, diagnose=resolving))
        await made.round()
        assert ("ruled", "alert_resolved") in await made.told()
        assert made.platform.effects == []
        assert (await made.only()).state is CLOSED
        assert made.metrics.escalated.labels("high-latency", "alert_resolved")._value.get() == 0.0


async def test_an_alert_that_joins_while_an_incident_closes_is_not_lost(lively: World) -> None:
    await lively.resolves()
    (held,) = await lively.claim()
    await lively.deliver(
        item("f2", starts_at="2026-01-01T01:00:00Z")
    )  # joins the incident that is about to close
    await lively.worker.take_step(held)
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
            ESCALATED,
            Reason.MODE_OBSERVE,
            0,
        )
        assert made.metrics.escalated.labels("high-latency", "mode_observe")._value.get() == 1.0
        assert not await made.round()


async def test_a_verification_that_a_bug_broke_off_does_not_take_the_incident_back_from_a_person(
    lively: World,
) -> None:
    def see(made: World, playbook: Playbook) -> Evidence:
        if made.platform.effects:
            raise ZeroDivisionError("a bug")
        return made.as_it_is()

    lively.see = see
    await lively.settle()
    assert ((await lively.only()).state, (await lively.only()).reason) == (
        ESCALATED,
        Reason.PIPELINE_FAILED,
    )
    lively.see = lambda w, p: evidence(w.clock.now())
    await lively.resolves()
    await lively.settle()
    assert [a[2] for a in await lively.actions()] == [
        "inconclusive"
    ]  # nobody will know, and nothing waits for it
    states = [word for kind, word in await lively.told() if kind == "moved"]
    assert states == ["verifying", "escalated", "closed"]


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

    def die(intent: Intent[Any] | None = None) -> None:
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
            await lively.settle()
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
    def die(intent: Intent[Any]) -> None:
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
    def die(intent: Intent[Any]) -> None:
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


async def test_two_playbooks_on_one_target_never_act_on_it_at_once(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    other = GOOD.replace('alertname="ConsumerLagHigh"', 'alertname="Other"')
    playbooks = (shipped(), *playbooks_in(tmp_path / "playbooks", other))
    async with world(store_url, clock, playbooks=playbooks) as made:
        await made.fires()
        await made.fires("f2", alertname="Other")
        first, second = await made.claim(limit=2)
        assert first.incident.target == second.incident.target == TARGET
        await asyncio.gather(made.worker.take_step(first), made.worker.take_step(second))
        assert len(made.platform.effects) == 1
        rows = await made.incidents.listing(2)
        assert {row["reason"] for row in rows} == {"target_busy", "done"}


async def test_a_claim_that_broke_off_is_taken_up_by_another_process_after_the_lease(
    lively: World,
) -> None:
    now = lively.clock.now()
    (first,) = await lively.claim()
    assert await lively.claim("w2") == []
    assert await lively.incidents.next_due(now, LEASE) == now + LEASE
    lively.clock.advance(LEASE_S)
    (second,) = await lively.claim("w2")
    assert second.claim.number == first.claim.number + 1
    with pytest.raises(Refused, match="claim_lost"):
        await lively.incidents.confirm(first.claim)
    await lively.incidents.confirm(second.claim)


async def test_a_process_that_was_paused_in_the_middle_of_an_action_writes_nothing_late(
    lively: World,
) -> None:
    taken: list[bool] = []

    def pause(intent: Intent[Any]) -> None:
        lively.clock.advance(60)
        lively.platform.on_apply = lambda intent: None
        taken.append(True)

    (held,) = await lively.claim()
    lively.platform.on_apply = pause
    slow = asyncio.Event()

    async def diagnose(playbook: Playbook, incident: Incident) -> Evidence:
        slow.set()
        return await lively.diagnose(playbook, incident)

    await lively.worker_of(replace(lively.rooms, diagnose=diagnose)).take_step(held)
    # Nobody else took it over: the claim is its own still, and the write goes out once.
    assert (taken, len(lively.platform.effects)) == ([True], 1)


async def test_a_process_whose_incident_was_taken_over_while_it_was_paused_sends_nothing(
    lively: World,
) -> None:
    (held,) = await lively.claim()
    sent_late: list[str] = []

    class Paused(Platform):
        async def apply(self, permit: Permit[Any]) -> Deed:
            lively.clock.advance(60)  # SIGSTOP, right here
            assert await lively.round("w2")  # the other replica reads back and goes on
            await permit.confirm()
            sent_late.append(permit.intent.action_id)
            return await super().apply(permit)

    rooms = replace(lively.rooms, executor=Executor(dict.fromkeys(KINDS, Paused())))
    await lively.worker_of(rooms).take_step(held)
    assert sent_late == []
    assert lively.count("paramedic_faults_total", where="claim_lost") == 1.0


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
    lively.clock.advance(7_200)
    await lively.deliver(item(starts_at="2026-01-01T02:00:00Z"))
    assert [a.starts_at.hour for a in (await lively.only()).firing] == [2]


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        pytest.param("raises", "pipeline_failed", id="one that raises"),
        pytest.param("hangs", "step_stuck", id="one that hangs"),
    ],
)
async def test_one_incident_that_goes_wrong_delays_no_other(
    store_url: str, clock: VirtualClock, way: str, reason: str
) -> None:
    async with world(store_url, clock) as made:
        await made.fires("f1")
        await made.fires("f2", workload="enrichment-service")

        async def diagnose(playbook: Playbook, incident: Incident) -> Evidence:
            if incident.target == TARGET and way == "hangs":
                await asyncio.Event().wait()
            if incident.target == TARGET:
                raise ZeroDivisionError("a bug")
            return made.as_it_is()

        rooms = replace(made.rooms, diagnose=diagnose)
        worker = made.worker_of(rooms, slots=2, step_within_s=2.0)
        died: list[str] = []
        async with running("worker", worker.run(), lambda name, error: died.append(repr(error))):
            await until(lambda: len(made.platform.effects) == 1, "the other one is remedied")
            escalated = made.metrics.escalated.labels("high-latency", reason)
            await until(lambda: escalated._value.get() == 1.0, "a person has the first")
        assert made.count("paramedic_faults_total", where="pipeline") == 1.0
        states = {
            r["target_name"]: (r["state"], r["reason"]) for r in await made.incidents.listing(9)
        }
        assert states["normalization-service"] == ("escalated", reason)
        assert died == []


async def test_an_incident_that_is_due_again_and_again_delays_no_new_one(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, patience=Patience(0.0, 7_200.0)) as made:
        made.see = lambda w, p: evidence(w.clock.now(), kafka={"lag_growing": False})
        for n in range(5):
            await made.fires(f"f{n}", workload=f"service-{n}")
        for _ in range(20):
            await made.step_when_due()
        await made.fires("new", workload="new-service")
        (held,) = await made.claim()
        assert held.incident.target.name == "new-service"


async def test_of_what_is_due_the_longest_due_goes_first(lively: World) -> None:
    for name in ("second", "third"):
        lively.clock.advance(1.0)
        await lively.fires(name, workload=f"{name}-service")
    lively.clock.advance(1.0)
    claimed = [(await lively.claim())[0].incident.target.name for _ in range(3)]
    assert claimed == [TARGET.name, "second-service", "third-service"]


async def test_an_alert_that_asks_for_a_look_alone_is_never_acted_on(
    store_url: str, clock: VirtualClock
) -> None:
    anything = replace(shipped(), matchers=shipped().matchers[:1])
    async with world(store_url, clock, playbooks=(anything,)) as made:
        await made.fires(remediate="diagnose")
        await made.settle()
        incident = await made.only()
        assert (incident.state, incident.reason) == (ESCALATED, Reason.MODE_OBSERVE)
        assert made.platform.effects == []


async def test_verification_holds_no_worker(store_url: str, clock: VirtualClock) -> None:
    async with world(store_url, clock, replicas_needed=99) as made:
        for n in range(30):
            await made.fires(f"f{n}", workload=f"service-{n}")
        for _ in range(30):
            assert await made.round()  # one slot, and the clock stands still
        assert {row["state"] for row in await made.incidents.listing(99)} != {"open"}
        assert made.looks == 30


async def test_a_target_that_the_playbook_has_no_parameters_for_goes_to_a_person_by_that_word(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock) as made:
        await made.fires(workload="unheard-of-service")

        async def diagnose(playbook: Playbook, incident: Incident) -> Evidence:
            playbook.params_for(incident.target)
            raise AssertionError("it has no consumer group")

        made.worker = made.worker_of(replace(made.rooms, diagnose=diagnose))
        await made.round()
        assert (await made.only()).reason is Reason.TARGET_UNRESOLVED
        assert made.count("paramedic_faults_total", where="pipeline") == 0.0


async def test_many_incidents_at_once_never_overspend_the_budget_of_all(
    store_url: str, clock: VirtualClock
) -> None:
    playbook = replace(shipped(), limits=Limits(Budget(9, 3600.0), Budget(99, 3600.0), 0.0))
    async with world(
        store_url,
        clock,
        playbooks=(playbook,),
        limits=GuardSettings(overall_count=3, canary_window_s=0, blast_targets=99),
        replicas_needed=99,
    ) as made:
        for n in range(12):
            await made.fires(f"f{n}", workload=f"service-{n}")
        claimed = await made.claim(limit=12)
        assert len(claimed) == 12
        await asyncio.gather(*(made.worker.take_step(held) for held in claimed))
        assert len(await made.ledger.entries(None, 99)) == 3
        reasons = [row["reason"] for row in await made.incidents.listing(99)]
        assert reasons.count(Reason.BUDGET_OVERALL) == 9
