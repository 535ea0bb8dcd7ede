"""6.2: a service is so quiet that nobody can tell what it does."""

import asyncio

from rehearsal.cluster import Object
from rehearsal.hurry import SILENT_S
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Proposed, Scenario
from rehearsal.scenarios.world import World

_SERVICE = "normalization-service"


async def _quiet(world: World) -> None:
    """At ERROR it has nothing to say, at DEBUG it has."""

    def change(config: Object) -> None:
        config["data"]["LOG_LEVEL"] = "ERROR"

    world.cluster.edit("configmaps", NAMESPACE, "carbon-ingestion-config", change)
    await world.beside("lines", _lines(world))
    await asyncio.sleep(SILENT_S + 0.5)


async def _lines(world: World) -> None:
    while True:
        for pod in world.pods(_SERVICE) if _level(world) == "DEBUG" else ():
            world.cluster.log(NAMESPACE, pod["metadata"]["name"], "DEBUG polled 25 records")
        await asyncio.sleep(world.pace_s)


async def _silent(world: World) -> bool:
    return _level(world) != "DEBUG"


def _level(world: World) -> str:
    config = world.cluster.get("configmaps", NAMESPACE, "carbon-ingestion-config")
    return str(config["data"]["LOG_LEVEL"])


SCENARIO = Scenario(
    name="6.2",
    row="6.2",
    breaks="LOG_LEVEL is ERROR, and normalization-service has not written a line for a long time.",
    does="It proposes DEBUG for half an hour, after which the level goes back by itself.",
    end=Proposed("log-more-for-a-while"),
    wrecks=_quiet,
    fired=Fired("LogsMissing", f"Deployment/{_SERVICE}"),
    ill=_silent,
)
