"""Whole diagnoses of the chapters about data over real backends at once:
what is known, and how long it takes.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import TypeAdapter

from rehearsal.cluster import Cluster, Object, carbon_ingestion
from service.clients.clickhouse import ClickHouseClient
from service.clients.kafka import KafkaClient
from service.clients.kubernetes import KubernetesReader
from service.clients.prometheus import PrometheusClient
from service.clients.schema_registry import SchemaRegistryClient
from service.diagnose import CHAPTERS
from service.diagnose.chapter import Look
from service.diagnose.probes.operator import Operator, operator
from service.diagnose.probes.selected_pods import selected_pods
from service.diagnose.sources import Sources
from service.kit.clock import SystemClock
from service.kit.deadline import Deadline
from service.model.errors import BadInput, Refused, Unavailable
from service.model.evidence import Evidence, Known, Unknown
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import (
    ClickHouseSettings,
    KafkaSettings,
    KubernetesSettings,
    PrometheusSettings,
    SchemaRegistrySettings,
)
from tests.recordings import recorded
from tests.servers import clickhouse, kafka
from tests.servers.faults import Asked, Scripted, scripted
from tests.unit.data_made import playbook
from tests.wire.test_clickhouse_probes import SCHEMA, TRADES, filled
from tests.wire.test_kubernetes import kubeconfig

NAMESPACE = "carbon-ingestion"
SERVICE = Target(TargetKind.DEPLOYMENT, NAMESPACE, "normalization-service")
KAFKA = Target(TargetKind.STATEFULSET, NAMESPACE, "kafka")
CLICKHOUSE = Target(TargetKind.STATEFULSET, NAMESPACE, "clickhouse")
GROUP = "normalization-consumer"
TOPIC = "ingestion.miso.raw.v1"
SUBJECT = f"{TOPIC}-value"


class HalfBusy:
    """Every container and node uses the same."""

    def of_pod(self, pod: Object) -> Mapping[str, Mapping[str, str]]:
        return {c["name"]: {"cpu": "100m", "memory": "64Mi"} for c in pod["spec"]["containers"]}

    def of_node(self, node: Object) -> Mapping[str, str]:
        return {"cpu": "1", "memory": "1Gi"}


def answered(asked: Asked) -> web.Response:
    """A Prometheus in which every query has one sample, and a registry with one subject."""
    if asked.path == "/api/v1/query":
        sample = {"metric": {}, "value": [0, "0.5"]}
        return web.json_response(
            {"status": "success", "data": {"resultType": "vector", "result": [sample]}}
        )
    if asked.path == "/metrics":
        return web.Response(text="quality_score 0.95\n")
    answers: Mapping[str, Any] = {
        "/subjects": [SUBJECT],
        f"/subjects/{SUBJECT}/versions": [1, 2],
        "/config": {"compatibilityLevel": "BACKWARD"},
    }
    found = answers.get(asked.path)
    return web.json_response(found if found is not None else {}, status=200 if found else 404)


@dataclass(frozen=True)
class Backends:
    """All backends, and where the scripted one is."""

    sources: Sources
    url: str


@pytest.fixture(scope="module")
def known_good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known-good")
    (folder / "policies.yaml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: kafka-ingress}\nspec: {podSelector: {}, policyTypes: [Ingress]}\n"
    )
    return folder


@pytest.fixture
async def backends(tmp_path: Path) -> AsyncIterator[Backends]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        broker = await enter(kafka.noida(tmp_path / "kafka"))
        database = await enter(clickhouse.modern(tmp_path / "clickhouse"))
        cluster = await enter(Cluster(carbon_ingestion(), usage=HalfBusy()))
        server: Scripted = await enter(scripted())
        server.answer = answered
        await kafka.create_topic(broker.bootstrap, TOPIC, 3)
        await kafka.produce(broker.bootstrap, TOPIC, {0: 5})
        await kafka.commit(broker.bootstrap, GROUP, {(TOPIC, n): 0 for n in range(3)})
        today = datetime.now(UTC).date()
        old = today - timedelta(days=200)
        await filled(
            database.port,
            *SCHEMA,
            f"INSERT INTO {TRADES} (day, id, price) SELECT toDate('{today}'), 'a', 1",
            f"INSERT INTO {TRADES} (day, id, price) SELECT toDate('{old}'), 'b', 1",
        )
        at = KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"))
        here = ClickHouseSettings(host="127.0.0.1", port=database.port)
        sources = Sources(
            kubernetes=await enter(KubernetesReader(at)),
            kafka=await enter(KafkaClient(KafkaSettings(bootstrap=broker.bootstrap))),
            clickhouse=await enter(ClickHouseClient(here)),
            prometheus=await enter(PrometheusClient(PrometheusSettings(url=server.url))),
            schema_registry=await enter(
                SchemaRegistryClient(SchemaRegistrySettings(url=server.url))
            ),
        )
        yield Backends(sources, server.url)


async def diagnosed(
    sources: Sources, target: Target, of: str, **changes: object
) -> tuple[Evidence, float]:
    """The evidence that the shipped playbook's chapter gathers, and the seconds it took."""
    shipped = playbook(of)
    chapter = CHAPTERS[shipped.diagnose]
    filled_in = {**shipped.params_for(target), **changes}
    params: Any = TypeAdapter(chapter.parameters).validate_python(filled_in)
    look = Look(sources, target, Deadline.after(10.0), SystemClock(), lambda *_: None)
    started = time.monotonic()
    evidence: Evidence = await chapter.diagnose(look, params)
    return evidence, time.monotonic() - started


