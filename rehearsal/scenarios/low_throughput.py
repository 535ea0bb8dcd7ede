"""3.2: a backlog waits while the service has room to work on it."""

from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Proposed, Scenario
from rehearsal.scenarios.world import KAFKA, World
from rehearsal.servers.records import commit, create_topic, produce

_TOPIC, _GROUP = "ingestion.miso.raw.v1", "normalization-consumer"


async def backlog(world: World) -> None:
    await create_topic(world.bootstrap, _TOPIC, 2)
    await produce(world.bootstrap, _TOPIC, {0: 800, 1: 800})
    await commit(world.bootstrap, _GROUP, {(_TOPIC, 0): 0, (_TOPIC, 1): 0})
    world.standin.series["messages_processed:rate5m"] = lambda: [({}, 40.0)]


SCENARIO = Scenario(
    name="3.2",
    row="3.2",
    breaks="1,600 messages wait for normalization-service, which uses a tenth of its CPU: PARALLELISM is 4.",
    does="It proposes PARALLELISM 8, with a rollout of all that read the ConfigMap.",
    end=Proposed("more-parallelism"),
    wrecks=backlog,
    fired=Fired("IngestionThroughputLow", "Deployment/normalization-service", value="40"),
    servers=frozenset({KAFKA}),
)
