"""1.2: one of two containers is killed at its memory limit again and again."""

from rehearsal.cluster import OutOfMemory
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Healed, Scenario
from rehearsal.scenarios.world import World

_SERVICE = "enrichment-service"
_WORKLOAD = f"Deployment/{_SERVICE}"
_POD = {"pod": f"{_SERVICE}-7d9f-x2x9z", "container": _SERVICE, "uid": "u1"}


async def _too_little_memory(world: World) -> None:
    failure = OutOfMemory("1536Mi", after_s=0.5 * world.pace_s)
    world.cluster.break_pods(NAMESPACE, _SERVICE, failure)
    await world.until(lambda: world.restarts(_SERVICE) >= 2)


async def _restarting(world: World) -> bool:
    return world.restarts(_SERVICE) > 0


MEMORY = Scenario(
    name="1.2",
    row="1.2",
    breaks="The first of enrichment-service's two containers needs 1.5 GiB, and its limit is 1 GiB: it restarts.",
    does="It doubles the limit of that container, and proves that nothing has restarted since.",
    end=Healed("raise-memory"),
    wrecks=_too_little_memory,
    fired=Fired("ServiceOOMKilled", _WORKLOAD, {**_POD, "reason": "OOMKilled"}),
    ill=_restarting,
)