@pytest.mark.parametrize(
    ("of", "target", "unknown"),
    [
        pytest.param("clickhouse", CLICKHOUSE, set(), id="4.2"),
        pytest.param("data-flow", SERVICE, set(), id="2.1"),
        pytest.param("kafka", KAFKA, set(), id="4.1"),
        pytest.param("zookeeper", KAFKA, set(), id="4.1 ZooKeeper"),
        pytest.param("low-throughput", SERVICE, set(), id="3.2"),
        pytest.param("data-quality", SERVICE, set(), id="2.2"),
    ],
)
async def test_all_is_known_and_takes_as_long_as_its_slowest_probe(
    backends: Backends, known_good: Path, of: str, target: Target, unknown: set[str]
) -> None:
    changes: dict[str, object] = {}
    if of == "data-flow":
        destination = backends.url.removeprefix("http://")
        changes = {"known_good": str(known_good), "destinations": [destination], "domain": ""}
    if of == "data-quality":
        changes = {"endpoints": {"metrics": f"{backends.url}/metrics"}}
    if of in ("data-flow", "low-throughput"):
        changes["sample_s"] = 0.5
    await diagnosed(backends.sources, target, of, **changes)  # opens the connections
    evidence, took_s = await diagnosed(backends.sources, target, of, **changes)
    readings = evidence.readings()
    lost = {n: r for n, r in readings.items() if not isinstance(r, Known)}
    assert lost.keys() == unknown, lost
    slowest_s = max(reading.took_s for reading in readings.values())
    # A twentieth, and what it takes to begin and end a dozen tasks on a busy machine.
    assert took_s <= slowest_s * 1.05 + 0.03, (took_s, slowest_s)


async def test_a_diagnosis_sees_what_there_is(backends: Backends) -> None:
    evidence: Any
    evidence, _ = await diagnosed(backends.sources, CLICKHOUSE, "clickhouse")
    assert evidence.parts.value.expired_table == TRADES
    assert evidence.answer.value.answers
    assert evidence.operator.value == Operator(False, "", "", "")
    assert evidence.pods.value.ready == evidence.pods.value.desired
    evidence, _ = await diagnosed(backends.sources, SERVICE, "low-throughput", sample_s=0.1)
    assert (evidence.config.value.parallelism, evidence.config.value.batch_size) == (4, 500)
    assert evidence.group.value.lag_total == 5
    evidence, _ = await diagnosed(backends.sources, KAFKA, "kafka")
    assert (evidence.pods.value.total, evidence.pods.value.ready) == (3, 3)
    assert evidence.zookeeper.value.total == evidence.zookeeper.value.ready
    assert evidence.claims.value.count == 3
    assert evidence.storage.value.largest_topic == TOPIC
    evidence, _ = await diagnosed(
        backends.sources, SERVICE, "data-flow", sample_s=0.1, destinations=["127.0.0.1:1"]
    )
    assert (evidence.group.value.lag_total, evidence.group.value.group) == (5, GROUP)
    assert set(evidence.topics.value.missing) >= {"ingestion.miso.enriched.v1"}
    assert evidence.tables.value.stalest == "bronze_raw_trades"
    assert evidence.paths.value.blocked == ("127.0.0.1:1",)
    assert evidence.config.value.missing == ()
    at = {"metrics": f"{backends.url}/metrics"}
    evidence, _ = await diagnosed(backends.sources, SERVICE, "data-quality", endpoints=at)
    assert evidence.registry.value.several == (SUBJECT,)
    assert evidence.rows.value.duplicate_share == 0.0
    assert evidence.metrics.value.metrics == {"quality_score": 0.95}


@pytest.mark.parametrize(
    "of", ["clickhouse", "data-flow", "kafka", "low-throughput", "data-quality"]
)
async def test_without_any_backend_all_is_unknown_and_nothing_is_raised(of: str) -> None:
    evidence, took_s = await diagnosed(Sources(), SERVICE, of, **_nowhere(of))
    known = {n for n, r in evidence.readings().items() if isinstance(r, Known)}
    assert known <= {"paths", "metrics"}
    assert all(
        r.reason is Reason.NOT_CONFIGURED
        for r in evidence.readings().values()
        if isinstance(r, Unknown)
    )
    assert took_s < 5.0


