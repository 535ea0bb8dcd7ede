"""Chapters 6.1 and 6.2 on the recorded platform, with a Prometheus and
endpoints that answer by script.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from service.clients.prometheus import PrometheusClient
from service.diagnose.probes.endpoints import endpoints, exposed
from service.diagnose.probes.logs import level_of, written_at
from service.diagnose.probes.plain_text import safe
from service.diagnose.probes.targets import last_errors
from service.kit.deadline import Deadline
from service.model.errors import Unavailable
from service.model.evidence import Evidence
from service.model.playbook import Playbook
from service.model.target import Target
from service.settings import PrometheusSettings
from tests.servers.faults import Asked, scripted
from tests.wire.diagnosing import (
    RECORDED_AT,
    deployment,
    diagnosed,
    playbook,
    proposed,
    statefulset,
)
from tests.wire.recorded import Recorded

METRICS, LOGGING = playbook("6.1-metrics.yaml"), playbook("6.2-logging.yaml")
VOLUME, PENDING = playbook("6.2-log-volume.yaml"), playbook("1.1-service-pending.yaml")
TARGET = deployment("normalization-service")
ANNOTATED = {
    "prometheus.io/scrape": "true", "prometheus.io/port": "8510", "prometheus.io/path": "/metrics",
}  # fmt: skip
PAGE = {
    "data": {"activeTargets": [
        {"labels": {"job": "pods", "instance": "10.0.0.1:8510"}, "lastError": "connection refused"},
        {"labels": {"job": "pods", "instance": "10.0.0.2:8510"}, "lastError": ""},
    ]}
}  # fmt: skip


def vector(*samples: tuple[Mapping[str, str], float]) -> dict[str, Any]:
    result = [{"metric": dict(labels), "value": [0, str(value)]} for labels, value in samples]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


def annotated(cluster: Recorded) -> None:
    template = cluster.collection("deployments")["normalization-service"]["spec"]["template"]
    template["metadata"]["annotations"] = dict(ANNOTATED)


def one_not_ready(cluster: Recorded) -> None:
    pod = next(n for n in cluster.collection("pods") if n.startswith("normalization-service"))
    for condition in cluster.collection("pods")[pod]["status"]["conditions"]:
        condition["status"] = "False" if condition["type"] == "Ready" else condition["status"]


def bare(cluster: Recorded) -> None:
    """As recorded: no annotation."""


UP = ({"job": "pods", "instance": "10.0.0.2:8510"}, 1.0)
DOWN = ({"job": "pods", "instance": "10.0.0.1:8510"}, 0.0)


@pytest.mark.parametrize(
    ("change", "targets", "status", "answers", "tried", "rung", "says"),
    [
        pytest.param(bare, (), 200, True, {}, "annotate", "prometheus.io/port=8510",
                     id="annotations that are missing: added"),
        pytest.param(annotated, (DOWN,), 500, True, {}, "restart", "restart",
                     id="a dead endpoint behind ready pods: restarted once"),
        pytest.param(annotated, (DOWN,), 500, True, {"restart": 1}, "scrape-fails", "connection refused",
                     id="restarted and still dead: a person, with the scrape error"),
        pytest.param(annotated, (DOWN, UP), 200, True, {}, "scrape-fails", "2 targets known, 1 down",
                     id="the endpoint answers and Prometheus does not get it: a person"),
        pytest.param(one_not_ready, (DOWN,), 500, True, {}, "pods-not-ready", "2 of 3 pods",
                     id="pods that are not ready are another chapter's"),
        pytest.param(annotated, (), 200, False, {}, "prometheus-unreachable", "Prometheus does not answer",
                     id="Prometheus is out of reach: a person"),
        pytest.param(annotated, (UP,), 200, True, {}, None, "", id="healthy: nothing to do"),
    ],
)  # fmt: skip
async def test_a_cause_of_chapter_6_1_leads_to_its_rung(
    change: Callable[[Recorded], None], targets: tuple[Any, ...], status: int, answers: bool,
    tried: Mapping[str, int], rung: str | None, says: str, tmp_path: Path,
) -> None:  # fmt: skip
    def answer(asked: Asked) -> web.Response:
        if asked.path == "/metrics":
            return web.Response(status=status, text="throughput 12\n")
        if asked.path == "/api/v1/targets":
            return web.json_response(PAGE)
        asks_up = "scrape_target" in asked.query.get("query", "")
        return web.json_response(vector(*targets) if asks_up else vector(({}, 1.0)))

    cluster = Recorded()
    change(cluster)
    async with scripted() as server:
        server.answer = answer
        url = server.url if answers else "http://127.0.0.1:1"
        async with PrometheusClient(PrometheusSettings(url=url)) as prometheus:
            evidence = await diagnosed(
                cluster, TARGET, METRICS, tmp_path, prometheus=prometheus,
                endpoints={"metrics": f"{server.url}/metrics"},
                targets_page=f"{server.url}/api/v1/targets",
            )  # fmt: skip
    proposal = proposed(evidence, TARGET, METRICS, tried)
    assert proposal.rung == rung, [(c.rung, c.reason, c.detail) for c in proposal.considered]
    assert says in str(proposal.request or "")


def fresh(cluster: Recorded, line: str = "2026-11-23T18:49:59Z INFO consumed 5\n") -> None:
    pods = [n for n in cluster.collection("pods") if n.startswith("normalization-service")]
    cluster.logs |= {(pod, "normalization-service", False): (200, line) for pod in pods}


def silent(cluster: Recorded) -> None:
    fresh(cluster, "")


def silent_at_debug(cluster: Recorded) -> None:
    silent(cluster)
    cluster.collection("configmaps")["carbon-ingestion-config"]["data"]["LOG_LEVEL"] = "DEBUG"


def old(cluster: Recorded) -> None:
    silent_at_debug(cluster)
    fresh(cluster, "2026-11-23T17:00:00Z INFO consumed 5\n")


@pytest.mark.parametrize(
    ("change", "rung", "says"),
    [
        pytest.param(silent, "log-more-for-a-while", "set LOG_LEVEL in ConfigMap carbon-ingestion-config to DEBUG",
                     id="a level that is too quiet: DEBUG for half an hour"),
        pytest.param(silent_at_debug, "silent-all-the-same", "its level is not why", id="silent at DEBUG: a person"),
        pytest.param(old, "silent-all-the-same", "its level is not why", id="an old last line: a person"),
        pytest.param(fresh, None, "", id="lines arrive: nothing to do"),
    ],
)  # fmt: skip
async def test_a_cause_of_chapter_6_2_leads_to_its_rung(
    change: Callable[[Recorded], None], rung: str | None, says: str, tmp_path: Path
) -> None:
    cluster = Recorded()
    change(cluster)
    evidence = await diagnosed(cluster, TARGET, LOGGING, tmp_path)
    proposal = proposed(evidence, TARGET, LOGGING)
    assert proposal.rung == rung, [(c.rung, c.reason, c.detail) for c in proposal.considered]
    assert says in str(proposal.request or "")


async def with_full_volume(cluster: Recorded, of: Playbook, tmp_path: Path) -> Evidence:
    """The evidence while Prometheus tells that a claim has 5 of 100 bytes left."""
    used = {"persistentvolumeclaim": "data-kafka-0"}

    def answer(asked: Asked) -> web.Response:
        query = asked.query.get("query", "")
        value = 5.0 if "available" in query else 100.0 if "capacity" in query else 0.1
        return web.json_response(vector((used, value)))

    async with scripted() as server:
        server.answer = answer
        async with PrometheusClient(PrometheusSettings(url=server.url)) as prometheus:
            return await diagnosed(cluster, TARGET, of, tmp_path, prometheus=prometheus)


async def test_a_service_that_writes_no_lines_for_want_of_room_goes_to_a_person(
    tmp_path: Path,
) -> None:
    cluster = Recorded()
    silent_at_debug(cluster)
    proposal = proposed(await with_full_volume(cluster, LOGGING, tmp_path), TARGET, LOGGING)
    assert (proposal.rung, "data-kafka-0" in str(proposal.request)) == ("volume-full", True)


async def test_a_volume_for_logs_that_fills_goes_to_a_person(tmp_path: Path) -> None:
    evidence = await with_full_volume(Recorded(), VOLUME, tmp_path)
    claim = evidence.readings()["volumes"].value.claims[0]  # type: ignore[union-attr]
    assert (claim.used_ratio, claim.free_bytes, claim.full_in_s) == (0.95, 5, 50.0)
    proposal = proposed(evidence, TARGET, VOLUME)
    assert (proposal.rung, "data-kafka-0" in str(proposal.request)) == ("volume-full", True)


@pytest.mark.parametrize(
    ("scenario", "until", "target", "rung"),
    [
        ("02e_unschedulable", "list-nodes", statefulset("clickhouse"), "larger-than-any-node"),
        ("02e_unschedulable", "statefulset-stuck", statefulset("clickhouse"), "no-room"),
        ("02l_missing_secret", None, deployment("schema-registry"), "volume-does-not-mount"),
        ("02f_notready", None, statefulset("kafka"), "still-pending"),
        ("01_healthy", None, statefulset("kafka"), None),
    ],
)
async def test_a_pod_that_pends_goes_to_a_person_with_its_cause(
    scenario: str, until: str | None, target: Target, rung: str | None, tmp_path: Path
) -> None:
    evidence = await diagnosed(Recorded(scenario, until), target, PENDING, tmp_path)
    assert proposed(evidence, target, PENDING).rung == rung


# ---------------------------------------------------------------------- the parts


async def test_an_endpoint_answers_fails_redirects_or_is_not_there() -> None:
    def answer(asked: Asked) -> web.Response:
        if asked.path == "/moved":
            return web.Response(status=302, headers={"Location": "/ok"})
        return web.Response(status=200 if asked.path == "/ok" else 503, text="throughput 2.5\n")

    async with scripted() as server:
        server.answer = answer
        urls = {
            "ok": f"{server.url.replace('//', '//user:hunter2@')}/ok?key=hunter2",
            "sick": f"{server.url}/sick", "moved": f"{server.url}/moved",
            "gone": "http://127.0.0.1:1/", "odd": "file:///etc/passwd", "left out": "",
        }  # fmt: skip
        seen = await endpoints(urls, ["throughput"], deadline=Deadline.after(5.0))
    assert {e.name: e.status for e in seen.endpoints} == {
        "ok": 200, "sick": 503, "moved": 302, "gone": None, "odd": None,
    }  # fmt: skip
    assert seen.down == ("sick", "moved", "gone", "odd")
    assert seen.metrics == {"throughput": 2.5}
    assert "hunter2" not in str(seen)
    with pytest.raises(Unavailable):
        await endpoints({"left out": ""}, deadline=Deadline.after(1.0))


def test_a_metric_is_summed_over_its_series() -> None:
    text = (
        '# HELP a\n# TYPE a counter\na{x="1 2"} 3\na{x="}"} 4.5 1700000000\nab 9\na NaN\nb +Inf\n'
    )
    assert exposed(text, ["a", "b", "c"]) == {"a": 7.5}


@pytest.mark.parametrize(
    ("line", "level"),
    [("2026-11-23T18:44:38.724Z WARN [x] y", "WARNING"), ('{"level":"error","msg":"x"}', "ERROR"), ("nothing", "")],
)  # fmt: skip
def test_a_line_says_its_level(line: str, level: str) -> None:
    assert level_of(line) == level


def test_a_line_says_when_it_was_written() -> None:
    for line in (
        "2026-11-23T18:50:00Z x",
        "[2026-11-23 18:50:00,000] x",
        '{"ts":"2026-11-23T19:50:00+01:00"}',
    ):
        assert written_at(line) == RECORDED_AT
    assert written_at("no time, or 2026-99-99T00:00:00Z") is None


@pytest.mark.parametrize(
    "line",
    [
        'password="hunter2"', "API_KEY=hunter2", "Authorization: Bearer hunter2", '{"access_token": "hunter2"}',
        "postgres://user:hunter2@db/x", "MISO_API_KEY: hunter2", "IDENTIFIED BY hunter2", "--client-secret=hunter2",
    ],
)  # fmt: skip
def test_a_secret_does_not_pass(line: str) -> None:
    assert "hunter2" not in safe(f"2026-11-23T18:50:00Z INFO {line} end")


def test_a_line_of_a_stranger_is_one_bounded_line_without_controls() -> None:
    shown = safe("\x1b[31mred\x00 " + "x" * 5_000 + "\nsecond")
    assert len(shown) <= 300
    assert all(c.isprintable() for c in shown)


def test_a_page_of_targets_that_is_something_else_has_no_errors() -> None:
    for text in ("", "[]", '{"data": {}}', '{"data": {"activeTargets": [3]}}'):
        assert last_errors(text) == {}
