"""Pods do real work through the embedder's kubelet; they crash, back off,
say so in logs and events.
"""

import asyncio
from typing import Any

import pytest

from rehearsal.cluster import Cluster, ContainerExitedError, Delays, Object, carbon_ingestion
from tests.cluster.recorded import STRATEGIC, open_session, scenario, send
from tests.cluster.stepped_clock import SteppedClock

NS = "carbon-ingestion"
POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "lonely", "namespace": NS},
    "spec": {"containers": [{"name": "work", "image": "example.com/work:1"}]},
}
NODE = carbon_ingestion()[1]


class Workers:
    """Counts who works; may be told to crash or to start slowly."""

    def __init__(self) -> None:
        self.working: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.crashes: list[ContainerExitedError] = []
        self.may_start = asyncio.Event()
        self.may_start.set()

    async def start(self, pod: Object) -> None:
        await self.may_start.wait()
        self.calls.append(("start", pod["metadata"]["name"]))
        if self.crashes:
            raise self.crashes.pop(0)
        self.working.add(pod["metadata"]["name"])

    async def stop(self, pod: Object) -> None:
        self.calls.append(("stop", pod["metadata"]["name"]))
        self.working.discard(pod["metadata"]["name"])


async def scale(session: Any, name: str, replicas: int) -> None:
    answer = await send(
        session,
        "PATCH",
        f"/apis/apps/v1/namespaces/{NS}/deployments/{name}/scale",
        body={"spec": {"replicas": replicas}},
        content_type=STRATEGIC,
    )
    assert answer.status == 200


async def test_scaling_really_changes_the_number_of_workers() -> None:
    workers = Workers()
    quick = Delays(0.0, 0.0, 0.0, 0.0)
    async with (
        Cluster(carbon_ingestion(), kubelet=workers, delays=quick) as cluster,
        open_session(cluster) as session,
    ):

        def consumers() -> int:
            return sum(name.startswith("normalization-service") for name in workers.working)

        assert consumers() == 3
        for replicas in (5, 1, 0, 2):
            await scale(session, "normalization-service", replicas)
            await cluster.settled()
            assert consumers() == replicas


async def test_a_pod_is_ready_only_after_its_work_has_begun() -> None:
    workers, clock = Workers(), SteppedClock()
    async with Cluster([NODE], kubelet=workers, clock=clock) as cluster:
        workers.may_start.clear()
        cluster.seed([POD])
        await clock.advance(60)
        assert cluster.get("pods", NS, "lonely")["status"]["phase"] == "Running"
        assert not cluster.get("pods", NS, "lonely")["status"]["containerStatuses"][0]["ready"]
        workers.may_start.set()
        await clock.advance(1)
        assert cluster.get("pods", NS, "lonely")["status"]["containerStatuses"][0]["ready"]


async def test_a_crash_loop_backs_off_as_recorded_and_ends_when_the_cause_is_gone() -> None:
    workers, clock = Workers(), SteppedClock()
    async with Cluster(
        [NODE], kubelet=workers, clock=clock, delays=Delays(start_s=0, ready_s=1)
    ) as cluster:
        cluster.seed([POD])
        await clock.advance(5)
        workers.crashes = [ContainerExitedError(1, lines=("ERROR no brokers",)) for _ in range(3)]
        cluster.crash(NS, "lonely", lines=("ERROR no brokers",))
        waits: list[str] = []
        for _ in range(60):
            await clock.advance(1)
            state = cluster.get("pods", NS, "lonely")["status"]["containerStatuses"][0]["state"]
            message = state.get("waiting", {}).get("message", "")
            if message and (not waits or waits[-1] != message.split()[1]):
                waits.append(message.split()[1])
            assert cluster.get("pods", NS, "lonely")["status"]["phase"] == "Running"
        assert waits == ["10s", "20s", "40s"]
        await clock.advance(60)
        status = cluster.get("pods", NS, "lonely")["status"]["containerStatuses"][0]
        assert (status["ready"], status["restartCount"]) == (True, 4)
        assert status["lastState"]["terminated"]["exitCode"] == 1
        backing_off = [
            event for event in cluster.objects("events", NS) if event["reason"] == "BackOff"
        ]
        assert [event["count"] for event in backing_off] == [3]


