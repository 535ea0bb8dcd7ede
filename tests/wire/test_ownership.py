"""Whose field it is, read from recorded objects: Flux, Argo CD, Helm, operators,
autoscalers, and nobody.
"""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.act.pod_template import ACTION, RESTARTED_AT
from service.clients.kubernetes import KubernetesReader
from service.diagnose.holders import holder_of, holds, holds_around, value_of
from service.diagnose.probes.ownership import REPLICAS, survey
from service.diagnose.probes.seen import seen
from service.kit.deadline import Deadline
from service.model.errors import Refused, Unavailable
from service.model.objects import Holder, ObjectRef, Survey, System, Write
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings
from service.verify.lasting import lasting
from tests.recordings import recorded, serves
from tests.servers.faults import Scripted, scripted
from tests.wire.test_kubernetes import kubeconfig

RESTARTED = ("spec", "template", "metadata", "annotations", RESTARTED_AT)
OURS = ("spec", "template", "metadata", "annotations", ACTION)
CARBON = "Kustomization flux-system/carbon-ingestion"
NO_HPAS = {"kind": "HorizontalPodAutoscalerList", "metadata": {}, "items": []}


@pytest.fixture
async def api() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def kubernetes(api: Scripted, tmp_path: Path) -> AsyncIterator[KubernetesReader]:
    settings = KubernetesSettings(kubeconfig=kubeconfig(tmp_path, api.url))
    async with KubernetesReader(settings) as reader:
        yield reader


def soon() -> Deadline:
    return Deadline.after(5.0)


def memory(container: str) -> tuple[str, ...]:
    item = f'k:{{"name":"{container}"}}'
    return ("spec", "template", "spec", "containers", item, "resources", "limits", "memory")


def ref_of(body: Mapping[str, Any]) -> ObjectRef:
    kind, metadata = body["kind"], body["metadata"]
    plural = f"{kind.lower()}s"
    return ObjectRef(body["apiVersion"], plural, kind, metadata["namespace"], metadata["name"])


@pytest.mark.parametrize(
    ("file", "exchange", "path", "system", "name", "restores"),
    [
        # Flux: what its manifest names it puts back; what the manifest leaves out is nobody's.
        ("13b", "with-read", REPLICAS, System.FLUX, CARBON, True),
        ("13b", "with-read-after", REPLICAS, System.FLUX, CARBON, True),
        ("13b", "without-read-scaled", REPLICAS, None, "", False),
        ("13b", "without-read-after", REPLICAS, None, "", False),
        ("13b", "without-patch-main", REPLICAS, System.OTHER, "paramedic", False),
        # Somebody took it, and the object does not tell whether the manifest names it.
        ("13b", "without-read-scaled-2", REPLICAS, System.FLUX, CARBON, True),
        # A restart stays under our manager, and is taken away under kubectl's.
        ("13c", "paramedic-restart", RESTARTED, System.OTHER, "paramedic", False),
        ("13c", "paramedic-apply", RESTARTED, System.OTHER, "paramedic", False),
        ("13c", "rollout-restart-2", RESTARTED, System.FLUX, CARBON, True),
        ("13c", "kubectl-restart", RESTARTED, System.FLUX, CARBON, True),
        ("13c", "rollout-apply", RESTARTED, None, "", False),
        ("13c", "paramedic-restart", OURS, None, "", False),
        # Argo CD, synced on the client's side: last-applied-configuration says what it puts back.
        ("13d", "read-synced", REPLICAS, System.ARGO_CD, "Application carbon-ingestion", True),
        ("13d", "read-scaled", REPLICAS, System.ARGO_CD, "Application carbon-ingestion", True),
        ("13d", "read-healed", REPLICAS, System.ARGO_CD, "Application carbon-ingestion", True),
        ("13d", "read-after-restart", RESTARTED, System.OTHER, "paramedic", False),
        ("13d", "read-synced", OURS, None, "", False),
        ("13d", "ssa-sync", REPLICAS, System.ARGO_CD, "Application carbon-ingestion", True),
        ("13d", "ssa-read-healed", REPLICAS, System.ARGO_CD, "Application carbon-ingestion", True),
        ("13d", "ssa-sync-after-restart", RESTARTED, System.OTHER, "paramedic", False),
        ("13d", "ssa-sync-without-replicas", REPLICAS, None, "", False),
        # Helm holds, and waits for a person's upgrade; under a HelmRelease of
        # Flux it does not wait.
        ("13e", "install", REPLICAS, System.HELM, "Helm release carbon-gitops/carbon", False),
        ("13e", "ssa-install", REPLICAS, System.HELM, "Helm release carbon-gitops/carbon", False),
        ("13e", "read-before-upgrade", REPLICAS, System.OTHER, "paramedic", False),
        ("13e", "helm-controller", REPLICAS, System.FLUX, "HelmRelease flux-system/carbon", True),
        # Hands and kubectl: somebody holds it, nobody puts it back.
        ("13a", "read-kubectl-restart", REPLICAS, System.OTHER, "kubectl", False),
        ("13a", "read-kubectl-restart", RESTARTED, System.OTHER, "kubectl-rollout", False),
        ("13a", "patch-restart", RESTARTED, System.OTHER, "paramedic", False),
        ("13a", "patch-strategic", memory("normalization-service"), System.OTHER, "paramedic", False),
        ("13a", "patch-clear-managed-fields", REPLICAS, None, "", False),
        ("13a2", "read-applied-again", REPLICAS, System.OTHER, "kubectl-client-side-apply", False),
        ("13a2", "ssa-read-forced", REPLICAS, System.OTHER, "kubectl", False),
        # An autoscaler that wrote it and is not there any more.
        ("13g", "read-deployment-restored", REPLICAS, System.OTHER, "kube-controller-manager", False),
    ],
)  # fmt: skip
def test_the_holder_of_a_field_and_whether_it_puts_it_back(
    file: str,
    exchange: str,
    path: tuple[str, ...],
    system: System | None,
    name: str,
    restores: bool,
) -> None:
    found = holder_of(recorded(file, exchange), path, "paramedic")
    if system is None:
        assert found is None
        return
    assert found is not None
    assert (found.system, found.name, found.restores) == (system, name, restores)


