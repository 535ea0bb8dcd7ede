"""From labels to a target: never a guess, never the exporter in place of what it tells of."""

from pathlib import Path

import pytest

from service.intake.payload import decode
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.route.target import Destination, Unrouted, destination, true_labels
from tests.unit.made import BODIES, GOOD, LABELS, NAMESPACE, TARGET, alert, playbooks_in, shipped

CRASHLOOP = """\
playbook: crash-loop
match: ['alertname="KubePodCrashLooping"']
target: {kind: Deployment, namespace: "{{ labels.namespace }}", name: "{{ labels.container }}"}
diagnose: high_latency
with: {consumer_group: g}
healed: evidence.kafka.lag_total < 5000
"""


def labels(**changes: str | None) -> dict[str, str]:
    merged: dict[str, str | None] = {**LABELS, **changes}
    return {k: v for k, v in merged.items() if v is not None}


def test_the_labels_name_the_target() -> None:
    assert destination(alert(), [shipped()], [NAMESPACE]) == Destination("high-latency", TARGET)


@pytest.mark.parametrize(
    ("given", "reason", "told"),
    [
        pytest.param(labels(alertname="Other"), Reason.NO_PLAYBOOK, "Other", id="no playbook"),
        pytest.param({}, Reason.NO_PLAYBOOK, "(no name)", id="no labels"),
        pytest.param(
            labels(workload=None), Reason.TARGET_UNRESOLVED, "labels.workload", id="no name"
        ),
        pytest.param(
            labels(workload=""), Reason.TARGET_UNRESOLVED, "labels.workload", id="an empty name"
        ),
        pytest.param(
            labels(namespace=None), Reason.TARGET_UNRESOLVED, "labels.namespace", id="no namespace"
        ),
        pytest.param(
            labels(workload_kind=None),
            Reason.TARGET_UNRESOLVED,
            "labels.workload_kind",
            id="no kind",
        ),
        pytest.param(
            labels(workload_kind="ReplicaSet"),
            Reason.TARGET_UNRESOLVED,
            "'ReplicaSet'",
            id="a kind that is none",
        ),
        pytest.param(
            labels(workload_kind="deployment"),
            Reason.TARGET_UNRESOLVED,
            "'deployment'",
            id="a kind's case",
        ),
        pytest.param(
            labels(workload="svc-0/status"),
            Reason.TARGET_UNRESOLVED,
            "DNS-1123",
            id="a subresource",
        ),
        pytest.param(
            labels(workload="../../secrets/x"), Reason.TARGET_UNRESOLVED, "DNS-1123", id="a path"
        ),
        pytest.param(
            labels(workload="Svc"), Reason.TARGET_UNRESOLVED, "DNS-1123", id="a capital letter"
        ),
        pytest.param(
            labels(workload="svc\n"), Reason.TARGET_UNRESOLVED, "DNS-1123", id="a new line"
        ),
        pytest.param(
            labels(workload="a" * 254), Reason.TARGET_UNRESOLVED, "DNS-1123", id="a name too long"
        ),
        pytest.param(
            labels(namespace="a.b"), Reason.TARGET_UNRESOLVED, "DNS-1123", id="a dot in a namespace"
        ),
        pytest.param(
            labels(namespace="kube-system"),
            Reason.NAMESPACE_NOT_ALLOWED,
            "kube-system",
            id="another namespace",
        ),
        pytest.param(
            labels(exported_namespace="kube-system"),
            Reason.NAMESPACE_NOT_ALLOWED,
            "kube-system",
            id="another namespace behind an allowed one",
        ),
    ],
)
def test_an_alert_that_leads_nowhere_has_a_reason(
    given: dict[str, str], reason: Reason, told: str
) -> None:
    place = destination(alert(labels=given), [shipped()], [NAMESPACE])
    assert isinstance(place, Unrouted)
    assert place.reason is reason
    assert told in place.detail


def test_the_first_playbook_that_matches_is_taken(tmp_path: Path) -> None:
    first, second = playbooks_in(tmp_path, GOOD, GOOD.replace("playbook: lag", "playbook: second"))
    place = destination(alert(), [second, first], [NAMESPACE])
    assert isinstance(place, Destination)
    assert place.playbook == "second"


def test_exported_labels_win_over_those_of_the_scrape() -> None:
    given = {
        "namespace": "monitoring",
        "exported_namespace": "payments",
        "exported_pod": "api-0",
        "job": "ksm",
    }
    assert true_labels(given) == {**given, "namespace": "payments", "pod": "api-0"}


