"""The whole way with real servers: exporters -> Prometheus with all rules -> Alertmanager with the
shipped configuration -> a receiver that keeps what arrives, as Paramedic would get it.

Only the waiting times, the receivers' addresses and the token's place differ from what is shipped.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.aiohttp import make_aiohttp_handler

from tests.rules.rulebook import CONFIG, RULES
from tests.servers.monitoring import Alertmanager, Prometheus, alertmanager, prometheus, quicken

TOKEN = "a-token-of-the-test"
NAMESPACE = "carbon-ingestion"
POD = "normalization-service-6d4f9-x2x9z"
PATIENCE_S = 40.0


class Exporters:
    """Synthetic exporters, all on one port: /kube-state-metrics,
    /kafka-exporter, /clickhouse, /blackbox.
    """

    def __init__(self) -> None:
        self.registries = {
            name: CollectorRegistry()
            for name in ("kube-state-metrics", "kafka-exporter", "clickhouse", "blackbox")
        }
        self.gauges: dict[str, Gauge] = {}

    def set(self, job: str, metric: str, value: float, **labels: str) -> None:
        """One series of one exporter."""
        if metric not in self.gauges:
            self.gauges[metric] = Gauge(
                metric, "as the real one", list(labels), registry=self.registries[job]
            )
        gauge = self.gauges[metric]
        (gauge.labels(**labels) if labels else gauge).set(value)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"/{name}", make_aiohttp_handler(registry))
            for name, registry in self.registries.items()
        ]


class Receiver:
    """Keeps the webhooks that arrive, by receiver, and refuses Paramedic's without the bearer."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if (
            body["receiver"] == "paramedic"
            and request.headers.get("Authorization") != f"Bearer {TOKEN}"
        ):
            return web.Response(status=401)
        self.bodies.append(body)
        return web.Response()

    def alerts(self, receiver: str, status: str = "firing") -> dict[str, dict[str, Any]]:
        """The newest state of each alert that arrived with `status`, by name."""
        return {
            alert["labels"]["alertname"]: alert
            for body in self.bodies
            for alert in body["alerts"]
            if body["receiver"] == receiver and alert["status"] == status
        }


