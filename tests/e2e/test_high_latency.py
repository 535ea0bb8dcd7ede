"""Chapter 3.1 on real servers: lag made of real messages fires the shipped rule in a real
Prometheus, a real Alertmanager with the shipped configuration posts it, Paramedic kills the runaway
query and scales out, the lag drains, the alert resolves, and the incident closes as healed.

Only waits and thresholds are shorter than shipped, and addresses are those of the test.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from rehearsal.hurry import LAG_HEALED, hurry
from rehearsal.platform import NAMESPACE, WORKLOAD, Platform, platform, run_away
from rehearsal.servers import clickhouse, free_port
from service.app import serving
from service.model.action import Mode
from service.settings import (
    ClickHouseSettings,
    IntakeSettings,
    KafkaSettings,
    KubernetesSettings,
    PrometheusSettings,
    Settings,
    StoreSettings,
    WorkSettings,
)
from tests.servers import ROOT, require
from tests.servers.kafka import apache_kafka
from tests.servers.monitoring import Alertmanager, Prometheus, alertmanager, prometheus, quicken

TOKEN = "the-token-of-the-end-to-end-test"
PATIENCE_S = 150.0
QUICK = "2s"


@pytest.fixture(params=["noida", "apache-kafka"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Platform]:
    require(
        "ClickHouse (chDB)", clickhouse.found(), "run tests/servers/install.sh clickhouse-modern"
    )
    async with AsyncExitStack() as stack:
        bootstrap = None
        if request.param == "apache-kafka":
            bootstrap = (
                await stack.enter_async_context(apache_kafka(tmp_path / "apache"))
            ).bootstrap
        yield await stack.enter_async_context(platform(tmp_path / "world", bootstrap=bootstrap))


async def test_a_real_alert_is_healed_by_a_real_action(world: Platform, tmp_path: Path) -> None:
    assert world.clickhouse is not None
    port = free_port()
    token = tmp_path / "token"
    token.write_text(TOKEN)
    async with AsyncExitStack() as stack:
        am = await stack.enter_async_context(
            alertmanager(_alertmanager(port, token), tmp_path / "am")
        )
        rules = _quick_rules(tmp_path / "rules")
        config = _prometheus(world, am)
        prom = await stack.enter_async_context(
            prometheus(config, tmp_path / "prom", rules_dir=rules)
        )
        settings = _settings(world, prom, port, token, tmp_path)
        await stack.enter_async_context(serving(settings))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"})
        )
        report = asyncio.create_task(run_away(world.clickhouse.port))
        record = await _closed(session, f"http://127.0.0.1:{port}")

        # What fired, as the shipped rule labels it.
        alert = record["alerts"][0]
        assert alert["labels"]["alertname"] == "ConsumerLagHigh"
        assert alert["labels"]["workload"] == WORKLOAD
        assert alert["status"] == "resolved"
        # What was seen, decided and done, and that it worked.
        assert (record["state"], record["outcome"], record["reason"]) == (
            "closed",
            "healed",
            "readings_good",
        )
        assert record["target"] == f"Deployment/{NAMESPACE}/{WORKLOAD}"
        rungs = [action["rung"] for action in record["actions"]]
        assert "kill-runaway-query" in rungs
        assert record["actions"][-1]["rung"] == "scale-out"
        assert record["actions"][-1]["outcome"] == "healed"
        assert all(action["applied"] == "done" for action in record["actions"])
        assert (await report) == "code 394, the query was killed"
        assert world.replicas() in (4, 5)
        assert world.consumers.count == world.replicas()
        assert await world.lag_total() < 5 * LAG_HEALED
        diagnosed = next(step for step in record["steps"] if step["step"] == "diagnosed")
        known = {name for name, reading in diagnosed["evidence"].items() if "value" in reading}
        assert {"kafka", "clickhouse", "pods", "usage", "series"} <= known
        # Prometheus and Alertmanager agree that it is over, and the metrics tell the same story.
        assert await am.alerts(alertname="ConsumerLagHigh") == []
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = await answer.text()
        labels = 'outcome="healed",playbook="high-latency",reason="readings_good"'
        assert f"paramedic_incidents_closed_total{{{labels}}} 1.0" in metrics
        assert re.search(
            r'paramedic_outcomes_total\{outcome="healed",.*rung="scale-out"\} 1\.0', metrics
        )
        assert 'paramedic_webhooks_total{result="accepted"}' in metrics


async def _closed(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """The decision record of the target's incident when it is closed."""
    give_up_at = time.monotonic() + PATIENCE_S
    record: dict[str, Any] = {}
    while time.monotonic() < give_up_at:
        async with session.get(f"{url}/api/v1/incidents") as answer:
            incidents = [i for i in await answer.json() if i["target"].endswith(WORKLOAD)]
        if incidents:
            async with session.get(f"{url}/api/v1/incidents/{incidents[-1]['id']}") as answer:
                record = await answer.json()
            if record["state"] == "closed":
                return record
        await asyncio.sleep(0.5)
    told = [step for step in record.get("steps", []) if step["step"] != "read"]
    pytest.fail(f"not closed within {PATIENCE_S:g} s; {record.get('state')}: {told[-8:]}")


