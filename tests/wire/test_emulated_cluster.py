"""The Kubernetes clients and probes against the emulated cluster: rollouts,
conflicts, lost replies.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rehearsal.cluster import Cluster, Cut, Delays, Fault, carbon_ingestion, too_many_requests
from service.clients.kubernetes import KubernetesReader, workload_path
from service.clients.kubernetes_write import MERGE, STRATEGIC, KubernetesWriter
from service.diagnose.probes.workload import workload
from service.kit.deadline import Deadline
from service.model.errors import Indeterminate, Refused, Unavailable
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings
from tests.wire.staged import at_once

NS = "carbon-ingestion"
TARGET = Target(TargetKind.DEPLOYMENT, NS, "normalization-service")
KAFKA = Target(TargetKind.STATEFULSET, NS, "kafka")
PATH = workload_path(TARGET)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0)) as started:
        await started.settled()
        yield started


@pytest.fixture
async def writer(cluster: Cluster, tmp_path: Path) -> AsyncIterator[KubernetesWriter]:
    settings = KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"))
    async with KubernetesWriter(settings) as client:
        yield client


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds)


async def restart(writer: KubernetesWriter, value: str = "a-1", *, dry_run: bool = False) -> None:
    body = {"spec": {"template": {"metadata": {"annotations": {"paramedic/restarted": value}}}}}
    await writer.patch(
        PATH,
        body,
        content_type=STRATEGIC,
        action_id=value,
        confirm=at_once,
        dry_run=dry_run,
        deadline=soon(0.5),
    )


@pytest.mark.parametrize("target", [TARGET, KAFKA], ids=str)
async def test_a_settled_workload_is_complete(writer: KubernetesWriter, target: Target) -> None:
    seen = await workload(writer, target, deadline=soon())
    assert seen.rollout_complete
    assert seen.desired == seen.ready == seen.updated == seen.available > 0
    assert (seen.restarts, seen.waiting) == (0, ())


async def test_a_rollout_is_incomplete_from_the_patch_on_until_its_end(
    cluster: Cluster, writer: KubernetesWriter
) -> None:
    cluster.stop_controllers()
    await restart(writer)
    assert not (await workload(writer, TARGET, deadline=soon())).rollout_complete
    cluster.resume_controllers()
    await cluster.settled()
    assert (await workload(writer, TARGET, deadline=soon())).rollout_complete


async def test_a_dry_run_is_checked_and_changes_nothing(
    cluster: Cluster, writer: KubernetesWriter
) -> None:
    before = cluster.get("deployments", NS, TARGET.name)
    await restart(writer, dry_run=True)
    assert cluster.get("deployments", NS, TARGET.name) == before


async def test_a_crash_is_seen_in_restarts_and_waiting_containers(
    cluster: Cluster, writer: KubernetesWriter
) -> None:
    pods = await writer.list(f"/api/v1/namespaces/{NS}/pods", deadline=soon())
    name = next(
        p["metadata"]["name"] for p in pods if p["metadata"]["name"].startswith(TARGET.name)
    )
    cluster.crash(NS, name)
    await cluster.settled()
    assert (await workload(writer, TARGET, deadline=soon())).restarts == 1


async def test_a_field_that_does_not_exist_is_refused(writer: KubernetesWriter) -> None:
    body = {"spec": {"replicaz": 3}}
    with pytest.raises(Refused) as refused:
        await writer.patch(
            PATH, body, content_type=MERGE, action_id="a", confirm=at_once, deadline=soon()
        )
    assert refused.value.reason is Reason.INVALID_REQUEST


async def test_a_stale_version_is_a_conflict(cluster: Cluster, writer: KubernetesWriter) -> None:
    version = cluster.get("deployments", NS, TARGET.name)["metadata"]["resourceVersion"]
    await restart(writer)
    body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": 9}}
    with pytest.raises(Refused) as refused:
        await writer.patch(
            PATH, body, content_type=MERGE, action_id="a", confirm=at_once, deadline=soon()
        )
    assert refused.value.reason is Reason.CONFLICT


@pytest.mark.parametrize(
    ("cut", "done"),
    [
        (Cut.RESET, True),
        (Cut.RESET, False),
        (Cut.HANG, True),
        (Cut.HANG, False),
        (Cut.TRUNCATE, True),
    ],
)
async def test_a_lost_reply_is_indeterminate_whether_the_write_was_done_or_not(
    cluster: Cluster, writer: KubernetesWriter, cut: Cut, done: bool
) -> None:
    with cluster.inject(Fault("PATCH", cut=cut, after_commit=done)), pytest.raises(Indeterminate):
        await restart(writer, "lost")
    found = await writer.get(PATH, deadline=soon())
    annotations = found["spec"]["template"]["metadata"].get("annotations") or {}
    assert ("paramedic/restarted" in annotations) is done


async def test_load_shedding_is_throttled_and_nothing_was_done(
    cluster: Cluster, writer: KubernetesWriter
) -> None:
    with cluster.inject(too_many_requests("PATCH")), pytest.raises(Unavailable) as unavailable:
        await restart(writer)
    assert (unavailable.value.reason, unavailable.value.retry_after_s) == (Reason.THROTTLED, 1.0)
    await restart(writer)


async def test_a_log_that_does_not_exist_is_refused_and_one_that_does_is_text(
    cluster: Cluster, writer: KubernetesWriter
) -> None:
    pods = await writer.list(
        f"/api/v1/namespaces/{NS}/pods", labels="app.kubernetes.io/name=kafka", deadline=soon()
    )
    name = pods[0]["metadata"]["name"]
    cluster.log(NS, name, "hello")
    assert "hello" in await writer.log(NS, name, deadline=soon())
    with pytest.raises(Refused) as refused:
        await writer.log(NS, name, previous=True, deadline=soon())
    assert refused.value.reason is Reason.INVALID_REQUEST
    with pytest.raises(Refused) as refused:
        await writer.log(NS, "nobody", deadline=soon())
    assert refused.value.reason is Reason.NOT_FOUND


async def test_a_list_of_more_than_a_page_is_whole(cluster: Cluster, tmp_path: Path) -> None:
    pod = cluster.objects("pods", NS)[0]
    copies = []
    for n in range(600):
        meta = {"name": f"copy-{n}", "namespace": NS, "labels": {"copied": "yes"}}
        copies.append({**pod, "metadata": meta})
    cluster.seed(copies)
    settings = KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"))
    async with KubernetesReader(settings) as reader:
        found = await reader.list(
            f"/api/v1/namespaces/{NS}/pods", labels="copied=yes", deadline=soon()
        )
    assert len({p["metadata"]["name"] for p in found}) == 600
