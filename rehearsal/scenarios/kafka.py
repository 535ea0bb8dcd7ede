"""4.1: ZooKeeper has lost its quorum, so that no broker can be mended; or one of two brokers
hangs.
"""

import asyncio

from rehearsal.cluster import Object, Unready
from rehearsal.hurry import STUCK_S
from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import HandedOver, Proposed, Scenario
from rehearsal.scenarios.world import KAFKA, World
from rehearsal.servers.records import create_topic

_FIRED = Fired("KafkaBrokerDown", "StatefulSet/kafka", value="2")


async def _no_quorum(world: World) -> None:
    world.cluster.break_pods(NAMESPACE, "zookeeper", Unready())
    world.cluster.break_pods(NAMESPACE, "kafka", Unready(), pod="kafka-2")
    await world.cluster.settled()


async def _two_brokers(world: World) -> None:
    """The emulator has two broker pods; the one broker behind them is the one that does not
    hang.
    """

    def two(stateful_set: Object) -> None:
        stateful_set["spec"]["replicas"] = 2

    world.cluster.edit("statefulsets", NAMESPACE, "kafka", two)
    await world.cluster.settled()
    await create_topic(world.bootstrap, "ingestion.miso.raw.v1", 2)


async def _one_hangs(world: World) -> None:
    world.cluster.break_pods(NAMESPACE, "kafka", Unready(), pod="kafka-1")
    await asyncio.sleep(STUCK_S + 0.5)


QUORUM = Scenario(
    name="4.1",
    row="4.1",
    breaks="The ZooKeeper server is not ready, and a broker of Kafka is away for it.",
    does="It restarts no broker, for none can be mended before there is a quorum, and tells a person so.",
    end=HandedOver("zookeeper-first", "0 of 1 ZooKeeper servers are ready"),
    wrecks=_no_quorum,
    fired=_FIRED,
)

BROKER = Scenario(
    name="4.1-broker",
    row="4.1",
    breaks="One of two broker pods hangs and has left the cluster; the other has every partition.",
    does="It proposes to delete that pod, by its uid, for the rest has all partitions.",
    end=Proposed("delete-stuck-broker"),
    prepares=_two_brokers,
    wrecks=_one_hangs,
    fired=_FIRED,
    servers=frozenset({KAFKA}),
)
