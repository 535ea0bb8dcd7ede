"""What a scrape tells that is not counted in memory: states, ages, budgets, receivers."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
import sqlalchemy as sa

from service.app import serving
from service.desk.scraping import Scraping
from service.kit.clock import VirtualClock
from service.model.action import Applied, Mode
from service.model.errors import BadConfig, Unavailable
from service.model.reasons import Reason
from service.settings import GuardSettings, KafkaSettings, PublishSettings
from service.store.database import Database
from service.store.figures import Figures
from service.store.outbox import Outbox
from service.store.schema import sinks
from service.store.tallies import Tallies
from tests.path.test_intake import settings_for
from tests.path.test_ledger import wrote
from tests.path.world import World, world
from tests.servers.grafana import grafana

T = TypeVar("T")


async def scraped(made: World, not_ready: str | None = None) -> None:
    database = made.database
    await Scraping(
        made.metrics, Figures(database), Tallies(database), Outbox(database), made.inbox,
        made.playbooks, made.policy, made.clock,
    ).refresh(not_ready)  # fmt: skip


async def test_states_modes_ages_and_budgets_are_those_of_now(lively: World) -> None:
    lively.limits = GuardSettings(overall_count=5)
    await wrote(lively, "a")
    await wrote(lively, "dry", mode=Mode.DRY_RUN, applied=Applied.DRY)
    await wrote(lively, "elsewhere", playbook="other")
    await lively.inbox.accept(b"{}")
    lively.clock.advance(60)
    await scraped(lively, "store_full")
    count = lively.count
    assert count("paramedic_incidents", playbook="high-latency", state="open") == 1
    assert count("paramedic_incidents", playbook="high-latency", state="healed") == 0
    assert count("paramedic_mode", mode="auto") == 1
    assert count("paramedic_mode", mode="observe") == 0
    assert count("paramedic_ready") == 0
    assert count("paramedic_inbox_oldest_seconds") == 60
    assert count("paramedic_budget_left_actions", playbook="") == 3
    assert count("paramedic_budget_left_actions", playbook="high-latency") == 7
    lively.clock.advance(3 * 3600)
    await scraped(lively)
    assert count("paramedic_ready") == 1
    assert count("paramedic_budget_left_actions", playbook="") == 5


async def test_a_remedy_that_waits_for_a_person_is_counted(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, mode=Mode.APPROVE) as made:
        await made.fires()
        await made.settle()
        await scraped(made)
        assert made.count("paramedic_approvals_waiting") == 1
        await made.resolves()
        await made.settle()
        await scraped(made)
        assert made.count("paramedic_approvals_waiting") == 0


async def test_how_long_it_took_is_told_of_the_first_look_the_first_action_and_the_healing(
    lively: World,
) -> None:
    await lively.settle()
    for name in ("evidence", "action", "healed"):
        metric = f"paramedic_time_to_{name}_seconds"
        assert lively.count(f"{metric}_count", playbook="high-latency") == 1
    took_s = lively.count("paramedic_time_to_healed_seconds_sum", playbook="high-latency")
    healed_at = lively.clock.now()
    assert 0 < took_s <= (healed_at - (await lively.only()).opened_at).total_seconds()


class Away(Database):
    """A store that may be away for reading."""

    away = False

    async def read(self, query: Callable[[sa.Connection], T]) -> T:
        if self.away:
            raise Unavailable(Reason.STORE_DOWN, "away")
        return await super().read(query)


@pytest.mark.only_on("sqlite")
async def test_a_scrape_without_the_store_is_answered_and_counted_as_a_fault(
    store_url: str, clock: VirtualClock
) -> None:
    async with world(store_url, clock, opener=Away) as made:
        await made.fires()
        await scraped(made)
        made.database.away = True  # type: ignore[attr-defined]
        await scraped(made)
        assert made.count("paramedic_faults_total", where="scrape") == 1
        assert made.count("paramedic_incidents", playbook="high-latency", state="open") == 1


async def test_a_service_follows_what_is_configured_and_lets_go_when_it_ends(
    store_url: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("t")
    async with grafana("t") as board:
        publish = PublishSettings(grafana_url=board.url, grafana_token_file=token)
        settings = settings_for(store_url).model_copy(update={"publish": publish})
        async with serving(settings) as service, aiohttp.ClientSession() as session:
            text, said = "", ('paramedic_sink_lag_steps{sink="grafana"} 0.0', 'sink="tally"')
            while not all(line in text for line in said):  # each sink follows at its own pace
                async with session.get(f"{service.url}/metrics") as answer:
                    text = await answer.text()
        assert 'sink="kafka"' not in text
        assert 'paramedic_store_duration_seconds_bucket{le="0.5",operation="write"}' in text
    database = await Database.open(store_url)
    owners = await database.read(lambda c: c.execute(sa.select(sinks.c.owner)).scalars().all())
    await database.close()
    assert owners == [None, None]


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("publish", "said"),
    [
        pytest.param(PublishSettings(kafka_topic="t"), "kafka.bootstrap", id="no brokers"),
        pytest.param(PublishSettings(kubernetes_events=True), "kubeconfig", id="no cluster"),
        pytest.param(PublishSettings(grafana_url="nowhere"), "grafana_url", id="no URL"),
    ],
)
async def test_a_receiver_that_cannot_be_had_stops_the_start(
    store_url: str, publish: PublishSettings, said: str
) -> None:
    settings = settings_for(store_url).model_copy(
        update={"publish": publish, "kafka": KafkaSettings()}
    )
    with pytest.raises(BadConfig, match=said):
        async with serving(settings):
            pass


@pytest.mark.only_on("sqlite")
async def test_a_service_whose_store_is_gone_is_not_ready(store_url: str) -> None:
    settings = settings_for(store_url)
    async with serving(settings) as service, aiohttp.ClientSession(service.url) as session:
        async with session.get("/readyz") as answer:
            assert answer.status == 200
        Path(store_url.removeprefix("sqlite:///")).unlink()
        async with session.get("/readyz") as answer:
            assert (answer.status, (await answer.text()).strip()) == (503, "store_replaced")
