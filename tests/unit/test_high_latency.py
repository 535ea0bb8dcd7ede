"""The playbook of chapter 3.1: which rung each cause leads to, and what may never be scaled."""

from collections.abc import Mapping
from typing import Any

import pytest

from service.act.human import CallHuman
from service.act.kill_query import KillQuery
from service.act.scale import Scale
from service.decide.ladder import propose
from service.model.evidence import facts
from service.model.playbook import Truth
from service.model.reasons import Reason
from tests.unit.made import KAFKA, T0, TARGET, evidence, shipped

PLAYBOOK = shipped()  # once: loading it proves every name and type in it
RUNAWAY = {"longest_query_s": 600.0, "longest_query_id": "q1", "longest_query_user": "ann"}
HOT = {"hot_partition": "t/3", "hot_share": 0.8, "grows_evenly": False}
STUCK = {"stuck_partitions": ("t/2",), "grows_evenly": False}
UNKNOWN = {
    "lag_total": None, "lag_max": None, "lag_growing": None, "grows_evenly": None,
    "hot_partition": None, "hot_share": None, "unknown_partitions": ("t/5",),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "rung"),
    [
        pytest.param({}, "scale-out", id="lag grows evenly"),
        pytest.param({"clickhouse": RUNAWAY}, "kill-runaway-query", id="a runaway query"),
        pytest.param({"clickhouse": {"disk_free_ratio": 0.05}}, "clickhouse-disk", id="disk"),
        pytest.param({"clickhouse": {"max_parts": 2000}}, "clickhouse-parts", id="parts"),
        pytest.param({"kafka": HOT}, "hot-partition", id="a hot partition"),
        pytest.param({"kafka": STUCK}, "stuck-partition", id="a stuck partition"),
        pytest.param({"kafka": {**STUCK, "lag_growing": False}}, "stuck-partition", id="stuck, and lag stands"),
        pytest.param({"kafka": {"members": 6}}, "too-few-partitions", id="a consumer per partition"),
        pytest.param({"kafka": {"members": 9}}, "too-few-partitions", id="more consumers than partitions"),
        pytest.param({"kafka": {"rebalancing": True}}, None, id="during a rebalance"),
        pytest.param({"kafka": {**HOT, "rebalancing": True}}, None, id="hot during a rebalance"),
        pytest.param({"kafka": {**STUCK, "rebalancing": True}}, None, id="stuck during a rebalance"),
        pytest.param({"kafka": {"consumed_per_s": 0.0}}, None, id="nothing is consumed"),
        pytest.param({"kafka": {"lag_growing": False, "grows_evenly": False}}, None, id="lag stands"),
        pytest.param({"kafka": UNKNOWN}, None, id="some lag is unknown"),
        pytest.param({"pods": {"ready": 1}}, None, id="a pod is not ready"),
        pytest.param({"pods": {"autoscaled": True}}, None, id="an autoscaler scales"),
    ],
)  # fmt: skip
def test_each_cause_leads_to_its_rung(changes: Mapping[str, Any], rung: str | None) -> None:
    proposal = propose(PLAYBOOK, TARGET, evidence(**changes), {}, T0)
    assert (proposal.rung or None) == rung


def test_a_hot_or_stuck_partition_is_named_to_a_person_and_never_scaled() -> None:
    for kafka, partition in ((HOT, "t/3"), (STUCK, "t/2"), ({**HOT, **STUCK}, "t/2")):
        proposal = propose(PLAYBOOK, TARGET, evidence(kafka=kafka), {}, T0)
        assert isinstance(proposal.request, CallHuman)
        assert partition in proposal.request.say
        assert all(
            "normalization-consumer" in c or "kubectl" in c for c in proposal.request.commands
        )


@pytest.mark.parametrize("kafka", [HOT, STUCK], ids=["hot", "stuck"])
def test_a_hot_or_stuck_partition_is_not_scaled_after_a_person_was_told_either(
    kafka: Mapping[str, Any],
) -> None:
    told = {"hot-partition": 1, "stuck-partition": 1}
    proposal = propose(PLAYBOOK, TARGET, evidence(kafka=kafka), told, T0)
    assert proposal.request is None


@pytest.mark.parametrize(
    ("desired", "partitions", "wanted"),
    [(2, 6, 3), (4, 6, 5), (4, 12, 5), (2, 3, 3), (3, 4, 4)],
)
def test_a_scale_out_ends_at_five_or_at_the_partitions(
    desired: int, partitions: int, wanted: int
) -> None:
    pods = {"desired": desired, "ready": desired}
    seen = evidence(pods=pods, kafka={"members": desired, "partition_count": partitions})
    proposal = propose(PLAYBOOK, TARGET, seen, {}, T0)
    assert proposal.request == Scale(TARGET, desired, wanted)


@pytest.mark.parametrize(("desired", "partitions"), [(5, 12), (6, 12), (3, 3)])
def test_a_scale_out_beyond_that_is_not_possible(desired: int, partitions: int) -> None:
    pods = {"desired": desired, "ready": desired}
    seen = evidence(pods=pods, kafka={"members": desired - 1, "partition_count": partitions})
    proposal = propose(PLAYBOOK, TARGET, seen, {}, T0)
    assert not proposal.rung
    assert proposal.considered[-1].reason is Reason.AT_CEILING


def test_the_query_that_was_seen_is_ended() -> None:
    proposal = propose(PLAYBOOK, TARGET, evidence(clickhouse=RUNAWAY), {}, T0)
    assert proposal.request == KillQuery(TARGET, "q1", "ann", 300.0)


@pytest.mark.parametrize(
    ("kafka", "healed"),
    [
        ({"lag_total": 10, "lag_growing": False}, Truth.HOLDS),
        ({"lag_total": 50_000}, Truth.FAILS),
        ({**UNKNOWN, "lag_known": 0}, Truth.UNKNOWN),
    ],
)
def test_healed_never_rests_on_a_lag_that_is_not_known(
    kafka: Mapping[str, Any], healed: Truth
) -> None:
    assert PLAYBOOK.healed.judge({"evidence": facts(evidence(kafka=kafka))}) is healed


@pytest.mark.parametrize(
    ("changes", "worse"),
    [
        pytest.param({}, Truth.FAILS, id="as before"),
        pytest.param({"pods": {"ready": 1}}, Truth.HOLDS, id="fewer pods"),
        pytest.param({"kafka": {"rebalancing": True}}, Truth.FAILS, id="a rebalance in passing"),
        pytest.param({"kafka": {"rebalancing_throughout": True}}, Truth.HOLDS, id="a rebalance that stays"),
        pytest.param({"kafka": {"consumed_per_s": 100.0, "lag_total": 60_000}}, Truth.HOLDS, id="half is consumed"),
        pytest.param({"kafka": {"consumed_per_s": 200.0, "lag_total": 60_000}}, Truth.FAILS, id="a bit less is"),
        pytest.param({"kafka": {"consumed_per_s": 100.0, "lag_total": 900}}, Truth.FAILS, id="less, for lag is gone"),
        pytest.param({"kafka": {**UNKNOWN, "rebalancing_throughout": True}}, Truth.HOLDS, id="lag unknown"),
    ],
)  # fmt: skip
def test_worse_is_fewer_pods_a_rebalance_that_stays_or_consumption_that_fell(
    changes: Mapping[str, Any], worse: Truth
) -> None:
    assert KAFKA.consumed_per_s == 300.0
    condition = PLAYBOOK.worse
    assert condition is not None
    view = {"evidence": facts(evidence(**changes)), "before": facts(evidence())}
    assert condition.judge(view) is worse
