"""The ladders of chapters 2.1, 2.2, 3.2, 4.1 and 4.2: for every cause the rung,
and what is never done on a guess.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.act.apply_known_good import ApplyKnownGood
from service.act.delete_pod import DeletePod
from service.act.drop_partitions import DropPartitions
from service.act.human import CallHuman
from service.act.kill_query import KillQuery
from service.act.operator_restart import OperatorRestart
from service.act.patch_config import PatchConfig
from service.act.patch_memory_limit import PatchMemoryLimit
from service.act.rollout_restart import RolloutRestart
from service.decide.ladder import propose
from service.diagnose.chapters.clickhouse import ClickHouseEvidence
from service.diagnose.chapters.data_flow import DataFlowEvidence
from service.diagnose.chapters.data_quality import DataQualityEvidence
from service.diagnose.chapters.kafka import KafkaEvidence
from service.diagnose.chapters.low_throughput import LowThroughputEvidence
from service.model.action import Mode
from service.model.evidence import Evidence, facts
from service.model.playbook import Truth
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from tests.unit.data_made import GROUP, LOGS, SELECTED, STUCK, SUBJECT, WELL, playbook, seen
from tests.unit.made import T0, TARGET

CLICKHOUSE = Target(TargetKind.STATEFULSET, TARGET.namespace, "clickhouse")
KAFKA = Target(TargetKind.STATEFULSET, TARGET.namespace, "kafka")
ZOOKEEPER = Target(TargetKind.STATEFULSET, TARGET.namespace, "zookeeper")
Changes = Mapping[str, Mapping[str, Any]]
A, P = Mode.AUTO, Mode.APPROVE

OOM = {"oom_container": "clickhouse", "oom_memory_limit": "4Gi", "ready": 0}
FULL = {"free_ratio": 0.05}
VOLUME_FULL = {"volume_free_ratio": 0.06}
EXPIRED = {
    "expired_table": "carbon_ingestion.bronze_raw_trades", "expired_partitions": 3, "expired_bytes": 9,
}  # fmt: skip
HOG = {
    "used_ratio": 0.95, "hog_query_id": "q", "hog_user": "ann", "hog_elapsed_s": 60.0, "hog_share": 0.5,
}  # fmt: skip
ALTINITY = {"owned": True, "system": "altinity", "kind": "ClickHouseInstallation", "name": "main"}
STRIMZI = {"owned": True, "system": "strimzi", "kind": "StrimziPodSet", "name": "kafka"}
OTHER = {"owned": True, "system": "other", "kind": "KafkaCluster", "name": "k"}
SILENT = {"answers": False, "latency_s": None, "problem": "late"}
ONE_AWAY = {"count": 2, "brokers": (0, 2), "under_replicated": 9, "suspect": 1, "healthy": False}
OFFLINE = {**ONE_AWAY, "offline": 1, "offline_names": ("t/0",)}
STILL = {"moving": False, "all_moving": False, "still": ("ingestion.miso.raw.v1",)}
ONE_STILL = {"all_moving": False, "still": ("ingestion.miso.enriched.v1",)}
BLOCKED = {"blocked": ("kafka-cluster:9092",), "all_connect": False}
DRIFTED = {
    "clean": False, "first_kind": "NetworkPolicy", "first_name": "kafka-ingress", "first_manifest": "policies.yaml",
    "first_fields": "spec.ingress",
}  # fmt: skip
BACKLOG = {"lag_total": 50_000, "lag_known": 50_000, "lag_growing": True}
DOWN = {
    "answers": False,
    "latency_s": None,
    "subjects": None,
    "compatibility": None,
    "problem": "late",
}
BAD = {"error_ratio": 0.2}
ERRORS = {"errors": 5, "examples": ("ERROR field price",)}
INVALID = {"validation_errors": 7, **ERRORS}
UNAUTHORIZED = {"errors": 5, "patterns": {**LOGS.patterns, "unauthorized": 3}}

CAUSES = [
    # 4.2
    pytest.param(ClickHouseEvidence, {"memory": HOG}, {}, "kill-memory-hog", KillQuery, A, id="4.2 a memory hog"),
    pytest.param(ClickHouseEvidence, {"memory": {**HOG, "hog_share": 0.1}}, {}, "memory-without-a-hog", CallHuman, A,
                 id="4.2 memory, and no query holds a third of it"),
    pytest.param(ClickHouseEvidence, {"memory": {**HOG, "hog_query_id": "", "hog_share": 0.0}}, {},
                 "memory-without-a-hog", CallHuman, A, id="4.2 memory, and nobody's query"),
    pytest.param(ClickHouseEvidence, {"pods": OOM, "answer": SILENT}, {}, "raise-memory", PatchMemoryLimit, P,
                 id="4.2 killed for memory"),
    pytest.param(ClickHouseEvidence, {"pods": OOM, "answer": SILENT, "operator": ALTINITY}, {},
                 "raise-memory-by-operator", CallHuman, A, id="4.2 killed for memory under Altinity's operator"),
    pytest.param(ClickHouseEvidence, {"disks": FULL, "parts": EXPIRED, "series": VOLUME_FULL}, {},
                 "drop-old-partitions", DropPartitions, P, id="4.2 disk, old partitions, a backup"),
    pytest.param(ClickHouseEvidence, {"disks": FULL, "parts": EXPIRED}, {}, "disk-full-by-one-word-alone", CallHuman,
                 A, id="4.2 disk, and its volume does not agree"),
    pytest.param(ClickHouseEvidence, {"disks": FULL, "parts": EXPIRED, "backups": {"good": 0, "newest_good": "",
                 "newest_good_at": None, "newest_good_age_s": None, "newest_good_bytes": None}}, {},
                 "disk-without-backup", CallHuman, A, id="4.2 disk, old partitions, no backup"),
    pytest.param(ClickHouseEvidence, {"disks": FULL, "parts": EXPIRED, "backups": {"newest_good_age_s": 90_000.0}},
                 {}, "disk-without-backup", CallHuman, A, id="4.2 disk, old partitions, an old backup"),
    pytest.param(ClickHouseEvidence, {"disks": FULL, "parts": EXPIRED, "backups": {"failed_since": 1}}, {},
                 "disk-without-backup", CallHuman, A, id="4.2 disk, old partitions, a backup that failed since"),
    pytest.param(ClickHouseEvidence, {"disks": FULL}, {}, "disk-full-of-what-is-kept", CallHuman, A,
                 id="4.2 disk, nothing is old"),
    pytest.param(ClickHouseEvidence, {"parts": {"max_in_partition": 900}}, {}, "too-many-parts", CallHuman, A,
                 id="4.2 too many parts"),
    pytest.param(ClickHouseEvidence, {"parts": {"max_in_partition": 900}, "work": {"mutations": 1,
                 "failing_mutation": "m1", "failing_table": "t", "failure": "no"}}, {}, "mutation-fails",
                 CallHuman, A, id="4.2 a mutation that fails"),
    pytest.param(ClickHouseEvidence, {"replicas": {"count": 2, "readonly": 1, "readonly_tables": ("d.t",),
                 "session_expired": True}}, {}, "readonly-replica", CallHuman, A, id="4.2 a read-only replica"),
    pytest.param(ClickHouseEvidence, {"answer": SILENT}, {}, "silent-though-ready", CallHuman, A,
                 id="4.2 silent though ready"),
    pytest.param(ClickHouseEvidence, {"answer": SILENT, "pods": {"ready": 0, "unschedulable": "no memory",
                 "unschedulable_pod": "clickhouse-0"}}, {}, "unschedulable", CallHuman, A, id="4.2 no node takes it"),
    pytest.param(ClickHouseEvidence, {"answer": SILENT, "pods": {"ready": 0}}, {}, "down-without-a-known-cause",
                 CallHuman, A, id="4.2 down, and nobody knows why"),
    # 4.1
    pytest.param(KafkaEvidence, {"pods": STUCK, "brokers": ONE_AWAY}, {}, "delete-stuck-broker", DeletePod, P,
                 id="4.1 one stuck broker, the rest hold all"),
    pytest.param(KafkaEvidence, {"pods": STUCK, "brokers": ONE_AWAY, "operator": STRIMZI}, {},
                 "restart-broker-by-strimzi", OperatorRestart, P, id="4.1 the same under Strimzi"),
    pytest.param(KafkaEvidence, {"pods": STUCK, "brokers": ONE_AWAY, "operator": OTHER}, {},
                 "restart-broker-by-its-operator", CallHuman, A, id="4.1 the same under another operator"),
    pytest.param(KafkaEvidence, {"pods": STUCK, "brokers": OFFLINE}, {}, "partitions-at-risk", CallHuman, A,
                 id="4.1 one stuck broker, a partition without a leader"),
    pytest.param(KafkaEvidence, {"pods": STUCK, "brokers": {**OFFLINE}, "operator": STRIMZI}, {},
                 "partitions-at-risk", CallHuman, A, id="4.1 the same under Strimzi is not restarted either"),
    pytest.param(KafkaEvidence, {"pods": {**STUCK, "stuck_for_s": 30.0}, "brokers": ONE_AWAY}, {},
                 "several-brokers-down", CallHuman, A, id="4.1 a broker that has only just begun to start"),
    pytest.param(KafkaEvidence, {"pods": STUCK, "brokers": {"under_replicated": 2, "healthy": False}}, {},
                 "several-brokers-down", CallHuman, A, id="4.1 stuck, and in the cluster still"),
    pytest.param(KafkaEvidence, {"pods": {"ready": 1, "not_ready": ("kafka-1", "kafka-2")},
                 "brokers": {**ONE_AWAY, "count": 1}}, {}, "several-brokers-down", CallHuman, A,
                 id="4.1 two brokers down"),
    pytest.param(KafkaEvidence, {"pods": {**STUCK, "unschedulable": "no memory"}, "brokers": ONE_AWAY}, {},
                 "unschedulable", CallHuman, A, id="4.1 no node takes a broker"),
    pytest.param(KafkaEvidence, {"brokers": {"under_replicated": 2, "suspect": 1, "healthy": False}}, {},
                 "broker-does-not-follow", CallHuman, A, id="4.1 all ready, and one does not follow"),
    pytest.param(KafkaEvidence, {"brokers": {"count": 2}}, {}, "broker-outside-of-the-cluster", CallHuman, A,
                 id="4.1 all ready, and one is outside"),
    pytest.param(KafkaEvidence, {"claims": {"fullest_ratio": 0.9}}, {}, "storage-filling", CallHuman, A,
                 id="4.1 storage fills"),
    pytest.param(KafkaEvidence, {"claims": {"unbound": ("data-kafka-1",)}, "pods": STUCK, "brokers": ONE_AWAY}, {},
                 "claim-in-trouble", CallHuman, A, id="4.1 a claim without a volume"),
    pytest.param(KafkaEvidence, {"storage": {"failed_dirs": ("1: /data",)}, "pods": STUCK, "brokers": ONE_AWAY}, {},
                 "log-dir-failed", CallHuman, A, id="4.1 a log dir given up"),
    pytest.param(KafkaEvidence, {"zookeeper": {"ready": 1, "not_ready": ("zookeeper-0",)}, "pods": STUCK,
                 "brokers": ONE_AWAY}, {}, "zookeeper-first", CallHuman, A, id="4.1 ZooKeeper has no quorum"),
    # 2.1
    pytest.param(DataFlowEvidence, {"registry": DOWN}, {}, "restart-schema-registry", RolloutRestart, A,
                 id="2.1 the Schema Registry is down"),
    pytest.param(DataFlowEvidence, {"topics": STILL, "connectors": ERRORS}, {}, "restart-connectors", RolloutRestart,
                 A, id="2.1 connectors fail"),
    pytest.param(DataFlowEvidence, {"topics": STILL, "connectors": ERRORS}, {"restart-connectors": 1},
                 "connector-configuration-wrong", CallHuman, A, id="2.1 connectors fail after their restart"),
    pytest.param(DataFlowEvidence, {"topics": STILL, "connectors": UNAUTHORIZED}, {}, "connector-refused", CallHuman,
                 A, id="2.1 the source refuses the key"),
    pytest.param(DataFlowEvidence, {"topics": STILL, "config": {"missing": ("connectors-config",)}}, {},
                 "connector-configuration-missing", CallHuman, A, id="2.1 no connector configuration"),
    pytest.param(DataFlowEvidence, {"group": {**BACKLOG, "members": 0, "consumed_per_s": 0.0}}, {},
                 "restart-consumers", RolloutRestart, A, id="2.1 consumers are gone"),
    pytest.param(DataFlowEvidence, {"group": {**BACKLOG, "consumed_per_s": 0.0}}, {}, "restart-consumers",
                 RolloutRestart, A, id="2.1 consumers are stuck"),
    pytest.param(DataFlowEvidence, {"group": {**BACKLOG, "members": 0, "consumed_per_s": 0.0},
                 "pods": {"desired": 0, "ready": 0}}, {}, "consumers-scaled-to-nothing", CallHuman, A,
                 id="2.1 somebody scaled the consumers to nothing"),
    pytest.param(DataFlowEvidence, {"topics": STILL, "paths": BLOCKED, "drift": DRIFTED}, {}, "restore-policies",
                 ApplyKnownGood, P, id="2.1 Kafka unreachable, policies drifted"),
    pytest.param(DataFlowEvidence, {"topics": STILL, "paths": BLOCKED}, {}, "kafka-unreachable", CallHuman, A,
                 id="2.1 Kafka unreachable, policies as they should be"),
    pytest.param(DataFlowEvidence, {"topics": STILL, "paths": BLOCKED, "drift": DRIFTED, "brokers": STUCK}, {},
                 "kafka-unreachable", CallHuman, A, id="2.1 Kafka unreachable, and not all ready"),
    pytest.param(DataFlowEvidence, {"topics": STILL}, {}, "source-silent", CallHuman, A, id="2.1 a silent source"),
    pytest.param(DataFlowEvidence, {"topics": {**ONE_STILL, "missing": ("ingestion.miso.enriched.v1",)}}, {},
                 "topic-absent", CallHuman, A, id="2.1 a topic that is not there"),
    pytest.param(DataFlowEvidence, {"tables": {"missing": ("bronze_raw_trades",), "growing": False}}, {},
                 "table-absent", CallHuman, A, id="2.1 a table that is not there"),
    pytest.param(DataFlowEvidence, {"tables": {"growing": False}}, {}, "table-does-not-grow", CallHuman, A,
                 id="2.1 read, and not written"),
    pytest.param(DataFlowEvidence, {"topics": ONE_STILL}, {}, "one-topic-stands-still", CallHuman, A,
                 id="2.1 one topic stands still"),
    # 3.2
    pytest.param(LowThroughputEvidence, {"group": BACKLOG, "series": {"throughput": 40.0}}, {}, "more-parallelism",
                 PatchConfig, P, id="3.2 low parallelism"),
    pytest.param(LowThroughputEvidence, {"group": BACKLOG, "series": {"throughput": 40.0}}, {"more-parallelism": 1},
                 "larger-batches", PatchConfig, P, id="3.2 parallelism was tried: batches"),
    pytest.param(LowThroughputEvidence, {"group": BACKLOG, "series": {"throughput": 40.0},
                 "config": {"parallelism": 8}}, {}, "larger-batches", PatchConfig, P, id="3.2 small batches"),
    pytest.param(LowThroughputEvidence, {"group": BACKLOG, "series": {"throughput": 40.0},
                 "config": {"parallelism": 8, "batch_size": 2000}}, {}, "at-the-ceilings", CallHuman, A,
                 id="3.2 at both ceilings"),
    pytest.param(LowThroughputEvidence, {"group": BACKLOG, "series": {"throughput": 40.0},
                 "usage": {"cpu_of_limit": 0.9}}, {}, "no-headroom", CallHuman, A, id="3.2 no headroom"),
    pytest.param(LowThroughputEvidence, {"group": BACKLOG, "series": {"throughput": 40.0}, "pods": {"ready": 2}}, {},
                 "pods-not-ready", CallHuman, A, id="3.2 a pod is away"),
    pytest.param(LowThroughputEvidence, {"group": BACKLOG, "series": {"throughput": 40.0}, "config": {
                 "parallelism": None, "batch_size": None, "values": {}, "missing": ("carbon-ingestion-config",)}}, {},
                 "settings-unreadable", CallHuman, A, id="3.2 no such settings"),
    # 2.2
    pytest.param(DataQualityEvidence, {"series": BAD, "logs": INVALID, "registry": {"several": (SUBJECT.name,)}}, {},
                 "schema-mismatch", CallHuman, A, id="2.2 a new version of a schema"),
    pytest.param(DataQualityEvidence, {"series": BAD, "logs": INVALID, "registry": {"unchecked": (SUBJECT.name,)}},
                 {}, "schema-mismatch", CallHuman, A, id="2.2 a schema that nothing checks"),
    pytest.param(DataQualityEvidence, {"series": BAD, "registry": {"missing": ("x-value",)}}, {}, "subject-missing",
                 CallHuman, A, id="2.2 a subject that is not there"),
    pytest.param(DataQualityEvidence, {"series": BAD, "logs": INVALID, "connectors": ERRORS}, {},
                 "restart-connectors", RolloutRestart, P, id="2.2 a bad source"),
    pytest.param(DataQualityEvidence, {"series": BAD, "logs": INVALID, "connectors": ERRORS},
                 {"restart-connectors": 1}, "validation-errors", CallHuman, A,
                 id="2.2 a bad source is restarted once"),
    pytest.param(DataQualityEvidence, {"series": BAD, "rows": {"null_share_max": 0.6, "null_column": "price"}}, {},
                 "nulls", CallHuman, A, id="2.2 a column is empty"),
    pytest.param(DataQualityEvidence, {"series": BAD, "rows": {"duplicate_share": 0.3}}, {}, "duplicates", CallHuman,
                 A, id="2.2 rows are there twice"),
    pytest.param(DataQualityEvidence, {"series": BAD, "logs": INVALID}, {}, "validation-errors", CallHuman, A,
                 id="2.2 validation errors that nothing explains"),
    pytest.param(DataQualityEvidence, {"series": {"quality_score": 0.5}}, {}, "score-low", CallHuman, A,
                 id="2.2 a low score that nothing explains"),
]  # fmt: skip

OF: Mapping[type[Evidence], tuple[str, Target]] = {
    ClickHouseEvidence: ("clickhouse", CLICKHOUSE),
    KafkaEvidence: ("kafka", KAFKA),
    DataFlowEvidence: ("data-flow", TARGET),
    LowThroughputEvidence: ("low-throughput", TARGET),
    DataQualityEvidence: ("data-quality", TARGET),
}
LADDERS = {kind: playbook(name) for kind, (name, _) in OF.items()}


@pytest.mark.parametrize(("kind", "changes", "tried", "rung", "request_type", "mode"), CAUSES)
def test_each_cause_leads_to_its_rung(
    kind: type[Evidence],
    changes: Changes,
    tried: Mapping[str, int],
    rung: str,
    request_type: type,
    mode: Mode,
) -> None:
    proposal = propose(LADDERS[kind], OF[kind][1], seen(kind, changes), tried, T0)
    assert proposal.rung == rung, [(c.rung, c.reason) for c in proposal.considered]
    assert isinstance(proposal.request, request_type)
    assert proposal.mode is mode
    if isinstance(proposal.request, CallHuman):
        assert proposal.request.commands
        assert "{{" not in proposal.request.say + "".join(proposal.request.commands)


@pytest.mark.parametrize("kind", OF)
def test_every_rung_of_a_ladder_has_a_cause_that_leads_to_it(kind: type[Evidence]) -> None:
    proved = {case.values[3] for case in CAUSES if case.values[0] is kind}
    assert {remedy.name for remedy in LADDERS[kind].remedies} == proved


@pytest.mark.parametrize("kind", OF)
def test_where_all_is_well_nothing_is_done(kind: type[Evidence]) -> None:
    changes: Changes = {}
    if kind is LowThroughputEvidence:
        changes = {"group": {"lag_total": 10, "lag_known": 10}}
    proposal = propose(LADDERS[kind], OF[kind][1], seen(kind, changes), {}, T0)
    assert proposal.reason is Reason.ALREADY_HEALTHY


@pytest.mark.parametrize("kind", OF)
def test_where_nothing_is_known_nothing_is_done(kind: type[Evidence]) -> None:
    nothing = seen(kind, unknown=list(WELL[kind]))
    proposal = propose(LADDERS[kind], OF[kind][1], nothing, {}, T0)
    assert proposal.rung is None or proposal.rung == ""
    assert proposal.request is None


@given(st.sampled_from(CAUSES), st.data())
def test_what_is_unknown_never_argues_for_a_write(case: Any, data: st.DataObject) -> None:
    kind, changes, tried, *_ = case.values
    lost = data.draw(st.lists(st.sampled_from(sorted(WELL[kind])), unique=True))
    full, less = seen(kind, changes), seen(kind, changes, unknown=lost)
    proposal = propose(LADDERS[kind], OF[kind][1], less, tried, T0)
    if proposal.request is None or isinstance(proposal.request, CallHuman):
        return
    rung = next(r for r in LADDERS[kind].remedies if r.name == proposal.rung)
    assert rung.when.judge({"evidence": facts(full)}) is Truth.HOLDS


def test_the_hog_that_was_seen_is_ended_and_no_other() -> None:
    proposal = propose(
        LADDERS[ClickHouseEvidence], CLICKHOUSE, seen(ClickHouseEvidence, {"memory": HOG}), {}, T0
    )
    assert proposal.request == KillQuery(CLICKHOUSE, "q", "ann", 30.0)


def test_partitions_are_dropped_of_an_allowed_table_with_the_backup_that_was_seen() -> None:
    changes: Changes = {"disks": FULL, "parts": EXPIRED, "series": VOLUME_FULL}
    proposal = propose(
        LADDERS[ClickHouseEvidence], CLICKHOUSE, seen(ClickHouseEvidence, changes), {}, T0
    )
    assert proposal.request == DropPartitions(
        CLICKHOUSE, "carbon_ingestion", "bronze_raw_trades", 90, T0, 100
    )
    other: Changes = {
        "disks": FULL,
        "parts": {**EXPIRED, "expired_table": "carbon_ingestion.users"},
    }
    refused = propose(
        LADDERS[ClickHouseEvidence], CLICKHOUSE, seen(ClickHouseEvidence, other), {}, T0
    )
    assert not isinstance(refused.request, DropPartitions)


def test_the_memory_limit_is_doubled_to_8gi_and_no_further() -> None:
    for limit, wanted in (("4Gi", "8Gi"), ("6Gi", "8Gi")):
        changes: Changes = {"pods": {**OOM, "oom_memory_limit": limit}, "answer": SILENT}
        proposal = propose(
            LADDERS[ClickHouseEvidence], CLICKHOUSE, seen(ClickHouseEvidence, changes), {}, T0
        )
        assert isinstance(proposal.request, PatchMemoryLimit)
        assert wanted in str(proposal.request)
    top: Changes = {"pods": {**OOM, "oom_memory_limit": "8Gi"}, "answer": SILENT}
    proposal = propose(
        LADDERS[ClickHouseEvidence], CLICKHOUSE, seen(ClickHouseEvidence, top), {}, T0
    )
    assert proposal.rung == "down-without-a-known-cause"


def test_the_patch_for_altinitys_operator_is_exact() -> None:
    changes: Changes = {"pods": OOM, "answer": SILENT, "operator": ALTINITY}
    proposal = propose(
        LADDERS[ClickHouseEvidence], CLICKHOUSE, seen(ClickHouseEvidence, changes), {}, T0
    )
    assert isinstance(proposal.request, CallHuman)
    assert "patch ClickHouseInstallation main" in proposal.request.commands[1]
    assert '"value":"8Gi"' in proposal.request.commands[1]


def test_strimzi_is_asked_for_the_pod_that_was_seen() -> None:
    changes: Changes = {"pods": STUCK, "brokers": ONE_AWAY, "operator": STRIMZI}
    proposal = propose(LADDERS[KafkaEvidence], KAFKA, seen(KafkaEvidence, changes), {}, T0)
    assert proposal.request == OperatorRestart(KAFKA, "Pod", "kafka-1", "u1", 3600.0)


@pytest.mark.parametrize(
    ("lost", "rung"),
    [("operator", "several-brokers-down"), ("brokers", "several-brokers-down")],
)
def test_no_broker_is_restarted_while_its_owner_or_the_cluster_is_unknown(
    lost: str, rung: str
) -> None:
    evidence = seen(KafkaEvidence, {"pods": STUCK, "brokers": ONE_AWAY}, unknown=[lost])
    proposal = propose(LADDERS[KafkaEvidence], KAFKA, evidence, {}, T0)
    assert not isinstance(proposal.request, DeletePod | OperatorRestart)
    assert (proposal.rung or rung) == rung


@pytest.mark.parametrize(
    ("total", "ready", "rung"),
    [
        pytest.param(5, 4, "restart-zookeeper", id="a majority stays with one less"),
        pytest.param(1, 0, "restart-zookeeper", id="a single one that is down"),
        pytest.param(3, 2, "delete-stuck-server", id="three: only the stuck one may go"),
        pytest.param(5, 3, "", id="five, two away: one more would cost the quorum"),
        pytest.param(3, 1, "quorum-lost", id="the quorum is lost"),
        pytest.param(5, 2, "quorum-lost", id="the quorum is lost, of five"),
    ],
)
def test_zookeeper_is_restarted_only_while_no_quorum_is_at_risk(
    total: int, ready: int, rung: str
) -> None:
    away = tuple(f"zookeeper-{n}" for n in range(total - ready))
    stuck = {"stuck": away[0], "stuck_uid": "u", "stuck_for_s": 600.0} if len(away) == 1 else {}
    changes: Changes = {"zookeeper": {"total": total, "ready": ready, "not_ready": away, **stuck}}
    proposal = propose(playbook("zookeeper"), ZOOKEEPER, seen(KafkaEvidence, changes), {}, T0)
    assert (proposal.rung or "") == rung
    if rung == "restart-zookeeper":
        assert (proposal.request, proposal.mode) == (RolloutRestart(ZOOKEEPER), P)
    if rung == "delete-stuck-server":
        assert proposal.request == DeletePod(ZOOKEEPER, away[0], "u")


def test_zookeeper_is_let_be_while_kafka_does_not_agree() -> None:
    stuck = {"stuck": "zookeeper-0", "stuck_uid": "u", "stuck_for_s": 600.0}
    for brokers in ({"controller": -1}, {"offline": 3}):
        for total in (3, 5):
            away = {"total": total, "ready": total - 1, "not_ready": ("zookeeper-0",), **stuck}
            made = seen(KafkaEvidence, {"zookeeper": away, "brokers": brokers})
            assert propose(playbook("zookeeper"), ZOOKEEPER, made, {}, T0).rung is None


@pytest.mark.parametrize(
    ("changes", "rung"),
    [
        ({"claims": {"unbound": ("data-zookeeper-0",)}}, "claim-in-trouble"),
        ({"zookeeper": {"unschedulable": "no memory"}}, "unschedulable"),
    ],
)
def test_zookeeper_without_a_volume_or_a_node_is_for_people(changes: Changes, rung: str) -> None:
    away = {"total": 3, "ready": 2, "not_ready": ("zookeeper-0",)}
    both = {**changes, "zookeeper": {**away, **changes.get("zookeeper", {})}}
    proposal = propose(playbook("zookeeper"), ZOOKEEPER, seen(KafkaEvidence, both), {}, T0)
    assert proposal.rung == rung
    assert isinstance(proposal.request, CallHuman)


def test_policies_are_restored_from_the_manifest_that_differs() -> None:
    changes: Changes = {"topics": STILL, "paths": BLOCKED, "drift": DRIFTED}
    proposal = propose(LADDERS[DataFlowEvidence], TARGET, seen(DataFlowEvidence, changes), {}, T0)
    assert proposal.request == ApplyKnownGood(
        TARGET, "policies.yaml", ("NetworkPolicy/kafka-ingress",)
    )


@pytest.mark.parametrize(
    ("drift", "rung"), [(DRIFTED, "restore-policies"), ({}, "kafka-unreachable")]
)
def test_where_no_connection_reaches_kafka_its_topics_need_not_be_known(
    drift: Mapping[str, Any], rung: str
) -> None:
    unreachable = seen(
        DataFlowEvidence, {"paths": BLOCKED, "drift": drift}, unknown=("topics", "group")
    )
    assert propose(LADDERS[DataFlowEvidence], TARGET, unreachable, {}, T0).rung == rung
    late = seen(DataFlowEvidence, unknown=("topics", "group"))
    assert propose(LADDERS[DataFlowEvidence], TARGET, late, {}, T0).rung is None


@pytest.mark.parametrize(
    ("changes", "workload"),
    [
        ({"registry": DOWN}, "schema-registry"),
        ({"topics": STILL, "connectors": ERRORS}, "connector-registry"),
        ({"group": {**BACKLOG, "consumed_per_s": 0.0}}, "normalization-service"),
    ],
)
def test_a_restart_is_of_the_part_that_fails(changes: Changes, workload: str) -> None:
    proposal = propose(LADDERS[DataFlowEvidence], TARGET, seen(DataFlowEvidence, changes), {}, T0)
    assert proposal.request == RolloutRestart(
        Target(TargetKind.DEPLOYMENT, TARGET.namespace, workload)
    )


@pytest.mark.parametrize("state", [{"rebalancing": True}, {"lag_known": 0, "lag_total": 0}])
def test_consumers_are_not_restarted_during_a_rebalance_or_with_nothing_to_read(
    state: Mapping[str, Any],
) -> None:
    changes: Changes = {"group": {**BACKLOG, "consumed_per_s": 0.0, **state}}
    proposal = propose(LADDERS[DataFlowEvidence], TARGET, seen(DataFlowEvidence, changes), {}, T0)
    assert proposal.rung != "restart-consumers"


@pytest.mark.parametrize(
    ("parallelism", "batch", "key", "wanted"),
    [
        (4, 500, "PARALLELISM", 8), (1, 500, "PARALLELISM", 2), (6, 500, "PARALLELISM", 8),
        (8, 500, "BATCH_SIZE", 1000), (8, 1500, "BATCH_SIZE", 2000),
    ],
)  # fmt: skip
def test_settings_are_doubled_up_to_their_ceilings(
    parallelism: int, batch: int, key: str, wanted: int
) -> None:
    changes: Changes = {
        "group": BACKLOG, "series": {"throughput": 40.0},
        "config": {"parallelism": parallelism, "batch_size": batch},
    }  # fmt: skip
    proposal = propose(
        LADDERS[LowThroughputEvidence], TARGET, seen(LowThroughputEvidence, changes), {}, T0
    )
    request = proposal.request
    assert isinstance(request, PatchConfig)
    assert (request.config_map, request.key) == ("carbon-ingestion-config", key)
    assert str(request.to) == str(wanted)


@pytest.mark.parametrize(
    ("throughput", "lag", "truth"),
    [
        pytest.param(50.0, 50_000, Truth.HOLDS, id="up by a quarter, though few still"),
        pytest.param(48.0, 50_000, Truth.HOLDS, id="up by the promised fifth"),
        pytest.param(44.0, 50_000, Truth.FAILS, id="up by a tenth: not what was promised"),
        pytest.param(0.0, 50_000, Truth.FAILS, id="nothing at all"),
        pytest.param(50.0, 10, Truth.HOLDS, id="the backlog is gone"),
    ],
)
def test_throughput_has_healed_only_with_the_promised_gain(
    throughput: float, lag: int, truth: Truth
) -> None:
    before = seen(LowThroughputEvidence, {"series": {"throughput": 40.0}, "group": BACKLOG})
    now = seen(
        LowThroughputEvidence,
        {"series": {"throughput": throughput}, "group": {"lag_total": lag, "lag_known": lag}},
    )
    view = {"evidence": facts(now), "before": facts(before)}
    assert LADDERS[LowThroughputEvidence].healed.judge(view) is truth


@pytest.mark.parametrize(
    ("kind", "changes", "worse"),
    [
        (ClickHouseEvidence, {"answer": SILENT}, True),
        (ClickHouseEvidence, {"pods": {"ready": 2}}, True),
        (ClickHouseEvidence, {}, False),
        (KafkaEvidence, {"brokers": OFFLINE}, True),
        (KafkaEvidence, {"brokers": {"count": 2}}, True),
        (KafkaEvidence, {}, False),
        (DataFlowEvidence, {"pods": {"ready": 2}}, True),
        (LowThroughputEvidence, {"group": {"rebalancing_throughout": True}}, True),
        (LowThroughputEvidence, {}, False),
    ],
)
def test_worse_is_what_was_there_before_and_is_not_now(
    kind: type[Evidence], changes: Changes, worse: bool
) -> None:
    condition = LADDERS[kind].worse
    assert condition is not None
    view = {"evidence": facts(seen(kind, changes)), "before": facts(seen(kind))}
    assert condition.judge(view) is (Truth.HOLDS if worse else Truth.FAILS)


@pytest.mark.parametrize(
    ("alert", "name"),
    [
        ("TopicNotMoving", "data-flow"), ("ConsumerGroupStalled", "data-flow"),
        ("ClickHouseTableNotGrowing", "data-flow"), ("SchemaRegistryDown", "data-flow"),
        ("ConnectorFailing", "data-flow"), ("ValidationErrorsHigh", "data-quality"),
        ("QualityScoreLow", "data-quality"), ("IngestionThroughputLow", "low-throughput"),
        ("KafkaBrokerDown", "kafka"), ("KafkaUnderReplicated", "kafka"), ("ZooKeeperDown", "zookeeper"),
        ("ClickHouseDown", "clickhouse"), ("ClickHouseMemoryHigh", "clickhouse"),
        ("ClickHouseDiskFilling", "clickhouse"),
    ],
)  # fmt: skip
def test_every_alert_of_these_chapters_has_its_playbook(alert: str, name: str) -> None:
    assert playbook(name).matches({"alertname": alert, "remediate": "true"})


def test_a_service_without_a_group_of_its_own_reads_no_topic() -> None:
    registry = Target(TargetKind.DEPLOYMENT, TARGET.namespace, "schema-registry")
    assert LADDERS[DataFlowEvidence].params_for(registry)["consumer_group"] == ""
    named = LADDERS[DataFlowEvidence].params_for(TARGET)["consumer_group"]
    assert named == "normalization-consumer"


def test_made_up_evidence_is_of_its_time() -> None:
    assert seen(KafkaEvidence, at=T0 + timedelta(seconds=1)).pods.at > T0
    assert GROUP.lag_growing is False
    assert SELECTED.ready == SELECTED.total