def _nowhere(of: str) -> dict[str, object]:
    if of == "data-flow":
        return {"destinations": ["127.0.0.1:1"], "domain": ""}
    return {"endpoints": {"metrics": "http://127.0.0.1:1/metrics"}} if of == "data-quality" else {}


# --- who makes a workload, on recorded objects of Strimzi and Altinity ---


@pytest.fixture
async def api() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def reader(api: Scripted, tmp_path: Path) -> AsyncIterator[KubernetesReader]:
    settings = KubernetesSettings(kubeconfig=kubeconfig(tmp_path, api.url))
    async with KubernetesReader(settings) as client:
        yield client


def holds(api: Scripted, objects: Mapping[str, Any]) -> None:
    """The server has these objects by path; all else is not there."""
    api.answer = lambda asked: web.json_response(
        objects.get(asked.path, {"kind": "Status", "message": "not found"}),
        status=200 if asked.path in objects else 404,
    )


async def test_a_statefulset_of_altinitys_operator_names_its_installation(
    api: Scripted, reader: KubernetesReader
) -> None:
    body = recorded("13f", "read-chi-statefulset")
    of = Target(TargetKind.STATEFULSET, body["metadata"]["namespace"], body["metadata"]["name"])
    assert of.ref is not None
    holds(api, {of.ref.path: body})
    seen = await operator(reader, of, deadline=Deadline.after(5.0))
    owner = body["metadata"]["ownerReferences"][0]["name"]
    assert seen == Operator(True, "altinity", "ClickHouseInstallation", owner)


async def test_strimzis_pods_are_found_through_their_pod_set(
    api: Scripted, reader: KubernetesReader
) -> None:
    podset = recorded("13f", "read-podset")
    namespace, name = podset["metadata"]["namespace"], podset["metadata"]["name"]
    sets = f"/apis/core.strimzi.io/v1beta2/namespaces/{namespace}/strimzipodsets"
    holds(api, {sets: {"kind": "StrimziPodSetList", "metadata": {}, "items": [podset]}})
    deadline = Deadline.after(5.0)
    found = Operator(True, "strimzi", "StrimziPodSet", name)
    by_name = Target(TargetKind.STATEFULSET, namespace, name)
    assert await operator(reader, by_name, deadline=deadline) == found
    other = Target(TargetKind.STATEFULSET, namespace, "elsewhere")
    with pytest.raises(Refused) as refused:
        await operator(reader, other, deadline=deadline)
    assert refused.value.reason is Reason.NOT_FOUND
    holds(api, {})
    with pytest.raises(Refused):  # nobody has installed Strimzi
        await operator(reader, by_name, deadline=deadline)


async def test_one_pod_that_is_not_ready_is_named_with_its_uid_and_since_when(
    api: Scripted, reader: KubernetesReader
) -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def pod(name: str, ready: str) -> dict[str, Any]:
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T11:50:00Z"}
        return {
            "metadata": {"name": name, "uid": f"uid-{name}"},
            "status": {"phase": "Running", "conditions": [condition]},
        }

    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    sts = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/kafka"
    wanted = {"spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}}}
    items = [pod("kafka-0", "True"), pod("kafka-1", "False"), pod("kafka-2", "True")]
    deadline = Deadline.after(5.0)

    async def seen(which: str) -> Any:
        return await selected_pods(reader, NAMESPACE, which, now, deadline=deadline)

    holds(api, {sts: wanted, pods: {"kind": "PodList", "metadata": {}, "items": items}})
    for which in ("StatefulSet/kafka", "a=b"):
        found = await seen(which)
        assert (found.total, found.ready, found.selector) == (3, 2, "a=b")
        assert (found.stuck, found.stuck_uid, found.stuck_for_s) == (
            "kafka-1",
            "uid-kafka-1",
            600.0,
        )
    # One is missing altogether: then the one that is not ready is not the only one that is away.
    holds(api, {sts: wanted, pods: {"kind": "PodList", "metadata": {}, "items": items[:2]}})
    missing = await seen("StatefulSet/kafka")
    assert (missing.total, missing.ready, missing.stuck) == (3, 1, "")
    holds(api, {sts: wanted, pods: {"kind": "PodList", "metadata": {}, "items": []}})
    assert (await seen("StatefulSet/kafka")).total == 3
    with pytest.raises(Unavailable) as unavailable:
        await seen("a=b")
    assert unavailable.value.reason is Reason.NO_DATA
    with pytest.raises(BadInput):
        await seen("kafka")