def _settings(world: Platform, prom: Prometheus, port: int, token: Path, folder: Path) -> Settings:
    assert world.clickhouse is not None
    return Settings(
        mode=Mode.AUTO,
        playbooks=_only_high_latency(folder),
        store=StoreSettings(url=f"sqlite:///{folder / 'paramedic.db'}"),
        intake=IntakeSettings(port=port, bearer_file=token),
        kubernetes=KubernetesSettings(kubeconfig=world.kubeconfig),
        kafka=KafkaSettings(bootstrap=world.bootstrap),
        clickhouse=ClickHouseSettings(host="127.0.0.1", port=world.clickhouse.port),
        prometheus=PrometheusSettings(url=prom.url),
        work=WorkSettings(recheck_s=2),
    )


def _only_high_latency(folder: Path) -> Path:
    """Its playbook alone: this platform has no exporters for the other chapters,
    and their alerts fire at once.
    """
    playbooks = hurry(ROOT / "rules" / "playbooks", folder / "playbooks")
    for file in playbooks.glob("*.yaml"):
        if not file.name.startswith("3.1"):
            file.unlink()
    return playbooks


def _quick_rules(into: Path) -> Path:
    """The shipped rules; lag counts from a lower threshold, and nothing waits for minutes."""
    quicken(ROOT / "rules" / "prometheus", into, wait=QUICK, keep=QUICK)
    file = into / "performance.rules.yaml"
    document = yaml.safe_load(file.read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            if rule.get("record") == "paramedic:threshold:consumer_lag":
                rule["expr"] = f"vector({2 * LAG_HEALED})"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return into


def _prometheus(world: Platform, am: Alertmanager) -> dict[str, Any]:
    def job(name: str, path: str, **labels: str) -> dict[str, Any]:
        return {
            "job_name": name,
            "metrics_path": path,
            "static_configs": [{"targets": [world.exporter], "labels": labels}],
        }

    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [
            job("kafka-exporter", "/kafka"),
            job("services", "/services", app=WORKLOAD),
        ],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [am.url.removeprefix("http://")]}]}]
        },
    }


def _alertmanager(port: int, token: Path) -> dict[str, Any]:
    """The shipped configuration with short times; people's receivers point nowhere."""
    document: dict[str, Any] = yaml.safe_load(
        (ROOT / "alerting/alertmanager/alertmanager.yml").read_text()
    )
    for route in (document["route"], *document["route"]["routes"]):
        route |= {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h"}
    for receiver in document["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = (
                f"http://127.0.0.1:{port if receiver['name'] == 'paramedic' else 9}/api/v1/alertmanager"
            )
            if "http_config" in hook:
                hook["http_config"]["authorization"]["credentials_file"] = str(token)
    return document
