"""5.2: a network policy was changed, and nothing reaches Kafka any more."""

import asyncio

from rehearsal.cluster import Object
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Proposed, Scenario
from rehearsal.scenarios.world import World

KAFKA = "kafka-cluster:9092"
_PATHS = (KAFKA, "clickhouse:9000", "schema-registry:8081", "normalization-service:8510")
_POLICY = "kafka-ingress"


async def paths(world: World) -> None:
    """Every declared path connects, and the policy of Kafka decides about its own."""
    world.seed_known_good("networkpolicy-kafka-ingress")
    for destination in _PATHS:
        await world.standin.gate(destination)
    await world.beside("network", _enforced(world))


async def wrong_port(world: World) -> None:
    """Somebody edits the policy: another port is let through."""

    def change(policy: Object) -> None:
        policy["spec"]["ingress"][0]["ports"][0]["port"] = 9093

    world.cluster.edit("networkpolicies", NAMESPACE, _POLICY, change)
    await world.standin.gates[KAFKA].close()


async def blocked(world: World) -> bool:
    """Whether the policy keeps Kafka's port shut."""
    return not _open(world)


def _open(world: World) -> bool:
    policy = world.cluster.get("networkpolicies", NAMESPACE, _POLICY)
    return bool(policy["spec"]["ingress"][0]["ports"][0]["port"] == 9092)


async def _enforced(world: World) -> None:
    """The network does what the policy says."""
    gate = world.standin.gates[KAFKA]
    while True:
        await (gate.open() if _open(world) else gate.close())
        await asyncio.sleep(0.1 * world.pace_s)


SCENARIO = Scenario(
    name="5.2",
    row="5.2",
    breaks="Somebody edits the NetworkPolicy kafka-ingress: another port is let through, and Kafka is out of reach.",
    does="It finds which path is blocked and which policy drifted, and proposes to apply the known-good one.",
    end=Proposed("restore-policies"),
    prepares=paths,
    wrecks=wrong_port,
    fired=Fired("NetworkPathBlocked", "StatefulSet/kafka", {"destination": KAFKA}),
    ill=blocked,
)
