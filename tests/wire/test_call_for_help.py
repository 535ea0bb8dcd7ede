"""A call for help through a real pair of Alertmanagers, to the receiver of people,
and back by a catch-all route.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.clients.alertmanager import AlertmanagerClient
from service.kit.clock import VirtualClock
from service.model.action import Mode
from service.model.approval import Answer
from service.publish.escalation import SINK
from service.publish.follower import Follower
from service.publish.sink import Outlets
from service.settings import AlertmanagerSettings
from service.store.escalations import Escalations
from service.store.outbox import Outbox
from tests.path.test_approval import proposal, with_plan
from tests.path.world import World, world
from tests.servers import monitoring
from tests.servers.faults import Scripted, scripted


def routing(people: Scripted) -> dict[str, Any]:
    """Everything goes to people, Paramedic's own alerts included."""
    return {
        "route": {
            "receiver": "people",
            "group_by": ["..."],
            "group_wait": "1s",
            "group_interval": "1s",
        },
        "receivers": [{"name": "people", "webhook_configs": [{"url": f"{people.url}/people"}]}],
    }


def told(people: Scripted) -> list[dict[str, Any]]:
    return [alert for asked in people.asked for alert in json.loads(asked.body)["alerts"]]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not holds():
            await asyncio.sleep(0.05)


async def escalated(made: World) -> None:
    await made.fires(summary='a "quoted" <name> & more')
    await made.settle()


async def test_people_get_the_call_and_its_end_from_a_real_alertmanager_and_no_loop_begins(
    tmp_path: Path,
) -> None:
    clock = VirtualClock(datetime.now(UTC))  # Alertmanager goes by the real one
    async with AsyncExitStack() as stack:
        people = await stack.enter_async_context(scripted())
        servers = [
            await stack.enter_async_context(
                monitoring.alertmanager(routing(people), tmp_path / name)
            )
            for name in ("one", "other")
        ]
        settings = AlertmanagerSettings(urls=tuple(server.url for server in servers))
        clients = [
            await stack.enter_async_context(AlertmanagerClient(url, settings))
            for url in settings.urls
        ]
        url = f"sqlite:///{tmp_path / 'p.db'}"
        made = await stack.enter_async_context(world(url, clock, mode=Mode.OBSERVE))
        outlets = Outlets(clock, alertmanagers=clients, escalations=Escalations(made.database))
        sink = SINK.bind(outlets)
        assert sink is not None
        follower = Follower(sink, Outbox(made.database), clock, "w1")
        await follower.follow()

        await escalated(made)
        await follower.follow()
        incident = await made.only()
        for server in servers:
            (held,) = await server.alerts(incident=incident.id)
            assert held["labels"]["alertname"] == "ParamedicNeedsHuman"
            assert held["status"]["state"] == "active"
            assert held["annotations"]["incident"] == f"paramedic incidents {incident.id}"
        await until(lambda: len(people.asked) >= 2)  # one each: nobody gossips here
        (call, *_) = told(people)
        assert call["status"] == "firing"
        assert "kubectl" in call["annotations"]["commands"]

        # A catch-all route brings it back to Paramedic as Alertmanager tells it.
        await made.inbox.accept(people.asked[0].body)
        while await made.sorter.sort_batch():
            pass
        assert len(await made.incidents.listing(9)) == 1

        await made.resolves(summary='a "quoted" <name> & more')
        await made.round()
        await follower.follow()
        for server in servers:
            assert await server.alerts(incident=incident.id) == []
        await until(lambda: sum(alert["status"] == "resolved" for alert in told(people)) >= 2)


async def test_a_proposal_fires_in_a_real_alertmanager_until_a_person_has_answered(
    tmp_path: Path,
) -> None:
    clock = VirtualClock(datetime.now(UTC))  # Alertmanager goes by the real one
    async with AsyncExitStack() as stack:
        people = await stack.enter_async_context(scripted())
        server = await stack.enter_async_context(
            monitoring.alertmanager(routing(people), tmp_path / "one")
        )
        settings = AlertmanagerSettings(urls=(server.url,))
        client = await stack.enter_async_context(AlertmanagerClient(server.url, settings))
        more: dict[str, Any] = {"people": True, "playbooks": (with_plan(Mode.APPROVE),)}
        url = f"sqlite:///{tmp_path / 'p.db'}"
        made = await stack.enter_async_context(world(url, clock, **more))
        outlets = Outlets(clock, alertmanagers=[client], escalations=Escalations(made.database))
        sink = SINK.bind(outlets)
        assert sink is not None
        follower = Follower(sink, Outbox(made.database), clock, "w1")
        await follower.follow()

        await made.fires()
        await made.settle()
        await follower.follow()
        incident, row = await made.only(), await proposal(made)
        (held,) = await server.alerts(incident=incident.id)
        assert held["labels"]["alertname"] == "ParamedicApprovalWaiting"
        assert held["status"]["state"] == "active"
        await until(lambda: bool(people.asked))
        (call, *_) = told(people)
        assert f"paramedic approve {row['id']} --why" in call["annotations"]["commands"]

        await made.desk.answer(row["id"], Answer.APPROVE, "anna", "seen it")
        await made.round()
        await follower.follow()
        assert len(made.platform.effects) == 1
        assert await server.alerts(incident=incident.id) == []
        await until(lambda: [a["status"] for a in told(people)][-1:] == ["resolved"])


@pytest.mark.parametrize(
    "url",
    ["ftp://host", "http://", "http://user:secret@host:9093", "http://host?x=1", "http://[", "x"],
)
def test_an_address_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL like") as caught:
        AlertmanagerSettings(urls=(url,))
    assert "secret" not in str(caught.value.errors(include_input=False))  # type: ignore[attr-defined]


def test_addresses_are_read_as_a_list_with_or_without_a_slash_at_their_end() -> None:
    settings = AlertmanagerSettings.model_validate({"urls": "http://a:9093/, https://b/prefix"})
    assert settings.urls == ("http://a:9093", "https://b/prefix")
