"""Failures that a test scripts, in the form in which the recorded server showed
them, and what heals each.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from rehearsal.cluster import (
    Cluster,
    CrashLoop,
    Delays,
    MissingReference,
    Object,
    OutOfMemory,
    SlowStart,
    Unready,
    carbon_ingestion,
)
from tests.cluster.recorded import STRATEGIC, open_session, send
from tests.cluster.stepped_clock import SteppedClock

NS = "carbon-ingestion"


@asynccontextmanager
async def platform() -> AsyncIterator[tuple[Cluster, SteppedClock]]:
    clock = SteppedClock()
    async with asyncio.timeout(30):
        async with Cluster(carbon_ingestion(), clock=clock, delays=Delays()) as cluster:
            yield cluster, clock


def pod_of(cluster: Cluster, workload: str) -> Object:
    """The youngest of a workload."""
    pods = [
        pod for pod in cluster.objects("pods", NS) if pod["metadata"]["name"].startswith(workload)
    ]
    return max(pods, key=lambda pod: int(pod["metadata"]["resourceVersion"]))


def status_of(cluster: Cluster, workload: str) -> Any:
    return pod_of(cluster, workload)["status"]["containerStatuses"][0]


def told(cluster: Cluster, reason: str) -> list[str]:
    events = cluster.objects("events", NS)
    return [event["message"] for event in events if event["reason"] == reason]


def is_available(cluster: Cluster, workload: str) -> bool:
    found = cluster.get("deployments", NS, workload)
    status = found["status"]
    return bool(
        status["observedGeneration"] == found["metadata"]["generation"]
        and status.get("availableReplicas")
        == found["spec"]["replicas"]
        == status.get("updatedReplicas")
    )


def container(cluster: Cluster, workload: str, change: Callable[[Any], None]) -> None:
    def edit(obj: Object) -> None:
        change(obj["spec"]["template"]["spec"]["containers"][0])

    cluster.edit("deployments", NS, workload, edit)


async def test_a_crash_loop_backs_off_with_its_code_and_previous_log_and_ends_when_healed() -> None:
    async with platform() as (cluster, clock), open_session(cluster) as session:
        broken = cluster.break_pods(
            NS, "schema-registry", CrashLoop(exit_code=3, lines=("no route to kafka",))
        )
        await clock.advance(9)
        status = status_of(cluster, "schema-registry")
        assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert status["lastState"]["terminated"]["exitCode"] == 3
        assert not status["ready"]
        name = pod_of(cluster, "schema-registry")["metadata"]["name"]
        path = f"/api/v1/namespaces/{NS}/pods/{name}/log"
        answer = await send(session, "GET", path, query={"previous": "True"})
        assert "no route to kafka" in answer.body
        broken.heal()
        await clock.advance(30)
        assert is_available(cluster, "schema-registry")


async def test_out_of_memory_heals_when_the_limit_is_raised_to_the_need_and_not_below_it() -> None:
    async with platform() as (cluster, clock):
        cluster.break_pods(NS, "aggregation-service", OutOfMemory(needs="1536Mi"))
        await clock.advance(20)
        killed = status_of(cluster, "aggregation-service")["lastState"]["terminated"]
        assert (killed["exitCode"], killed["reason"]) == (137, "OOMKilled")

        def limit(memory: str) -> None:
            container(
                cluster,
                "aggregation-service",
                lambda it: it["resources"]["limits"].update(memory=memory),
            )

        limit("1200Mi")
        await clock.advance(60)
        assert not is_available(cluster, "aggregation-service")
        limit("2Gi")
        await clock.advance(60)
        assert is_available(cluster, "aggregation-service")


async def test_liveness_kills_are_told_by_events_and_end_when_the_probe_waits_longer() -> None:
    async with platform() as (cluster, clock):
        cluster.break_pods(NS, "enrichment-service", SlowStart(needs_s=50))
        await clock.advance(70)
        killed = status_of(cluster, "enrichment-service")["lastState"]["terminated"]
        assert (killed["exitCode"], killed["reason"]) == (137, "Error")
        assert "Container enrichment-service failed liveness probe, will be restarted" in told(
            cluster, "Killing"
        )
        assert any(text.startswith("Liveness probe failed") for text in told(cluster, "Unhealthy"))
        container(
            cluster,
            "enrichment-service",
            lambda it: it["livenessProbe"].update(initialDelaySeconds=60),
        )
        await clock.advance(90)
        assert is_available(cluster, "enrichment-service")


async def test_a_missing_config_map_keeps_new_pods_from_being_made_until_it_is_there() -> None:
    async with platform() as (cluster, clock):
        cluster.break_pods(
            NS, "connector-registry", MissingReference("configmap", "connector-registry-config")
        )
        source = {"configMapRef": {"name": "connector-registry-config"}}
        container(cluster, "connector-registry", lambda it: it["envFrom"].append(source))
        await clock.advance(5)
        waiting = status_of(cluster, "connector-registry")["state"]["waiting"]
        assert waiting == {
            "reason": "CreateContainerConfigError",
            "message": 'configmap "connector-registry-config" not found',
        }
        assert 'Error: configmap "connector-registry-config" not found' in told(cluster, "Failed")
        metadata = {"name": "connector-registry-config", "namespace": NS}
        cluster.seed([{"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {}}])
        await clock.advance(30)
        assert is_available(cluster, "connector-registry")


async def test_a_missing_key_of_a_secret_is_named_as_recorded() -> None:
    failure = MissingReference("secret", "api-keys", "CONNECTOR_REGISTRY_API_KEY")
    async with platform() as (cluster, clock):
        cluster.break_pods(NS, "connector-registry", failure)
        container(cluster, "connector-registry", lambda it: it.update(args=["again"]))
        await clock.advance(5)
        waiting = status_of(cluster, "connector-registry")["state"]["waiting"]
        assert waiting["message"] == (
            "couldn't find key CONNECTOR_REGISTRY_API_KEY in Secret carbon-ingestion/api-keys"
        )


async def test_an_unready_pod_is_running_and_not_restarted() -> None:
    async with platform() as (cluster, clock):
        broken = cluster.break_pods(NS, "kafka", Unready(), pod="kafka-2")
        await clock.advance(1)
        pod = cluster.get("pods", NS, "kafka-2")
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
        assert not pod["status"]["containerStatuses"][0]["ready"]
        assert cluster.get("statefulsets", NS, "kafka")["status"]["readyReplicas"] == 2
        broken.heal()
        await clock.advance(1)
        assert cluster.get("statefulsets", NS, "kafka")["status"]["readyReplicas"] == 3


async def test_a_stateful_set_waits_for_pod_0_without_a_sign_and_rolls_when_it_recovers() -> None:
    """13j: an old change is carried out the moment that the pod which held it up becomes ready."""
    async with platform() as (cluster, clock), open_session(cluster) as session:
        broken = cluster.break_pods(NS, "kafka", Unready(), pod="kafka-0")
        await clock.advance(1)
        memory = {"resources": {"limits": {"memory": "3Gi"}}}
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "kafka"} | memory]}}}}
        path = f"/apis/apps/v1/namespaces/{NS}/statefulsets/kafka"
        assert (
            await send(session, "PATCH", path, body=patch, content_type=STRATEGIC)
        ).status == 200
        await clock.advance(120)
        stuck = cluster.get("statefulsets", NS, "kafka")
        assert stuck["status"]["observedGeneration"] == stuck["metadata"]["generation"]
        assert stuck["status"]["updateRevision"] != stuck["status"]["currentRevision"]
        assert "updatedReplicas" not in stuck["status"]
        broken.heal()
        await clock.advance(60)
        status = cluster.get("statefulsets", NS, "kafka")["status"]
        assert status["updatedReplicas"] == status["readyReplicas"] == 3
        assert status["updateRevision"] == status["currentRevision"]


async def test_an_image_that_is_missing_and_a_request_that_fits_no_node_keep_a_pod_pending() -> (
    None
):
    async with platform() as (cluster, clock):
        cluster.missing_images.add("registry.example.com/none:1")
        container(
            cluster, "schema-registry", lambda it: it.update(image="registry.example.com/none:1")
        )
        container(
            cluster,
            "normalization-service",
            lambda it: it["resources"].update(limits={}, requests={"memory": "900Gi"}),
        )
        await clock.advance(5)
        waiting = status_of(cluster, "schema-registry")["state"]["waiting"]
        assert waiting["reason"] == "ImagePullBackOff"
        conditions = pod_of(cluster, "normalization-service")["status"]["conditions"]
        assert [entry["reason"] for entry in conditions if entry["type"] == "PodScheduled"] == [
            "Unschedulable"
        ]
