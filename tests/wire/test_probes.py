"""The probes of the Kubernetes API and of Prometheus against scripted servers;
the diagnosis that joins them.
"""

import base64
import json
import math
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from rehearsal.servers import free_port
from service.clients import http
from service.clients.kubernetes import KubernetesReader
from service.clients.prometheus import PrometheusClient, Sample
from service.diagnose import CHAPTERS
from service.diagnose.chapter import Look
from service.diagnose.chapters.high_latency import HighLatencyEvidence, HighLatencyParameters
from service.diagnose.gather import Observe
from service.diagnose.probes.series import series
from service.diagnose.probes.usage import quantity, usage
from service.diagnose.probes.workload import rollout_complete, selector, workload
from service.diagnose.sources import Sources
from service.kit.clock import SystemClock
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, ParamedicError, Refused, Unavailable
from service.model.evidence import Known, Unknown, facts
from service.model.reasons import Reason
from service.model.target import Target, TargetKind
from service.settings import KubernetesSettings, PrometheusSettings
from tests.servers.faults import Asked, Scripted, scripted
from tests.wire.test_kubernetes import kubeconfig

TARGET = Target(TargetKind.DEPLOYMENT, "ns", "app")
STATEFUL = Target(TargetKind.STATEFULSET, "ns", "app")
HPAS = "/apis/autoscaling/v2/namespaces/ns/horizontalpodautoscalers"
PODS = "/api/v1/namespaces/ns/pods"
METRICS = "/apis/metrics.k8s.io/v1beta1"


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds)


@pytest.fixture
async def api() -> AsyncIterator[Scripted]:
    async with scripted() as server:
        yield server


@pytest.fixture
async def kubernetes(api: Scripted, tmp_path: Path) -> AsyncIterator[KubernetesReader]:
    async with KubernetesReader(
        KubernetesSettings(kubeconfig=kubeconfig(tmp_path, api.url))
    ) as client:
        yield client


@pytest.fixture
async def prometheus(api: Scripted) -> AsyncIterator[PrometheusClient]:
    async with PrometheusClient(PrometheusSettings(url=api.url)) as client:
        yield client


def holds(api: Scripted, objects: Mapping[str, object]) -> None:
    """The API server has these: a list is the items of a collection, an int a status."""

    def answer(asked: Asked) -> web.Response:
        found = objects.get(asked.path, 404)
        if isinstance(found, int):
            return web.json_response({"message": "scripted"}, status=found)
        body = (
            {"kind": "SomeList", "metadata": {}, "items": found}
            if isinstance(found, list)
            else found
        )
        return web.json_response(body)

    api.answer = answer


def deployment(*, spec: Mapping[str, object] | None = None, **status: object) -> dict[str, object]:
    counts = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
    return {
        "metadata": {"name": "app", "generation": 5},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "a"}}, **(spec or {})},
        "status": {"observedGeneration": 5, **dict.fromkeys(counts, 3), **status},
    }


def pod(
    name: str, *, restarts: int = 0, waiting: str | None = None, **metadata: object
) -> dict[str, object]:
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return {
        "metadata": {"name": name, **metadata},
        "spec": {
            "containers": [{"name": "c", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}]
        },
        "status": {
            "phase": "Running",
            "containerStatuses": [{"restartCount": restarts, "state": state}],
        },
    }


