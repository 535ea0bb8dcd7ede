"""Secrets planted wherever the running service meets text: no answer, command,
log line or metric shows one.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from rehearsal.cluster import Cluster, Delays, carbon_ingestion
from rehearsal.cluster.failures import CrashLoop
from service.app import serving
from service.intake.http import PATH
from service.settings import (
    ClickHouseSettings,
    IntakeSettings,
    KafkaSettings,
    KubernetesSettings,
    PrometheusSettings,
    SchemaRegistrySettings,
    Settings,
    StoreSettings,
)
from tests.leaks import PLANTED
from tests.servers import ROOT
from tests.unit.made import body, item

NS, SECRET = "carbon-ingestion", PLANTED[0]
LINES = (
    f"ERROR login failed password={SECRET} user=ann",
    f'{{"level": "error", "api_key": "{SECRET}", "msg": "no"}}',
    f"Authorization: Bearer {SECRET}",
    f"connecting to postgres://ann:{SECRET}@db:5432/x",
)
ALERT = {
    "alertname": "ServicePodCrashLooping",
    "namespace": NS,
    "workload_kind": "Deployment",
    "workload": "normalization-service",
    "remediate": "true",
    "severity": "critical",
    "password": SECRET,
    "source": f"http://ann:{SECRET}@prometheus:9090/graph",
}


def planted(folder: Path, cluster: Cluster) -> Settings:
    """Every setting that may hold a secret holds one."""
    file = folder / "secret"
    file.write_text(f"{SECRET}\n")
    return Settings(
        intake=IntakeSettings(port=0, bearer_file=file, basic_user="ann", basic_password_file=file),
        store=StoreSettings(url=f"sqlite:///{folder / 'paramedic.db'}"),
        kubernetes=KubernetesSettings(kubeconfig=cluster.kubeconfig(folder / "kubeconfig")),
        kafka=KafkaSettings(
            bootstrap="127.0.0.1:1", security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN",
            sasl_user="ann", sasl_password_file=file,
        ),
        clickhouse=ClickHouseSettings(host="127.0.0.1", port=1, password_file=file),
        prometheus=PrometheusSettings(url=f"http://ann:{SECRET}@127.0.0.1:1"),
        schema_registry=SchemaRegistrySettings(
            url="http://127.0.0.1:1", user="ann", password_file=file
        ),
        playbooks=ROOT / "rules" / "playbooks",
    )  # fmt: skip


async def command(*arguments: str) -> str:
    ours = {n: v for n, v in os.environ.items() if not n.startswith("PARAMEDIC_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service", *arguments, cwd=ROOT, env=ours,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return out.decode()


async def answers(session: aiohttp.ClientSession) -> Mapping[str, str]:
    """What every endpoint says once the alert's incident was looked at,
    and what it says to nonsense.
    """
    async with asyncio.timeout(60):
        while True:
            async with session.get("/api/v1/incidents") as listing:
                incidents = await listing.json()
            if incidents and incidents[0]["reason"]:
                break
            await asyncio.sleep(0.2)
    told: dict[str, str] = {}
    looked = f"/api/v1/incidents/{incidents[0]['id']}"
    for path in (
        "/api/v1/incidents", looked, "/api/v1/actions", "/api/v1/unrouted",
        "/api/v1/dead-letters", "/api/v1/diagnose", "/metrics", "/readyz", "/healthz",
    ):  # fmt: skip
        async with session.get(path) as answer:
            told[path] = await answer.text()
    nonsense = (b"{", f'{{"password": "{SECRET}"}}'.encode(), b'{"alerts": [{"labels": 1}]}')
    for number, sent in enumerate(nonsense):
        async with session.post(PATH, data=sent) as answer:
            told[f"nonsense {number}"] = await answer.text()
    async with session.get(looked, headers={"Authorization": f"Bearer {SECRET}x"}) as answer:
        told["a wrong token"] = await answer.text()
    return told


async def test_no_output_of_the_service_shows_a_planted_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with Cluster(carbon_ingestion(), delays=Delays(0, 0, 0, 0)) as cluster:
        cluster.break_pods(NS, "normalization-service", CrashLoop(lines=LINES))
        await cluster.settled()
        settings = planted(tmp_path, cluster)
        authorized = {"Authorization": f"Bearer {SECRET}"}
        async with (
            serving(settings) as service,
            aiohttp.ClientSession(service.url, headers=authorized) as session,
        ):
            annotations = {"summary": f"password={SECRET}", "runbook_url": f"http://a:{SECRET}@h/r"}
            alerts = (ALERT, ALERT | {"alertname": "NobodysAlert"})  # the second leads nowhere
            sent = body(
                [
                    item(f"f{n}", labels=labels) | {"annotations": annotations}
                    for n, labels in enumerate(alerts)
                ]
            )
            async with session.post(PATH, json=sent) as answer:
                assert answer.status == 200, await answer.text()
            told = dict(await answers(session))
            flags = ("--url", service.url, "--token-file", str(tmp_path / "secret"))
            told["incidents"] = await command("incidents", *flags)
            told["diagnose"] = await command("diagnose", *flags)
    out, errors = capfd.readouterr()
    told |= {"stdout": out, "stderr": errors}
    assert {where for where, text in told.items() if SECRET in text} == set()
    # The searched texts are the real ones: what stands beside a secret is there.
    record = next(text for path, text in told.items() if path.startswith("/api/v1/incidents/"))
    assert "login failed" in record
    assert "NobodysAlert" in told["/api/v1/unrouted"]
