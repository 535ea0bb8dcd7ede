"""A remedy that makes it worse: the annotations of 6.1 have the service scraped,
and being scraped kills it.
"""

import asyncio

from rehearsal.cluster import CrashLoop, Object
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.metrics import ANNOTATIONS, SERVICE, annotated
from rehearsal.scenarios.scenario import Scenario, TakenBack
from rehearsal.scenarios.world import World


async def _tight(world: World) -> None:
    """Its rollouts take a pod away before they bring another one."""
    await ANNOTATIONS.prepares(world)

    def change(deployment: Object) -> None:
        rolling = {"maxUnavailable": 1, "maxSurge": 0}
        deployment["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": rolling}

    world.cluster.edit("deployments", NAMESPACE, SERVICE, change)
    await world.cluster.settled()


async def _deadly_metrics(world: World) -> None:
    await ANNOTATIONS.wrecks(world)
    dying = asyncio.create_task(_die_when_scraped(world), name="die when scraped")
    world.stack.callback(dying.cancel)


async def _die_when_scraped(world: World) -> None:
    known: set[str] = set()
    failure = CrashLoop(lines=("RuntimeError: /metrics: set changed size during iteration",))
    while True:
        for pod in world.pods(SERVICE):
            name = pod["metadata"]["name"]
            if annotated(pod) and name not in known:
                known.add(name)
                world.cluster.break_pods(NAMESPACE, SERVICE, failure, pod=name)
        await asyncio.sleep(0.02 * world.pace_s)


SCENARIO = Scenario(
    name="worse",
    row="6.1",
    breaks="enrichment-service is not annotated for Prometheus, and a bug kills its pods once they are scraped.",
    does="It adds the annotations, sees fewer pods ready than before, takes them away again, proves that all pods "
    "are back, and calls a person with both in the record.",
    end=TakenBack("annotate"),
    prepares=_tight,
    wrecks=_deadly_metrics,
    fired=ANNOTATIONS.fired,
)