async def test_a_healthy_workload_is_ready_and_complete(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    holds(
        api,
        {
            "/apis/apps/v1/namespaces/ns/deployments/app": deployment(),
            PODS: [pod("a"), pod("b")],
            HPAS: [],
        },
    )
    seen = await workload(kubernetes, TARGET, deadline=soon())
    assert (seen.desired, seen.ready, seen.updated, seen.available) == (3, 3, 3, 3)
    assert (seen.restarts, seen.waiting, seen.paused, seen.autoscaled) == (0, (), False, False)
    assert seen.rollout_complete
    listed = next(a for a in api.asked if a.path == PODS)
    assert listed.query["labelSelector"] == "app=a"


async def test_failing_pods_are_told_by_their_containers_and_deleted_ones_do_not_count(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    unschedulable = {
        "metadata": {"name": "u"},
        "status": {
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
        },
    }
    pods = [
        pod("a", restarts=4, waiting="CrashLoopBackOff"),
        pod("b", restarts=1, waiting="ImagePullBackOff"),
        pod("old", restarts=9, deletionTimestamp="2026-01-01T00:00:00Z"),
        unschedulable,
    ]
    found = deployment(spec={"paused": True}, readyReplicas=None, availableReplicas=None)
    hpa = {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "app"}}}
    holds(api, {"/apis/apps/v1/namespaces/ns/deployments/app": found, PODS: pods, HPAS: [hpa]})
    seen = await workload(kubernetes, TARGET, deadline=soon())
    assert (seen.ready, seen.available, seen.restarts) == (0, 0, 5)
    assert seen.waiting == ("CrashLoopBackOff", "ImagePullBackOff", "Unschedulable")
    assert (seen.paused, seen.autoscaled, seen.rollout_complete) == (True, True, False)


async def test_an_autoscaler_of_another_workload_is_none_of_this_one(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    hpas = [
        {"spec": {"scaleTargetRef": {"kind": k, "name": n}}}
        for k, n in (("StatefulSet", "app"), ("Deployment", "b"))
    ]
    holds(api, {"/apis/apps/v1/namespaces/ns/deployments/app": deployment(), PODS: [], HPAS: hpas})
    assert not (await workload(kubernetes, TARGET, deadline=soon())).autoscaled


@pytest.mark.parametrize(
    ("found", "complete"),
    [
        (deployment(), True),
        (deployment(observedGeneration=4), False),  # right after a patch the old status stands
        (deployment(updatedReplicas=2), False),
        (deployment(updatedReplicas=None), False),
        (deployment(replicas=4), False),  # one too many: a surge
        (deployment(availableReplicas=2), False),
        (deployment(readyReplicas=2), False),
        (
            deployment(
                spec={"replicas": 0},
                replicas=None,
                readyReplicas=None,
                updatedReplicas=None,
                availableReplicas=None,
            ),
            True,
        ),
    ],
)
def test_a_deployments_rollout_is_complete_only_when_all_counts_agree(
    found: Mapping[str, Any], complete: bool
) -> None:
    assert rollout_complete(TargetKind.DEPLOYMENT, found) is complete


@pytest.mark.parametrize(
    ("status", "strategy", "complete"),
    [
        ({"currentRevision": "b", "updateRevision": "b"}, {}, True),
        ({"currentRevision": "a", "updateRevision": "b"}, {}, False),
        ({"currentRevision": "b", "updateRevision": "b", "readyReplicas": 2}, {}, False),
        ({"currentRevision": "b", "updateRevision": "b", "observedGeneration": 4}, {}, False),
        (
            {"currentRevision": "a", "updateRevision": "b", "updatedReplicas": 1},
            {"partition": 2},
            True,
        ),
        (
            {"currentRevision": "a", "updateRevision": "b", "updatedReplicas": 0},
            {"partition": 2},
            False,
        ),
    ],
)
def test_a_statefulsets_rollout_is_complete_when_its_revisions_agree(
    status: Mapping[str, Any], strategy: Mapping[str, Any], complete: bool
) -> None:
    found = deployment(spec={"updateStrategy": {"rollingUpdate": strategy}}, **status)
    assert rollout_complete(TargetKind.STATEFULSET, found) is complete


async def test_a_workload_that_does_not_exist_is_not_found(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    holds(api, {HPAS: []})
    with pytest.raises(ExceptionGroup) as group:
        await workload(kubernetes, TARGET, deadline=soon())
    assert group.group_contains(Refused, match="not_found")


def test_a_selector_is_written_with_all_its_expressions() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "env", "operator": "NotIn", "values": ["dev"]},
        {"key": "app", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    text = selector({"matchLabels": {"x": "y", "a": "b"}, "matchExpressions": expressions})
    assert text == "a=b,x=y,tier in (a,b),env notin (dev),app,!old"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0.0),
        ("2", 2.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("250m", 0.25),
        ("12345678n", 0.012345678),
        ("5u", 5e-6),
        ("34Mi", 34 * 2**20),
        ("1Ki", 1024.0),
        ("2Gi", 2 * 2**30),
        ("1Ti", 2**40),
        ("3k", 3000.0),
        ("1M", 1e6),
        ("1G", 1e9),
        ("1E", 1e18),
        ("1Ei", 2**60),
        ("1e3", 1000.0),
        ("1E3", 1000.0),
        ("5e-3", 0.005),
        ("-1", -1.0),
    ],
)
def test_quantities_are_numbers(text: str, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "x", "1 Mi", "1Kib", "Mi", "1e", "0x1", "NaN"])
def test_what_is_no_quantity_is_a_wrong_answer(text: str) -> None:
    with pytest.raises(Unavailable) as unavailable:
        quantity(text)
    assert unavailable.value.reason is Reason.WRONG_ANSWER


