"""An alert that names a pod: the incident is about what owns the pod,
as the emulated cluster says, or a person's.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rehearsal.cluster import Cluster, Delays, Fault, Identity, Object, Rule, carbon_ingestion
from service import backends
from service.clients.kubernetes import KubernetesReader
from service.diagnose.sources import Sources
from service.incident.lifecycle import Patience
from service.kit.clock import VirtualClock
from service.model.evidence import Evidence
from service.model.incident import Incident, IncidentState
from service.model.playbook import Playbook
from service.model.reasons import Reason
from service.model.step import Step
from service.record.journal import Journal
from service.settings import KubernetesSettings
from service.store.schema import incidents
from tests.path.world import Crash, World, world
from tests.unit.made import GOOD, LABELS, NAMESPACE, evidence, item, playbooks_in

OPEN, ACTING, WAITING, VERIFYING, HEALED, ESCALATED, CLOSED = IncidentState
DEPLOYMENT = f"Deployment/{NAMESPACE}/normalization-service"

BY_POD = GOOD.replace(
    'target: {kind: Deployment, namespace: "{{ labels.namespace }}", name: "{{ labels.workload }}"}',
    """target:
  - {kind: "{{ labels.workload_kind }}", namespace: "{{ labels.namespace }}", name: "{{ labels.workload }}"}
  - {kind: Pod, namespace: "{{ labels.namespace }}", name: "{{ labels.pod }}"}""",
)
GETS = Rule(("get",), ("", "apps"), ("pods", "replicasets", "deployments", "statefulsets"))


def of_pod(name: str, fingerprint: str = "f1", **more: Any) -> dict[str, Any]:
    labels = {"alertname": LABELS["alertname"], "namespace": NAMESPACE, "pod": name}
    return item(fingerprint, labels=labels, **more)


def owned_by(kind: str, api: str, *, uid: str = "u-1", name: str = "collector") -> Object:
    """A pod that nobody runs, with a controlling owner as it is written in it."""
    owner = {"apiVersion": api, "kind": kind, "name": name, "uid": uid, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lonely", "namespace": NAMESPACE, "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }


def late(made: World, playbook: Playbook) -> Evidence:
    return evidence(made.clock.now())


class Dying(Journal):
    """The process dies when it has written a step and would tell of it."""

    def tell(self, incident: Incident, steps: Sequence[Step]) -> None:
        raise Crash


class Scene:
    """A world whose cluster is emulated, and the cluster."""

    def __init__(self, made: World, cluster: Cluster) -> None:
        self.made, self.cluster = made, cluster

    def pods(self, service: str = "normalization-service") -> list[str]:
        names = [p["metadata"]["name"] for p in self.cluster.objects("pods", NAMESPACE)]
        return sorted(name for name in names if name.startswith(service))

    async def all(self) -> list[Incident]:
        """Every incident, oldest first."""
        rows = await self.made.incidents.listing(20)
        found = [await self.made.incidents.get(row["id"]) for row in rows]
        return sorted((i for i in found if i is not None), key=lambda i: i.id)

    async def steps(self, incident_id: str, kind: str) -> list[Mapping[str, Any]]:
        record = await self.made.incidents.record(incident_id)
        assert record is not None
        return [s["data"] for s in record[2] if s["kind"] == kind]


@asynccontextmanager
async def scene(
    store_url: str,
    clock: VirtualClock,
    folder: Path,
    *,
    playbook: str = BY_POD,
    objects: Sequence[Object] = (),
    identities: Mapping[str, Identity] | None = None,
) -> AsyncIterator[Scene]:
    delays = Delays(0, 0, 0, 0)
    async with Cluster(carbon_ingestion(), delays=delays, identities=identities) as cluster:
        cluster.stop_controllers()
        cluster.seed(objects)
        token = next(iter(identities), None) if identities else None
        settings = KubernetesSettings(kubeconfig=cluster.kubeconfig(folder / "config", token))
        async with KubernetesReader(settings) as reader:
            owners = backends.owning(Sources(kubernetes=reader), clock)
            playbooks = playbooks_in(folder / "playbooks", playbook)
            patience = Patience(60.0, 900.0)
            async with world(
                store_url, clock, playbooks=playbooks, owners=owners, see=late, patience=patience
            ) as made:
                yield Scene(made, cluster)


async def test_an_alert_about_a_pod_is_remedied_at_its_deployment(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    reader = Identity("paramedic", (GETS,), NAMESPACE)
    async with scene(store_url, clock, tmp_path, identities={"token": reader}) as on:
        pod = on.pods()[0]
        await on.made.deliver(of_pod(pod))
        assert (await on.made.only()).target.key == f"Pod/{NAMESPACE}/{pod}"
        assert await on.made.round()
        incident = await on.made.only()
        assert (incident.state, incident.target.key) == (OPEN, DEPLOYMENT)
        assert on.made.looks == 0
        (told,) = await on.steps(incident.id, "retargeted")
        assert [link.split()[0] for link in told["chain"]] == ["Pod", "ReplicaSet", "Deployment"]
        assert (told["target"], told["joined"]) == (DEPLOYMENT, None)
        assert {r.method for r in on.cluster.requests} == {"GET"}
        assert await on.made.round()
        (line,) = await on.made.ledger.entries(None, 9)
        assert line["target_key"] == DEPLOYMENT


async def test_a_statefulset_is_found_in_one_step(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(store_url, clock, tmp_path) as on:
        await on.made.deliver(of_pod("kafka-0"))
        assert await on.made.round()
        assert (await on.made.only()).target.key == f"StatefulSet/{NAMESPACE}/kafka"


async def test_two_pods_of_one_deployment_are_one_incident(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(store_url, clock, tmp_path) as on:
        one, two, *_ = on.pods()
        await on.made.deliver(of_pod(one, "f1"), of_pod(two, "f2"))
        for _ in range(3):
            assert await on.made.round()
        first, second = sorted(await on.all(), key=lambda i: i.state is CLOSED)
        assert (first.target.key, len(first.firing)) == (DEPLOYMENT, 2)
        assert (second.state, second.reason, second.alerts) == (CLOSED, Reason.JOINED, ())
        (told,) = await on.steps(second.id, "retargeted")
        assert told["joined"] == first.id
        assert len(on.made.platform.effects) == 1
        # Told again, and told that it is over: it is the other one's alert now.
        await on.made.deliver(of_pod(two, "f2"))
        assert {i.id for i in await on.all()} == {first.id, second.id}
        ends_at = f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"
        await on.made.deliver(of_pod(two, "f2", status="resolved", ends_at=ends_at))
        found = await on.made.incidents.get(first.id)
        assert found is not None
        assert [a.fingerprint for a in found.firing] == ["f1"]


async def test_two_pods_that_are_looked_at_at_the_same_time_are_one_incident(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(store_url, clock, tmp_path) as on:
        one, two, *_ = on.pods()
        await on.made.deliver(of_pod(one, "f1"), of_pod(two, "f2"))
        claimed = [*await on.made.claim("w1"), *await on.made.claim("w2")]
        assert len(claimed) == 2
        await asyncio.gather(*(on.made.worker.take_step(held) for held in claimed))
        assert sorted(i.state for i in await on.all()) == [CLOSED, OPEN]
        (still_open,) = [i for i in await on.all() if i.state is OPEN]
        assert (still_open.target.key, len(still_open.firing)) == (DEPLOYMENT, 2)


async def test_a_pod_joins_the_incident_that_an_alert_with_a_workload_has_opened(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(store_url, clock, tmp_path) as on:
        await on.made.fires("f0")
        await on.made.round()
        clock.advance(1.0)
        await on.made.deliver(of_pod(on.pods()[0], "f1"))
        await on.made.round()
        first, second = await on.all()
        assert (first.target.key, len(first.firing)) == (DEPLOYMENT, 2)
        assert (second.state, second.reason) == (CLOSED, Reason.JOINED)


async def test_a_process_that_dies_after_the_write_goes_on_with_the_owner(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(store_url, clock, tmp_path) as on:
        await on.made.deliver(of_pod(on.pods()[0]))
        (held,) = await on.made.claim()
        rooms = replace(on.made.rooms, journal=Dying(on.made.metrics))
        with pytest.raises(Crash):
            await on.made.worker_of(rooms).take_step(held)
        await on.made.restart()
        assert await on.made.round()
        incident = await on.made.only()
        assert incident.target.key == DEPLOYMENT
        assert len(await on.steps(incident.id, "retargeted")) == 1
        assert len(on.made.platform.effects) == 1


async def test_a_claim_that_was_lost_retargets_nothing(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(store_url, clock, tmp_path) as on:
        await on.made.deliver(of_pod(on.pods()[0]))
        (held,) = await on.made.claim()
        taken = sa.update(incidents).values(owner="other", claim=incidents.c.claim + 1)
        await on.made.database.write(lambda tx: tx.execute(taken).rowcount)
        await on.made.worker.take_step(held)
        assert (await on.made.only()).target.kind == "Pod"


async def test_while_the_api_is_away_the_pod_is_asked_for_again(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(store_url, clock, tmp_path) as on:
        on.cluster.inject(Fault("GET", ".*/replicasets/.*", status=500, times=1))
        await on.made.deliver(of_pod(on.pods()[0]))
        assert await on.made.round()
        incident = await on.made.only()
        assert (incident.state, incident.reason) == (OPEN, Reason.EVIDENCE_UNKNOWN)
        assert incident.due_at > clock.now()
        clock.advance(61.0)
        assert await on.made.round()
        assert (await on.made.only()).target.key == DEPLOYMENT


async def test_a_pod_whose_owner_may_never_be_read_is_a_persons_in_the_end(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    blind = Identity("paramedic", (Rule(("get",), ("",), ("pods",)),), NAMESPACE)
    async with scene(store_url, clock, tmp_path, identities={"token": blind}) as on:
        await on.made.deliver(of_pod(on.pods()[0]))
        await on.made.settle()
        incident = await on.made.only()
        assert (incident.state, incident.reason) == (ESCALATED, Reason.EVIDENCE_UNKNOWN)
        moved = await on.steps(incident.id, "moved")
        assert "forbidden" in moved[-1]["detail"]


async def test_a_pod_that_was_deleted_meanwhile_is_missing(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(store_url, clock, tmp_path) as on:
        pod = on.pods()[0]
        await on.made.deliver(of_pod(pod))
        on.cluster.remove("pods", NAMESPACE, pod)
        assert await on.made.round()
        incident = await on.made.only()
        assert (incident.state, incident.reason) == (ESCALATED, Reason.TARGET_MISSING)
        assert on.made.platform.effects == []


@pytest.mark.parametrize(
    ("kind", "api", "name", "reason", "told"),
    [
        pytest.param(
            "DaemonSet", "apps/v1", "collector", Reason.TARGET_UNRESOLVED,
            "which is none of Deployment, StatefulSet", id="a DaemonSet",
        ),
        pytest.param(
            "Job", "batch/v1", "nightly", Reason.TARGET_UNRESOLVED, f"Job {NAMESPACE}/nightly",
            id="a Job",
        ),
        pytest.param(
            "Node", "v1", "node-1", Reason.TARGET_UNRESOLVED, "/node-1", id="a static pod"
        ),
        pytest.param(
            "StrimziPodSet", "core.strimzi.io/v1beta2", "kafka", Reason.TARGET_UNRESOLVED,
            "StrimziPodSet", id="an operator's kind",
        ),
        pytest.param(
            "Deployment", "example.com/v1", "x", Reason.TARGET_UNRESOLVED, "Deployment",
            id="a Deployment of another API",
        ),
        pytest.param(
            "ReplicaSet", "apps/v1", "gone", Reason.TARGET_MISSING, "not_found",
            id="a ReplicaSet that is gone",
        ),
        pytest.param(
            "StatefulSet", "apps/v1", "kafka", Reason.TARGET_MISSING, "made anew",
            id="a StatefulSet that was made anew",
        ),
    ],
)  # fmt: skip
async def test_a_pod_that_leads_to_nothing_is_a_persons_with_the_reason(
    store_url: str,
    clock: VirtualClock,
    tmp_path: Path,
    kind: str,
    api: str,
    name: str,
    reason: Reason,
    told: str,
) -> None:
    pod = owned_by(kind, api, name=name)
    async with scene(store_url, clock, tmp_path, objects=[pod]) as on:
        await on.made.deliver(of_pod("lonely"))
        assert await on.made.round()
        incident = await on.made.only()
        assert (incident.state, incident.reason) == (ESCALATED, reason)
        assert told in (await on.steps(incident.id, "moved"))[-1]["detail"]
        assert on.made.looks == 0


async def test_a_bare_pod_is_a_persons(store_url: str, clock: VirtualClock, tmp_path: Path) -> None:
    bare = owned_by("ReplicaSet", "apps/v1")
    del bare["metadata"]["ownerReferences"]
    async with scene(store_url, clock, tmp_path, objects=[bare]) as on:
        await on.made.deliver(of_pod("lonely"))
        assert await on.made.round()
        incident = await on.made.only()
        assert (incident.state, incident.reason) == (ESCALATED, Reason.TARGET_UNRESOLVED)
        told = (await on.steps(incident.id, "moved"))[-1]["detail"]
        assert told == f"Pod {NAMESPACE}/lonely has no controlling owner"


async def test_a_workload_that_the_remedies_are_not_made_for_is_a_persons(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with scene(store_url, clock, tmp_path) as on:
        await on.made.fires(workload_kind="DaemonSet", workload="collector")
        assert await on.made.round()
        incident = await on.made.only()
        assert (incident.state, incident.reason) == (ESCALATED, Reason.TARGET_UNRESOLVED)
        assert on.made.looks == 0


async def test_a_playbook_that_is_made_for_pods_stays_with_the_pod(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    for_pods = BY_POD.replace("diagnose:", "workloads: [Pod]\ndiagnose:")
    async with scene(store_url, clock, tmp_path, playbook=for_pods) as on:
        await on.made.deliver(of_pod("kafka-0"))
        assert await on.made.round()
        incident = await on.made.only()
        assert (incident.target.kind, on.made.looks) == ("Pod", 1)
