"""What the recordings do not show in one exchange: pages, a namespace of one's own,
metrics, gaps that say so.
"""

from typing import Any

import aiohttp
import pytest

from rehearsal.cluster import Cluster, Delays, Identity, Object, Rule, carbon_ingestion
from tests.cluster.recorded import STRATEGIC, healthy_state, open_session, send

NS = "carbon-ingestion"
PODS = f"/api/v1/namespaces/{NS}/pods"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NS}/deployments/normalization-service"
AT_ONCE = Delays(0, 0, 0, 0)


async def names(
    session: aiohttp.ClientSession, query: dict[str, str], path: str = PODS
) -> list[str]:
    answer = await send(session, "GET", path, query=query)
    assert answer.status == 200, answer.body
    return [item["metadata"]["name"] for item in answer.body["items"]]


async def test_pages_give_the_list_as_it_was_at_the_first_page() -> None:
    async with (
        Cluster(healthy_state(), controllers=False) as cluster,
        open_session(cluster) as session,
    ):
        whole, seen, versions = await names(session, {}), [], set()
        query = {"limit": "5"}
        while True:
            body = (await send(session, "GET", PODS, query=query)).body
            seen += [item["metadata"]["name"] for item in body["items"]]
            versions.add(body["metadata"]["resourceVersion"])
            if "continue" not in body["metadata"]:
                break
            cluster.remove("pods", NS, whole[-1])  # a change in between is not seen
            query = {"limit": "5", "continue": body["metadata"]["continue"]}
        assert seen == whole
        assert len(versions) == 1


async def test_an_expired_page_is_gone_and_its_new_token_goes_on_with_what_is_there() -> None:
    async with (
        Cluster(healthy_state(), controllers=False) as cluster,
        open_session(cluster) as session,
    ):
        first = (await send(session, "GET", PODS, query={"limit": "5"})).body
        cluster.remove("pods", NS, "kafka-1")
        cluster.compact()
        gone = await send(
            session, "GET", PODS, query={"limit": "5", "continue": first["metadata"]["continue"]}
        )
        assert (gone.status, gone.body["reason"]) == (410, "Expired")
        rest = await names(session, {"continue": gone.body["metadata"]["continue"]})
        assert "kafka-1" not in rest
        assert "kafka-0" in rest
        assert len(rest) == 8


@pytest.mark.parametrize(("query", "status", "reason"), [
    ({"resourceVersion": "abc"}, 400, "BadRequest"),
    ({"resourceVersion": "99999999"}, 504, "Timeout"),
    ({"resourceVersionMatch": "Exact"}, 422, "Invalid"),
    ({"resourceVersion": "5", "limit": "1"}, 410, "Expired"),
    ({"resourceVersion": "5"}, 200, None),
    ({"continue": "nonsense"}, 400, "BadRequest"),
    ({"labelSelector": "a in (b"}, 400, "BadRequest"),
    ({"fieldSelector": "nonsense"}, 400, "BadRequest"),
])  # fmt: skip
async def test_a_list_is_refused_as_the_server_refuses_it(
    query: dict[str, str], status: int, reason: Any
) -> None:
    async with (
        Cluster(healthy_state(), controllers=False) as cluster,
        open_session(cluster) as session,
    ):
        answer = await send(session, "GET", PODS, query=query)
        assert (answer.status, answer.body.get("reason")) == (status, reason)


@pytest.mark.parametrize(("selector", "count"), [
    ("app.kubernetes.io/name=kafka", 3),
    ("app.kubernetes.io/name==kafka", 3),
    ("app.kubernetes.io/name!=kafka", 11),
    ("app.kubernetes.io/name in (kafka, zookeeper)", 4),
    ("app.kubernetes.io/name notin (kafka,zookeeper),pod-template-hash", 9),
    ("!pod-template-hash", 5),
    ("pod-template-hash,app.kubernetes.io/component=service", 9),
    ("apps.kubernetes.io/pod-index>0", 2),
])  # fmt: skip
async def test_label_selectors_choose(selector: str, count: int) -> None:
    async with (
        Cluster(healthy_state(), controllers=False) as cluster,
        open_session(cluster) as session,
    ):
        assert len(await names(session, {"labelSelector": selector})) == count


@pytest.mark.parametrize(("selector", "count"), [
    ("status.phase!=Running", 0), ("status.phase=Running", 14), ("metadata.name=kafka-0", 1),
    ("spec.nodeName=carbon-node-1,metadata.namespace=carbon-ingestion", 6), ("spec.nodeName!=carbon-node-1", 8),
])  # fmt: skip
async def test_field_selectors_choose(selector: str, count: int) -> None:
    async with (
        Cluster(healthy_state(), controllers=False) as cluster,
        open_session(cluster) as session,
    ):
        assert len(await names(session, {"fieldSelector": selector})) == count