def test_a_field_that_the_server_filled_in_is_not_put_back_by_argo_cd() -> None:
    body = recorded("13d", "read-synced")
    found = holder_of(body, ("spec", "revisionHistoryLimit"), "paramedic")
    assert found == Holder(
        System.ARGO_CD, "Application carbon-ingestion", "argocd-controller", False
    )


def test_an_object_of_flux_whose_entries_were_cleared_is_taken_to_be_all_of_flux() -> None:
    body = recorded("13b", "without-read-after")
    cleared = {**body, "metadata": {**body["metadata"], "managedFields": []}}
    found = holder_of(cleared, REPLICAS, "paramedic")
    assert found is not None
    assert (found.name, found.restores) == (CARBON, True)


@pytest.mark.parametrize(
    ("fields", "path", "held"),
    [
        ({"f:spec": {"f:replicas": {}}}, REPLICAS, True),
        ({"f:spec": {"f:replicas": {}}}, ("spec", "paused"), False),
        ({"f:spec": {"f:replicas": {}}}, ("spec",), True),
        ({"f:spec": {"f:selector": {}}}, ("spec", "selector", "matchLabels"), False),
        ({"f:metadata": {"f:annotations": {}}}, ("metadata", "annotations", "a"), False),
        ({"f:metadata": {"f:annotations": {".": {}}}}, ("metadata", "annotations", "a"), False),
        (
            {"f:ports": {'k:{"containerPort":8000,"protocol":"TCP"}': {"f:name": {}}}},
            ("ports", 'k:{"protocol":"TCP", "containerPort":8000}', "name"),
            True,
        ),
        ({"f:finalizers": {'v:"x"': {}}}, ("finalizers", 'v:"x"'), True),
        ({"f:a": {"k:{broken": {}}}, ("a", "k:{broken"), True),
    ],
)
def test_a_tree_of_managed_fields_holds(
    fields: Mapping[str, Any], path: tuple[str, ...], held: bool
) -> None:
    assert holds(fields, path) is held


def test_what_may_be_held_as_one_piece_is_held_unless_somebody_holds_the_field_itself() -> None:
    selector = ("spec", "selector", "matchLabels")
    assert holds_around({"f:spec": {"f:selector": {}}}, selector)
    assert not holds_around({"f:spec": {"f:selector": {"f:matchLabels": {}}}}, selector)
    assert not holds_around({"f:spec": {"f:replicas": {}}}, selector)
    assert not holds_around({"f:metadata": {"f:annotations": {}}}, ("metadata", "annotations", "a"))


def test_values_are_found_in_lists_by_their_key() -> None:
    body = recorded("13a", "patch-strategic")
    assert value_of(body, memory("normalization-service")) == "2Gi"
    assert value_of(body, memory("nobody")) is None
    port = 'k:{"containerPort":8000,"protocol":"TCP"}'
    assert value_of({"p": [{"containerPort": 8000, "name": "http"}]}, ("p", port, "name")) == "http"


