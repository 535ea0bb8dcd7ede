"""The Prometheus client and the series probe against a real Prometheus."""

import math
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.clients.prometheus import PrometheusClient, Sample
from service.diagnose.probes.series import series
from service.kit.deadline import Deadline
from service.model.errors import Refused, Unavailable
from service.model.reasons import Reason
from service.settings import PrometheusSettings
from tests.servers import monitoring


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[monitoring.Prometheus]:
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": []}
    async with monitoring.prometheus(config, tmp_path_factory.mktemp("prometheus")) as started:
        yield started


@pytest.fixture
async def prometheus(server: monitoring.Prometheus) -> AsyncIterator[PrometheusClient]:
    async with PrometheusClient(PrometheusSettings(url=server.url)) as client:
        yield client


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds)


async def test_a_real_answer_is_read(prometheus: PrometheusClient) -> None:
    labelled = 'label_replace(vector(2.5), "topic", "logs", "", "")'
    assert await prometheus.query(labelled, deadline=soon()) == [Sample({"topic": "logs"}, 2.5)]
    assert await prometheus.query("1 + 1", deadline=soon()) == [Sample({}, 2.0)]
    assert await prometheus.query("absent_metric", deadline=soon()) == []
    assert math.isnan((await prometheus.query("vector(0) / 0", deadline=soon()))[0].value)
    assert (await prometheus.query("vector(1) / 0", deadline=soon()))[0].value == math.inf
    assert (await prometheus.query("-vector(1) / 0", deadline=soon()))[0].value == -math.inf


async def test_a_query_with_every_kind_of_character_arrives_as_it_is(
    prometheus: PrometheusClient,
) -> None:
    label = 'ä & b=c + "d" %41 #?'.replace('"', '\\"')
    query = f'label_replace(vector(1), "x", "{label}", "", "")'
    assert (await prometheus.query(query, deadline=soon()))[0].labels["x"] == label.replace(
        '\\"', '"'
    )
    long = f'{query} or absent_metric{{y=~"{"z" * 3000}"}}'
    assert await prometheus.query(long, deadline=soon()) == await prometheus.query(
        query, deadline=soon()
    )


@pytest.mark.parametrize("query", ["sum(", "nofunction(1)", "", "up{"])
async def test_a_wrong_query_is_an_invalid_request(
    prometheus: PrometheusClient, query: str
) -> None:
    with pytest.raises(Refused) as refused:
        await prometheus.query(query, deadline=soon())
    assert refused.value.reason is Reason.INVALID_REQUEST


async def test_declared_series_have_their_values(prometheus: PrometheusClient) -> None:
    queries = {
        "p99": "vector(0.25)",
        "rate": "2",
        "nothing": "absent_metric",
        "ratio": "vector(0) / 0",
    }
    assert await series(prometheus, queries, deadline=soon()) == {"p99": 0.25, "rate": 2.0}


async def test_a_frozen_prometheus_is_late_and_answers_when_it_goes_on(
    server: monitoring.Prometheus, prometheus: PrometheusClient
) -> None:
    await prometheus.query("1", deadline=soon())
    async with server.process.frozen():
        with pytest.raises(Unavailable) as unavailable:
            await prometheus.query("1", deadline=soon(0.3))
        assert unavailable.value.reason is Reason.LATE
    assert await prometheus.query("1", deadline=soon()) == [Sample({}, 1.0)]
