"""The API over HTTP, on the whole service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.app import Service, serving
from service.intake.http import PATH
from tests.path.test_intake import JSON, posted, settings_for, until
from tests.unit.made import body, item


@asynccontextmanager
async def opened(
    store_url: str, **intake: Any
) -> AsyncIterator[tuple[Service, aiohttp.ClientSession]]:
    """A running service and a session whose base is its address."""
    async with (
        serving(settings_for(store_url, **intake)) as service,
        aiohttp.ClientSession(service.url, headers=JSON) as session,
    ):
        yield service, session


async def asked(session: aiohttp.ClientSession, path: str, **more: Any) -> Any:
    async with session.get(path, **more) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_metrics_are_text_that_prometheus_reads_and_have_what_dashboards_ask_for(
    store_url: str,
) -> None:
    async with opened(store_url) as (service, session):
        await posted(session, item())
        async with session.post(PATH, json=body([item()], truncatedAlerts=7)) as answer:
            assert answer.status == 200
        await (await session.post(PATH, data="{")).read()
        await until(lambda: service.inbox.waiting == 0, "every webhook is sorted")
        async with session.get("/metrics") as answer:
            families = {f.name: f for f in text_string_to_metric_families(await answer.text())}
        samples = {
            (s.name, *sorted(s.labels.values())): s.value
            for f in families.values()
            for s in f.samples
        }
        assert samples["paramedic_webhooks_total", "accepted"] == 2
        assert samples["paramedic_webhooks_total", "not_json"] == 1
        assert samples["paramedic_alerts_truncated_total",] == 7
        assert samples["paramedic_alerts_total", "new"] == 1
        assert samples["paramedic_incidents_opened_total", "high-latency"] == 1
        assert samples["paramedic_inbox_waiting",] == 0
        assert "paramedic_incidents" in families
        assert "version" in families["paramedic_build_info"].samples[0].labels


@pytest.mark.parametrize("limit", ["0", "-1", "x", "\u00b2", "9" * 5_000, ""])
async def test_a_limit_that_makes_no_sense_harms_nobody(store_url: str, limit: str) -> None:
    async with opened(store_url) as (_, session):
        assert await asked(session, "/api/v1/incidents", params={"limit": limit}) == []


async def test_an_unknown_incident_is_404_with_advice(store_url: str) -> None:
    async with opened(store_url) as (_, session), session.get("/api/v1/incidents/inc-0") as answer:
        assert (answer.status, (await answer.json())["reason"]) == (404, "not_found")


async def test_quick_diagnostics_are_told_of_an_allowed_namespace(store_url: str) -> None:
    async with opened(store_url) as (_, session):
        first = await asked(session, "/api/v1/diagnose")
        other = await asked(session, "/api/v1/diagnose", params={"namespace": "payments"})
    assert (first["namespace"], other["namespace"]) == ("carbon-ingestion", "payments")
    assert first["outcome"] == "could_not_look"
    assert first["evidence"]["pods"]["unknown"] == "not_configured"


async def test_quick_diagnostics_of_another_namespace_are_403_with_a_reason(
    store_url: str,
) -> None:
    async with opened(store_url) as (_, session):
        path = "/api/v1/diagnose?namespace=kube-system"
        async with session.get(path) as answer:
            told = await answer.json()
    assert (answer.status, told["reason"]) == (403, "namespace_not_allowed")
    assert "carbon-ingestion, payments" in told["detail"]


async def test_quick_diagnostics_want_the_credentials_of_every_read(
    store_url: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cret")
    async with opened(store_url, bearer_file=tmp_path / "token") as (_, session):
        async with session.get("/api/v1/diagnose") as answer:
            assert answer.status == 401
        headers = {"Authorization": "Bearer s3cret"}
        await asked(session, "/api/v1/diagnose", headers=headers)
