"""7.1: all services are down at once, because what they need is, or was for a while."""

from rehearsal.cluster import CrashLoop, Unready
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import HandedOver, Healed, Scenario
from rehearsal.scenarios.world import World

SERVICES = ("normalization-service", "enrichment-service", "aggregation-service")


async def _kafka_and_all(world: World) -> None:
    world.cluster.break_pods(NAMESPACE, "kafka", Unready())
    lines = ("kafka.errors.NoBrokersAvailable: NoBrokersAvailable",)
    for service in SERVICES:
        failure = CrashLoop(lines=lines, after_s=0.2 * world.pace_s)
        world.cluster.break_pods(NAMESPACE, service, failure)
    await world.until(
        lambda: all("CrashLoopBackOff" in world.waiting(service) for service in SERVICES)
    )


async def _all_hang(world: World) -> None:
    """Kafka was away for a while and is back, and no service has opened its connection again."""
    for service in SERVICES:
        for pod in world.pods(service):
            world.cluster.set_ready(NAMESPACE, pod["metadata"]["name"], ready=False)
    await world.until(lambda: not any(world.has_ready(service) for service in SERVICES))


async def _none_ready(world: World) -> bool:
    return not any(world.has_ready(service) for service in SERVICES)


RESTART = Scenario(
    name="7.1",
    row="7.1",
    breaks="No pod of the three services is ready, although all that they need is well again.",
    does="It restarts them one after the other, each rolled out before the next, and proves that all are back.",
    end=Healed("restart-in-order"),
    wrecks=_all_hang,
    fired=Fired("PlatformOutage"),
    ill=_none_ready,
)

DEPENDENCY = Scenario(
    name="7.1-dependency",
    row="7.1",
    breaks="Kafka has no ready pod, and all three services crash-loop.",
    does="It restarts none of them, and tells a person that Kafka is what is missing.",
    end=HandedOver("dependency-down", "StatefulSet/kafka"),
    wrecks=_kafka_and_all,
    fired=Fired("PlatformOutage"),
)
