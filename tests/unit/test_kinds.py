"""The kinds of action, thinking only: what is planned from which arguments,
what it writes, what takes it back.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from rehearsal.cluster import quantity as servers_own
from service.act import KINDS, manifests, quantity
from service.act.config_values import mark_of
from service.act.drop_partitions import DropPartitions, Partition, chosen
from service.act.kind import Deed
from service.act.rollout_undo import earlier, merge, revision_of, template_of
from service.model.action import NotPossible
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.store.codec import plain, request_from

NS = "carbon-ingestion"
TARGET = Target(TargetKind.DEPLOYMENT, NS, "normalization-service")
KAFKA = Target(TargetKind.STATEFULSET, NS, "kafka")
T0 = datetime(2026, 6, 1, 12, tzinfo=UTC)

MEMORY = {"container": "app", "from_": "1Gi", "ceiling": "4Gi"}
PROBE = {"container": "app", "probe": "liveness", "from_s": 10, "to_s": 60}
CONFIG = {"config_map": "settings", "key": "PARALLELISM", "from_": "4", "to": "8"}
DROP: dict[str, Any] = {
    "table": "carbon.trades", "allowed": ["carbon.trades"], "retention_days": 90,
    "newest_backup_at": T0, "backup_ok": True,
}  # fmt: skip
POSSIBLE: Mapping[str, Mapping[str, Any]] = {
    "scale": {"from_": 2, "by": 1, "max": 5},
    "scale_to": {"from_": 2, "to": 0},
    "rollout_restart": {},
    "rollout_undo": {"from_": 3},
    "patch_memory_limit": MEMORY,
    "patch_probe_delay": PROBE,
    "patch_pod_annotations": {"annotations": {"prometheus.io/scrape": "true"}},
    "patch_config": CONFIG,
    "timed_config": {**CONFIG, "for_s": 900},
    "delete_pod": {"pod": "kafka-0", "uid": "1-2-3"},
    "operator_restart": {"kind": "StrimziPodSet", "name": "carbon-kafka"},
    "apply_known_good": {"manifest": "a.yaml", "objects": ["NetworkPolicy/kafka"]},
    "kill_query": {"query_id": "q", "user": "u", "min_elapsed_s": 300},
    "backup_database": {"database": "carbon"},
    "restore_database": {"database": "carbon", "backup": "carbon-1"},
    "drop_partitions": DROP,
    "restart_in_order": {"workloads": ["Deployment/a", "StatefulSet/b"]},
    "recover": {
        "database": "carbon",
        "backup": "Disk('backups', 'carbon-1')",
        "workloads": ["Deployment/a"],
        "replicas": {"Deployment/a": 2},
        "afterwards": {"Deployment/a": 3},
    },
    "human": {"say": "help"},
}


def planned(kind: str, arguments: Mapping[str, Any], target: Target = TARGET) -> Any:
    known = KINDS[kind]
    checked: Any = TypeAdapter(known.arguments).validate_python(dict(arguments))
    return known.plan(target, checked)


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_comes_back_from_the_ledger_as_it_was(kind: str) -> None:
    request = planned(kind, POSSIBLE[kind])
    assert not isinstance(request, NotPossible)
    assert request_from(KINDS, kind, json.loads(json.dumps(plain(request)))) == request


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_is_one_sentence(kind: str) -> None:
    said = str(planned(kind, POSSIBLE[kind]))
    assert 5 < len(said) < 300
    assert "\n" not in said
    assert "Target(" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_what_takes_a_request_back_is_taken_back_by_the_request(kind: str) -> None:
    request = planned(kind, POSSIBLE[kind])
    back = KINDS[kind].inverse(request)
    if back is None:
        return
    assert back != request
    if kind != "rollout_undo":  # where the controller counts on
        assert KINDS[kind].inverse(back) == request
    written = [write.ref for write in KINDS[kind].writes(request, "act-1")]
    assert [write.ref for write in KINDS[kind].writes(back, "act-1")] == written


RECOVER = POSSIBLE["recover"]
REFUSED = [
    ("restart_in_order", {"workloads": ["Deployment/a", "Deployment/a"]},
     Reason.ARGUMENT_OUT_OF_BOUNDS),
    ("recover", {**RECOVER, "backup": "Disk('other', 'carbon-1')"}, Reason.BAD_NAME),
    ("recover", {**RECOVER, "backup": "S3('http://x/y')"}, Reason.BAD_NAME),
    ("recover", {**RECOVER, "backup": "../carbon-1"}, Reason.BAD_NAME),
    ("recover", {**RECOVER, "database": "a; DROP"}, Reason.BAD_NAME),
    ("recover", {**RECOVER, "replicas": {}}, Reason.TARGET_MISSING),
    ("patch_memory_limit", {**MEMORY, "container": ""}, Reason.CONTAINER_UNNAMED),
    ("patch_memory_limit", {**MEMORY, "from_": "4Gi"}, Reason.AT_CEILING),
    ("patch_memory_limit", {**MEMORY, "from_": "5Gi"}, Reason.AT_CEILING),
    ("patch_memory_limit", {**MEMORY, "from_": "1024"}, Reason.BAD_QUANTITY),
    ("patch_memory_limit", {**MEMORY, "from_": "1 Gi"}, Reason.BAD_QUANTITY),
    ("patch_memory_limit", {**MEMORY, "from_": "400m"}, Reason.BAD_QUANTITY),
    ("patch_memory_limit", {**MEMORY, "from_": "1GB"}, Reason.BAD_QUANTITY),
    ("patch_memory_limit", {**MEMORY, "from_": "-1Gi"}, Reason.BAD_QUANTITY),
    ("patch_memory_limit", {**MEMORY, "from_": ""}, Reason.BAD_QUANTITY),
    ("patch_memory_limit", {**MEMORY, "ceiling": "8"}, Reason.BAD_QUANTITY),
    ("patch_memory_limit", {**MEMORY, "ceiling": 8}, Reason.BAD_QUANTITY),
    ("patch_probe_delay", {**PROBE, "container": ""}, Reason.CONTAINER_UNNAMED),
    ("patch_probe_delay", {**PROBE, "from_s": 60}, Reason.AT_CEILING),
    ("patch_config", {**CONFIG, "to": "4"}, Reason.AT_CEILING),
    ("patch_config", {**CONFIG, "config_map": "../secrets/a"}, Reason.BAD_NAME),
    ("patch_config", {**CONFIG, "key": "a b"}, Reason.BAD_NAME),
    ("patch_config", {**CONFIG, "to": "x" * 5_000}, Reason.ARGUMENT_OUT_OF_BOUNDS),
    ("patch_config", {**CONFIG, "readers": ["DaemonSet/a"]}, Reason.BAD_NAME),
    ("patch_config", {**CONFIG, "readers": ["other/Deployment/a"]}, Reason.BAD_NAME),
    ("patch_config", {**CONFIG, "readers": ["Deployment/"]}, Reason.BAD_NAME),
    ("patch_config", {**CONFIG, "readers": ["a"] * 11}, Reason.ARGUMENT_OUT_OF_BOUNDS),
    ("timed_config", {**CONFIG, "to": "4", "for_s": 60}, Reason.AT_CEILING),
    ("patch_pod_annotations", {"annotations": {"x/y": "1"}}, Reason.ARGUMENT_OUT_OF_BOUNDS),
    ("patch_pod_annotations", {"annotations": {"scrape": "1"}}, Reason.ARGUMENT_OUT_OF_BOUNDS),
    ("patch_pod_annotations", {"annotations": {"prometheus.io.evil/y": "1"}},
     Reason.ARGUMENT_OUT_OF_BOUNDS),
    ("patch_pod_annotations",
     {"annotations": {"kubectl.kubernetes.io/restartedAt": "1"}, "prefixes": ["kubectl.kubernetes.io/"]},
     Reason.ARGUMENT_OUT_OF_BOUNDS),
    ("patch_pod_annotations", {"annotations": {"prometheus.io/path": "x" * 300}},
     Reason.ARGUMENT_OUT_OF_BOUNDS),
    ("rollout_undo", {"from_": 3, "to_revision": 3}, Reason.ARGUMENT_OUT_OF_BOUNDS),
    ("rollout_restart", {"workload": "../../secrets/a"}, Reason.BAD_NAME),
    ("rollout_restart", {"workload_kind": "DaemonSet"}, Reason.TARGET_UNRESOLVED),
    ("delete_pod", {"pod": "", "uid": ""}, Reason.NO_DATA),
    ("delete_pod", {"pod": "a/eviction", "uid": "1"}, Reason.BAD_NAME),
    ("operator_restart", {"kind": "Pod", "name": "kafka-0"}, Reason.NO_DATA),
    ("operator_restart", {"kind": "StrimziPodSet", "name": "a/b"}, Reason.BAD_NAME),
    ("apply_known_good", {"manifest": "../a.yaml", "objects": ["Role/a"]}, Reason.MANIFEST_REFUSED),
    ("apply_known_good", {"manifest": "/etc/a.yaml", "objects": ["Role/a"]}, Reason.MANIFEST_REFUSED),
    ("apply_known_good", {"manifest": "..", "objects": ["Role/a"]}, Reason.MANIFEST_REFUSED),
    ("apply_known_good", {"manifest": "a.yaml", "objects": ["Secret/a"]}, Reason.MANIFEST_REFUSED),
    ("apply_known_good", {"manifest": "a.yaml", "objects": ["Role"]}, Reason.MANIFEST_REFUSED),
    ("backup_database", {"database": "a; DROP"}, Reason.BAD_NAME),
    ("backup_database", {"database": "a", "disk": "x', '/etc"}, Reason.BAD_NAME),
    ("restore_database", {"database": "a", "backup": "../b"}, Reason.BAD_NAME),
    ("restore_database", {"database": "a", "backup": "b'"}, Reason.BAD_NAME),
    ("restore_database", {"database": "a", "backup": "b", "as_": "c d"}, Reason.BAD_NAME),
    ("drop_partitions", {**DROP, "table": "carbon.users"}, Reason.TABLE_NOT_ALLOWED),
    ("drop_partitions", {**DROP, "table": "trades", "allowed": ["trades"]}, Reason.BAD_NAME),
    ("drop_partitions", {**DROP, "table": "a.b`c", "allowed": ["a.b`c"]}, Reason.BAD_NAME),
    ("drop_partitions", {**DROP, "backup_ok": False}, Reason.BACKUP_NOT_VERIFIED),
    ("drop_partitions", {**DROP, "newest_backup_at": None}, Reason.BACKUP_NOT_VERIFIED),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "arguments", "reason"), REFUSED)
def test_bad_input_is_no_request(kind: str, arguments: Any, reason: Reason) -> None:
    found = planned(kind, arguments)
    assert isinstance(found, NotPossible)
    assert found.reason is reason
    assert len(found.detail) < 500


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("patch_memory_limit", {**MEMORY, "factor": 1}),
        ("patch_memory_limit", {**MEMORY, "factor": float("inf")}),
        ("patch_probe_delay", {**PROBE, "to_s": 100_000}),
        ("patch_probe_delay", {**PROBE, "probe": "lifeness"}),
        ("timed_config", {**CONFIG, "for_s": 0}),
        ("timed_config", {**CONFIG, "for_s": float("nan")}),
        ("drop_partitions", {**DROP, "retention_days": 6}),
        ("rollout_undo", {"from_": 0}),
        ("operator_restart", {"kind": "Kafka", "name": "a"}),
        ("patch_pod_annotations", {"annotations": {}}),
        ("apply_known_good", {"manifest": "a.yaml", "objects": []}),
    ],
)
def test_arguments_outside_their_bounds_are_refused_when_they_are_loaded(
    kind: str, arguments: Any
) -> None:
    with pytest.raises(ValidationError):
        planned(kind, arguments)


def test_a_stateful_set_has_no_revisions_to_go_back_to() -> None:
    found = planned("rollout_undo", {"from_": 3}, KAFKA)
    assert isinstance(found, NotPossible)
    assert found.reason is Reason.TARGET_UNRESOLVED


def test_another_workload_of_the_same_namespace_may_be_restarted() -> None:
    request = planned("rollout_restart", {"workload": "schema-registry"})
    assert request.target == Target(TargetKind.DEPLOYMENT, NS, "schema-registry")
    request = planned(
        "scale", {**POSSIBLE["scale"], "workload": "zk", "workload_kind": "StatefulSet"}
    )
    assert request.target == Target(TargetKind.STATEFULSET, NS, "zk")


@pytest.mark.parametrize(
    ("from_", "factor", "ceiling", "to"),
    [
        ("1Gi", 2, "4Gi", "2Gi"),
        ("512Mi", 2, "4Gi", "1Gi"),
        ("3Gi", 2, "4Gi", "4Gi"),
        (1073741824, 2, "4Gi", "2Gi"),
        ("1073741824", 2, 4294967296, "2Gi"),
        ("1G", 2, "4Gi", "1908Mi"),
        ("1.5Gi", 1.5, "4Gi", "2304Mi"),
        ("1e9", 2, "1500M", "1464843Ki"),
    ],
)
def test_a_limit_grows_by_its_factor_to_the_ceiling(
    from_: str | int, factor: float, ceiling: str | int, to: str
) -> None:
    arguments = {"container": "app", "from_": from_, "factor": factor, "ceiling": ceiling}
    assert planned("patch_memory_limit", arguments).to_limit == to


# --- quantities

NUMBERS = st.one_of(
    st.integers(0, 10**9).map(str),
    st.tuples(st.integers(0, 10**6), st.integers(0, 999)).map(lambda p: f"{p[0]}.{p[1]}"),
    st.integers(0, 999).map(lambda n: f".{n}"),
    st.integers(0, 999).map(lambda n: f"{n}."),
)
SUFFIXES = st.sampled_from(
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E3", "e-2", "E+2"]
)  # fmt: skip


@given(NUMBERS, SUFFIXES, st.sampled_from(["", "+", "-"]))
def test_every_form_that_kubernetes_takes_is_read_as_it_reads_it(
    number: str, suffix: str, sign: str
) -> None:
    text = f"{sign}{number}{suffix}"
    assert quantity.value(text) == servers_own.value(text)


@given(st.text(max_size=12))
def test_what_is_no_quantity_is_none_and_nothing_is_raised(text: str) -> None:
    found = quantity.value(text)
    assert found is None or found == servers_own.value(text)


@given(st.integers(1, 2**52))
def test_a_spelling_is_read_back_as_the_same_size(ki: int) -> None:
    text = quantity.spelled(ki * quantity.KI)
    assert quantity.value(text) == Decimal(ki * quantity.KI)
    assert servers_own.canonical(text) == text  # the server keeps it, so it can be compared


@given(
    st.integers(quantity.MI, 2**40),
    st.floats(1, 4, exclude_min=True),
    st.integers(quantity.MI, 2**40),
)
def test_a_limit_never_shrinks_and_never_passes_its_ceiling(
    seen: int, factor: float, ceiling: int
) -> None:
    arguments = {"container": "app", "from_": seen, "factor": factor, "ceiling": ceiling}
    found = planned("patch_memory_limit", arguments)
    if isinstance(found, NotPossible):
        assert found.reason is Reason.AT_CEILING
        assert ceiling - seen < quantity.KI
        return
    assert seen < (quantity.size(found.to_limit) or 0) <= ceiling


# --- rolling back

JSON = st.recursive(
    st.one_of(st.integers(), st.booleans(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)
MAPS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def merged(now: Any, patch: Any) -> Any:
    """RFC 7386, as its text has it."""
    if not isinstance(patch, dict):
        return patch
    made = dict(now) if isinstance(now, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value)
    return made


@given(MAPS, MAPS)
def test_the_merge_of_two_templates_makes_the_one_into_the_other(now: Any, wanted: Any) -> None:
    assert merged(now, merge(now, wanted)) == wanted


def test_the_hash_of_the_controller_is_not_taken_over() -> None:
    labels = {"app": "a", "pod-template-hash": "x"}
    found = {"spec": {"template": {"metadata": {"creationTimestamp": None, "labels": labels}}}}
    assert template_of(found) == {"metadata": {"labels": {"app": "a"}}}


def replica_set(revision: int, owner: str) -> Any:
    annotations = {"deployment.kubernetes.io/revision": str(revision)}
    metadata = {"annotations": annotations, "ownerReferences": [{"uid": owner}]}
    return {"metadata": metadata}


@pytest.mark.parametrize(("revision", "expected"), [(0, 4), (2, 2), (3, None), (5, 5)])
def test_an_earlier_revision_is_one_of_the_deployment_itself(
    revision: int, expected: int | None
) -> None:
    deployment = {
        "metadata": {"uid": "a", "annotations": {"deployment.kubernetes.io/revision": "5"}}
    }
    sets = [
        replica_set(n, owner) for n, owner in [(2, "a"), (3, "b"), (4, "a"), (5, "a"), (4, "b")]
    ]
    found = earlier(list(reversed(sets)), deployment, revision)
    assert (revision_of(found) if found else None) == expected
    assert found is None or found["metadata"]["ownerReferences"] == [{"uid": "a"}]


# --- partitions


def partition(months_ago: int, *, written_at: datetime = T0 - timedelta(days=2)) -> Partition:
    newest = (T0 - timedelta(days=30 * months_ago)).date()
    return Partition(f"p{months_ago}", f"p{months_ago}", newest, written_at, 1, 1)


@given(
    st.sets(st.integers(0, 24), max_size=12),
    st.integers(7, 400),
    st.integers(1, 12),
    st.integers(-3, 3),
)
def test_what_is_dropped_is_old_and_in_the_backup_and_never_all(
    ages: set[int], days: int, most: int, backup_days: int
) -> None:
    backup_at = T0 + timedelta(days=backup_days)
    request = DropPartitions(KAFKA, "a", "b", days, backup_at, most)
    partitions = [partition(age) for age in ages]
    found = chosen(request, partitions, T0)
    if isinstance(found, Deed):
        return
    first_kept = T0.date() - timedelta(days=days)
    assert all(p.newest < first_kept and p.written_at < backup_at <= T0 for p in found)
    assert len(found) <= most
    assert not found or len(found) < len(partitions)
    kept = [p for p in partitions if p not in found]
    assert all(p.newest >= first_kept for p in kept)


# --- names and manifests


@given(st.from_regex(r"[-._a-zA-Z0-9]{1,253}", fullmatch=True))
def test_the_mark_of_a_key_is_a_name_that_kubernetes_takes(key: str) -> None:
    prefix, _, name = mark_of(key).partition("/")
    assert prefix == "config.paramedic.dev"
    assert 0 < len(name) <= 63
    assert name[0].isalnum()
    assert name[-1].isalnum()


def test_a_difference_names_the_field_and_is_bounded() -> None:
    live = {"metadata": {"resourceVersion": "1"}, "spec": {"a": 1, "b": "x" * 1_000}}
    would = {"metadata": {"resourceVersion": "2"}, "spec": {"a": 1, "c": [1]}}
    first, second = manifests.difference(live, would)
    assert first.startswith("spec.b: 'xxx")
    assert second == "spec.c: nothing -> [1]"
    assert len(first) < 250
    many = {"spec": {str(n): n for n in range(100)}}
    assert len(manifests.difference({}, {"spec": {}})) == 1
    assert len(manifests.difference({"spec": {}}, many)) == 21


async def test_a_link_that_leads_out_of_the_folder_is_followed_by_nobody(tmp_path: Path) -> None:
    folder, inside = tmp_path / "good", tmp_path / "good" / "..data"
    inside.mkdir(parents=True)
    (inside / "a.yaml").write_text("{}")
    (tmp_path / "b.yaml").write_text("{}")
    (folder / "a.yaml").symlink_to(inside / "a.yaml")
    (folder / "b.yaml").symlink_to(tmp_path / "b.yaml")
    assert "is for namespace" not in str(await manifests.read(folder, "a.yaml", (), namespace=NS))
    assert "not in the folder" in str(await manifests.read(folder, "b.yaml", (), namespace=NS))
    assert "not in the folder" not in str(await manifests.read(folder, "a.yaml", (), namespace=NS))
