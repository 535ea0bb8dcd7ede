"""3.1: a report that somebody forgot holds the database, and with it every insert.
Lag is the default demo's.
"""

import asyncio

from rehearsal.platform import run_away
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Healed, Scenario
from rehearsal.scenarios.world import CLICKHOUSE, KAFKA, World
from rehearsal.servers.records import commit, create_topic, produce
from rehearsal.standin import Sample

TOPIC, GROUP = "ingestion.miso.raw.v1", "normalization-consumer"
_LATENCY = "processing_time_seconds:p95"
_FAST_S, _SLOW_S = 0.2, 4.0


async def _keeping_up(world: World) -> None:
    await create_topic(world.bootstrap, TOPIC, 2)
    await produce(world.bootstrap, TOPIC, {0: 20, 1: 20})
    await commit(world.bootstrap, GROUP, {(TOPIC, 0): 20, (TOPIC, 1): 20})
    world.standin.series[_LATENCY] = lambda: [({}, _FAST_S)]


async def _forgotten_report(world: World) -> None:
    report = asyncio.create_task(run_away(world.database_port), name="report")
    world.stack.callback(report.cancel)

    def latency() -> list[Sample]:
        return [({}, _FAST_S if report.done() else _SLOW_S)]

    world.standin.series[_LATENCY] = latency


async def _slow(world: World) -> bool:
    return world.standin.series[_LATENCY]()[0][1] > 1.0


SCENARIO = Scenario(
    name="3.1",
    row="3.1",
    breaks="A report that somebody forgot runs in ClickHouse and holds every insert back: messages take seconds.",
    does="It kills that query, which is a plain SELECT of a person, and proves that the latency is down.",
    end=Healed("kill-runaway-query"),
    prepares=_keeping_up,
    wrecks=_forgotten_report,
    fired=Fired("IngestionLatencyHigh", "Deployment/normalization-service", value="4s"),
    ill=_slow,
    servers=frozenset({KAFKA, CLICKHOUSE}),
)
