"""Kinds that undo, delete, apply or ask an operator, on the emulated cluster:
done once, and what they refuse.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rehearsal.cluster import Cut, Fault
from service.act import KINDS
from service.act.executor import Unsure
from service.act.kind import Deed
from service.act.rollout_undo import revision_of
from service.model.action import Applied
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from tests.wire.acting import (
    ALREADY,
    DONE,
    DRY,
    GOING_ON,
    NS,
    SERVICE,
    Stage,
    dry,
    failed,
    intent,
    planned,
    platform,
    staged,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

KAFKA = Target(TargetKind.STATEFULSET, NS, "kafka")
GOOD = "registry.example.com/carbon/normalization-service:1.4.2"

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: kafka-ingress, namespace: carbon-ingestion}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/name: kafka}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app.kubernetes.io/part-of: carbon-ingestion}}}]
      ports: [{port: 9092}]
"""
SETTINGS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: known, namespace: carbon-ingestion}
data: {A: "1"}
"""
MANIFESTS = {
    "kafka-ingress.yaml": POLICY,
    "both.yaml": f"{POLICY}\n---\n{SETTINGS}",
    "elsewhere.yaml": POLICY.replace("carbon-ingestion}", "kube-system}", 1),
    "nowhere.yaml": POLICY.replace(", namespace: carbon-ingestion", ""),
    "secret.yaml": "{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: carbon-ingestion}}",
    "older.yaml": POLICY.replace("networking.k8s.io/v1", "extensions/v1beta1"),
    "owned.yaml": POLICY.replace("kafka-ingress,", "kafka-ingress, ownerReferences: [],"),
    "broken.yaml": "{a: [",
    "empty.yaml": "",
    "text.yaml": "just a text",
}


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    folder = tmp_path / "known-good"
    folder.mkdir()
    for name, text in MANIFESTS.items():
        (folder / name).write_text(text)
    (tmp_path / "outside.yaml").write_text(POLICY)
    (folder / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    seeds = platform(SERVICE.name, "kafka", "carbon-ingestion-config")
    async with staged(tmp_path, seeds, known_good=folder) as made:
        made.cluster.install("core.strimzi.io", "v1beta2", "strimzipodsets", "StrimziPodSet")
        made.cluster.install(
            "clickhouse.altinity.com", "v1", "clickhouseinstallations", "ClickHouseInstallation"
        )
        for api, kind in (
            ("core.strimzi.io/v1beta2", "StrimziPodSet"),
            ("clickhouse.altinity.com/v1", "ClickHouseInstallation"),
        ):
            metadata = {"name": "carbon", "namespace": NS}
            made.cluster.seed([{"apiVersion": api, "kind": kind, "metadata": metadata, "spec": {}}])
        await made.cluster.settled()
        yield made


# --- rolling back


def image(stage: Stage) -> Any:
    return stage.get("deployments", SERVICE.name)["spec"]["template"]["spec"]["containers"][0][
        "image"
    ]


async def rolled_out(stage: Stage, tag: str) -> int:
    """Somebody rolls another image out, with a variable that the one before does not have."""

    def change(found: Any) -> None:
        template = found["spec"]["template"]
        template["metadata"].setdefault("annotations", {})[f"note-{tag}"] = tag
        first = template["spec"]["containers"][0]
        first["image"] = f"{GOOD.rpartition(':')[0]}:{tag}"
        first["env"].append({"name": "NEW", "value": tag})

    stage.cluster.edit("deployments", NS, SERVICE.name, change)
    await stage.cluster.settled()
    return revision_of(stage.get("deployments", SERVICE.name))


async def test_a_rollout_is_undone_as_kubectl_does_it_and_once(stage: Stage) -> None:
    before = stage.get("deployments", SERVICE.name)["spec"]["template"]
    assert await rolled_out(stage, "1.5.0") == 2
    intended = intent("rollout_undo", planned("rollout_undo", SERVICE, from_=2))
    assert await stage.said(dry(intended)) == DRY
    assert stage.writes == []
    assert await stage.said(intended) == DONE
    await stage.cluster.settled()
    now = stage.get("deployments", SERVICE.name)
    assert (
        now["spec"]["template"] == before
    )  # what the old one lacked is gone again, the hash is not in it
    assert revision_of(now) == 3
    assert await stage.said(intended) == ALREADY
    assert await stage.said(intended, look_first=True) == DONE
    assert len(stage.writes) == 1


async def test_undoing_the_undo_goes_back_to_where_it_came_from(stage: Stage) -> None:
    await rolled_out(stage, "1.5.0")
    request = planned("rollout_undo", SERVICE, from_=2)
    assert await stage.said(intent("rollout_undo", request)) == DONE
    await stage.cluster.settled()
    back = KINDS["rollout_undo"].inverse(request)
    assert await stage.said(intent("rollout_undo", back, action_id="act-2")) == DONE
    assert image(stage).endswith(":1.5.0")


async def test_a_named_revision_may_lie_further_back(stage: Stage) -> None:
    await rolled_out(stage, "1.5.0")
    assert await rolled_out(stage, "1.6.0") == 3
    request = planned("rollout_undo", SERVICE, from_=3, to_revision=1)
    assert await stage.said(intent("rollout_undo", request)) == DONE
    assert image(stage) == GOOD


async def test_a_rollout_by_somebody_else_in_between_wins(stage: Stage) -> None:
    await rolled_out(stage, "1.5.0")

    def rush(found: Any) -> None:
        found["spec"]["template"]["spec"]["containers"][0]["image"] = "urgent:1"

    stage.writer.race = lambda: stage.cluster.edit("deployments", NS, SERVICE.name, rush)
    await stage.attempt(intent("rollout_undo", planned("rollout_undo", SERVICE, from_=2)))
    await stage.cluster.settled()
    later = intent("rollout_undo", planned("rollout_undo", SERVICE, from_=2))
    assert await stage.said(later, look_first=True) == failed(Reason.TARGET_CHANGED)
    assert image(stage) == "urgent:1"


@pytest.mark.parametrize(
    ("arguments", "paused", "uids", "reason"),
    [
        ({"from_": 1}, False, {}, Reason.TARGET_CHANGED),
        ({"from_": 2, "to_revision": 7}, False, {}, Reason.REVISION_MISSING),
        ({"from_": 2}, True, {}, Reason.PAUSED),
        ({"from_": 2}, False, {SERVICE.ref.path: "x"} if SERVICE.ref else {},
         Reason.TARGET_REPLACED),
    ],
    ids=["another revision by now", "no such revision", "paused", "made anew"],
)  # fmt: skip
async def test_a_rollback_is_refused(
    stage: Stage, arguments: dict[str, int], paused: bool, uids: dict[str, str], reason: Reason
) -> None:
    await rolled_out(stage, "1.5.0")
    stage.cluster.edit("deployments", NS, SERVICE.name, lambda d: d["spec"].update(paused=paused))
    request = planned("rollout_undo", SERVICE, **arguments)
    assert await stage.said(intent("rollout_undo", request, uids=uids)) == failed(reason)
    assert stage.writes == []


async def test_the_first_revision_has_none_before_it(stage: Stage) -> None:
    request = planned("rollout_undo", SERVICE, from_=1)
    assert await stage.said(intent("rollout_undo", request)) == failed(Reason.REVISION_MISSING)


async def test_a_rollback_whose_reply_is_lost_is_read_back(stage: Stage) -> None:
    await rolled_out(stage, "1.5.0")
    intended = intent("rollout_undo", planned("rollout_undo", SERVICE, from_=2))
    stage.cluster.inject(Fault("PATCH", cut=Cut.RESET, after_commit=True, times=1))
    assert await stage.said(intended) == DONE
    assert image(stage) == GOOD


# --- deleting a pod


def pod_of(stage: Stage, workload: str) -> Any:
    return next(
        p for p in stage.cluster.objects("pods", NS) if p["metadata"]["name"].startswith(workload)
    )


def deletion(pod: Any, target: Target) -> Any:
    return planned("delete_pod", target, pod=pod["metadata"]["name"], uid=pod["metadata"]["uid"])


@pytest.mark.parametrize("target", [SERVICE, KAFKA], ids=str)
async def test_a_pod_is_deleted_by_its_uid_and_its_namesake_stays(
    stage: Stage, target: Target
) -> None:
    pod = pod_of(stage, target.name)
    intended = intent("delete_pod", deletion(pod, target))
    assert await stage.said(dry(intended)) == DRY
    assert stage.writes == []
    assert await stage.said(intended) == DONE
    await stage.cluster.settled()
    uids = {p["metadata"]["uid"] for p in stage.cluster.objects("pods", NS)}
    assert pod["metadata"]["uid"] not in uids
    assert await stage.said(intended) == ALREADY
    assert await stage.said(intended, look_first=True) == DONE
    assert len(stage.writes) == 1
    await stage.cluster.settled()
    assert {p["metadata"]["uid"] for p in stage.cluster.objects("pods", NS)} == uids


async def test_a_deletion_whose_reply_is_lost_is_read_back(stage: Stage) -> None:
    intended = intent("delete_pod", deletion(pod_of(stage, "kafka"), KAFKA))
    # aiohttp sends a DELETE once more by itself when a kept connection breaks: twice,
    # so that it is lost for good.
    stage.cluster.inject(Fault("DELETE", cut=Cut.RESET, after_commit=True, times=2))
    assert await stage.said(intended) == DONE
    stage.cluster.inject(Fault("DELETE", cut=Cut.RESET, times=2))
    await stage.cluster.settled()
    again = intent("delete_pod", deletion(pod_of(stage, "kafka"), KAFKA))
    assert isinstance(await stage.attempt(again), Unsure)
    assert await stage.said(again, look_first=True) == DONE


async def test_a_pod_that_nobody_would_make_anew_is_not_deleted(stage: Stage) -> None:
    spec = {"containers": [{"name": "a", "image": "a"}]}
    bare = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare", "namespace": NS}, "spec": spec,
    }  # fmt: skip
    stage.cluster.seed([bare])
    request = deletion(stage.get("pods", "bare"), SERVICE)
    assert await stage.said(intent("delete_pod", request)) == failed(Reason.NOT_RECREATED)
    assert stage.writes == []


async def test_a_pod_of_another_workload_is_not_deleted(stage: Stage) -> None:
    request = deletion(pod_of(stage, "kafka"), SERVICE)
    assert await stage.said(intent("delete_pod", request)) == failed(Reason.NOT_OF_TARGET)
    assert stage.writes == []


# --- known good manifests


def good(manifest: str = "kafka-ingress.yaml", *more: str) -> Any:
    objects = ("NetworkPolicy/kafka-ingress", *more)
    return planned("apply_known_good", KAFKA, manifest=manifest, objects=objects)


def drift(stage: Stage) -> None:
    """A person lets nobody in."""
    stage.cluster.edit(
        "networkpolicies", NS, "kafka-ingress", lambda p: p["spec"].update(ingress=[])
    )


async def test_a_missing_object_is_made(stage: Stage) -> None:
    intended = intent("apply_known_good", good())
    assert await stage.said(dry(intended)) == DRY
    assert stage.cluster.find("networkpolicies", NS, "kafka-ingress") is None
    assert await stage.said(intended) == DONE
    found = stage.get("networkpolicies", "kafka-ingress")
    assert found["spec"]["ingress"][0]["ports"] == [{"port": 9092, "protocol": "TCP"}]
    assert await stage.said(intended) == ALREADY
    assert await stage.said(intended, look_first=True) == DONE
    assert len(stage.writes) == 1


async def test_a_drifted_object_is_put_back_and_the_difference_is_told(stage: Stage) -> None:
    assert await stage.said(intent("apply_known_good", good())) == DONE
    drift(stage)
    uid = stage.get("networkpolicies", "kafka-ingress")["metadata"]["uid"]
    ref = KINDS["apply_known_good"].writes(good(), "act-2")[0].ref
    intended = intent("apply_known_good", good(), action_id="act-2", uids={ref.path: uid})
    attempt = await stage.attempt(intended)
    assert isinstance(attempt, Deed)
    assert (attempt.applied, attempt.reason) == DONE
    assert "spec.ingress: [] -> [{'from':" in attempt.detail
    assert stage.get("networkpolicies", "kafka-ingress")["spec"]["ingress"]


async def test_several_objects_of_one_file_are_applied_together(stage: Stage) -> None:
    intended = intent("apply_known_good", good("both.yaml", "ConfigMap/known"))
    assert await stage.said(intended) == DONE
    assert stage.get("configmaps", "known")["data"] == {"A": "1"}
    assert len(stage.writes) == 2


async def test_an_apply_whose_reply_is_lost_is_read_back(stage: Stage) -> None:
    # The first PATCH is the dry run.
    stage.cluster.inject(Fault("PATCH", delay_s=0.001, times=1))
    stage.cluster.inject(Fault("PATCH", cut=Cut.RESET, after_commit=True, times=1))
    assert await stage.said(intent("apply_known_good", good())) == DONE
    assert len(stage.writes) == 1


@pytest.mark.parametrize(
    "manifest", [*sorted(set(MANIFESTS) - {"kafka-ingress.yaml"}), "link.yaml", "not-there.yaml"]
)
async def test_a_manifest_that_is_not_what_was_announced_is_refused(
    stage: Stage, manifest: str
) -> None:
    intended = intent("apply_known_good", good(manifest))
    assert await stage.said(intended) == failed(Reason.MANIFEST_REFUSED)
    assert stage.writes == []


async def test_another_policy_under_the_same_name_is_left_alone(stage: Stage) -> None:
    assert await stage.said(intent("apply_known_good", good())) == DONE
    drift(stage)
    ref = KINDS["apply_known_good"].writes(good(), "act-2")[0].ref
    intended = intent("apply_known_good", good(), action_id="act-2", uids={ref.path: "x"})
    assert await stage.said(intended) == failed(Reason.TARGET_REPLACED)
    assert len(stage.writes) == 1


async def test_a_policy_that_is_made_anew_in_between_is_not_written_to(stage: Stage) -> None:
    assert await stage.said(intent("apply_known_good", good())) == DONE
    drift(stage)
    stage.writer.race = lambda: stage.replace("networkpolicies", "kafka-ingress")
    intended = intent("apply_known_good", good(), action_id="act-2")
    assert (await stage.said(intended))[0] is Applied.FAILED
    assert not stage.get("networkpolicies", "kafka-ingress")["spec"].get("ingress")


# --- asking an operator


def restart(kind: str, **more: Any) -> Any:
    return planned("operator_restart", KAFKA, kind=kind, name="carbon", **more)


async def test_strimzi_is_asked_and_followed_until_it_has_taken_the_wish_off(stage: Stage) -> None:
    intended = intent("operator_restart", restart("StrimziPodSet"))
    assert await stage.said(dry(intended)) == DRY
    assert stage.writes == []
    assert await stage.said(intended) == GOING_ON
    marks = stage.get("strimzipodsets", "carbon")["metadata"]["annotations"]
    assert marks["strimzi.io/manual-rolling-update"] == "true"
    going = {"look_first": True, "lapsed": Reason.EVIDENCE_STALE}
    assert await stage.said(intended, **going) == GOING_ON
    stage.cluster.edit(
        "strimzipodsets", NS, "carbon",
        lambda s: s["metadata"]["annotations"].pop("strimzi.io/manual-rolling-update"),
    )  # fmt: skip
    assert await stage.said(intended, **going) == DONE
    assert len(stage.writes) == 1


async def test_altinity_is_asked_and_the_wish_is_taken_back_when_its_task_is_over(
    stage: Stage,
) -> None:
    intended = intent("operator_restart", restart("ClickHouseInstallation"))
    stage.cluster.inject(Fault("PATCH", cut=Cut.RESET, after_commit=True, times=1))
    assert await stage.said(intended) == GOING_ON  # the reply was lost, and it had begun
    assert stage.get("clickhouseinstallations", "carbon")["spec"]["restart"] == "RollingUpdate"
    assert await stage.said(intended, look_first=True) == GOING_ON
    stage.cluster.edit(
        "clickhouseinstallations", NS, "carbon",
        lambda c: c.update(status={"taskIDsCompleted": ["auto-1", "act-1"]}),
    )  # fmt: skip
    assert await stage.said(intended, look_first=True) == DONE
    assert "restart" not in stage.get("clickhouseinstallations", "carbon")["spec"]
    assert len(stage.writes) == 2
    assert await stage.said(intended, look_first=True) == DONE


async def test_an_operator_that_does_nothing_is_given_up_and_the_wish_taken_back(
    stage: Stage,
) -> None:
    intended = intent("operator_restart", restart("ClickHouseInstallation", within_s=60))
    assert await stage.said(intended) == GOING_ON
    stage.clock.advance(61)
    assert await stage.said(intended, look_first=True) == failed(Reason.TIMED_OUT)
    assert "restart" not in stage.get("clickhouseinstallations", "carbon")["spec"]


async def test_the_wish_of_somebody_else_is_left_alone(stage: Stage) -> None:
    stage.cluster.edit(
        "clickhouseinstallations", NS, "carbon", lambda c: c["spec"].update(restart="RollingUpdate")
    )
    intended = intent("operator_restart", restart("ClickHouseInstallation"))
    assert await stage.said(intended) == failed(Reason.TARGET_CHANGED)
    assert stage.writes == []


async def test_a_pod_of_strimzi_is_restarted_once_though_the_next_one_has_its_name(
    stage: Stage,
) -> None:
    pod = stage.get("pods", "kafka-0")
    request = planned(
        "operator_restart", KAFKA, kind="Pod", name="kafka-0", uid=pod["metadata"]["uid"]
    )
    intended = intent("operator_restart", request)
    assert await stage.said(intended) == GOING_ON
    assert await stage.said(intended, look_first=True) == GOING_ON
    stage.cluster.remove("pods", NS, "kafka-0")
    await stage.cluster.settled()
    assert stage.get("pods", "kafka-0")["metadata"]["uid"] != pod["metadata"]["uid"]
    assert await stage.said(intended, look_first=True) == DONE
    assert len(stage.writes) == 1


async def test_an_operator_that_is_not_installed_is_said(stage: Stage) -> None:
    request = planned("operator_restart", KAFKA, kind="StrimziPodSet", name="nobody")
    assert await stage.said(intent("operator_restart", request)) == (
        Applied.FAILED,
        Reason.NOT_FOUND,
    )
