"""7.1: all services are down at once, because what they need is."""

from rehearsal.cluster import CrashLoop, Unready
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import HandedOver, Scenario
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


DEPENDENCY = Scenario(
    name="7.1-dependency",
    row="7.1",
    breaks="Kafka has no ready pod, and all three services crash-loop.",
    does="It restarts none of them, and tells a person that Kafka is what is missing.",
    end=HandedOver("dependency-down", "StatefulSet/kafka"),
    wrecks=_kafka_and_all,
    fired=Fired("PlatformOutage"),
)