async def eventually(what: str, true: Callable[[], bool | Awaitable[bool]]) -> None:
    """Waits until `true()`, at most PATIENCE_S."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        answer = true()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < give_up_at, f"still not: {what}"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[int]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def shipped(port: int, token: Path) -> dict[str, Any]:
    """The shipped configuration with short times, every receiver on `port`,
    and the token at `token`.
    """
    document = dict(yaml.safe_load(CONFIG.read_text()))
    routes = [document["route"], *document["route"]["routes"]]
    for route in routes:
        route.update(group_wait="1s", group_interval="1s", repeat_interval="1h")
    for receiver in document["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"http://127.0.0.1:{port}/hook"
            if "http_config" in hook:
                hook["http_config"]["authorization"]["credentials_file"] = str(token)
    return document


def scraping(exporters: int, alertmanager_url: str) -> dict[str, Any]:
    """As a cluster scrapes: kube-state-metrics without honor_labels,
    ClickHouse with the labels of its pod.
    """
    address = f"127.0.0.1:{exporters}"

    def job(name: str, **labels: str) -> dict[str, Any]:
        return {
            "job_name": name,
            "metrics_path": f"/{name}",
            "static_configs": [{"targets": [address], "labels": labels}],
        }

    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "alerting": {
            "alertmanagers": [
                {"static_configs": [{"targets": [alertmanager_url.removeprefix("http://")]}]}
            ]
        },
        "scrape_configs": [
            job(
                "kube-state-metrics",
                namespace="monitoring",
                pod="kube-state-metrics-0",
                container="ksm",
            ),
            job("kafka-exporter"),
            job("clickhouse", namespace=NAMESPACE, pod="clickhouse-0"),
            job("blackbox")
            | {"honor_labels": True},  # as relabelling does: instance is the probed address
        ],
    }


class World:
    """Everything that runs."""

    def __init__(
        self, exporters: Exporters, receiver: Receiver, prom: Prometheus, manager: Alertmanager
    ) -> None:
        self.exporters, self.receiver, self.prometheus, self.alertmanager = (
            exporters,
            receiver,
            prom,
            manager,
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    exporters, receiver = Exporters(), Receiver()
    healthy(exporters)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    rules = quicken(RULES, tmp_path / "rules")
    async with (
        serving(*exporters.routes(), web.post("/hook", receiver.take)) as port,
        alertmanager(shipped(port, token), tmp_path / "alertmanager") as manager,
        prometheus(scraping(port, manager.url), tmp_path / "prometheus", rules_dir=rules) as prom,
    ):
        yield World(exporters, receiver, prom, manager)


def healthy(exporters: Exporters) -> None:
    """A platform in which nothing is wrong, as far as these exporters can tell."""
    ksm, kafka, house = "kube-state-metrics", "kafka-exporter", "clickhouse"
    for pod, kind, owner in (
        (POD, "ReplicaSet", "normalization-service-6d4f9"),
        ("clickhouse-0", "StatefulSet", "clickhouse"),
    ):
        exporters.set(
            ksm,
            "kube_pod_owner",
            1,
            namespace=NAMESPACE,
            pod=pod,
            owner_kind=kind,
            owner_name=owner,
            owner_is_controller="true",
        )
    exporters.set(
        ksm,
        "kube_replicaset_owner",
        1,
        namespace=NAMESPACE,
        replicaset="normalization-service-6d4f9",
        owner_kind="Deployment",
        owner_name="normalization-service",
    )
    exporters.set(kafka, "kafka_brokers", 3)
    lag(exporters, 10)
    exporters.set(house, "ClickHouseAsyncMetrics_DiskAvailable_default", 60)
    exporters.set(house, "ClickHouseAsyncMetrics_DiskTotal_default", 100)
    exporters.set(
        "blackbox",
        "probe_ssl_earliest_cert_expiry",
        time.time() + 90 * 86400,
        instance="https://api:8510",
    )


def lag(exporters: Exporters, messages: float) -> None:
    group = {"consumergroup": "normalization-consumer", "topic": "ingestion.miso.raw.v1"}
    exporters.set("kafka-exporter", "kafka_consumergroup_lag", messages, **group, partition="0")
    exporters.set("kafka-exporter", "kafka_consumergroup_lag", -1, **group, partition="1")


def crash_loop(exporters: Exporters, waiting: float) -> None:
    exporters.set(
        "kube-state-metrics",
        "kube_pod_container_status_waiting_reason",
        waiting,
        namespace=NAMESPACE,
        pod=POD,
        container="normalization-service",
        uid="u1",
        reason="CrashLoopBackOff",
    )


TARGET = {
    "namespace": NAMESPACE,
    "workload_kind": "Deployment",
    "workload": "normalization-service",
}


async def test_three_chapters_reach_paramedic_with_their_targets_and_people_as_well(
    world: World,
) -> None:
    crash_loop(world.exporters, 1)
    lag(world.exporters, 9000)
    world.exporters.set("clickhouse", "ClickHouseAsyncMetrics_DiskAvailable_default", 8)
    wanted = {"ServicePodCrashLooping", "ConsumerLagHigh", "ClickHouseDiskFilling"}
    await eventually(
        "three alerts at paramedic and at people's",
        lambda: all(
            wanted <= set(world.receiver.alerts(to)) for to in ("paramedic", "people-ticket")
        ),
    )
    arrived = world.receiver.alerts("paramedic")
    labels = {name: arrived[name]["labels"] for name in wanted}
    assert (
        labels["ServicePodCrashLooping"].items()
        >= {
            **TARGET,
            "pod": POD,
            "container": "normalization-service",
            "remediate": "true",
            "chapter": "1.1-service-not-starting",
            "severity": "warning",
        }.items()
    )
    assert not [name for name in labels["ServicePodCrashLooping"] if name.startswith("exported_")]
    assert (
        labels["ConsumerLagHigh"].items()
        >= {
            **TARGET,
            "consumergroup": "normalization-consumer",
            "topic": "ingestion.miso.raw.v1",
            "remediate": "true",
            "chapter": "3.1-high-latency",
        }.items()
    )
    assert (
        labels["ClickHouseDiskFilling"].items()
        >= {
            "namespace": NAMESPACE,
            "workload_kind": "StatefulSet",
            "workload": "clickhouse",
            "pod": "clickhouse-0",
            "disk": "default",
            "remediate": "true",
            "chapter": "4.2-clickhouse",
        }.items()
    )
    assert "8%" in arrived["ClickHouseDiskFilling"]["annotations"]["summary"]
    bodies = [body for body in world.receiver.bodies if body["receiver"] == "paramedic"]
    assert {body["version"] for body in bodies} == {"4"}
    assert all(body["truncatedAlerts"] == 0 for body in bodies)
    for body in bodies:
        if body["groupLabels"] == {"alertname": "Watchdog"}:
            continue  # it only listens for that one
        assert set(body["groupLabels"]) <= {"chapter", "namespace", "workload_kind", "workload"}
        assert len({alert["labels"].get("workload") for alert in body["alerts"]}) == 1, (
            "one group, one target"
        )
    assert "Watchdog" in arrived
    assert "Watchdog" in world.receiver.alerts("watchdog")
    assert await world.prometheus.rule_errors() == [], (
        "every rule evaluates, all sixteen rows together"
    )


async def test_an_alert_that_is_over_arrives_as_resolved(world: World) -> None:
    lag(world.exporters, 9000)
    await eventually("firing", lambda: "ConsumerLagHigh" in world.receiver.alerts("paramedic"))
    lag(world.exporters, 0)
    await eventually(
        "resolved", lambda: "ConsumerLagHigh" in world.receiver.alerts("paramedic", "resolved")
    )


async def test_a_cause_holds_back_its_effect(world: World) -> None:
    world.exporters.set("kafka-exporter", "kafka_brokers", 1)
    await eventually("the cause", lambda: "KafkaBrokerDown" in world.receiver.alerts("paramedic"))
    lag(world.exporters, 9000)
    held: list[dict[str, Any]] = []

    async def came() -> bool:
        held[:] = await world.alertmanager.alerts(alertname="ConsumerLagHigh")
        return bool(held)

    await eventually("the effect at Alertmanager", came)
    assert held[0]["status"]["inhibitedBy"]
    assert "ConsumerLagHigh" not in world.receiver.alerts("paramedic")


async def test_what_is_not_exported_is_said_to_be_missing_and_nothing_else_fires(
    world: World,
) -> None:
    gone = {
        "prober_probe_total",
        "kube_pod_status_phase",
        "quality_score",
        "kafka_consumergroup_current_offset",
    }
    there = {
        "kube_pod_owner",
        "kafka_brokers",
        "kafka_consumergroup_lag",
    }  # missing until the first scrape only
    missing: dict[str, dict[str, str]] = {}

    async def settled() -> bool:
        rows = await world.alertmanager.alerts(alertname="MetricsAbsent")
        missing.clear()
        missing.update((row["labels"]["metric"], row["labels"]) for row in rows)
        return gone <= set(missing) and there.isdisjoint(missing)

    await eventually("what is missing, and only that", settled)
    assert missing["quality_score"].items() >= {"remediate": "true", **TARGET}.items()
    assert missing["prober_probe_total"]["remediate"] == "diagnose"
    await eventually("a webhook", lambda: "MetricsAbsent" in world.receiver.alerts("paramedic"))
    firing = {row["labels"]["alertname"] for row in await world.alertmanager.alerts()}
    # Of what this small world leaves out, these are rightly said;
    # no level alert fires for want of its metric.
    rightly = {"MetricsAbsent", "Watchdog", "ConsumerGroupAbsent", "BackupAbsent", "ParamedicDown"}
    assert firing <= rightly
