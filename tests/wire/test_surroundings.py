"""What stands around a target, read from the emulator: neighbours, pods, budgets,
its rollout, who changed it.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rehearsal.cluster import Cluster, Delays, Fault, carbon_ingestion
from service.backends import looking_around, surveying
from service.clients.kubernetes import KubernetesReader
from service.diagnose.sources import Sources
from service.kit.clock import SystemClock
from service.model.evidence import Known, Unknown
from service.model.objects import DisruptionBudget, ObjectRef, Surroundings, Write
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings

NS = "carbon-ingestion"
TARGET = Target(TargetKind.DEPLOYMENT, NS, "normalization-service")
KAFKA = Target(TargetKind.STATEFULSET, NS, "kafka")


def restart(target: Target) -> Write:
    assert target.ref is not None
    return Write(target.ref, ("spec", "template", "metadata", "annotations", "x"), "now")


@dataclass
class Stage:
    """A cluster, and one who reads it."""

    cluster: Cluster
    sources: Sources

    async def read(self, target: Target, *writes: Write, takes: tuple[str, ...] = ()) -> Any:
        return await looking_around(self.sources, SystemClock())(target, writes, takes)

    async def seen(
        self, target: Target, *writes: Write, takes: tuple[str, ...] = ()
    ) -> Surroundings:
        found = await self.read(target, *writes, takes=takes)
        assert isinstance(found, Known), found
        assert isinstance(found.value, Surroundings)
        return found.value

    def pods(self, app: str) -> list[str]:
        names = [p["metadata"]["name"] for p in self.cluster.objects("pods", NS)]
        return sorted(name for name in names if name.startswith(app))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0)) as cluster:
        await cluster.settled()
        settings = KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"))
        async with KubernetesReader(settings) as reader:
            yield Stage(cluster, Sources(kubernetes=reader))


def budget(name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": NS},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}},
    }


async def test_a_settled_workload_its_neighbours_and_its_pods(stage: Stage) -> None:
    kinds = ("deployments", "statefulsets")
    every = sum(len(stage.cluster.objects(plural, NS)) for plural in kinds)
    seen = await stage.seen(TARGET, restart(TARGET))
    assert (seen.workloads, seen.rollout, seen.budgets) == (every, "", ())
    assert seen.ready == seen.least
    assert seen.ready
    kafka = await stage.seen(KAFKA, restart(KAFKA))
    assert kafka.ready is not None
    assert kafka.least == kafka.ready - 1


async def test_a_budget_over_the_targets_pods_is_seen_with_its_room(stage: Stage) -> None:
    labels = stage.cluster.get("deployments", NS, TARGET.name)["spec"]["selector"]["matchLabels"]
    stage.cluster.stop_controllers()  # or they would say what room there is
    stage.cluster.seed([budget("mine", labels), budget("others", {"app": "nobody"})])
    seen = await stage.seen(TARGET, restart(TARGET))
    assert seen.budgets == (DisruptionBudget(f"PodDisruptionBudget {NS}/mine", 0),)

    def room(found: Any) -> None:
        found["status"]["disruptionsAllowed"] = 1

    stage.cluster.edit("poddisruptionbudgets", NS, "mine", room, subresource="status")
    assert (await stage.seen(TARGET, restart(TARGET))).budgets[0].allowed == 1


async def test_a_rollout_is_seen_from_the_write_on_until_its_end(stage: Stage) -> None:
    stage.cluster.stop_controllers()

    def changed(found: Any) -> None:
        found["spec"]["template"]["metadata"].setdefault("annotations", {})["x"] = "y"

    stage.cluster.edit("deployments", NS, TARGET.name, changed)
    assert (await stage.seen(TARGET)).rollout != ""
    stage.cluster.resume_controllers()
    await stage.cluster.settled()
    assert (await stage.seen(TARGET)).rollout == ""


async def test_a_ready_pod_that_would_go_counts_and_one_that_is_gone_does_not(stage: Stage) -> None:
    (pod, *_) = stage.pods(TARGET.name)
    seen = await stage.seen(TARGET, takes=(pod,))
    assert seen.ready is not None
    assert seen.least == seen.ready - 1
    assert (await stage.seen(TARGET, takes=("no-such-pod",))).least == seen.ready


async def test_of_a_target_that_is_no_workload_only_the_pods_that_go_are_known(
    stage: Stage,
) -> None:
    topic = Target(TargetKind.TOPIC, NS, "raw-trades")
    (pod, *_) = stage.pods(TARGET.name)
    seen = await stage.seen(topic, takes=(pod,))
    assert (seen.ready, seen.least) == (1, 0)
    nothing = await stage.seen(topic)
    assert (nothing.ready, nothing.least) == (None, None)


async def test_what_cannot_be_read_is_unknown_as_a_whole(stage: Stage) -> None:
    with stage.cluster.inject(Fault(path=".*/poddisruptionbudgets", status=403)):
        found = await stage.read(TARGET)
    assert isinstance(found, Unknown)
    assert found.reason is Reason.FORBIDDEN


async def test_without_a_cluster_it_is_unknown(stage: Stage) -> None:
    stage.sources = Sources()
    found = await stage.read(TARGET)
    assert isinstance(found, Unknown)
    assert found.reason is Reason.NOT_CONFIGURED


async def test_the_survey_names_who_changed_an_object_since_it_was_made(stage: Stage) -> None:
    assert TARGET.ref is not None
    ref: ObjectRef = TARGET.ref
    write = Write(ref, ("spec", "replicas"), 3)

    async def managers() -> set[str]:
        found = await surveying(stage.sources, SystemClock())((write,))
        assert isinstance(found, Known)
        return set(found.value[0].changes)

    assert "kubectl-edit" not in await managers()

    def old(found: Any) -> None:
        found["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
        found["spec"]["minReadySeconds"] = 1

    stage.cluster.edit("deployments", NS, TARGET.name, old, manager="kubectl-edit")
    assert "kubectl-edit" in await managers()
