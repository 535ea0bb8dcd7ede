"""4.2: a report holds nearly all memory of ClickHouse."""

import asyncio

from rehearsal.hurry import RUNAWAY_S
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Healed, Scenario
from rehearsal.scenarios.world import SMALL_BYTES, SMALL_CLICKHOUSE, World

_USED = "SELECT value FROM system.metrics WHERE metric = 'MemoryTracking'"
_ROWS = 250_000  # hold half of the memory
_WANTED = 0.93  # of the memory: the rest is enough to look at it

# It sorts wide rows, which are held, and then takes its time with what it found.
_HOG = (
    "SELECT length(text), sleepEachRow(1) FROM (SELECT randomPrintableASCII(1000) AS text FROM numbers({rows})"
    " ORDER BY text SETTINGS max_block_size = 8192) SETTINGS max_block_size = 1, max_threads = 1,"
    " function_sleep_max_microseconds_per_block = 0"
)


async def _hog(world: World) -> None:
    """How much a row holds depends on the build of the server: asked first, with a smaller
    report.
    """
    idle = await world.asked(_USED)
    first = await _report(world, _ROWS)
    held = await world.asked(_USED) - idle
    await world.sql(f"KILL QUERY WHERE query_id = '{first}' SYNC")
    await _report(world, int(_ROWS * (_WANTED * SMALL_BYTES - idle) / held))
    await asyncio.sleep(RUNAWAY_S)


async def _report(world: World, rows: int) -> str:
    """A report over that many rows, once it holds them; the id of its query."""
    query_id = f"report-{rows}"
    report = asyncio.create_task(world.query(_HOG.format(rows=rows), query_id), name=query_id)
    world.stack.callback(report.cancel)
    before, now = 0, -1
    while now != before:  # it holds more and more until all is sorted
        await asyncio.sleep(0.5)
        before, now = now, await world.asked(_USED)
    return query_id


async def _short(world: World) -> bool:
    return await world.asked(_USED) > 0.9 * SMALL_BYTES


HOG = Scenario(
    name="4.2",
    row="4.2",
    breaks="A report of a person sorts wide rows in ClickHouse, and holds nearly all of its memory.",
    does="It kills that one query, never an insert or a backup, and proves that memory is free again.",
    end=Healed("kill-memory-hog"),
    wrecks=_hog,
    fired=Fired(
        "ClickHouseMemoryHigh", "StatefulSet/clickhouse", {"pod": "clickhouse-0"}, value="95%"
    ),
    ill=_short,
    servers=frozenset({SMALL_CLICKHOUSE}),
)
