"""1.1: a service crash-loops because its memory does not suffice, or because Kafka is away."""

from rehearsal.cluster import CrashLoop, OutOfMemory, Unready
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import HandedOver, Healed, Scenario
from rehearsal.scenarios.world import World

_WORKLOAD = "Deployment/aggregation-service"


def _fired(world_pod: str = "aggregation-service-7d9f-x2x9z") -> Fired:
    labels = {
        "pod": world_pod, "container": "aggregation-service", "uid": "u1", "reason": "CrashLoopBackOff",
    }  # fmt: skip
    return Fired("ServicePodCrashLooping", _WORKLOAD, labels)


async def _too_little_memory(world: World) -> None:
    world.cluster.break_pods(
        NAMESPACE, "aggregation-service", OutOfMemory("1536Mi", after_s=0.5 * world.pace_s)
    )
    await world.until(lambda: world.waiting("aggregation-service") == {"CrashLoopBackOff"})


async def _no_kafka(world: World) -> None:
    world.cluster.break_pods(NAMESPACE, "kafka", Unready())
    lines = ("kafka.errors.NoBrokersAvailable: NoBrokersAvailable",)
    failure = CrashLoop(lines=lines, after_s=0.2 * world.pace_s)
    world.cluster.break_pods(NAMESPACE, "aggregation-service", failure)
    await world.until(lambda: world.waiting("aggregation-service") == {"CrashLoopBackOff"})


async def _not_ready(world: World) -> bool:
    status = world.workload(_WORKLOAD)["status"]
    return bool(status.get("readyReplicas", 0) < status["replicas"])


MEMORY = Scenario(
    name="1.1",
    row="1.1",
    breaks="aggregation-service needs 1.5 GiB, and its limit is 1 GiB: it is killed and crash-loops.",
    does="It doubles the memory limit, watches the rollout, and proves that the pods stay up.",
    end=Healed("raise-memory"),
    wrecks=_too_little_memory,
    fired=_fired(),
    ill=_not_ready,
)

DEPENDENCY = Scenario(
    name="1.1-dependency",
    row="1.1",
    breaks="Kafka has no ready pod, so aggregation-service crash-loops.",
    does="It leaves the service alone, and tells a person that Kafka is what is missing.",
    end=HandedOver("dependency-down", "StatefulSet/kafka"),
    wrecks=_no_kafka,
    fired=_fired(),
)