GAPS = [
    ("GET", PODS + "?watch=True"),
    ("GET", "/api"), ("GET", "/apis"), ("GET", "/openapi/v2"),
    ("GET", f"/apis/batch/v1/namespaces/{NS}/jobs"),
    ("GET", f"/apis/apps/v1/namespaces/{NS}/daemonsets"),
    ("GET", f"/apis/coordination.k8s.io/v1/namespaces/{NS}/leases/x"),
    ("POST", f"/apis/coordination.k8s.io/v1/namespaces/{NS}/leases"),
    ("POST", f"{PODS}/kafka-0/eviction"), ("GET", f"{PODS}/kafka-0/exec"), ("POST", f"{PODS}/kafka-0/exec"),
    ("PUT", f"{PODS}/kafka-0"), ("DELETE", PODS), ("PUT", "/api/v1/nodes/carbon-node-1"),
    ("DELETE", f"/apis/apps/v1/namespaces/{NS}/replicasets/x"),
    ("GET", f"/api/v1/namespaces/{NS}/resourcequotas"),
    ("GET", f"/api/v1/namespaces/{NS}/services/kafka-headless/proxy/x"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), GAPS)
async def test_what_is_not_emulated_says_so(method: str, path: str) -> None:
    async with (
        Cluster(healthy_state(), controllers=False) as cluster,
        open_session(cluster) as session,
    ):
        answer = await send(
            session, method, path, body={} if method != "GET" else None, content_type=STRATEGIC
        )
        assert (answer.status, answer.body["reason"]) == (501, "NotImplemented")
        assert "does not emulate" in answer.body["message"]


async def test_a_client_makes_its_own_namespace_with_a_deployment_and_removes_both() -> None:
    labels = {"app": "probe"}
    deployment = {
        "metadata": {"name": "probe"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "probe", "image": "example.com/none:1"}]},
            },
        },
    }
    async with (
        Cluster(carbon_ingestion(), delays=AT_ONCE) as cluster,
        open_session(cluster) as session,
    ):
        made = await send(
            session, "POST", "/api/v1/namespaces", body={"metadata": {"generateName": "contract-"}}
        )
        assert made.status == 201
        own = made.body["metadata"]["name"]
        path = f"/apis/apps/v1/namespaces/{own}/deployments"
        dry = await send(session, "POST", path, query={"dryRun": "All"}, body=deployment)
        assert (dry.status, "resourceVersion" in dry.body["metadata"]) == (201, False)
        assert await names(session, {}, path) == []
        answer = await send(session, "POST", path, body=deployment)
        assert (answer.status, answer.body["metadata"]["generation"], answer.body["status"]) == (
            201,
            1,
            {},
        )
        assert answer.body["spec"]["strategy"]["rollingUpdate"] == {
            "maxUnavailable": "25%",
            "maxSurge": "25%",
        }
        assert (await send(session, "POST", path, body=deployment)).body[
            "reason"
        ] == "AlreadyExists"
        await cluster.settled()
        assert len(await names(session, {}, f"/api/v1/namespaces/{own}/pods")) == 1
        gone = await send(session, "DELETE", f"{path}/probe")
        assert (gone.status, gone.body["status"], gone.body["details"]["kind"]) == (
            200,
            "Success",
            "deployments",
        )
        await cluster.settled()
        assert await names(session, {}, f"/api/v1/namespaces/{own}/pods") == []
        assert (await send(session, "DELETE", f"/api/v1/namespaces/{own}")).body["status"] == {
            "phase": "Terminating"
        }
        await cluster.settled()
        assert (await send(session, "GET", f"/api/v1/namespaces/{own}")).status == 404


@pytest.mark.parametrize(("spec", "field"), [
    ({}, "spec.selector"),
    ({"selector": {"matchLabels": {"a": "b"}}}, "spec.template.metadata.labels"),
    ({"replicas": -1}, "spec.replicas"),
])  # fmt: skip
async def test_a_deployment_that_cannot_be_is_refused_with_every_cause(
    spec: Object, field: str
) -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        answer = await send(
            session,
            "POST",
            f"/apis/apps/v1/namespaces/{NS}/deployments",
            body={"metadata": {"name": "x"}, "spec": spec},
        )
        causes = [cause["field"] for cause in answer.body["details"]["causes"]]
        assert answer.status == 422
        assert field in causes
        assert "spec.template.spec.containers" in causes


@pytest.mark.parametrize(
    "preconditions", [{"uid": "00000000-0000-0000-0000-000000000000"}, {"resourceVersion": "1"}]
)
async def test_a_deletion_with_a_false_precondition_is_a_conflict(preconditions: Object) -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        answer = await send(
            session, "DELETE", f"{PODS}/kafka-0", body={"preconditions": preconditions}
        )
        assert (answer.status, answer.body["reason"]) == (409, "Conflict")
        assert "deletionTimestamp" not in cluster.get("pods", NS, "kafka-0")["metadata"]


