"""The trail of a remediation: one region in Grafana, Kubernetes Events, Kafka records,
whatever dies in between.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rehearsal.cluster import Cluster, Fault, carbon_ingestion
from rehearsal.servers.kafka import NoidaBroker
from service.clients.grafana import GrafanaAnnotations
from service.clients.kafka_write import KafkaPublisher
from service.clients.kubernetes_events import KubernetesEvents
from service.kit.clock import VirtualClock
from service.model.action import Mode
from service.publish import SINKS
from service.publish.follower import Follower, followers
from service.publish.sink import Outlets
from service.settings import KafkaSettings, KubernetesSettings, PublishSettings
from service.store.outbox import Outbox
from service.store.tallies import Tallies
from tests.path.world import Crash, World, world
from tests.servers.grafana import Grafana, grafana
from tests.servers.kafka import create_topic, noida, records, topics

NS = "carbon-ingestion"
TOPIC = "paramedic-steps"
OUTSIDE = ("grafana", "kube_events", "kafka")
TOKEN = "glsa_of_the_test"


class MortalOutbox(Outbox):
    """The process dies when a batch has been delivered, before its cursor moves."""

    mortal = True

    async def advance(self, sink: str, owner: str, step_id: int) -> None:
        if self.mortal:
            raise Crash
        await super().advance(sink, owner, step_id)


@dataclass
class Receivers:
    """Everything that is told, and a service that tells it."""

    made: World
    grafana: Grafana
    cluster: Cluster
    broker: NoidaBroker
    folder: Path
    started: int = 0
    outbox: MortalOutbox = field(init=False)

    @asynccontextmanager
    async def process(self, *, mortal: bool = False) -> AsyncIterator[Mapping[str, Follower]]:
        """The followers of a new process, with clients of their own."""
        token = self.folder / "token"
        token.write_text(TOKEN + "\n")
        settings = PublishSettings(
            grafana_url=self.grafana.url,
            grafana_token_file=token,
            incident_url="https://paramedic.example/i/{incident}",
        )
        kafka = KafkaSettings(bootstrap=self.broker.bootstrap)
        kubernetes = KubernetesSettings(
            kubeconfig=self.cluster.kubeconfig(self.folder / "kubeconfig")
        )
        self.started += 1
        self.outbox = MortalOutbox(self.made.database)
        self.outbox.mortal = mortal
        await self.outbox.release_all()
        async with AsyncExitStack() as stack:
            outlets = Outlets(
                self.made.clock,
                await stack.enter_async_context(GrafanaAnnotations(settings)),
                await stack.enter_async_context(KubernetesEvents(kubernetes)),
                await stack.enter_async_context(KafkaPublisher(kafka, TOPIC, "/test")),
                Tallies(self.made.database),
                settings.incident_url,
            )
            bound = followers(SINKS, outlets, self.outbox, f"p{self.started}")
            yield {follower.name: follower for follower in bound}

    def events(self) -> list[Any]:
        found = self.cluster.objects("events", NS)
        return [e for e in found if e.get("reportingComponent") == "paramedic"]

    async def records(self) -> list[tuple[str, str, str]]:
        """Key, id and type of every record of the topic."""
        found = await records(self.broker.bootstrap, TOPIC)
        return [(key, headers["ce_id"], headers["ce_type"]) for key, headers in found]


@pytest.fixture
async def receivers(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> AsyncIterator[Receivers]:
    async with (
        world(store_url, clock) as made,
        grafana(TOKEN) as board,
        Cluster(carbon_ingestion()) as cluster,
        noida(tmp_path / "kafka") as broker,
    ):
        await create_topic(broker.bootstrap, TOPIC, 3)
        yield Receivers(made, board, cluster, broker, tmp_path)


async def drained(all_of_them: Mapping[str, Follower]) -> None:
    for follower in all_of_them.values():
        while await follower.follow():
            pass


async def shown_once(told: Receivers) -> None:
    """Exactly one remediation, in every receiver."""
    (line,) = await told.made.ledger.entries(None, 9)
    (region,) = told.grafana.annotations
    assert set(region["tags"]) == {
        "remediation", f"rid:{line['action_id']}", "playbook:high-latency", "rung:scale-out",
        "outcome:healed", f"namespace:{NS}", f"incident:{line['incident_id']}",
    }  # fmt: skip
    assert region["time"] == round(line["intended_at"].timestamp() * 1000)
    assert region["timeEnd"] == round(line["settled_at"].timestamp() * 1000)
    assert region["dashboardUID"] == ""
    incident = line["incident_id"]
    for text in ("from 2 to 3", "grows_evenly", f"/i/{incident}", "outcome: healed"):
        assert text in region["text"]
    events = told.events()
    assert [e["reason"] for e in events] == ["RemediationApplied", "RemediationHealed"]
    for event in events:
        assert event["involvedObject"]["name"] == "normalization-service"
        assert event["involvedObject"]["uid"] == "uid-1"
        assert line["action_id"] in event["message"]
    record = await told.made.incidents.record(incident)
    assert record is not None
    steps = [(incident, str(s["id"]), f"io.paramedic.step.{s['kind']}") for s in record[2]]
    assert await told.records() == steps, "in one partition, in order, each once"


async def test_one_remediation_is_shown_once_in_every_receiver(receivers: Receivers) -> None:
    made = receivers.made
    async with receivers.process() as all_of_them:
        await drained(all_of_them)
        await made.fires()
        await made.settle()
        await drained(all_of_them)
        await shown_once(receivers)
    labels = {"playbook": "high-latency", "rung": "scale-out", "action": "scale"}
    ended = {**labels, "applied": "done", "reason": "done"}
    assert made.count("paramedic_actions_total", **ended) == 1.0


async def test_a_region_begins_when_the_intent_is_durable_and_ends_with_the_outcome(
    receivers: Receivers,
) -> None:
    made = receivers.made
    async with receivers.process() as all_of_them:
        await drained(all_of_them)
        await made.fires()
        while not await made.actions():
            await made.step_when_due()
        await drained(all_of_them)
        (region,) = receivers.grafana.annotations
        assert "outcome:running" in region["tags"]
        assert region["time"] == region["timeEnd"]
        await made.settle()
        await drained(all_of_them)
        await shown_once(receivers)


async def dies_when_it_has_delivered(receivers: Receivers, name: str) -> None:
    async with receivers.process(mortal=True) as all_of_them:
        with pytest.raises(Crash):
            for _ in range(5):
                receivers.made.clock.advance(300.0)
                await all_of_them[name].follow()


@pytest.mark.only_on("sqlite")
async def test_after_each_receiver_was_down_and_the_service_killed_there_is_still_one_of_each(
    receivers: Receivers,
) -> None:
    made = receivers.made
    async with receivers.process() as all_of_them:
        await drained(all_of_them)  # their cursors begin here
    await receivers.grafana.stop()
    await receivers.broker.process.kill()
    away = receivers.cluster.inject(Fault("POST", ".*/events", status=503))
    await made.fires()
    while not await made.actions():
        await made.step_when_due()
    async with receivers.process() as all_of_them:
        await drained(all_of_them)  # of all that are away nothing is delivered
    assert receivers.grafana.annotations == []
    await receivers.grafana.start()
    receivers.grafana.lose_replies = 1
    await receivers.broker.start()
    if TOPIC not in await topics(receivers.broker.bootstrap):  # killed before it had kept it
        await create_topic(receivers.broker.bootstrap, TOPIC, 3)
    away.remove()
    for name in OUTSIDE:  # each gets its batch, and the process dies before it knows
        await dies_when_it_has_delivered(receivers, name)
        await made.restart()
    await made.settle()
    for _ in range(2):
        made.clock.advance(300.0)
        async with receivers.process() as all_of_them:
            await drained(all_of_them)
    await shown_once(receivers)


async def test_what_is_only_tried_out_is_no_remediation(
    store_url: str, clock: VirtualClock, tmp_path: Path
) -> None:
    async with (
        world(store_url, clock, mode=Mode.DRY_RUN) as made,
        grafana(TOKEN) as board,
        Cluster(carbon_ingestion()) as cluster,
        noida(tmp_path / "kafka") as broker,
    ):
        await create_topic(broker.bootstrap, TOPIC, 3)
        told = Receivers(made, board, cluster, broker, tmp_path)
        async with told.process() as all_of_them:
            await drained(all_of_them)
            await made.fires()
            await made.settle()
            await drained(all_of_them)
        assert await made.actions()
        assert told.grafana.annotations == []
        assert told.events() == []
