"""The Alertmanager client and what is asked of a real one: firing, silenced,
inhibited, resolved, gone.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from rehearsal.servers import free_port
from service.clients.alertmanager import AlertmanagerClient, PostedAlert
from service.diagnose.probes.standing import standing
from service.kit.deadline import Deadline
from service.model.alert import Alert, AlertStatus, Standing
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason
from service.settings import AlertmanagerSettings
from tests.servers import monitoring

CONFIG: dict[str, Any] = {
    "route": {"receiver": "nobody", "group_wait": "1s"},
    "receivers": [{"name": "nobody"}],
    "inhibit_rules": [
        {
            "source_matchers": ['alertname="KafkaDown"'],
            "target_matchers": ['effect="true"'],
            "equal": ["namespace"],
        }
    ],
}
NASTY = 'a "b" \\ c\nd, {e="f"} ä'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[monitoring.Alertmanager, monitoring.Alertmanager]]:
    """Two that know nothing of one another, as a pair whose gossip is broken."""
    async with (
        monitoring.alertmanager(CONFIG, tmp_path_factory.mktemp("one")) as one,
        monitoring.alertmanager(CONFIG, tmp_path_factory.mktemp("other")) as other,
    ):
        yield one, other


@pytest.fixture
async def clients(
    pair: tuple[monitoring.Alertmanager, ...],
) -> AsyncIterator[tuple[AlertmanagerClient, ...]]:
    urls = tuple(server.url for server in pair)
    async with AsyncExitStack() as stack:
        yield await opened(stack, *urls)


async def opened(stack: AsyncExitStack, *urls: str) -> tuple[AlertmanagerClient, ...]:
    settings = AlertmanagerSettings(urls=urls)
    made = [AlertmanagerClient(url, settings) for url in settings.urls]
    return tuple([await stack.enter_async_context(client) for client in made])


def soon() -> Deadline:
    return Deadline.after(5.0)


def posted(ends_in_s: float = 600.0, **labels: str) -> PostedAlert:
    now = datetime.now(UTC)
    began = now - timedelta(minutes=1)
    return PostedAlert(labels, {"summary": "x"}, began, now + timedelta(seconds=ends_in_s))


async def as_received(server: monitoring.Alertmanager, **labels: str) -> Alert:
    """The alert as a webhook would tell of it, with the fingerprint that Alertmanager gives."""
    (found,) = await server.alerts(alertname=labels["alertname"])
    began = datetime.now(UTC) - timedelta(minutes=1)
    return Alert(found["fingerprint"], began, None, AlertStatus.FIRING, found["labels"], {})


async def silence(server: monitoring.Alertmanager, alertname: str) -> None:
    now = datetime.now(UTC)
    body: Mapping[str, Any] = {
        "matchers": [{"name": "alertname", "value": alertname, "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
        "createdBy": "ann",
        "comment": "leave it",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{server.url}/api/v2/silences", json=body) as reply,
    ):
        reply.raise_for_status()


async def test_what_fires_is_active(
    pair: tuple[monitoring.Alertmanager, ...], clients: tuple[AlertmanagerClient, ...]
) -> None:
    await clients[0].post([posted(alertname="Firing")], deadline=soon())
    alert = await as_received(pair[0], alertname="Firing")
    # One of a pair is enough: alerts are not gossiped.
    assert await standing(clients, [alert], deadline=soon()) == Standing(active=1)


async def test_a_silence_that_one_of_the_pair_knows_of_counts(
    pair: tuple[monitoring.Alertmanager, ...], clients: tuple[AlertmanagerClient, ...]
) -> None:
    for client in clients:
        await client.post([posted(alertname="Silenced")], deadline=soon())
    alert = await as_received(pair[0], alertname="Silenced")
    await silence(pair[1], "Silenced")
    assert await standing(clients, [alert], deadline=soon()) == Standing(silenced=1)


async def test_what_another_alert_inhibits_is_told_so(
    pair: tuple[monitoring.Alertmanager, ...], clients: tuple[AlertmanagerClient, ...]
) -> None:
    cause = posted(alertname="KafkaDown", namespace="n")
    effect = posted(alertname="Effect", namespace="n", effect="true")
    await clients[0].post([cause, effect], deadline=soon())
    alert = await as_received(pair[0], alertname="Effect")
    assert await standing(clients, [alert], deadline=soon()) == Standing(inhibited=1)


async def test_what_has_resolved_or_was_never_there_is_not_held(
    pair: tuple[monitoring.Alertmanager, ...], clients: tuple[AlertmanagerClient, ...]
) -> None:
    await clients[0].post([posted(alertname="Over")], deadline=soon())
    alert = await as_received(pair[0], alertname="Over")
    await clients[0].post([posted(-1.0, alertname="Over")], deadline=soon())
    never = Alert("0" * 16, alert.starts_at, None, AlertStatus.FIRING, {"alertname": "N"}, {})
    assert await standing(clients, [alert], deadline=soon()) == Standing()
    assert await standing(clients, [never], deadline=soon()) == Standing()


async def test_of_several_alerts_each_is_counted_once(
    pair: tuple[monitoring.Alertmanager, ...], clients: tuple[AlertmanagerClient, ...]
) -> None:
    for client in clients:
        for n in range(3):
            await client.post([posted(alertname=f"Many{n}", namespace="n")], deadline=soon())
    alerts = [await as_received(pair[0], alertname=f"Many{n}") for n in range(3)]
    await silence(pair[0], "Many1")
    found = await standing(clients, [*alerts, *alerts], deadline=soon())
    assert found == Standing(active=2, silenced=1)


async def test_a_label_with_every_kind_of_character_is_asked_for_as_it_is(
    pair: tuple[monitoring.Alertmanager, ...], clients: tuple[AlertmanagerClient, ...]
) -> None:
    await clients[0].post([posted(alertname=NASTY, namespace=NASTY)], deadline=soon())
    wanted = {"alertname": NASTY, "namespace": NASTY}
    (held,) = await clients[0].alerts(wanted, deadline=soon())
    assert await clients[0].alerts({**wanted, "namespace": "other"}, deadline=soon()) == []
    alert = Alert(held.fingerprint, datetime.now(UTC), None, AlertStatus.FIRING, wanted, {})
    assert await standing(clients, [alert], deadline=soon()) == Standing(active=1)


async def test_one_of_a_pair_that_is_away_may_hold_what_the_other_does_not(
    pair: tuple[monitoring.Alertmanager, ...], clients: tuple[AlertmanagerClient, ...]
) -> None:
    async with AsyncExitStack() as stack:
        (away,) = await opened(stack, f"http://127.0.0.1:{free_port()}")
        await clients[0].post([posted(alertname="Half")], deadline=soon())
        alert = await as_received(pair[0], alertname="Half")
        known = await standing([clients[0], away], [alert], deadline=soon())
        assert known == Standing(active=1)
        with pytest.raises(Unavailable) as caught:
            await standing([clients[1], away], [alert], deadline=soon())
        assert caught.value.reason is Reason.UNREACHABLE


async def test_what_alertmanager_refuses_is_told_with_its_words(
    clients: tuple[AlertmanagerClient, ...],
) -> None:
    with pytest.raises(Refused) as caught:
        await clients[0].post([posted(alertname="")], deadline=soon())
    assert caught.value.reason is Reason.INVALID_REQUEST


async def test_a_server_that_says_nothing_is_late_and_nothing_is_left_open() -> None:
    over = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client has gone
        writer.close()
        await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with AsyncExitStack() as stack:
            (client,) = await opened(stack, f"http://127.0.0.1:{port}")
            with pytest.raises(Unavailable) as caught:
                await client.alerts({"alertname": "x"}, deadline=Deadline.after(0.3))
            assert caught.value.reason is Reason.LATE
        async with asyncio.timeout(5):
            await over.wait()
