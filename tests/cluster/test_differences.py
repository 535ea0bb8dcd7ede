"""Where this emulator once answered otherwise than the real server: each place,
as the real server has it.
"""

from typing import Any

import pytest

from rehearsal.cluster import Cluster, carbon_ingestion
from tests.cluster.recorded import STRATEGIC, open_session, send

NS = "carbon-ingestion"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NS}/deployments/normalization-service"
PODS = f"/api/v1/namespaces/{NS}/pods"
MERGE, JSON = "application/merge-patch+json", "application/json-patch+json"
OTHER_UID = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}, "spec": {"replicas": 4}}

PLACES = [
    # what, method, path, query, body, content type, status, part of the message
    ("another uid on /scale", "PATCH", f"{DEPLOYMENT}/scale", {}, OTHER_UID, MERGE, 409,
     "Precondition failed: UID in precondition"),
    ("a scale to 2^31", "PATCH", f"{DEPLOYMENT}/scale", {}, {"spec": {"replicas": 2**31}}, MERGE, 422,
     "cannot unmarshal number 2147483648"),
    ("a scale to 2^31, strategic", "PATCH", f"{DEPLOYMENT}/scale", {}, {"spec": {"replicas": 2**31}},
     STRATEGIC, 422, "2147483648"),
    ("a patch of the name", "PATCH", DEPLOYMENT, {}, {"metadata": {"name": "other"}}, STRATEGIC, 400,
     "the name of the object (other) does not match the name on the URL (normalization-service)"),
    ("a long manager", "PATCH", DEPLOYMENT, {"fieldManager": "x" * 129}, {}, STRATEGIC, 422, "128 bytes"),
    ("a label that cannot be", "GET", PODS, {"labelSelector": "app=!!"}, None, "", 400, "unable to parse"),
    ("a value that cannot be", "GET", PODS, {"labelSelector": "app=-x"}, None, "", 400, "a valid label"),
    ("a version that is no number", "PATCH", DEPLOYMENT, {}, {"metadata": {"resourceVersion": "abc"}},
     MERGE, 500, 'parsing "abc"'),
    ("a merge patch that is no JSON", "PATCH", DEPLOYMENT, {}, b"{", MERGE, 400, "error decoding patch: "),
    ("a JSON patch that is an object", "PATCH", DEPLOYMENT, {}, {}, JSON, 400,
     "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
    ("a subresource that nobody knows", "GET", f"{DEPLOYMENT}/nothing", {}, None, "", 404,
     "could not find the requested resource"),
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=[str(place[0]) for place in PLACES])
async def test_a_place_that_once_differed_is_as_the_real_server_has_it(place: Any) -> None:
    _, method, path, query, body, content_type, status, said = place
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        before = cluster.get("deployments", NS, "normalization-service")
        answer = await send(
            session, method, path, query=query, body=body, content_type=content_type or MERGE
        )
        assert (answer.status, said in answer.body["message"]) == (status, True), answer.body
        assert cluster.get("deployments", NS, "normalization-service") == before


async def test_an_autoscaler_without_metrics_gets_80_percent_of_the_cpu() -> None:
    reference = {"kind": "Deployment", "name": "normalization-service", "apiVersion": "apps/v1"}
    body = {"metadata": {"name": "x"}, "spec": {"maxReplicas": 5, "scaleTargetRef": reference}}
    path = f"/apis/autoscaling/v2/namespaces/{NS}/horizontalpodautoscalers"
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        answer = await send(session, "POST", path, body=body)
        assert answer.body["spec"]["metrics"] == [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 80},
                },
            }
        ]


async def test_a_secret_is_seen_as_metadata_alone_by_whoever_asks_so() -> None:
    secret = {
        "kind": "Secret", "apiVersion": "v1", "metadata": {"name": "api-keys", "namespace": NS},
        "data": {"a": "Yg=="},
    }  # fmt: skip
    form = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    lists = form.replace("Metadata;", "MetadataList;")
    path = f"/api/v1/namespaces/{NS}/secrets"
    async with Cluster([secret]) as cluster, open_session(cluster) as session:
        one = (await send(session, "GET", f"{path}/api-keys", accept=form)).body
        assert (one["kind"], one["metadata"]["name"]) == ("PartialObjectMetadata", "api-keys")
        many = (await send(session, "GET", path, accept=lists)).body
        assert "data" not in one
        assert ["data" in item for item in many["items"]] == [False]


async def test_a_custom_resource_that_a_test_installs_is_read_patched_and_applied() -> None:
    application = {
        "kind": "Application", "apiVersion": "argoproj.io/v1alpha1",
        "metadata": {"name": "carbon", "namespace": "argocd"},
        "spec": {"syncPolicy": {"automated": {"selfHeal": True}}},
    }  # fmt: skip
    path = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
    async with Cluster() as cluster, open_session(cluster) as session:
        assert (await send(session, "GET", path)).status == 404
        cluster.install("argoproj.io", "v1alpha1", "applications", "Application")
        cluster.seed([application])
        listed = (await send(session, "GET", path)).body
        assert [item["metadata"]["name"] for item in listed["items"]] == ["carbon"]
        patched = await send(
            session, "PATCH", f"{path}/carbon", body={"spec": {"project": "x"}}, content_type=MERGE
        )
        assert patched.body["spec"]["syncPolicy"]["automated"]["selfHeal"] is True
        assert patched.body["metadata"]["generation"] == 2
