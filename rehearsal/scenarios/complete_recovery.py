"""7.3: the data are lost. One person asks for a recovery, another one approves what it would do."""

from typing import Any

import aiohttp

from rehearsal.platform import NAMESPACE
from rehearsal.scenarios.persistence import data
from rehearsal.scenarios.scenario import Healed, Scenario
from rehearsal.scenarios.world import CLICKHOUSE, World

_SAGAS = "/api/v1/sagas"
_ANNA, _BEN = "anna", "ben"
_TOKENS = {name: f"rehearsal-token-of-{name}" for name in (_ANNA, _BEN)}


async def _backed_up(world: World) -> None:
    world.people |= _TOKENS
    await data(world)
    await world.sql("BACKUP DATABASE carbon_ingestion TO Disk('backups', 'nightly')")


async def _lost(world: World) -> None:
    await world.sql("DROP DATABASE carbon_ingestion SYNC")


async def _two_people(url: str, world: World) -> None:
    """As `paramedic recover start` of one and `paramedic recover approve` of the other would."""
    sagas = await _said(url, _BEN)
    if not sagas:
        await _said(url, _ANNA, wish={"namespace": NAMESPACE})
    for saga in sagas:
        # Before its steps are known there is nothing to approve.
        if saga["state"] == "asked" and saga["steps"]:
            await _said(url, _BEN, f"/{saga['id']}/approve", {})


async def _said(url: str, who: str, path: str = "", wish: dict[str, str] | None = None) -> Any:
    """The answer; a question where nothing is wished. RuntimeError for a no. Any: JSON of the
    API.
    """
    shown = {"Authorization": f"Bearer {_TOKENS[who]}"}
    method = "GET" if wish is None else "POST"
    async with (
        aiohttp.ClientSession(base_url=url, headers=shown) as session,
        session.request(method, _SAGAS + path, json=wish) as answer,
    ):
        if answer.status >= 400:
            raise RuntimeError(f"{who} was answered with {answer.status}: {await answer.text()}")
        return await answer.json()


SCENARIO = Scenario(
    name="7.3",
    row="7.3",
    breaks="Somebody drops the database carbon_ingestion; there is last night's backup.",
    does=(
        "anna asks for a recovery, ben approves its steps: it stops the services, restores the database,"
        " starts them again, and proves that rows and services are back."
    ),
    end=Healed("recover"),
    prepares=_backed_up,
    wrecks=_lost,
    speaks=_two_people,
    servers=frozenset({CLICKHOUSE}),
)
