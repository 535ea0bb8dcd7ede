"""3.2 once more, with somebody at hand: a person reads what is proposed, and says yes."""

import aiohttp

from rehearsal.scenarios.low_throughput import backlog
from rehearsal.scenarios.rules import Fired
from rehearsal.scenarios.scenario import Approved, Scenario
from rehearsal.scenarios.world import KAFKA, World

_ANNA, _TOKEN = "anna", "rehearsal-token-of-anna"


async def _people(world: World) -> None:
    world.people[_ANNA] = _TOKEN


async def _says_yes(url: str, world: World) -> None:
    """As `paramedic approvals` and `paramedic approve` would."""
    shown = {"Authorization": f"Bearer {_TOKEN}"}
    async with aiohttp.ClientSession(base_url=url, headers=shown) as session:
        async with session.get("/api/v1/approvals") as answer:
            waiting = [one for one in await answer.json() if one["state"] == "pending"]
        for one in waiting:
            path = f"/api/v1/approvals/{one['id']}/approve"
            async with session.post(
                path, json={"why": "the difference is what I would do"}
            ) as said:
                if said.status != 200:
                    raise RuntimeError(f"the yes was answered with {said.status}")


SCENARIO = Scenario(
    name="approval",
    row="3.2",
    breaks="1,600 messages wait for normalization-service, and a person is at hand.",
    does="It proposes PARALLELISM 8 with its difference, anna says yes, it looks once more and does it.",
    end=Approved("more-parallelism"),
    prepares=_people,
    wrecks=backlog,
    speaks=_says_yes,
    fired=Fired("IngestionThroughputLow", "Deployment/normalization-service", value="40"),
    servers=frozenset({KAFKA}),
)
