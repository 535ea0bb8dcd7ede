"""The small tables underneath: field names, quantities, patches, selectors."""

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_asyncio.client import models

from rehearsal.cluster import patches, quantity, refusal
from rehearsal.cluster.decoding import WrongTypeError, decode
from rehearsal.cluster.schema import Leaf, ListOf, MapOf, Struct, type_named

MODELS = {
    "ObjectMeta": "V1ObjectMeta", "LabelSelector": "V1LabelSelector", "ConfigMap": "V1ConfigMap",
    "Namespace": "V1Namespace", "NamespaceSpec": "V1NamespaceSpec", "Deployment": "V1Deployment",
    "DeploymentSpec": "V1DeploymentSpec", "DeploymentStrategy": "V1DeploymentStrategy",
    "RollingUpdateDeployment": "V1RollingUpdateDeployment", "DeploymentStatus": "V1DeploymentStatus",
    "StatefulSet": "V1StatefulSet", "StatefulSetSpec": "V1StatefulSetSpec",
    "StatefulSetUpdateStrategy": "V1StatefulSetUpdateStrategy", "StatefulSetStatus": "V1StatefulSetStatus",
    "RollingUpdateStatefulSetStrategy": "V1RollingUpdateStatefulSetStrategy", "PodTemplateSpec": "V1PodTemplateSpec",
    "Pod": "V1Pod", "PodSpec": "V1PodSpec", "Container": "V1Container", "ContainerPort": "V1ContainerPort",
    "EnvVar": "V1EnvVar", "EnvVarSource": "V1EnvVarSource", "ResourceRequirements": "V1ResourceRequirements",
    "VolumeMount": "V1VolumeMount", "Probe": "V1Probe", "HTTPGetAction": "V1HTTPGetAction", "Event": "CoreV1Event",
    "EventsV1Event": "EventsV1Event",
    "ObjectReference": "V1ObjectReference", "EventSource": "V1EventSource", "EventSeries": "CoreV1EventSeries",
    "HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler",
    "HorizontalPodAutoscalerSpec": "V2HorizontalPodAutoscalerSpec",
    "CrossVersionObjectReference": "V2CrossVersionObjectReference", "Scale": "V1Scale", "ScaleSpec": "V1ScaleSpec",
    "ScaleStatus": "V1ScaleStatus",
}  # fmt: skip


@pytest.mark.parametrize(("name", "model"), MODELS.items())
def test_the_schema_has_the_fields_of_the_client_library(name: str, model: str) -> None:
    ours = type_named(name)
    theirs = getattr(models, model)
    assert isinstance(ours, Struct)
    assert set(ours.fields) == set(theirs.attribute_map.values())
    for attribute, spelled in theirs.openapi_types.items():
        kind = ours.fields[theirs.attribute_map[attribute]]
        match kind:
            case ListOf():
                assert spelled.startswith("list["), attribute
            case MapOf():
                assert spelled.startswith("dict("), attribute
            case Leaf(kind="string"):
                assert spelled == "str", attribute
            case Leaf(kind="int32" | "int64"):
                assert spelled == "int", attribute
            case Leaf(kind="bool"):
                assert spelled == "bool", attribute
            case _:
                pass  # a struct has its own row


@pytest.mark.parametrize(("written", "stored"), [
    ("4096Mi", "4Gi"), ("4Gi", "4Gi"), ("1000m", "1"), ("0.5", "500m"), ("1500m", "1500m"), ("1024", "1024"),
    ("1024Ki", "1Mi"), ("1e3", "1k"), ("0", "0"), ("100Gi", "100Gi"), ("512Ki", "512Ki"), ("0.5Gi", "512Mi"),
    ("2", "2"), ("12345678n", "12345678n"), ("1000k", "1M"), ("4Gigs", None), ("", None), ("Gi", None), ("1e", None),
])  # fmt: skip
def test_a_quantity_is_stored_in_one_spelling(written: str, stored: str | None) -> None:
    assert quantity.canonical(written) == stored


