"""Grafana's dashboards: provisioned as written, over metrics that exist,
with queries that give something.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text

from rehearsal.dashboards import (
    ALL,
    DATASOURCE,
    EXEMPLARS,
    INCIDENT,
    Dashboard,
    Panel,
    file_of,
    text_of,
)
from service.model.journal import JournalEntry
from service.publish.grafana import tags
from tests.dashboards.asking import filled
from tests.dashboards.night import night, openmetrics, play
from tests.rules.rulebook import metrics
from tests.servers import ROOT
from tests.servers.monitoring import Prometheus, prometheus
from tests.unit.made import T0

GRAFANA = ROOT / "alerting" / "grafana"
EACH = pytest.mark.parametrize("dashboard", ALL, ids=lambda d: d.uid)
OF_PROMETHEUS = {"ALERTS"}
PATIENCE_S = 60.0


def model(dashboard: Dashboard) -> dict[str, Any]:
    return dict(json.loads(file_of(dashboard).read_text()))


def test_there_is_a_file_a_dashboard_and_no_other() -> None:
    assert sorted(GRAFANA.glob("dashboards/*.json")) == sorted(file_of(one) for one in ALL)
    assert len({one.uid for one in ALL}) == len(ALL)


@EACH
def test_what_is_provisioned_is_what_is_written(dashboard: Dashboard) -> None:
    assert file_of(dashboard).read_text() == text_of(dashboard), "run `make manifests`"


@EACH
def test_a_dashboard_is_the_bare_model_with_what_must_be_pinned(dashboard: Dashboard) -> None:
    made = model(dashboard)
    assert {"uid", "title", "panels", "templating", "annotations"} <= made.keys()
    assert (made["uid"], made["schemaVersion"], made.get("id")) == (dashboard.uid, 42, None)
    assert "${DS_" not in json.dumps(made), "an input that nobody resolves"
    asked = [p for p in made["panels"] if p["type"] != "text"]
    assert all(t["datasource"] == DATASOURCE for p in asked for t in p["targets"])
    names = [v["name"] for v in made["templating"]["list"]]
    assert names[:2] == ["namespace", "playbook"]
    assert len({p["id"] for p in made["panels"]}) == len(made["panels"])


@EACH
def test_remediations_are_found_by_their_tag(dashboard: Dashboard) -> None:
    builtin, ours, *_ = model(dashboard)["annotations"]["list"]
    assert builtin["builtIn"] == 1
    assert ours["target"] == {
        "type": "tags", "tags": ["remediation"], "matchAny": False, "limit": 100,
    }  # fmt: skip
    assert ours["enable"] is (dashboard is not INCIDENT)


def test_one_incident_is_found_by_its_id_in_annotations_and_links_and_in_no_series() -> None:
    made = model(INCIDENT)
    (of_it,) = made["annotations"]["list"][2:]
    told = JournalEntry(1, "inc-1", "p", "Deployment/n/t", T0, "ruled", {"rung": "r"})
    written = tags(told, "act-1", "running")
    asked = [tag.replace("$incident", "inc-1") for tag in of_it["target"]["tags"]]
    assert (of_it["enable"], of_it["target"]["matchAny"]) == (True, False)
    assert set(asked) <= set(written)
    assert "incident:inc-1" in asked
    names = [v["name"] for v in made["templating"]["list"] if v["type"] == "textbox"]
    assert names == ["incident", "paramedic"]
    for panel in made["panels"][1:]:
        (link,) = panel["fieldConfig"]["defaults"]["links"]
        assert link["url"] == "${paramedic}/api/v1/incidents/${incident:percentencode}"
        assert all("$incident" not in target["expr"] for target in panel["targets"])


@EACH
def test_exemplars_are_asked_for_where_a_time_is_drawn_of_what_carries_them(
    dashboard: Dashboard,
) -> None:
    for panel in model(dashboard)["panels"]:
        for target in panel.get("targets", ()):
            carried = any(f"{name}{end}" in target["expr"] for name in EXEMPLARS for end in "[{ )")
            assert target["exemplar"] is (target["range"] and carried), panel["title"]


@EACH
def test_panels_lie_beside_one_another_and_not_on_one_another(dashboard: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    for place in (p["gridPos"] for p in model(dashboard)["panels"]):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_the_datasource_has_the_uid_that_the_dashboards_name() -> None:
    written = yaml.safe_load((GRAFANA / "provisioning/datasources/paramedic.yaml").read_text())
    assert written["datasources"][0]["uid"] == DATASOURCE["uid"]
    (leads,) = written["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"]
    assert leads["name"] == "incident"
    assert leads["url"].endswith("/api/v1/incidents/$${__value.raw}")
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/paramedic.yaml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"


@EACH
def test_each_picture_shows_every_panel_and_says_what_it_is(dashboard: Dashboard) -> None:
    name = file_of(dashboard).stem
    drawn = (ROOT / "docs" / "dashboards" / f"{name}.svg").read_text()
    assert "no screenshot of Grafana" in drawn
    titles = set(re.findall(r'font-size="12" fill="#d0d0d8"[^>]*>([^<]+)<', drawn))
    assert titles == {panel.title for panel in dashboard.panels}, "python -m tests.dashboards"
    assert "no data" not in drawn


PANELS = [(d, p) for d in ALL for p in d.panels]


async def test_after_a_rehearsed_night_every_panel_has_its_metrics_and_every_query_gives_something(
    tmp_path: Path,
) -> None:
    """A real Prometheus scrapes the service itself while it works through its incidents."""
    async with night(tmp_path / "night") as begun:
        await begun.until(begun.made.clock.now().replace(minute=1))
        registry = begun.made.metrics.registry

        async def scrape(request: web.Request) -> web.Response:
            return web.Response(body=generate_latest(registry), content_type="text/plain")

        app = web.Application()
        app.router.add_get("/metrics", scrape)
        async with TestServer(app) as exporter:
            rules = tmp_path / "rules"
            rules.mkdir()
            (rules / "quick.rules.yaml").write_text(FIRING)
            config = {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "scrape_configs": [
                    {"job_name": "paramedic", "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}]}
                ],
            }  # fmt: skip
            async with prometheus(config, tmp_path / "prometheus", rules_dir=rules) as server:
                await _scraped(server, 2)
                await play(begun, hours=0.5)
                await _scraped(server, 4)
                exported = {name for name, _, _ in begun.minutes[-1][1]} | OF_PROMETHEUS
                silent = [
                    f"{dashboard.uid}: {panel.title}: {expr}"
                    for dashboard, panel in PANELS
                    for expr in [filled(q.expr, window="10m", rate="30s") for q in panel.queries]
                    if not metrics(expr) <= exported or not await server.query(expr)
                ]
                assert silent == []
        text = openmetrics_text(registry).decode()
        carry = set(re.findall(r'^(\w+){[^#]*# {incident="inc-', text, re.M))
        assert carry == EXEMPLARS


FIRING = """\
groups:
  - name: quick
    rules:
      - alert: ConsumerLagHigh
        expr: vector(1)
        labels: {namespace: carbon-ingestion, workload: normalization-service, remediate: "true"}