async def surveyed(
    api: Scripted,
    kubernetes: KubernetesReader,
    body: Mapping[str, Any],
    *paths: tuple[str, ...],
    others: Mapping[str, object] | None = None,
) -> Survey:
    ref = ref_of(body)
    hpas = f"/apis/autoscaling/v2/namespaces/{ref.namespace}/horizontalpodautoscalers"
    serves(api, {ref.path: body, hpas: NO_HPAS, **(others or {})})
    writes = [Write(ref, path, 1) for path in paths or (REPLICAS,)]
    (found,) = await survey(kubernetes, writes, deadline=soon())
    return found


async def test_a_survey_says_which_object_it_is_and_what_stands_in_it(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    body = recorded("13b", "with-read-scaled")
    found = await surveyed(api, kubernetes, body, REPLICAS, OURS)
    metadata = body["metadata"]
    assert (found.uid, found.resource_version) == (metadata["uid"], metadata["resourceVersion"])
    assert (found.generation, found.values) == (2, {"spec.replicas": 5})
    assert list(found.holders) == ["spec.replicas"]


async def test_an_object_that_does_not_exist_has_no_uid(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    serves(api, {})
    ref = ObjectRef("apps/v1", "deployments", "Deployment", "ns", "gone")
    (found,) = await survey(kubernetes, [Write(ref, REPLICAS, 3)], deadline=soon())
    assert found == Survey(ref, "")


CHI = "/apis/clickhouse.altinity.com/v1"


async def test_a_stateful_set_of_an_operator_is_the_operators(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    body, chi = recorded("13f", "read-chi-statefulset"), recorded("13f", "read-chi")
    plural = {"resources": [{"name": "clickhouseinstallations", "kind": "ClickHouseInstallation"}]}
    place = f"{CHI}/namespaces/carbon-operators/clickhouseinstallations/carbon"
    others = {CHI: plural, place: chi}
    found = await surveyed(api, kubernetes, body, REPLICAS, OURS, others=others)
    name = "ClickHouseInstallation carbon-operators/carbon"
    assert {(h.system, h.name, h.restores) for h in found.holders.values()} == {
        (System.OPERATOR, name, True)
    }
    assert set(found.holders) == {"spec.replicas", Write(found.ref, OURS, 1).key}
    # The custom resource itself is a person's.
    found = await surveyed(api, kubernetes, chi, ("spec", "restart"))
    assert found.holders == {}


async def test_an_owner_whose_kind_is_not_installed_is_an_operators_all_the_same(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    found = await surveyed(api, kubernetes, recorded("13f", "read-owned-by-missing-kind"))
    assert found.holders["spec.replicas"].name == "ClickHouseInstallation carbon-operators/gone"


STRIMZI = "/apis/core.strimzi.io/v1beta2"


async def test_owners_are_walked_up_to_the_top_and_annotations_are_how_one_speaks_to_an_operator(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    podset = recorded("13f", "read-podset")
    pods = f"{STRIMZI}/namespaces/carbon-operators/strimzipodsets/carbon-kafka"
    kafka = "/apis/kafka.strimzi.io/v1beta2"
    others = {
        STRIMZI: {"resources": [
            {"name": "strimzipodsets/status", "kind": "StrimziPodSet"},
            {"name": "strimzipodsets", "kind": "StrimziPodSet"},
        ]},
        pods: podset,
        kafka: {"resources": [{"name": "kafkas", "kind": "Kafka"}]},
        f"{kafka}/namespaces/carbon-operators/kafkas/carbon": recorded("13f", "read-kafka"),
    }  # fmt: skip
    listed = recorded("13f", "list-kafka-pods")["items"][0]
    pod = {"apiVersion": "v1", "kind": "Pod", **listed}
    found = await surveyed(api, kubernetes, pod, ("spec", "nodeName"), others=others)
    assert found.holders["spec.nodeName"].name == "Kafka carbon-operators/carbon"
    rolling = ("metadata", "annotations", "strimzi.io/manual-rolling-update")
    found = await surveyed(api, kubernetes, podset, rolling, ("spec", "pods"), others=others)
    assert [h.system for h in found.holders.values()] == [System.OPERATOR]
    assert list(found.holders) == ["spec.pods"]


KEDA = "/apis/keda.sh/v1alpha1/namespaces/carbon-operators/scaledobjects"
HPAS = "/apis/autoscaling/v2/namespaces/carbon-operators/horizontalpodautoscalers"


@pytest.mark.parametrize("installed", [True, False], ids=["read", "told by its autoscaler's owner"])
async def test_a_count_that_keda_sets_is_kedas(
    api: Scripted, kubernetes: KubernetesReader, installed: bool
) -> None:
    scaled = {"items": [recorded("13g", "create-scaledobject")]}
    others: dict[str, object] = {HPAS: recorded("13g", "list-hpas")}
    if installed:
        others[KEDA] = scaled
    body = recorded("13g", "read-deployment")
    found = await surveyed(api, kubernetes, body, others=others)
    holder = found.holders["spec.replicas"]
    assert (holder.system, holder.restores) == (System.KEDA, True)
    assert holder.name == "ScaledObject carbon-operators/normalization-service"
    # While KEDA is paused it has no autoscaler, and holds the count all the same.
    found = await surveyed(api, kubernetes, body, others={KEDA: scaled})
    assert found.holders["spec.replicas"].system is System.KEDA


async def test_a_count_that_an_autoscaler_sets_is_its_own_and_a_restart_is_not(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    hpas = recorded("13g", "list-hpas")
    metadata = {**hpas["items"][0]["metadata"], "ownerReferences": []}
    alone = {**hpas, "items": [{**hpas["items"][0], "metadata": metadata}]}
    body = recorded("13g", "read-deployment")
    found = await surveyed(api, kubernetes, body, REPLICAS, OURS, others={HPAS: alone})
    name = "HorizontalPodAutoscaler carbon-operators/keda-hpa-normalization-service"
    assert {key: (h.system, h.name) for key, h in found.holders.items()} == {
        "spec.replicas": (System.AUTOSCALER, name)
    }


@pytest.mark.parametrize(
    ("broken", "kind", "reason"),
    [
        (HPAS, Refused, Reason.FORBIDDEN),
        (KEDA, Refused, Reason.FORBIDDEN),
        ("", Refused, Reason.FORBIDDEN),
        (HPAS, Unavailable, Reason.SERVER_ERROR),
        (KEDA, Unavailable, Reason.SERVER_ERROR),
        ("", Unavailable, Reason.SERVER_ERROR),
    ],
)
async def test_what_cannot_be_read_is_an_error_and_not_a_field_that_nobody_holds(
    api: Scripted,
    kubernetes: KubernetesReader,
    broken: str,
    kind: type[Refused | Unavailable],
    reason: Reason,
) -> None:
    body = recorded("13g", "read-deployment")
    status = 403 if kind is Refused else 503
    with pytest.raises(kind) as raised:
        await surveyed(api, kubernetes, body, others={broken or ref_of(body).path: status})
    assert raised.value.reason is reason


async def test_the_target_is_seen_with_its_owners(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    body = recorded("13b", "with-read")
    serves(api, {ref_of(body).path: body})
    target = Target(TargetKind.DEPLOYMENT, "carbon-gitops", "normalization-service")
    found = await seen(kubernetes, target, deadline=soon())
    assert found.uid == body["metadata"]["uid"]
    assert found.owners == (Holder(System.FLUX, CARBON),)


@pytest.mark.parametrize(
    ("file", "exchange", "path", "written", "told"),
    [
        ("13b", "with-read-scaled", REPLICAS, 5, None),
        ("13b", "without-read-after", REPLICAS, 4, None),
        ("13b", "with-read-after", REPLICAS, 5,
         f"spec.replicas is 3, and 5 was written: it is held by {CARBON} (as kustomize-controller)"),
        ("13d", "read-healed", REPLICAS, 5,
         "spec.replicas is 3, and 5 was written: it is held by Application carbon-ingestion (as argocd-controller)"),
        ("13d", "ssa-sync-without-replicas", REPLICAS, 3,
         "spec.replicas is 1, and 3 was written: who did it is unknown"),
        ("13e", "read-after-upgrade", REPLICAS, 5,
         "spec.replicas is 3, and 5 was written: it is held by Helm release carbon-gitops/carbon (as helm)"),
        ("13a2", "read-without-replicas", REPLICAS, 5,
         "spec.replicas is 1, and 5 was written: it is held by kubectl-client-side-apply"),
        ("13c", "rollout-apply", RESTARTED, "then",
         'annotations.kubectl.kubernetes.io/restartedAt is not there, and "then" was written: who did it is unknown'),
    ],
)  # fmt: skip
async def test_what_was_written_lasts_or_is_told_with_who_holds_it_now(
    api: Scripted,
    kubernetes: KubernetesReader,
    file: str,
    exchange: str,
    path: tuple[str, ...],
    written: object,
    told: str | None,
) -> None:
    body = recorded(file, exchange)
    found = await surveyed(api, kubernetes, body, path)
    said = lasting({Write(found.ref, path, written).key: written}, found)
    assert said is None if told is None else said is not None and said.endswith(told)
    taken_away = lasting({"metadata.annotations.never": None}, found)
    assert taken_away is None


async def test_a_count_that_keda_has_put_back_is_told_with_its_name(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    body = recorded("13g", "read-deployment-restored")
    others = {HPAS: recorded("13g", "list-hpas")}
    found = await surveyed(api, kubernetes, body, others=others)
    said = lasting({"spec.replicas": 9}, found)
    assert said is not None
    assert (
        "ScaledObject carbon-operators/normalization-service (as kube-controller-manager)" in said
    )