@pytest.mark.parametrize(
    "name", ["prom242_crashloop_kube-state-metrics.json", "prom242_crashloop_ksm-honor.json"]
)
def test_a_recorded_crash_loop_leads_to_the_pod_and_not_to_its_exporter(
    tmp_path: Path, name: str
) -> None:
    ((told,),) = (part.alerts for part in decode((BODIES / name).read_bytes()))
    place = destination(told, playbooks_in(tmp_path, CRASHLOOP), ["payments", "monitoring"])
    assert place == Destination("crash-loop", Target(TargetKind.DEPLOYMENT, "payments", "api"))


SHAPES = GOOD.replace(
    'target: {kind: Deployment, namespace: "{{ labels.namespace }}", name: "{{ labels.workload }}"}',
    """target:
  - {kind: "{{ labels.workload_kind }}", namespace: "{{ labels.namespace }}", name: "{{ labels.workload }}"}
  - {kind: PersistentVolumeClaim, namespace: "{{ labels.namespace }}", name: "{{ labels.persistentvolumeclaim }}"}
  - {kind: Pod, namespace: "{{ labels.namespace }}", name: "{{ labels.pod }}"}
  - {kind: ConsumerGroup, namespace: carbon-ingestion, name: "{{ labels.consumergroup }}"}""",
)
LAG = {"alertname": "ConsumerLagHigh"}


@pytest.mark.parametrize(
    ("given", "target"),
    [
        pytest.param(labels(pod="p-1"), TARGET, id="the workload, though there is a pod as well"),
        pytest.param(
            {**LAG, "namespace": NAMESPACE, "pod": "p-1"},
            Target(TargetKind.POD, NAMESPACE, "p-1"),
            id="only a pod",
        ),
        pytest.param(
            {**LAG, "namespace": "monitoring", "pod": "ksm-1",
             "exported_namespace": NAMESPACE, "exported_pod": "p-1"},
            Target(TargetKind.POD, NAMESPACE, "p-1"),
            id="only a pod, pushed aside by the exporter's own",
        ),
        pytest.param(
            {**LAG, "namespace": NAMESPACE, "persistentvolumeclaim": "data-kafka-0", "pod": "p-1"},
            Target(TargetKind.PERSISTENT_VOLUME_CLAIM, NAMESPACE, "data-kafka-0"),
            id="a claim",
        ),
        pytest.param(
            labels(workload_kind="ReplicaSet", pod="p-1"),
            Target(TargetKind.POD, NAMESPACE, "p-1"),
            id="a workload of no such kind, and a pod",
        ),
        pytest.param(
            {**LAG, "consumergroup": "Readers of 3/4"},
            Target(TargetKind.CONSUMER_GROUP, NAMESPACE, "Readers of 3/4"),
            id="a group, named as Kafka lets it",
        ),
    ],
)  # fmt: skip
def test_the_first_shape_that_the_labels_fill_is_taken(
    tmp_path: Path, given: dict[str, str], target: Target
) -> None:
    place = destination(alert(labels=given), playbooks_in(tmp_path, SHAPES), [NAMESPACE])
    assert place == Destination("lag", target)


@pytest.mark.parametrize(
    "name", ["\x1b[2J", "a" * 254, "two\nlines"], ids=["an escape", "too long", "two lines"]
)
def test_a_name_that_cannot_be_shown_is_no_target(tmp_path: Path, name: str) -> None:
    given = {**LAG, "consumergroup": name}
    place = destination(alert(labels=given), playbooks_in(tmp_path, SHAPES), [NAMESPACE])
    assert isinstance(place, Unrouted)
    assert place.reason is Reason.TARGET_UNRESOLVED


def test_what_no_shape_names_is_told_for_each_of_them(tmp_path: Path) -> None:
    place = destination(alert(labels=LAG), playbooks_in(tmp_path, SHAPES), [NAMESPACE])
    assert isinstance(place, Unrouted)
    for label in ("labels.workload_kind", "labels.namespace", "labels.consumergroup"):
        assert label in place.detail


@pytest.mark.parametrize("kind", TargetKind, ids=str)
def test_what_is_an_object_of_the_api_has_a_path_and_nothing_else_has(kind: TargetKind) -> None:
    target = Target(kind, NAMESPACE, "x")
    objects = {
        "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1",
        "CronJob": "batch/v1", "Pod": "v1", "PersistentVolumeClaim": "v1",
    }  # fmt: skip
    assert (target.ref.api if target.ref else None) == objects.get(kind)
    assert (target.workload is not None) == (kind in ("Deployment", "StatefulSet"))