def measured(name: str, cpu: str, memory: str) -> dict[str, object]:
    return {"metadata": {"name": name}, "containers": [{"usage": {"cpu": cpu, "memory": memory}}]}


def usage_world() -> dict[str, object]:
    return {
        "/apis/apps/v1/namespaces/ns/deployments/app": deployment(),
        PODS: [pod("a"), pod("b"), pod("starting")],
        f"{METRICS}/namespaces/ns/pods": [
            measured("a", "250m", "512Mi"),
            measured("b", "500000000n", "1Gi"),
        ],
        f"{METRICS}/nodes": [
            {"metadata": {"name": "n1"}, "usage": {"cpu": "1", "memory": "1Gi"}},
            {"metadata": {"name": "n2"}, "usage": {"cpu": "3", "memory": "2Gi"}},
        ],
        "/api/v1/nodes": [
            {"metadata": {"name": n}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}
            for n in ("n1", "n2")
        ],
    }


async def test_usage_is_summed_and_set_against_limits_and_nodes(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    holds(api, usage_world())
    seen = await usage(kubernetes, TARGET, deadline=soon())
    assert seen.cpu_cores == pytest.approx(0.75)
    assert seen.memory_bytes == 1536 * 2**20
    assert seen.cpu_of_limit == pytest.approx(0.75)  # of the two pods that were measured
    assert seen.memory_of_limit == pytest.approx(0.75)
    assert seen.node_cpu_max == pytest.approx(0.75)
    assert seen.node_memory_max == pytest.approx(0.25)


async def test_usage_without_limits_and_without_a_right_to_nodes_leaves_those_open(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    unlimited = pod("a")
    unlimited["spec"] = {"containers": [{"name": "c"}]}
    holds(api, {**usage_world(), PODS: [unlimited, pod("b")], "/api/v1/nodes": 403})
    seen = await usage(kubernetes, TARGET, deadline=soon())
    assert seen.cpu_cores == pytest.approx(0.75)
    assert (seen.cpu_of_limit, seen.memory_of_limit, seen.node_cpu_max, seen.node_memory_max) == (
        None,
    ) * 4


async def test_usage_that_nobody_measured_is_no_data(
    api: Scripted, kubernetes: KubernetesReader
) -> None:
    holds(api, {**usage_world(), f"{METRICS}/namespaces/ns/pods": []})
    with pytest.raises(Unavailable) as unavailable:
        await usage(kubernetes, TARGET, deadline=soon())
    assert unavailable.value.reason is Reason.NO_DATA


def vector(*samples: tuple[Mapping[str, str], str]) -> dict[str, object]:
    result = [{"metric": labels, "value": [1.0, value]} for labels, value in samples]
    return {
        "status": "success",
        "warnings": ["w"],
        "data": {"resultType": "vector", "result": result},
    }


async def test_samples_are_read_with_their_labels_and_warnings_do_not_matter(
    api: Scripted, prometheus: PrometheusClient
) -> None:
    api.always(200, vector(({"a": "b"}, "1.5"), ({}, "NaN"), ({}, "+Inf")))
    first, second, third = await prometheus.query("up", deadline=soon())
    assert first == Sample({"a": "b"}, 1.5)
    assert math.isnan(second.value)
    assert third.value == math.inf
    api.always(200, {"status": "success", "data": {"resultType": "scalar", "result": [1.0, "2"]}})
    assert await prometheus.query("2", deadline=soon()) == [Sample({}, 2.0)]


async def test_a_query_too_long_for_a_url_is_sent_all_the_same(
    api: Scripted, prometheus: PrometheusClient
) -> None:
    api.always(200, vector())
    await prometheus.query("sum(" + "x" * 10_000 + ")", deadline=soon())
    (asked,) = api.asked
    assert (asked.method, len(asked.body) > 10_000) == ("POST", True)


async def test_a_query_that_cannot_be_parsed_is_an_invalid_request(
    api: Scripted, prometheus: PrometheusClient
) -> None:
    api.always(
        400, {"status": "error", "errorType": "bad_data", "error": "parse error: unexpected end"}
    )
    with pytest.raises(Refused) as refused:
        await prometheus.query("sum(", deadline=soon())
    assert refused.value.reason is Reason.INVALID_REQUEST
    assert "parse error" in refused.value.detail


async def test_a_query_that_prometheus_gave_up_is_late(
    api: Scripted, prometheus: PrometheusClient
) -> None:
    api.always(503, {"status": "error", "errorType": "timeout", "error": "query timed out"})
    with pytest.raises(Unavailable) as unavailable:
        await prometheus.query("up", deadline=soon())
    assert unavailable.value.reason is Reason.LATE


async def test_a_matrix_is_a_wrong_answer(api: Scripted, prometheus: PrometheusClient) -> None:
    api.always(200, {"status": "success", "data": {"resultType": "matrix", "result": []}})
    with pytest.raises(Unavailable) as unavailable:
        await prometheus.query("up[5m]", deadline=soon())
    assert unavailable.value.reason is Reason.WRONG_ANSWER


async def test_the_bearer_token_is_read_anew_for_every_query(api: Scripted, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    api.always(200, vector())
    async with PrometheusClient(PrometheusSettings(url=api.url, bearer_file=token)) as client:
        await client.query("up", deadline=soon())
        token.write_text("two\n")
        await client.query("up", deadline=soon())
    assert [a.headers["Authorization"] for a in api.asked] == ["Bearer one", "Bearer two"]


def answers(api: Scripted, by_query: Mapping[str, dict[str, object]]) -> None:
    def answer(asked: Asked) -> web.Response:
        return web.json_response(by_query[asked.query["query"]])

    api.answer = answer


async def test_each_declared_query_has_its_value_and_one_without_a_sample_is_absent(
    api: Scripted, prometheus: PrometheusClient
) -> None:
    answers(
        api,
        {
            "a": vector(({}, "1")),
            "b": vector(),
            "c": vector(({}, "NaN")),
            "d": vector(({}, "+Inf")),
        },
    )
    seen = await series(
        prometheus, {"one": "a", "none": "b", "nan": "c", "inf": "d"}, deadline=soon()
    )
    assert seen == {"one": 1.0, "inf": sys.float_info.max}
    assert json.dumps(dict(seen), allow_nan=False)


@pytest.mark.parametrize("queries", [{}, {"none": "b"}])
async def test_no_sample_of_any_query_is_no_data(
    api: Scripted, prometheus: PrometheusClient, queries: Mapping[str, str]
) -> None:
    answers(api, {"b": vector()})
    with pytest.raises(Unavailable) as unavailable:
        await series(prometheus, queries, deadline=soon())
    assert unavailable.value.reason is Reason.NO_DATA


async def test_a_query_with_several_samples_is_refused_with_what_to_do(
    api: Scripted, prometheus: PrometheusClient
) -> None:
    answers(api, {"a": vector(({"x": "1"}, "1"), ({"x": "2"}, "2"))})
    with pytest.raises(Refused, match=r"series p99 gives 2 samples: aggregate"):
        await series(prometheus, {"p99": "a"}, deadline=soon())


def look(sources: Sources, observe: Observe = lambda *_: None) -> Look:
    return Look(sources, TARGET, soon(), SystemClock(), observe)


async def test_a_diagnosis_without_any_backend_is_unknown_in_every_reading() -> None:
    observed: list[tuple[str, str]] = []
    params = HighLatencyParameters(consumer_group="g")
    looking = look(Sources(), lambda name, how, _: observed.append((name, how)))
    evidence = await CHAPTERS["high_latency"].diagnose(looking, params)
    assert isinstance(evidence, HighLatencyEvidence)
    assert all(isinstance(reading, Unknown) for reading in evidence.readings().values())
    assert sorted(observed) == sorted((n, "not_configured") for n in HighLatencyEvidence.groups())


async def test_a_diagnosis_joins_what_is_known_and_what_is_not(
    api: Scripted, kubernetes: KubernetesReader, prometheus: PrometheusClient
) -> None:
    holds(api, {**usage_world(), HPAS: [], "/api/v1/query": vector(({}, "0.25"))})
    sources = Sources(kubernetes=kubernetes, prometheus=prometheus)
    params = HighLatencyParameters(consumer_group="g", series={"p99": "x"})
    evidence = await CHAPTERS["high_latency"].diagnose(look(sources), params)
    assert isinstance(evidence.pods, Known)
    seen = facts(evidence)
    assert seen["pods"]["ready"] == 3
    assert seen["series"] == {"p99": 0.25}
    assert (seen["kafka"], seen["clickhouse"]) == ({}, {})


PASSWORD = "p%40ss:w0rd"


def with_credentials(url: str) -> str:
    return url.replace("http://", f"http://scraper:{PASSWORD}@") + "/prefix/"


async def test_credentials_in_the_url_are_sent_and_shown_nowhere(api: Scripted) -> None:
    api.always(200, vector())
    async with PrometheusClient(PrometheusSettings(url=with_credentials(api.url))) as client:
        await client.query("up", deadline=soon())
        assert client.source == f"prometheus at {api.url}/prefix"
    (asked,) = api.asked
    scheme, _, given = asked.headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(given)) == ("Basic", b"scraper:p@ss:w0rd")
    assert asked.path == "/prefix/api/v1/query"


ANSWERS = {
    "a redirect to nowhere": lambda: web.Response(status=302, headers={"Location": "/loop"}),
    "a refusal": lambda: web.Response(status=401, text="no"),
    "no JSON": lambda: web.Response(text="<html>"),
    "a broken encoding": lambda: web.Response(
        body=b"no gzip", headers={"Content-Encoding": "gzip"}
    ),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_no_error_of_prometheus_shows_the_credentials_of_its_url(
    api: Scripted, answer: Callable[[], web.Response]
) -> None:
    api.answer = lambda _: answer()
    async with PrometheusClient(PrometheusSettings(url=with_credentials(api.url))) as client:
        with pytest.raises(ParamedicError) as raised:
            await client.query("up", deadline=soon())
    shown = f"{raised.value} {raised.value.__cause__!r} {client.source}"
    assert "ss:w0rd" not in shown
    assert "scraper" not in shown


async def test_a_server_that_is_away_is_named_without_credentials() -> None:
    url = with_credentials(f"http://127.0.0.1:{free_port()}")
    async with PrometheusClient(PrometheusSettings(url=url)) as client:
        with pytest.raises(Unavailable) as unavailable:
            await client.query("up", deadline=soon())
    assert "w0rd" not in str(unavailable.value)


@pytest.mark.parametrize(
    "url",
    ["http://u:s3cret/x@host:9090", "ftp://u:s3cret@host", "u:s3cret@host", "http://host?x=y"],
)
def test_a_url_that_is_none_is_a_bad_configuration_and_not_repeated(url: str) -> None:
    with pytest.raises(BadConfig) as raised:
        PrometheusClient(PrometheusSettings(url=url))
    assert "s3cret" not in f"{raised.value} {raised.value.__cause__!r}"


def test_two_kinds_of_credentials_for_prometheus_are_a_bad_configuration(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    with pytest.raises(BadConfig, match="not both"):
        PrometheusClient(PrometheusSettings(url="http://u:p@host", bearer_file=token))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET http://u:p@h/x failed", "GET http://h/x failed"),
        ("http://u:p@ss@h:1/x and https://t@h", "http://h:1/x and https://h"),
        ("http://h/x?mail=a@b", "http://h/x?mail=a@b"),
        ("a@b is no URL, nor is ://", "a@b is no URL, nor is ://"),
    ],
)
def test_urls_in_errors_lose_their_credentials(text: str, shown: str) -> None:
    assert http.bounded(text) == shown