@given(st.integers(0, 10**9), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi"]))
def test_the_one_spelling_has_the_same_value_and_is_stable(number: int, suffix: str) -> None:
    stored = quantity.canonical(f"{number}{suffix}")
    assert stored is not None
    assert quantity.value(stored) == quantity.value(f"{number}{suffix}")
    assert quantity.canonical(stored) == stored


KEYS = st.sampled_from(["a", "b", "spec", "$patch", "name"])
JSON = st.recursive(
    st.sampled_from([None, True, 0, 1, "", "a", "delete"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=6,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=3)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_idempotent_and_leaves_its_target_alone(target: Any, patch: Any) -> None:
    before = copy.deepcopy(target)
    once = patches.apply(target, patches.MERGE, patch, type_named("*"))
    assert patches.apply(once, patches.MERGE, patch, type_named("*")) == once
    assert target == before


@given(OBJECTS, OBJECTS)
def test_whatever_a_patch_says_it_is_a_patch_or_a_refusal(target: Any, patch: Any) -> None:
    for kind, body in ((patches.STRATEGIC, patch), (patches.JSON, [patch])):
        with suppress(refusal.Refusal):
            assert isinstance(patches.apply(target, kind, body, type_named("Deployment")), dict)


@pytest.mark.parametrize(("operations", "result"), [
    ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3], "b": {"c": 1}}),
    ([{"op": "add", "path": "/a/0", "value": 0}], {"a": [0, 1, 2], "b": {"c": 1}}),
    ([{"op": "remove", "path": "/b/c"}], {"a": [1, 2], "b": {}}),
    ([{"op": "move", "from": "/b", "path": "/d"}], {"a": [1, 2], "d": {"c": 1}}),
    ([{"op": "copy", "from": "/b/c", "path": "/a/1"}], {"a": [1, 1, 2], "b": {"c": 1}}),
    ([{"op": "test", "path": "/a/1", "value": 2}], {"a": [1, 2], "b": {"c": 1}}),
    ([{"op": "test", "path": "/a/1", "value": 1}], None),
    ([{"op": "add", "path": "/x/y", "value": 1}], None),
    ([{"op": "replace", "path": "/x", "value": 1}], None),
    ([{"op": "add", "path": "/a/9", "value": 1}], None),
    ([{"path": "/a"}], None),
    ([{"op": "remove", "path": "a"}], None),
])  # fmt: skip
def test_a_json_patch_is_applied_whole_or_not_at_all(operations: Any, result: Any) -> None:
    target = {"a": [1, 2], "b": {"c": 1}}
    if result is None:
        with pytest.raises(refusal.Refusal) as refused:
            patches.apply(target, patches.JSON, operations, type_named("*"))
        assert refused.value.code == 422
    else:
        assert patches.apply(target, patches.JSON, operations, type_named("*")) == result
    assert target == {"a": [1, 2], "b": {"c": 1}}


@pytest.mark.parametrize(("spec", "problem"), [
    ({"replicas": "three"}, "string into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ({"replicas": 1.5}, "number into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ({"replicas": True}, "bool into Go struct field DeploymentSpec.spec.replicas of type int32"),
    ({"paused": 1}, "number into Go struct field DeploymentSpec.spec.paused of type bool"),
    ({"template": []}, "array into Go struct field DeploymentSpec.spec.template of type v1.PodTemplateSpec"),
])  # fmt: skip
def test_a_wrong_type_is_named_as_go_names_it(spec: Any, problem: str) -> None:
    with pytest.raises(WrongTypeError) as wrong:
        decode({"spec": spec}, type_named("Deployment"))
    assert wrong.value.in_json == f"json: cannot unmarshal {problem}"


def test_a_null_is_an_absent_field() -> None:
    assert decode({"spec": {"paused": None}}, type_named("Deployment")).obj == {"spec": {}}


def test_a_list_without_a_merge_key_is_replaced_whole() -> None:
    def template(*names: str) -> Any:
        sources = [{"configMapRef": {"name": name}} for name in names]
        return {"spec": {"template": {"spec": {"containers": [{"name": "a", "envFrom": sources}]}}}}

    assert patches.apply(
        template("one", "two"), patches.STRATEGIC, template("three"), type_named("Deployment")
    ) == template("three")


@pytest.mark.parametrize(
    "text", ["2026-11-23T18:55:13Z", "2026-11-23T18:55:13.123Z", "2026-11-23T18:55:13+00:00"]
)
def test_an_event_time_needs_six_digits(text: str) -> None:
    with pytest.raises(WrongTypeError, match="cannot parse"):
        decode({"eventTime": text}, type_named("Event"))
    fine = decode({"eventTime": "2026-11-23T18:55:13.120000+00:00"}, type_named("Event")).obj
    assert fine == {"eventTime": "2026-11-23T18:55:13.120000Z"}
