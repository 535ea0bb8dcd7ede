"""An effect waits while its cause is open, is looked at as soon as that one closes,
and is never acted on first.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.incident.lifecycle import Patience
from service.kit.clock import VirtualClock
from service.model.causes import Causes
from service.model.evidence import Evidence
from service.model.incident import Incident, IncidentState
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.settings import GuardSettings
from tests.path.world import World, world
from tests.unit.made import GOOD, LABELS, NAMESPACE, evidence, item, playbooks_in

OPEN, ACTING, WAITING, VERIFYING, HEALED, ESCALATED, CLOSED = IncidentState

EFFECT = GOOD.replace("mode: auto", "mode: auto\n    times: 9")
CAUSE = """\
playbook: kafka
match: ['alertname="KafkaBrokerDown"']
target: {kind: StatefulSet, namespace: "{{ labels.namespace }}", name: "{{ labels.workload }}"}
diagnose: high_latency
with: {consumer_group: g}
healed: evidence.kafka.lag_total < 5000
"""
LAG_BY_KAFKA = Causes({"lag": ("kafka",)})
KAFKA = {
    "alertname": "KafkaBrokerDown",
    "namespace": NAMESPACE,
    "workload_kind": "StatefulSet",
    "workload": "kafka",
}


def late(made: World, playbook: Playbook) -> Evidence:
    """Lag grows, whoever looks."""
    return evidence(made.clock.now())


def in_kafka(**labels: str) -> dict[str, Any]:
    return item("kafka", labels={**KAFKA, **labels})


@pytest.fixture
def more(tmp_path: Path) -> Mapping[str, Any]:
    """What the worlds of these tests are made of."""
    playbooks = playbooks_in(tmp_path / "playbooks", EFFECT, CAUSE)
    return {"playbooks": playbooks, "causes": LAG_BY_KAFKA, "see": late}


async def of(made: World, playbook: str) -> Incident:
    """The one incident of a playbook."""
    (row,) = [r for r in await made.incidents.listing(10) if r["playbook"] == playbook]
    found = await made.incidents.get(row["id"])
    assert found is not None
    return found


async def seconds(made: World, count: int) -> None:
    """Whatever is due within some seconds is done."""
    for _ in range(count):
        while await made.round():
            pass
        made.clock.advance(1.0)


@pytest.mark.parametrize("effect_first", [True, False], ids=["effect first", "cause first"])
async def test_one_webhook_with_both_acts_on_neither_order(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any], effect_first: bool
) -> None:
    async with world(store_url, clock, **more) as made:
        both = [item("lag"), in_kafka()]
        await made.deliver(*(both if effect_first else reversed(both)))
        await seconds(made, 120)
        effect, cause = await of(made, "lag"), await of(made, "kafka")
        assert (effect.state, effect.reason) == (OPEN, Reason.EXPLAINED_BY)
        assert made.platform.effects == []
        record = await made.incidents.record(effect.id)
        assert record is not None
        (ruled,) = [s["data"] for s in record[2] if s["kind"] == "ruled"]
        assert (ruled["guard"], ruled["reason"]) == ("explained", "explained_by")
        assert cause.id in ruled["detail"]
        assert "kafka" in ruled["detail"]


async def test_while_an_effect_waits_its_looks_share_one_record(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any]
) -> None:
    async with world(store_url, clock, **more) as made:
        await made.deliver(item("lag"), in_kafka())
        await seconds(made, 600)
        record = await made.incidents.record((await of(made, "lag")).id)
        assert record is not None
        assert [s["kind"] for s in record[2]] == ["diagnosed", "decided", "ruled", "moved", "again"]
        assert record[2][-1]["data"]["times"] == 19


@pytest.mark.parametrize("effect_first", [True, False], ids=["effect first", "cause first"])
async def test_when_the_cause_closes_the_effect_is_acted_on_at_once(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any], effect_first: bool
) -> None:
    async with world(store_url, clock, **more) as made:
        both = [item("lag"), in_kafka()]
        for alert in both if effect_first else reversed(both):
            await made.deliver(alert)
        await seconds(made, 5)
        due_at = (await of(made, "lag")).due_at
        assert due_at > clock.now() + timedelta(seconds=20)
        ends_at = f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"
        await made.deliver(item("kafka", status="resolved", ends_at=ends_at, labels=KAFKA))
        assert await made.round()
        assert (await of(made, "kafka")).state is CLOSED
        assert await made.round()
        assert len(made.platform.effects) == 1
        assert (await of(made, "lag")).state is VERIFYING


async def test_an_escalated_cause_still_explains_and_the_effect_is_escalated_in_its_time(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any]
) -> None:
    async with world(store_url, clock, patience=Patience(60.0, 900.0), **more) as made:
        await made.deliver(in_kafka())
        while (await of(made, "kafka")).state is not ESCALATED:
            await made.step_when_due()
        await made.fires("lag")
        began_at = clock.now()
        while (await of(made, "lag")).state is OPEN:
            await made.step_when_due()
        effect = await of(made, "lag")
        assert (effect.state, effect.reason) == (ESCALATED, Reason.EXPLAINED_BY)
        assert clock.now() - began_at >= timedelta(seconds=800)
        assert made.platform.effects == []


HUMAN = EFFECT.replace(
    'do: {scale: {from: "{{ evidence.pods.desired }}", by: 1, max: 5}}',
    "do: {human: {say: consumers are late}}",
)


async def test_a_rung_for_people_waits_for_its_cause_and_calls_them_when_that_is_over(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any], tmp_path: Path
) -> None:
    playbooks = playbooks_in(tmp_path / "human", HUMAN, CAUSE)
    async with world(store_url, clock, **{**more, "playbooks": playbooks}) as made:
        await made.deliver(item("lag"), in_kafka())
        await seconds(made, 120)
        effect, cause = await of(made, "lag"), await of(made, "kafka")
        assert (effect.state, effect.reason) == (OPEN, Reason.EXPLAINED_BY)
        record = await made.incidents.record(effect.id)
        assert record is not None
        told = [s["kind"] for s in record[2]]
        assert told == ["diagnosed", "decided", "moved", "again"]
        assert cause.id in record[2][2]["data"]["detail"]
        ends_at = f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"
        await made.deliver(item("kafka", status="resolved", ends_at=ends_at, labels=KAFKA))
        await seconds(made, 2)
        effect = await of(made, "lag")
        assert (effect.state, effect.reason) == (ESCALATED, Reason.HUMAN_NEEDED)


async def test_a_person_is_called_at_last_when_the_cause_stays_open_for_too_long(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any], tmp_path: Path
) -> None:
    playbooks = playbooks_in(tmp_path / "human", HUMAN, CAUSE)
    patience = Patience(60.0, 900.0)
    settings = {**more, "playbooks": playbooks, "patience": patience}
    async with world(store_url, clock, **settings) as made:
        await made.deliver(item("lag"), in_kafka())
        while (await of(made, "lag")).state is OPEN:
            await made.step_when_due()
        effect = await of(made, "lag")
        assert (effect.state, effect.reason) == (ESCALATED, Reason.EXPLAINED_BY)
        assert clock.now() - effect.opened_at >= timedelta(seconds=800)


async def test_a_cause_in_another_namespace_explains_nothing(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any]
) -> None:
    limits = GuardSettings(namespaces=(NAMESPACE, "elsewhere"))
    async with world(store_url, clock, limits=limits, **more) as made:
        await made.deliver(item("lag"), in_kafka(namespace="elsewhere"))
        await seconds(made, 5)
        assert len(made.platform.effects) == 1


async def test_an_effect_does_not_hold_its_cause_back(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any]
) -> None:
    reverse = {**more, "causes": Causes({"kafka": ("lag",)})}
    async with world(store_url, clock, **reverse) as made:
        await made.deliver(item("lag"), in_kafka())
        await seconds(made, 5)
        assert len(made.platform.effects) == 1


async def test_closing_wakes_what_waits_in_its_own_namespace_and_nothing_else(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any]
) -> None:
    limits = GuardSettings(namespaces=(NAMESPACE, "elsewhere"))
    async with world(store_url, clock, limits=limits, **more) as made:
        await made.deliver(
            in_kafka(),
            item("here"),
            item("there", labels={**LABELS, "namespace": "elsewhere"}),
            item("kafka-there", labels={**KAFKA, "namespace": "elsewhere"}),
        )
        await seconds(made, 5)
        before = {r["target_key"]: r["due_at"] for r in await made.incidents.listing(10)}
        ends_at = f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"
        await made.deliver(item("kafka", status="resolved", ends_at=ends_at, labels=KAFKA))
        assert await made.round()
        after = {r["target_key"]: r["due_at"] for r in await made.incidents.listing(10)}
        changed = {key for key, due_at in after.items() if due_at != before[key]}
        here = f"Deployment/{NAMESPACE}/normalization-service"
        assert changed == {here, f"StatefulSet/{NAMESPACE}/kafka"}
        assert after[here] == clock.now()


@pytest.mark.only_on("sqlite")
async def test_open_causes_are_found_by_an_index(
    store_url: str, clock: VirtualClock, more: Mapping[str, Any]
) -> None:
    async with world(store_url, clock, **more) as made:
        found = (
            "SELECT id FROM incidents WHERE target_namespace = 'a' AND playbook IN ('b', 'c')"
            " AND state <> 'closed' ORDER BY id LIMIT 10"
        )
        plan = await made.database.read(
            lambda c: c.execute(sa.text(f"EXPLAIN QUERY PLAN {found}")).all()
        )
        assert any("incidents_open_in (target_namespace=? AND playbook=?)" in r[3] for r in plan)
