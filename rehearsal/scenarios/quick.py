"""0: several things are broken at once, and a person asks what is wrong."""

from rehearsal.cluster import CrashLoop, OutOfMemory, Unready
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.scenario import Found, Scenario
from rehearsal.scenarios.world import World


async def _several(world: World) -> None:
    pace_s, breaks = world.pace_s, world.cluster.break_pods
    breaks(NAMESPACE, "kafka", Unready())
    breaks(
        NAMESPACE,
        "normalization-service",
        CrashLoop(lines=("ERROR no route to kafka",), after_s=0.2 * pace_s),
    )
    breaks(NAMESPACE, "aggregation-service", OutOfMemory("1536Mi", after_s=0.2 * pace_s))
    await world.until(
        lambda: (
            "CrashLoopBackOff" in world.waiting("normalization-service")
            and "CrashLoopBackOff" in world.waiting("aggregation-service")
        )
    )


SCENARIO = Scenario(
    name="0",
    row="0",
    breaks="Kafka is not ready, normalization-service crash-loops, and aggregation-service is killed for its memory.",
    does="`paramedic diagnose` looks at the whole namespace at once, and says what is wrong, the worst first.",
    end=Found(
        (
            "StatefulSet/kafka is down",
            "Deployment/normalization-service is down",
            "was killed for its memory",
        )
    ),
    wrecks=_several,
)
