"""The clients of the sinks: Grafana by its documented rules, Kafka on a broker,
Events on the emulated cluster.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rehearsal.cluster import Cluster, Fault, carbon_ingestion
from service.clients.grafana import Annotation, GrafanaAnnotations
from service.clients.kafka_write import KafkaPublisher, Record
from service.clients.kubernetes_events import KubernetesEvents
from service.kit.deadline import Deadline
from service.model.errors import BadConfig, ParamedicError, Refused, Unavailable
from service.model.reasons import Reason
from service.settings import KafkaSettings, KubernetesSettings, PublishSettings
from tests.servers.grafana import Grafana, grafana
from tests.servers.kafka import create_topic, noida, produce, records

AT = datetime(2026, 11, 24, tzinfo=UTC)
REGION = Annotation(AT, None, ["remediation", "rid:act-1"], "scale")
NS = "carbon-ingestion"


def soon() -> Deadline:
    return Deadline.after(10.0)


@asynccontextmanager
async def client(server: Grafana, folder: Path) -> AsyncIterator[GrafanaAnnotations]:
    token = folder / "token"
    token.write_text(server.token + "\n")
    async with GrafanaAnnotations(
        PublishSettings(grafana_url=server.url + "/", grafana_token_file=token)
    ) as made:
        yield made


async def test_an_annotation_is_found_by_its_tag_and_amended_in_place(tmp_path: Path) -> None:
    async with grafana("t") as server, client(server, tmp_path) as board:
        assert await board.find("rid:act-1", deadline=soon()) is None
        await board.add(REGION, deadline=soon())
        await board.add(Annotation(AT, None, ["rid:act-11"], "other"), deadline=soon())
        found = await board.find("rid:act-1", deadline=soon())
        assert found is not None
        end = datetime(2026, 11, 24, 0, 5, tzinfo=UTC)
        await board.amend(found, Annotation(end, end, ["rid:act-1"], "healed"), deadline=soon())
        row, _ = server.annotations
        assert (row["time"], row["timeEnd"]) == (1_795_478_400_000, 1_795_478_700_000)
        assert (row["text"], row["tags"]) == ("healed", ["rid:act-1"])


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (400, Refused, Reason.INVALID_REQUEST),
        (401, Refused, Reason.UNAUTHORIZED),
        (403, Refused, Reason.FORBIDDEN),
        (404, Refused, Reason.NOT_FOUND),
        (429, Unavailable, Reason.THROTTLED),
        (500, Unavailable, Reason.SERVER_ERROR),
        (302, Unavailable, Reason.WRONG_ANSWER),
    ],
)
async def test_what_grafana_answers_is_told_apart(
    status: int, error: type[ParamedicError], reason: Reason, tmp_path: Path
) -> None:
    async with grafana("t") as server, client(server, tmp_path) as board:
        server.answers = [status]
        with pytest.raises(error) as caught:
            await board.add(REGION, deadline=soon())
        assert caught.value.reason is reason


async def test_a_token_that_was_rotated_is_read_anew(tmp_path: Path) -> None:
    async with grafana("old") as server, client(server, tmp_path) as board:
        await board.add(REGION, deadline=soon())
        server.token = "new"
        with pytest.raises(Refused, match="401"):
            await board.add(REGION, deadline=soon())
        (tmp_path / "token").write_text("new")
        await board.add(REGION, deadline=soon())


@pytest.mark.parametrize("url", ["grafana:3000", "http://u:secret@grafana", "http://g/?q=1"])
def test_a_url_that_is_none_or_has_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadConfig) as caught:
        GrafanaAnnotations(PublishSettings(grafana_url=url))
    assert "secret" not in str(caught.value)


# ---------------------------------------------------------------------- Kafka


def record(number: int, key: str = "inc-1", source: str = "/a", size: int = 3) -> Record:
    headers = (("ce_id", str(number).encode()), ("ce_source", source.encode()))
    return Record(number, key.encode(), b"x" * size, headers)


async def values(bootstrap: str, topic: str) -> list[int]:
    found = await records(bootstrap, topic)
    return [int(headers.get("ce_id", "-1")) for _, headers in found]


async def test_records_are_sent_once_also_by_the_next_process_and_beside_strangers(
    tmp_path: Path,
) -> None:
    async with noida(tmp_path) as broker:
        await create_topic(broker.bootstrap, "steps", 1)
        settings = KafkaSettings(bootstrap=broker.bootstrap)
        async with KafkaPublisher(settings, "steps", "/a") as first:
            await first.send([record(n) for n in (1, 2, 3)], deadline=soon())
            await first.send([record(n) for n in (2, 3, 4)], deadline=soon())
        await produce(broker.bootstrap, "steps", {0: 2})
        async with KafkaPublisher(settings, "steps", "/b") as other:
            await other.send([record(1, source="/b")], deadline=soon())
        async with KafkaPublisher(settings, "steps", "/a") as second:
            await second.send([record(n) for n in (3, 4, 5)], deadline=soon())
        assert await values(broker.bootstrap, "steps") == [1, 2, 3, 4, -1, -1, 1, 5]


async def test_a_topic_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    async with noida(tmp_path) as broker:
        settings = KafkaSettings(bootstrap=broker.bootstrap)
        async with KafkaPublisher(settings, "absent", "/a") as publisher:
            for _ in range(2):
                with pytest.raises(Refused, match="absent") as caught:
                    await publisher.send([record(1)], deadline=soon())
                assert caught.value.reason is Reason.NOT_FOUND


async def test_a_record_that_is_too_large_is_refused_alone(tmp_path: Path) -> None:
    async with noida(tmp_path) as broker:
        await create_topic(broker.bootstrap, "steps", 1)
        settings = KafkaSettings(bootstrap=broker.bootstrap)
        async with KafkaPublisher(settings, "steps", "/a") as publisher:
            for batch in ([record(1), record(2, size=2**21), record(3)], [record(2, size=2**21)]):
                with pytest.raises(Refused) as caught:
                    await publisher.send(batch, deadline=soon())
                assert caught.value.reason is Reason.TOO_LARGE
            await publisher.send([record(1)], deadline=soon())
            await publisher.send([record(3)], deadline=soon())
        assert await values(broker.bootstrap, "steps") == [1, 3]


# ---------------------------------------------------------------------- Events


def event(name: str) -> dict[str, Any]:
    about = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": NS, "name": "x"}
    return {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": NS},
        "involvedObject": about, "type": "Normal", "reason": "R", "action": "A", "message": "m",
        "eventTime": "2026-11-24T00:00:00.000001Z", "reportingComponent": "paramedic",
        "reportingInstance": "paramedic",
    }  # fmt: skip


async def test_an_event_is_made_once_and_nothing_else_can_be_sent(tmp_path: Path) -> None:
    async with Cluster(carbon_ingestion()) as cluster:
        settings = KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"))
        async with KubernetesEvents(settings) as events:
            for _ in range(2):
                await events.create(NS, event("act-1.acted.0"), deadline=soon())
            with pytest.raises(Refused, match="no place of Events"):
                await events.create("a/../b", event("x"), deadline=soon())
            with cluster.inject(Fault("POST", ".*/events", status=503)), pytest.raises(Unavailable):
                await events.create(NS, event("act-2.acted.0"), deadline=soon())
        assert cluster.find("events", NS, "act-1.acted.0") is not None