async def test_in_a_crash_loop_the_log_and_the_previous_log_are_the_same() -> None:
    workers, clock = Workers(), SteppedClock()
    async with (
        Cluster([NODE], kubelet=workers, clock=clock) as cluster,
        open_session(cluster) as session,
    ):
        cluster.seed([POD])
        await clock.advance(5)
        path = f"/api/v1/namespaces/{NS}/pods/lonely/log"
        assert (await send(session, "GET", path, query={"previous": "True"})).status == 400
        workers.crashes = [ContainerExitedError(137, "OOMKilled", lines=("out of memory",))]
        cluster.crash(NS, "lonely", lines=("out of memory",))
        await clock.advance(3)
        texts = [
            (await send(session, "GET", path, query=query)).body
            for query in ({}, {"previous": "True"})
        ]
        assert texts[0] == texts[1]
        assert texts[0].endswith("out of memory\n")
        terminated = cluster.get("pods", NS, "lonely")["status"]["containerStatuses"][0][
            "lastState"
        ]["terminated"]
        assert (terminated["exitCode"], terminated["reason"]) == (137, "OOMKilled")


async def test_a_log_is_cut_by_lines_and_by_bytes() -> None:
    async with Cluster([NODE, POD]) as cluster, open_session(cluster) as session:
        for number in range(20):
            cluster.log(NS, "lonely", f"line {number}")
        path = f"/api/v1/namespaces/{NS}/pods/lonely/log"
        tail = await send(session, "GET", path, query={"tailLines": "2"})
        assert [line[-7:] for line in tail.body.splitlines()] == ["line 18", "line 19"]
        assert len((await send(session, "GET", path, query={"limitBytes": "10"})).body) == 10
        assert (await send(session, "GET", path, query={"tailLines": "0"})).body == ""
        assert (await send(session, "GET", path, query={"tailLines": "-1"})).status == 422
        assert (await send(session, "GET", path, query={"follow": "True"})).status == 501


async def test_a_pod_that_fits_nowhere_has_no_log() -> None:
    async with Cluster([POD]) as cluster, open_session(cluster) as session:
        answer = await send(session, "GET", f"/api/v1/namespaces/{NS}/pods/lonely/log")
        assert (answer.status, answer.body) == (204, "")


async def test_an_unready_pod_stays_in_its_endpoint_slice_as_not_ready() -> None:
    async with Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0)) as cluster:
        cluster.set_ready(NS, "kafka-2", ready=False)
        await cluster.settled()
        pieces = next(
            entry
            for entry in cluster.objects("endpointslices", NS)
            if entry["metadata"]["labels"]["kubernetes.io/service-name"] == "kafka-headless"
        )["endpoints"]
        assert {piece["targetRef"]["name"]: piece["conditions"]["ready"] for piece in pieces} == {
            "kafka-0": True,
            "kafka-1": True,
            "kafka-2": False,
        }
        assert (
            cluster.get("pods", NS, "kafka-2")["status"]["containerStatuses"][0]["restartCount"]
            == 0
        )


async def test_a_deleted_pod_ends_its_work_and_is_replaced() -> None:
    workers = Workers()
    async with (
        Cluster(carbon_ingestion(), kubelet=workers, delays=Delays(0, 0, 0, 0)) as cluster,
        open_session(cluster) as session,
    ):
        victim = next(name for name in sorted(workers.working) if name.startswith("enrichment"))
        answer = await send(session, "DELETE", f"/api/v1/namespaces/{NS}/pods/{victim}")
        assert answer.body["kind"] == "Pod"
        assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 30
        await cluster.settled()
        assert ("stop", victim) in workers.calls
        assert victim not in workers.working
        assert sum(name.startswith("enrichment") for name in workers.working) == 2


async def test_work_of_a_seeded_running_pod_is_begun_too() -> None:
    workers = Workers()
    async with Cluster(scenario("01")["state"], kubelet=workers):
        assert len(workers.working) == 14


async def test_a_failure_of_the_embedders_kubelet_is_not_swallowed() -> None:
    class Broken(Workers):
        async def start(self, pod: Object) -> None:
            raise RuntimeError("the broker is gone")

    with pytest.raises(RuntimeError, match="the broker is gone"):
        await Cluster([NODE, POD], kubelet=Broken()).__aenter__()