"""


async def _scraped(server: Prometheus, times: int) -> None:
    """Waits until it has scraped so many times more."""
    seen: set[str] = set()
    async with asyncio.timeout(PATIENCE_S):
        while len(seen) <= times:
            rows = await server.query("timestamp(paramedic_build_info)")
            seen |= {row["value"][1] for row in rows}
            await asyncio.sleep(0.1)


def test_a_panel_asks_for_nothing_that_is_not_filled_in() -> None:
    for _, panel in PANELS:
        for query in panel.queries:
            assert "$" not in filled(query.expr, window="1h", rate="1m")
    with pytest.raises(AssertionError):
        filled("up{a=~'$nobody'}", window="1h", rate="1m")


async def test_the_nights_samples_keep_what_a_time_needs(tmp_path: Path) -> None:
    async with night(tmp_path) as begun:
        await begun.until(begun.made.clock.now().replace(minute=3))
        text = openmetrics(begun.minutes)
    assert text.endswith("# EOF\n")
    times = re.findall(r"^paramedic_watchdog_last_received\S+ (\S+) \d+$", text, re.M)
    assert float(times[-1]) == begun.made.clock.now().replace(minute=2).timestamp()


def test_every_panel_says_what_it_shows() -> None:
    for _, panel in PANELS:
        assert isinstance(panel, Panel)
        assert panel.about.endswith(".")
