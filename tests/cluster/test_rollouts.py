"""Restart, scale, pause, autoscaler: the emulator goes through the statuses that the
recorded server went through.

A recording is a poll: it saw some states of many. Each state that it
saw must be a state of the emulator, in the same order. Time is stepped;
pods take 2.7 s to become ready and 1.2 s to go, as in the recordings.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from rehearsal.cluster import Cluster, Delays, Object
from tests.cluster.recorded import (
    STRATEGIC,
    differences,
    exchange,
    healthy_state,
    open_session,
    resend,
    scenario,
    send,
)
from tests.cluster.stepped_clock import SteppedClock

NS = "carbon-ingestion"
RECORDED_PACE = Delays(react_s=0.02, start_s=1.3, ready_s=1.4, stop_s=1.2)
COUNTS = (
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "terminatingReplicas",
    "currentReplicas",
)
State = dict[str, Any]


class Rehearsal:
    """A cluster in the recorded healthy state, its clock, and every status that
    one workload went through.
    """

    def __init__(
        self, cluster: Cluster, clock: SteppedClock, session: aiohttp.ClientSession
    ) -> None:
        self.cluster, self.clock, self.session = cluster, clock, session
        self.seen: dict[str, list[State]] = {}
        cluster.on_change(self._changed)

    def _changed(self, plural: str, old: Object | None, new: Object | None) -> None:
        if plural in {"deployments", "statefulsets"} and new is not None:
            self.seen.setdefault(new["metadata"]["name"], []).append(state_of(new))

    async def do(self, name: str, which: str) -> Any:
        """Sends a recorded write; its answer must be as recorded in status code and form."""
        recorded = exchange(name, which)
        answer = await resend(self.session, recorded)
        assert answer.status == recorded["response"]["status"], answer.body
        return answer.body


@asynccontextmanager
async def rehearsal() -> AsyncIterator[Rehearsal]:
    clock = SteppedClock()
    async with (
        Cluster(healthy_state(), clock=clock, delays=RECORDED_PACE) as cluster,
        open_session(cluster) as session,
    ):
        yield Rehearsal(cluster, clock, session)


def state_of(workload: Any) -> State:
    """What a poll can tell: counts, how far the controller lags, why it progresses."""
    status = workload["status"]
    lag = workload["metadata"]["generation"] - status.get("observedGeneration", 0)
    reasons = {
        entry["type"]: (entry["status"], entry["reason"]) for entry in status.get("conditions", [])
    }
    rolled = None
    if "currentRevision" in status:
        rolled = status["currentRevision"] == status["updateRevision"]
    return {
        "lag": lag,
        **{field: status[field] for field in COUNTS if field in status},
        "rolled": rolled,
        **reasons,
    }


def polled(name: str, prefix: str) -> list[State]:
    return [
        state_of(entry["response"]["body"])
        for entry in scenario(name)["exchanges"]
        if entry["name"] == prefix or entry["name"].removeprefix(f"{prefix}-").isdigit()
    ]


def missing_in_order(wanted: list[State], seen: list[State]) -> list[State]:
    """The recorded states that the emulator did not go through at their place."""
    left, missing = iter(seen), []
    for state in wanted:
        rest = list(left)
        if state in rest:
            left = iter(rest[rest.index(state) :])
        else:
            missing.append(state)
            left = iter(rest)
    return missing


async def test_a_restart_goes_through_the_recorded_statuses() -> None:
    async with rehearsal() as it:
        before = it.cluster.get("deployments", NS, "normalization-service")
        answer = await it.do("03a", "patch-restart")
        assert answer["metadata"]["generation"] == before["metadata"]["generation"] + 1
        assert answer["status"] == before["status"], (
            "the answer has the new spec and the old status"
        )
        await it.clock.advance(15)
        assert missing_in_order(polled("03a", "status"), it.seen["normalization-service"]) == []
        after = it.cluster.get("deployments", NS, "normalization-service")
        available = [
            next(entry for entry in obj["status"]["conditions"] if entry["type"] == "Available")
            for obj in (before, after)
        ]
        assert available[0] == available[1], "a condition that stays keeps its times"


async def test_a_restart_writes_the_recorded_events() -> None:
    async with rehearsal() as it:
        earlier = {event["metadata"]["name"] for event in it.cluster.objects("events", NS)}
        await it.do("03a", "patch-restart")
        await it.clock.advance(15)
        new = [
            event
            for event in it.cluster.objects("events", NS)
            if event["metadata"]["name"] not in earlier
            and event["involvedObject"]["kind"] == "Deployment"
        ]
        told = [
            (event["reason"], event["message"].split(" from ")[1], event["source"]) for event in new
        ]
        source = {"component": "deployment-controller"}
        assert sorted(told) == sorted(
            ("ScalingReplicaSet", sizes, source)
            for sizes in ("0 to 1", "3 to 2", "1 to 2", "2 to 1", "2 to 3", "1 to 0")
        )
        recorded = {
            event["message"].split("service-")[0]
            for event in exchange("03a", "deployment-events")["response"]["body"]["events"]
        }
        assert {event["message"].split("service-")[0] for event in new} <= recorded


async def test_after_a_restart_old_pods_still_end_and_look_ready() -> None:
    async with rehearsal() as it:
        await it.do("03a", "patch-restart")
        while it.seen["normalization-service"][-1] != polled("03a", "status")[-1]:
            await it.clock.advance(0.05)
        ending = [
            pod for pod in it.cluster.objects("pods", NS) if "deletionTimestamp" in pod["metadata"]
        ]
        recorded = [
            item
            for item in exchange("03a", "pods-after")["response"]["body"]["items"]
            if "deletionTimestamp" in item["metadata"]
        ]
        assert len(ending) == len(recorded) == 1
        assert ending[0]["status"]["phase"] == recorded[0]["phase"] == "Running"
        assert ending[0]["metadata"]["deletionGracePeriodSeconds"] == 30
        await it.clock.advance(2)
        assert not [
            pod for pod in it.cluster.objects("pods", NS) if "deletionTimestamp" in pod["metadata"]
        ]


async def test_a_stateful_set_restarts_from_the_highest_ordinal_through_the_recorded_statuses() -> (
    None
):
    async with rehearsal() as it:
        deleted: list[str] = []
        it.cluster.on_change(
            lambda plural, old, new: (
                deleted.append(old["metadata"]["name"])
                if plural == "pods" and old is not None and new is None
                else None
            )
        )
        await it.do("03b", "patch-restart")
        await it.clock.advance(20)
        assert missing_in_order(polled("03b", "status"), it.seen["kafka"]) == []
        assert deleted == ["kafka-2", "kafka-1", "kafka-0"]


async def test_a_paused_deployment_takes_a_restart_and_does_nothing_until_it_is_resumed() -> None:
    async with rehearsal() as it:
        await it.do("03d", "patch-pause")
        await it.clock.advance(0.2)
        await it.do("03d", "patch-restart")
        await it.clock.advance(5)
        paused = exchange("03d", "status-paused")["response"]["body"]
        assert state_of(it.cluster.get("deployments", NS, "normalization-service")) == state_of(
            paused
        )
        await it.do("03d", "patch-resume")
        await it.clock.advance(15)
        assert missing_in_order(polled("03d", "status"), it.seen["normalization-service"]) == []


async def test_scaling_goes_through_the_recorded_statuses() -> None:
    async with rehearsal() as it:
        for which, poll, wait in (
            ("patch-scale-5", "status-5", 2.9),
            ("patch-scale-0", "status-0", 0.15),
            ("patch-scale-3", "status-3", 6),
        ):
            it.seen.clear()
            body = await it.do("04a", which)
            assert body["kind"] == "Scale"
            assert body["spec"] == exchange("04a", which)["response"]["body"]["spec"]
            assert body["status"] == exchange("04a", which)["response"]["body"]["status"]
            await it.clock.advance(wait)
            # which pods end first is not told by the recording: that count alone is left out
            wanted = [{**state, "terminatingReplicas": 0} for state in polled("04a", poll)]
            seen = [
                {**state, "terminatingReplicas": 0} for state in it.seen["normalization-service"]
            ]
            assert missing_in_order(wanted, seen) == [], which


async def test_a_stateful_set_scales_through_the_recorded_statuses() -> None:
    async with rehearsal() as it:
        for which, poll in (
            ("patch-sts-scale-2", "sts-status-2"),
            ("patch-sts-scale-3", "sts-status-3"),
        ):
            it.seen.clear()
            await it.do("04a", which)
            await it.clock.advance(5)
            assert missing_in_order(polled("04a", poll), it.seen["kafka"]) == [], which


@pytest.mark.parametrize("which", ["patch-scale-dry-run", "patch-scale-merge-patch"])
async def test_a_scale_that_changes_nothing_keeps_the_version(which: str) -> None:
    async with rehearsal() as it:
        before = it.cluster.get("deployments", NS, "normalization-service")
        await it.do("04a", which)
        assert it.cluster.get("deployments", NS, "normalization-service") == before


@pytest.mark.parametrize(
    "which",
    ["put-scale-stale", "patch-scale-negative", "patch-scale-string", "patch-scale-missing"],
)
async def test_a_scale_is_refused_as_recorded(which: str) -> None:
    async with rehearsal() as it:
        recorded = exchange("04a", which)
        assert differences(recorded, await resend(it.session, recorded)) == []


async def test_an_autoscaler_undoes_a_scale_outside_its_bounds_and_is_off_at_zero() -> None:
    async with rehearsal() as it:
        created = exchange("04b", "create-hpa")
        assert differences(created, await resend(it.session, created)) == []
        await it.clock.advance(16)
        for which, poll, after in (
            ("patch-scale-below-min", "status-below-min", 2),
            ("patch-scale-above-max", "status-above-max", 6),
        ):
            it.seen.clear()
            await it.do("04b", which)
            await it.clock.advance(20)
            wanted = polled("04b", poll)
            assert (
                missing_in_order(wanted[:2] + wanted[-1:], it.seen["aggregation-service"]) == []
            ), which
            assert (
                it.cluster.get("deployments", NS, "aggregation-service")["spec"]["replicas"]
                == after
            )
        await it.do("04b", "patch-scale-0")
        await it.clock.advance(20)
        scaler = it.cluster.get("horizontalpodautoscalers", NS, "aggregation-service")
        recorded = exchange("04b", "hpa-disabled-at-0")["response"]["body"]
        assert [
            (entry["type"], entry["status"], entry["reason"])
            for entry in scaler["status"]["conditions"]
        ] == [
            (entry["type"], entry["status"], entry["reason"])
            for entry in recorded["status"]["conditions"]
        ]
        told = {
            event["message"]
            for event in it.cluster.objects("events", NS)
            if event["reason"] == "SuccessfulRescale"
        }
        assert told == {
            "New size: 2; reason: Current number of replicas below Spec.MinReplicas",
            "New size: 6; reason: Current number of replicas above Spec.MaxReplicas",
        }
        deleted = exchange("04b", "delete-hpa")
        assert differences(deleted, await resend(it.session, deleted)) == []


async def test_a_stuck_rollout_only_turns_a_condition_and_a_rollback_uses_the_old_replica_set_again() -> (
    None
):
    async with rehearsal() as it:
        it.cluster.missing_images.add("registry.example.com/carbon/normalization-service:9")

        def deploy(image: str, deadline: int = 15) -> None:
            def change(obj: Object) -> None:
                obj["spec"]["progressDeadlineSeconds"] = deadline
                obj["spec"]["template"]["spec"]["containers"][0]["image"] = image

            it.cluster.edit("deployments", NS, "normalization-service", change)

        deploy("registry.example.com/carbon/normalization-service:9")
        await it.clock.advance(20)
        stuck = it.cluster.get("deployments", NS, "normalization-service")
        assert state_of(stuck)["Progressing"] == ("False", "ProgressDeadlineExceeded")
        assert state_of(stuck)["Available"] == ("True", "MinimumReplicasAvailable")
        assert stuck["status"]["availableReplicas"] == 3
        waiting = [
            status["state"]["waiting"]["reason"]
            for pod in it.cluster.objects("pods", NS)
            for status in pod["status"]["containerStatuses"]
            if "waiting" in status["state"]
        ]
        assert waiting == ["ImagePullBackOff"]
        pulling = next(
            pod["metadata"]["name"]
            for pod in it.cluster.objects("pods", NS)
            if pod["status"]["phase"] == "Pending"
        )
        log = await send(it.session, "GET", f"/api/v1/namespaces/{NS}/pods/{pulling}/log")
        assert (log.status, log.body["message"].rpartition(": ")[2]) == (
            400,
            "trying and failing to pull image",
        )
        deploy("registry.example.com/carbon/normalization-service:1.4.2")
        await it.clock.advance(5)
        back = it.cluster.get("deployments", NS, "normalization-service")
        assert state_of(back)["Progressing"] == ("True", "NewReplicaSetAvailable")
        assert back["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        used = it.cluster.get("replicasets", NS, "normalization-service-5647846b66")["metadata"][
            "annotations"
        ]
        assert used["deployment.kubernetes.io/revision-history"] == "1"


async def test_a_broken_stateful_set_stays_broken_until_its_pod_is_deleted() -> None:
    async with rehearsal() as it:

        def memory(amount: str) -> None:
            def change(obj: Object) -> None:
                obj["spec"]["template"]["spec"]["containers"][0]["resources"] = {
                    "requests": {"memory": amount}
                }

            it.cluster.edit("statefulsets", NS, "clickhouse", change)

        memory("500Gi")
        await it.clock.advance(10)
        pod = it.cluster.get("pods", NS, "clickhouse-0")
        assert pod["status"]["conditions"][0]["reason"] == "Unschedulable"
        assert "containerStatuses" not in pod["status"]
        assert "nodeName" not in pod["spec"]
        memory("4Gi")
        await it.clock.advance(10)
        assert (
            it.cluster.get("pods", NS, "clickhouse-0")["metadata"]["uid"] == pod["metadata"]["uid"]
        )
        async with it.session.delete(f"/api/v1/namespaces/{NS}/pods/clickhouse-0"):
            await it.clock.advance(10)
        assert it.cluster.get("statefulsets", NS, "clickhouse")["status"]["readyReplicas"] == 1


async def test_with_the_controllers_down_everything_but_the_generation_looks_complete() -> None:
    async with rehearsal() as it:
        it.cluster.stop_controllers()
        await it.do("03a", "patch-restart")
        await it.clock.advance(60)
        status = state_of(it.cluster.get("deployments", NS, "normalization-service"))
        assert (status["lag"], status["updatedReplicas"], status["availableReplicas"]) == (1, 3, 3)
        it.cluster.resume_controllers()
        await it.clock.advance(20)
        assert state_of(it.cluster.get("deployments", NS, "normalization-service"))["lag"] == 0


async def test_an_undo_by_a_guarded_json_patch_brings_the_old_template_back_once() -> None:
    """13i1: tests of uid and revision in front; asked again it is refused,
    for somebody has rolled out since.
    """
    path = f"/apis/apps/v1/namespaces/{NS}/deployments/schema-registry"
    async with rehearsal() as it:
        before = it.cluster.get("deployments", NS, "schema-registry")
        image = {"containers": [{"name": "schema-registry", "image": "registry.example.com/x:2"}]}
        patch = {"spec": {"template": {"spec": image}}}
        assert (
            await send(it.session, "PATCH", path, body=patch, content_type=STRATEGIC)
        ).status == 200
        await it.clock.advance(30)
        after = it.cluster.get("deployments", NS, "schema-registry")
        guard = "/metadata/annotations/deployment.kubernetes.io~1revision"
        undo = [
            {"op": "test", "path": "/metadata/uid", "value": after["metadata"]["uid"]},
            {"op": "test", "path": guard, "value": "2"},
            {"op": "replace", "path": "/spec/template", "value": before["spec"]["template"]},
        ]
        first = await send(
            it.session, "PATCH", path, body=undo, content_type="application/json-patch+json"
        )
        assert first.status == 200
        await it.clock.advance(30)
        undone = it.cluster.get("deployments", NS, "schema-registry")
        assert undone["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        assert undone["spec"]["template"] == before["spec"]["template"]
        again = await send(
            it.session, "PATCH", path, body=undo, content_type="application/json-patch+json"
        )
        assert (again.status, "causes" in again.body["details"]) == (422, False)
