"""6.2: a service is so quiet that nobody can tell what it does."""

from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Proposed, Scenario
from rehearsal.scenarios.world import World


async def _quiet(world: World) -> None:
    def change(config: dict[str, dict[str, str]]) -> None:
        config["data"]["LOG_LEVEL"] = "ERROR"

    world.cluster.edit("configmaps", NAMESPACE, "carbon-ingestion-config", change)


async def _silent(world: World) -> bool:
    config = world.cluster.get("configmaps", NAMESPACE, "carbon-ingestion-config")
    return bool(config["data"]["LOG_LEVEL"] == "ERROR")


SCENARIO = Scenario(
    name="6.2",
    row="6.2",
    breaks="LOG_LEVEL is ERROR, and normalization-service has not written a line for a long time.",
    does="It proposes DEBUG for half an hour, after which the level goes back by itself.",
    end=Proposed("log-more-for-a-while"),
    wrecks=_quiet,
    fired=Fired("LogsMissing", "Deployment/normalization-service"),
    ill=_silent,
)