async def test_a_dry_deletion_deletes_nothing_and_force_deletes_at_once() -> None:
    async with Cluster(carbon_ingestion()) as cluster, open_session(cluster) as session:
        assert (
            await send(session, "DELETE", f"{PODS}/kafka-0", query={"dryRun": "All"})
        ).status == 200
        uid = cluster.get("pods", NS, "kafka-0")["metadata"]["uid"]
        await send(session, "DELETE", f"{PODS}/kafka-0", query={"gracePeriodSeconds": "0"})
        now = cluster.find("pods", NS, "kafka-0")
        assert now is None or now["metadata"]["uid"] != uid


class Usage:
    def of_pod(self, pod: Object) -> dict[str, dict[str, str]] | None:
        if pod["metadata"]["name"] == "kafka-2":
            return None
        return {
            container["name"]: {"cpu": "250m", "memory": "512Mi"}
            for container in pod["spec"]["containers"]
        }

    def of_node(self, node: Object) -> dict[str, str] | None:
        return {"cpu": "1200m", "memory": "8Gi"}


async def test_metrics_are_what_the_embedder_says_and_otherwise_not_installed() -> None:
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{NS}/pods"
    async with (
        Cluster(carbon_ingestion(), usage=Usage()) as cluster,
        open_session(cluster) as session,
    ):
        body = (
            await send(
                session, "GET", path, query={"labelSelector": "app.kubernetes.io/name=kafka"}
            )
        ).body
        assert body["kind"] == "PodMetricsList"
        assert [item["metadata"]["name"] for item in body["items"]] == ["kafka-0", "kafka-1"]
        assert body["items"][0]["containers"] == [
            {"name": "kafka", "usage": {"cpu": "250m", "memory": "512Mi"}}
        ]
        assert (await send(session, "GET", f"{path}/kafka-2")).status == 404
        nodes = (await send(session, "GET", "/apis/metrics.k8s.io/v1beta1/nodes")).body
        assert [item["usage"]["memory"] for item in nodes["items"]] == ["8Gi"] * 3


async def test_a_right_is_asked_for_before_existence_and_before_a_gap() -> None:
    reader = Identity("reader", (Rule(("get", "list"), ("",), ("pods", "pods/log")),), NS)
    async with (
        Cluster(carbon_ingestion(), identities={"t": reader}) as cluster,
        open_session(cluster) as session,
    ):
        assert (await send(session, "GET", PODS, who="t")).status == 200
        for method, path in (
            ("GET", f"{DEPLOYMENT}-none"),
            ("PATCH", f"{DEPLOYMENT}/scale"),
            ("GET", f"/apis/batch/v1/namespaces/{NS}/jobs"),
            ("GET", "/api/v1/pods"),
        ):
            answer = await send(session, method, path, body={}, content_type=STRATEGIC, who="t")
            assert (answer.status, answer.body["reason"]) == (403, "Forbidden"), path
        assert (
            'resource "deployments/scale"'
            in (
                await send(
                    session,
                    "PATCH",
                    f"{DEPLOYMENT}/scale",
                    body={},
                    content_type=STRATEGIC,
                    who="t",
                )
            ).body["message"]
        )
        assert (await send(session, "GET", PODS, who="wrong")).status == 401


async def test_the_server_listens_on_a_free_port_of_this_machine_only() -> None:
    async with Cluster() as one, Cluster() as other:
        assert one.url != other.url
        assert one.url.startswith("http://127.0.0.1:")


async def test_a_bug_of_the_emulator_reaches_the_embedder() -> None:
    cluster = await Cluster(carbon_ingestion(), controllers=False).__aenter__()
    async with open_session(cluster) as session:
        cluster.edit(
            "deployments", NS, "normalization-service", lambda obj: obj["spec"].pop("replicas")
        )
        answer = await send(session, "GET", f"{DEPLOYMENT}/scale")
        assert (answer.status, answer.body["reason"]) == (500, "InternalError")
    with pytest.raises(KeyError):
        await cluster.__aexit__(None, None, None)


async def test_one_counter_numbers_the_writes_of_all_kinds() -> None:
    async with Cluster(carbon_ingestion(), controllers=False, warm=False) as cluster:
        versions = [
            int(obj["metadata"]["resourceVersion"])
            for plural in ("deployments", "configmaps", "nodes")
            for obj in cluster.objects(plural)
        ]
        assert len(set(versions)) == len(versions)
        before = max(versions)
        cluster.edit("configmaps", NS, "connectors-config", lambda obj: obj["data"].update(a="b"))
        assert (
            int(cluster.get("configmaps", NS, "connectors-config")["metadata"]["resourceVersion"])
            > before
        )