async def test_a_deployment_whose_pods_all_crash_still_says_that_it_progressed() -> None:
    workers, clock = Workers(), SteppedClock()
    async with Cluster(carbon_ingestion(), kubelet=workers, clock=clock) as cluster:
        workers.crashes = [ContainerExitedError() for _ in range(20)]
        for pod in cluster.objects("pods", NS):
            if pod["metadata"]["name"].startswith("enrichment"):
                cluster.crash(NS, pod["metadata"]["name"])
        await clock.advance(8)
        status = cluster.get("deployments", NS, "enrichment-service")["status"]
        assert {
            entry["type"]: (entry["status"], entry["reason"]) for entry in status["conditions"]
        } == {
            "Progressing": ("True", "NewReplicaSetAvailable"),
            "Available": ("False", "MinimumReplicasUnavailable"),
        }
        assert (status["unavailableReplicas"], "readyReplicas" in status) == (2, False)


async def test_the_scheduler_writes_new_style_events_and_the_kubelet_old_style_ones() -> None:
    recorded = {obj["reason"]: obj for obj in scenario("01")["state"] if obj["kind"] == "Event"}
    async with Cluster(carbon_ingestion()) as cluster:
        for event in cluster.objects("events", NS):
            like = recorded[event["reason"]]
            assert set(event) == set(like), event["reason"]
            assert (event["eventTime"] is None) == (like["eventTime"] is None)
            assert (event["lastTimestamp"] is None) == (like["lastTimestamp"] is None)
            assert event["source"].keys() == like["source"].keys()
            assert set(event["involvedObject"]) == set(like["involvedObject"])


async def test_a_made_pod_has_the_form_of_a_recorded_one() -> None:
    recorded = next(
        obj
        for obj in scenario("01")["state"]
        if obj["metadata"]["name"].startswith("normalization-service-5") and obj["kind"] == "Pod"
    )
    async with Cluster(carbon_ingestion()) as cluster:
        made = next(
            pod
            for pod in cluster.objects("pods", NS)
            if pod["metadata"]["name"].startswith("normalization-service")
        )
        assert set(recorded["metadata"]) == set(made["metadata"]) - {"managedFields"}
        assert set(recorded["spec"]) - set(made["spec"]) == {"tolerations"}
        assert set(recorded["status"]) - set(made["status"]) == {"qosClass"}
        theirs, ours = (pod["status"]["containerStatuses"][0] for pod in (recorded, made))
        assert set(theirs) - set(ours) == {"allocatedResources", "resources", "volumeMounts"}
        assert [entry["type"] for entry in made["status"]["conditions"]] == [
            entry["type"] for entry in recorded["status"]["conditions"]
        ]


async def test_a_made_workload_is_the_recorded_one() -> None:
    recorded = {(obj["kind"], obj["metadata"]["name"]): obj for obj in scenario("01")["state"]}
    async with Cluster(carbon_ingestion()) as cluster:
        for plural, kind in (
            ("deployments", "Deployment"),
            ("statefulsets", "StatefulSet"),
            ("services", "Service"),
            ("persistentvolumeclaims", "PersistentVolumeClaim"),
        ):
            for made in cluster.objects(plural, NS):
                like = recorded[kind, made["metadata"]["name"]]
                made["spec"].pop("clusterIP", None), made["spec"].pop("clusterIPs", None)
                like["spec"].pop("clusterIP", None), like["spec"].pop("clusterIPs", None)
                assert made["spec"] == like["spec"], made["metadata"]["name"]
                assert made["metadata"].get("labels") == like["metadata"].get("labels")
                assert set(made["status"]) == set(like["status"]), made["metadata"]["name"]


async def test_a_deleted_pod_is_there_until_its_work_has_ended() -> None:
    class Slow(Workers):
        def __init__(self) -> None:
            super().__init__()
            self.may_stop = asyncio.Event()

        async def stop(self, pod: Object) -> None:
            await self.may_stop.wait()

    workers, clock = Slow(), SteppedClock()
    async with (
        Cluster([NODE, POD], kubelet=workers, clock=clock) as cluster,
        open_session(cluster) as session,
    ):
        await send(session, "DELETE", f"/api/v1/namespaces/{NS}/pods/lonely")
        await clock.advance(60)
        assert "deletionTimestamp" in cluster.get("pods", NS, "lonely")["metadata"]
        workers.may_stop.set()
        await clock.advance(1)
        assert cluster.find("pods", NS, "lonely") is None
