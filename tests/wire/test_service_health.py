"""Chapters 1.1 and 1.2 on recorded failures: from the API server's answers to the cause and the rung of its row."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from service.model.evidence import Known
from service.model.target import Target
from tests.wire.diagnosing import deployment, diagnosed, playbook, proposed, statefulset
from tests.wire.recorded import Recorded

START, RESTARTS = playbook("service-start"), playbook("service-restarts")
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
    """Only the Deployment whose Secret is a volume: its pod and its events, without its healthy one."""
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
            "02c_imagepullbackoff", None, REGISTRY, nothing, {}, "roll-back", "to_revision=1",
            id="a rollout to an image that is not there: back to the revision that is well",
        ),
        pytest.param(
            "02c_imagepullbackoff", None, REGISTRY, no_predecessor, {}, "image-pull",
            "registry.example.com/carbon/schema-registry:0.8.0: not found",
            id="an image that is not there and nothing to go back to: a person, with the answer",
        ),
        pytest.param(
            "02d_createcontainerconfigerror", "list-pod-events", CONNECTORS, nothing, {}, "roll-back", "to_revision",
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
    rung: str | None, says: str, tmp_path,
) -> None:  # fmt: skip
    cluster = Recorded(scenario, until)
    change(cluster)
    evidence = await diagnosed(cluster, target, START, tmp_path, **NOT_ASKED)
    proposal = proposed(evidence, target, START, tried)
    assert proposal.rung == rung, [(c.rung, c.reason) for c in proposal.considered]
    assert says in str(proposal.request or "")
