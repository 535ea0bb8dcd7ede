"""Draws docs/dashboards: a night is rehearsed, a real Prometheus is given its metrics,
and asked what panels ask.
"""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from rehearsal.dashboards import ALL
from tests.dashboards.asking import answers
from tests.dashboards.drawing import draw
from tests.dashboards.night import night, openmetrics, play
from tests.servers import ROOT
from tests.servers.monitoring import prometheus, run

PICTURES = ROOT / "docs" / "dashboards"


async def main() -> None:
    """Writes a picture a dashboard."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        async with night(folder / "night") as begun:
            await play(begun)
        minutes = begun.minutes
        (folder / "night.om").write_text(openmetrics(minutes))
        data = folder / "prometheus" / "data"
        done = run(
            "promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "night.om", data
        )
        assert done.returncode == 0, done.stdout + done.stderr
        begin, end = minutes[0][0] + timedelta(minutes=1), minutes[-1][0]
        async with prometheus({"global": {}}, folder / "prometheus") as server:
            PICTURES.mkdir(parents=True, exist_ok=True)
            for dashboard in ALL:
                picture = draw(dashboard, await answers(server, dashboard, begin, end), begin, end)
                name = dashboard.uid.removeprefix("paramedic-")
                (PICTURES / f"{name}.svg").write_text(picture)
                print(f"docs/dashboards/{name}.svg")


asyncio.run(main())
