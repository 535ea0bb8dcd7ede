"""The API over HTTP, on the whole service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
        assert families["paramedic_info"].samples[0].labels["mode"] == "observe"


@pytest.mark.parametrize("limit", ["0", "-1", "x", "\u00b2", "9" * 5_000, ""])
async def test_a_limit_that_makes_no_sense_harms_nobody(store_url: str, limit: str) -> None:
    async with opened(store_url) as (_, session):
        assert await asked(session, "/api/v1/incidents", params={"limit": limit}) == []


async def test_an_unknown_incident_is_404_with_advice(store_url: str) -> None:
    async with opened(store_url) as (_, session), session.get("/api/v1/incidents/inc-0") as answer:
        assert (answer.status, (await answer.json())["reason"]) == (404, "not_found")
