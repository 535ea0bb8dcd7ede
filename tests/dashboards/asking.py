"""A panel's queries as Grafana would send them: with the variables filled in."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from rehearsal.dashboards import Dashboard, Panel
from tests.dashboards.drawing import Series
from tests.servers.monitoring import Prometheus


def filled(expr: str, *, window: str, rate: str) -> str:
    """The expression with everything chosen, over a time of `window`."""
    values = {
        "$__rate_interval": rate,
        "$__range": window,
        "$namespace": ".*",
        "$playbook": ".*",
    }
    for name, value in values.items():
        expr = expr.replace(name, value)
    assert "$" not in expr, expr
    return expr


async def answers(
    server: Prometheus, dashboard: Dashboard, begin: datetime, end: datetime
) -> Mapping[str, Sequence[Series]]:
    """What each panel shows of a time, by its title."""
    return {panel.title: await _answer(server, panel, begin, end) for panel in dashboard.panels}


async def _answer(
    server: Prometheus, panel: Panel, begin: datetime, end: datetime
) -> Sequence[Series]:
    found: list[Series] = []
    window = f"{int((end - begin).total_seconds())}s"
    for query in panel.queries:
        expr = filled(query.expr, window=window, rate="5m")
        asked = [
            ("query", expr),
            ("start", f"{begin.timestamp()}"),
            ("end", f"{end.timestamp()}"),
            ("step", "60"),
        ]
        if panel.kind in ("stat", "bargauge"):
            asked[1] = ("start", f"{end.timestamp()}")
        reply = await server.get("/api/v1/query_range", asked)
        for row in reply["data"]["result"]:
            points = [(float(at), float(value)) for at, value in row["values"]]
            good = [(at, value) for at, value in points if math.isfinite(value)]
            if good:
                found.append(Series(_legend(query.legend, row["metric"]), good))
    return found


def _legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda m: labels.get(m[1], ""), template).strip() or "none"
