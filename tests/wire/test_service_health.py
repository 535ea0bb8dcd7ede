"""Chapters 1.1 and 1.2 on recorded failures: from the API server's answers to the cause
and the rung of its row.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from service.diagnose.probes.logs import Logs
from service.model.evidence import Known
from service.model.reasons import Reason
from service.model.target import Target
from tests.servers.faults import Asked
from tests.wire.diagnosing import (
    RECORDED_AT,
    deployment,
    diagnosed,
    playbook,
    proposed,
    statefulset,
)
from tests.wire.recorded import Recorded

START, RESTARTS = playbook("1.1-service-start.yaml"), playbook("1.2-service-restarts.yaml")
NOT_ASKED: Mapping[str, Any] = {"endpoints": {}}
ROLLED = {"roll-back": 1}


def nothing(cluster: Recorded) -> None:
    """The scenario as it was recorded."""


def kafka_down(cluster: Recorded) -> None:
    cluster.collection("statefulsets")["kafka"]["status"]["readyReplicas"] = 0


def no_predecessor(cluster: Recorded) -> None:
    """The pods of the revisions before are gone, as under the strategy Recreate."""
    for one in cluster.collection("replicasets").values():
        if not one["status"].get("readyReplicas"):
            continue
        one["status"] |= {"replicas": 0, "readyReplicas": 0}


def crash(cluster: Recorded) -> None:
    """The service's own configuration lacks a key that its template names."""
    service = cluster.collection("deployments")["normalization-service"]
    container = service["spec"]["template"]["spec"]["containers"][0]
    reference = {"configMapKeyRef": {"name": "carbon-ingestion-config", "key": "REGION"}}
    container["env"].append({"name": "REGION", "valueFrom": reference})


def last_volume_only(cluster: Recorded) -> None:
    """Only the Deployment whose Secret is a volume: its pod and its events,
    without its healthy one.
    """
    pods = cluster.collection("pods")
    for name in [n for n in pods if n.startswith("schema-registry-") and "5d497985bb" not in n]:
        del pods[name]


NORMALIZATION, AGGREGATION = deployment("normalization-service"), deployment("aggregation-service")
CONNECTORS, REGISTRY = deployment("connector-registry"), deployment("schema-registry")
KAFKA, CLICKHOUSE = statefulset("kafka"), statefulset("clickhouse")

Change = Callable[[Recorded], None]


@pytest.mark.parametrize(
    ("scenario", "until", "target", "change", "tried", "rung", "says"),
    [
        pytest.param(
            "02a_crashloop", None, NORMALIZATION, nothing, {}, "restart", "restart",
            id="a crash loop that nothing explains: restarted once",
        ),
        pytest.param(
            "02a_crashloop", None, NORMALIZATION, nothing, {"restart": 1}, None, "",
            id="restarted once and still looping: a person",
        ),
        pytest.param(
            "02a_crashloop", None, NORMALIZATION, kafka_down, {}, "dependency-down", "needs StatefulSet/kafka",
            id="a crash loop while kafka is down: held",
        ),
        pytest.param(
            "02a_crashloop", None, NORMALIZATION, crash, {}, "missing-config-map-key",
            "carbon-ingestion-config has no key REGION",
            id="a key of a ConfigMap that is not there, found by looking it up",
        ),
        pytest.param(
            "02b_oomkilled", None, AGGREGATION, nothing, {}, "raise-memory", "aggregation-service",
            id="killed for its memory: a higher limit",
        ),
        pytest.param(
            "02c_imagepullbackoff", None, REGISTRY, nothing, {}, "roll-back", "to revision 1",
            id="a rollout to an image that is not there: back to the revision that is well",
        ),
        pytest.param(
            "02c_imagepullbackoff", None, REGISTRY, no_predecessor, {}, "image-pull",
            "registry.example.com/carbon/schema-registry:0.8.0: not found",
            id="an image that is not there and nothing to go back to: a person, with the answer",
        ),
        pytest.param(
            "02d_createcontainerconfigerror", "list-pod-events", CONNECTORS, nothing, {}, "roll-back", "to revision",
            id="a rollout that names a missing ConfigMap: back",
        ),
        pytest.param(
            "02d_createcontainerconfigerror", "list-pod-events", CONNECTORS, nothing, ROLLED, "missing-config-map",
            "ConfigMap connector-registry-config does not exist",
            id="a missing ConfigMap: a person, with its name",
        ),
        pytest.param(
            "02d_createcontainerconfigerror", None, CONNECTORS, nothing, ROLLED, "missing-secret-key",
            "Secret api-keys has no key CONNECTOR_REGISTRY_API_KEY_V2",
            id="a missing key of a Secret: a person, with its name",
        ),
        pytest.param(
            "02l_missing_secret", "list-pod-events", CONNECTORS, nothing, ROLLED, "missing-secret",
            "Secret connector-credentials does not exist",
            id="a missing Secret of an env variable: a person, with its name",
        ),
        pytest.param(
            "02l_missing_secret", None, REGISTRY, last_volume_only, ROLLED, "missing-secret",
            "Secret schema-credentials does not exist",
            id="a missing Secret of a volume, known by events only: a person, with its name",
        ),
        pytest.param(
            "02e_unschedulable", "list-nodes", CLICKHOUSE, nothing, {}, "unschedulable", "3 Insufficient memory",
            id="no node takes the pod: a person, with what the scheduler says",
        ),
        pytest.param(
            "02e_unschedulable", "statefulset-stuck", CLICKHOUSE, nothing, {}, "unschedulable", "Insufficient memory",
            id="the template is mended and the pod still waits",
        ),
        pytest.param(
            "03c_rollout_stuck_and_rollback", "read-deployment", NORMALIZATION, nothing, {}, None, "",
            id="before the rollout: nothing to do",
        ),
        pytest.param(
            "05d_patch_accepted_but_pods_refused", "list-pods", NORMALIZATION, nothing, ROLLED, "pods-refused",
            "exceeded quota",
            id="a quota refuses the pods: a person, with what it says",
        ),
        pytest.param(
            "02k_many_failures_at_once", None, NORMALIZATION, nothing, {}, "restart", "restart",
            id="eight things broken at once: this one is still told from the others",
        ),
        pytest.param(
            "01_healthy", None, NORMALIZATION, nothing, {}, None, "", id="healthy: nothing to do"
        ),
    ],
)  # fmt: skip
async def test_a_recorded_failure_of_chapter_1_1_leads_to_its_rung(
    scenario: str, until: str | None, target: Target, change: Change, tried: Mapping[str, int],
    rung: str | None, says: str, tmp_path: Path,
) -> None:  # fmt: skip
    cluster = Recorded(scenario, until)
    change(cluster)
    evidence = await diagnosed(cluster, target, START, tmp_path, **NOT_ASKED)
    proposal = proposed(evidence, target, START, tried)
    assert proposal.rung == rung, [(c.rung, c.reason) for c in proposal.considered]
    assert says in str(proposal.request or "")


@pytest.mark.parametrize(
    ("scenario", "until", "target", "rung", "says"),
    [
        pytest.param(
            "13i1_rollout_undo", "kubectl-rollout-undo-3",
            deployment("normalization-service", "carbon-volumes"), "roll-back", "from revision 3 to revision 2",
            id="a rollout that is stuck: back to the revision before",
        ),
        pytest.param(
            "13j_statefulset_stuck", "pods-stuck", statefulset("kafka", "carbon-guards"), "rollout-waits-for-pod",
            "waits for pod kafka-0", id="a StatefulSet that waits for its unready pod 0: a person, with its name",
        ),
    ],
)  # fmt: skip
async def test_a_stuck_rollout_leads_to_its_rung(
    scenario: str, until: str, target: Target, rung: str, says: str, tmp_path: Path
) -> None:
    # What these two need is not there in their small namespaces, and is none of this cause.
    params = {**NOT_ASKED, "dependencies": {}}
    cluster = Recorded(scenario, until)
    evidence = await diagnosed(cluster, target, START, tmp_path, **params)
    proposal = proposed(evidence, target, START)
    assert proposal.rung == rung, [(c.rung, c.reason) for c in proposal.considered]
    assert says in str(proposal.request)


MEMORY = {"memory_of_limit": 0.95, "memory_growth": 100_000.0, "restarts_10m": 1.0}


@pytest.mark.parametrize(
    ("scenario", "target", "series", "tried", "rung", "says"),
    [
        pytest.param(
            "02b_oomkilled", AGGREGATION, None, {}, "raise-memory",
            "set the memory limit of aggregation-service in Deployment/carbon-ingestion/aggregation-service "
            "from 1Gi to 2Gi",
            id="killed for its memory: a higher limit",
        ),
        pytest.param(
            "02i_flapping_restarts", CONNECTORS, MEMORY, {}, "raise-memory-in-time", "from 1Gi to 2Gi",
            id="memory near its limit and rising: a higher limit in time",
        ),
        pytest.param(
            "02i_flapping_restarts", CONNECTORS, {**MEMORY, "memory_growth": -1.0}, {}, "read-the-logs", "restarts",
            id="memory near its limit and falling is no cause",
        ),
        pytest.param(
            "02g_liveness_kills", deployment("enrichment-service"), None, {}, "wait-longer-for-the-start",
            "let the liveness probe of enrichment-service",
            id="killed by liveness while its log shows work: more patience",
        ),
        pytest.param(
            "02i_flapping_restarts", CONNECTORS, None, {}, "read-the-logs", "Newest error line",
            id="crashes: a person, with the newest error line",
        ),
        pytest.param(
            "02a_crashloop", NORMALIZATION, None, {}, "read-the-logs", "NoBrokersAvailable",
            id="a crash loop: a person, with the newest error line",
        ),
        pytest.param(
            "02h_flapping_readiness", statefulset("zookeeper"), None, {}, None, "",
            id="readiness that flaps without a restart is no restart",
        ),
        pytest.param(
            "01_healthy", NORMALIZATION, {"restarts_10m": 0.0}, {}, None, "", id="healthy: nothing to do"
        ),
    ],
)  # fmt: skip
async def test_a_recorded_failure_of_chapter_1_2_leads_to_its_rung(
    scenario: str, target: Target, series: Mapping[str, float] | None, tried: Mapping[str, int],
    rung: str | None, says: str, tmp_path: Path,
) -> None:  # fmt: skip
    evidence = await diagnosed(Recorded(scenario), target, RESTARTS, tmp_path)
    if series is not None:
        known = Known(series, "prometheus", RECORDED_AT, 0.01)
        evidence = replace(evidence, series=known)  # type: ignore[call-arg] # of this chapter
    proposal = proposed(evidence, target, RESTARTS, tried)
    assert proposal.rung == rung, [(c.rung, c.reason) for c in proposal.considered]
    assert says in str(proposal.request or "")


async def test_a_process_that_logs_errors_before_liveness_kills_it_is_not_only_slow(
    tmp_path: Path,
) -> None:
    cluster, target = Recorded("02g_liveness_kills"), deployment("enrichment-service")
    for key, (status, text) in list(cluster.logs.items()):
        if key[2]:
            cluster.logs[key] = (
                status,
                f"{text}\n2026-11-23T18:48:35Z ERROR deadlock in worker 3\n",
            )
    evidence = await diagnosed(cluster, target, RESTARTS, tmp_path)
    assert proposed(evidence, target, RESTARTS).rung == "read-the-logs"


async def test_a_log_line_of_a_megabyte_with_terminal_escapes_is_one_short_plain_line(
    tmp_path: Path,
) -> None:
    cluster, target = Recorded("02g_liveness_kills"), deployment("enrichment-service")
    line = "2026-11-23T18:48:35Z ERROR \x1b[2J\x1b]0;owned\x07 deadlock " + "x" * 1_000_000
    for key, (status, text) in list(cluster.logs.items()):
        if key[2]:
            cluster.logs[key] = (status, f"{text}\n{line}\n")
    evidence = await diagnosed(cluster, target, RESTARTS, tmp_path)
    seen: Logs = evidence.readings()["logs"].value  # type: ignore[union-attr,assignment]
    shown = [*seen.examples, *(kept for log in seen.logs for kept in log.tail)]
    assert any("deadlock" in one for one in seen.examples)
    assert max(map(len, shown)) <= 300
    assert all(one.isprintable() for one in shown)
    proposal = proposed(evidence, target, RESTARTS)
    assert proposal.rung == "read-the-logs"
    assert len(str(proposal.request)) < 2_000


async def test_what_nobody_can_read_argues_for_nothing(tmp_path: Path) -> None:
    """The API server answers 403 to everything but the pods: no rung that needs more may hold."""
    cluster = Recorded("02a_crashloop")
    whole = cluster.answer

    def answer(asked: Asked) -> web.Response:
        allowed = asked.path.endswith(("/pods", "/deployments/normalization-service", "/log"))
        return whole(asked) if allowed else web.json_response({"message": "no"}, status=403)

    cluster.answer = answer  # type: ignore[method-assign] # a server that refuses
    evidence = await diagnosed(cluster, NORMALIZATION, START, tmp_path, **NOT_ASKED)
    proposal = proposed(evidence, NORMALIZATION, START)
    assert proposal.rung is None
    assert Reason.EVIDENCE_UNKNOWN in {c.reason for c in proposal.considered}
