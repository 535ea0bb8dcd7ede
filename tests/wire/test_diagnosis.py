"""A whole diagnosis over four real backends at once: all is known,
and it takes as long as its slowest probe.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from rehearsal.cluster import Cluster, Object, carbon_ingestion
from service.clients.clickhouse import ClickHouseClient
from service.clients.kafka import KafkaClient
from service.clients.kubernetes import KubernetesReader
from service.clients.prometheus import PrometheusClient
from service.diagnose.chapter import Look
from service.diagnose.chapters.high_latency import (
    HighLatencyEvidence,
    HighLatencyParameters,
    high_latency,
)
from service.diagnose.sources import Sources
from service.kit.clock import SystemClock
from service.kit.deadline import Deadline
from service.model.evidence import Known, facts
from service.model.target import Target, TargetKind
from service.settings import (
    ClickHouseSettings,
    KafkaSettings,
    KubernetesSettings,
    PrometheusSettings,
)
from tests.servers import clickhouse, kafka, monitoring

TARGET = Target(TargetKind.DEPLOYMENT, "carbon-ingestion", "normalization-service")


class HalfBusy:
    """Every container and node uses the same."""

    def of_pod(self, pod: Object) -> Mapping[str, Mapping[str, str]]:
        return {c["name"]: {"cpu": "100m", "memory": "64Mi"} for c in pod["spec"]["containers"]}

    def of_node(self, node: Object) -> Mapping[str, str]:
        return {"cpu": "1", "memory": "1Gi"}


@pytest.fixture
async def sources(tmp_path: Path) -> AsyncIterator[Sources]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        broker = await enter(kafka.noida(tmp_path / "kafka"))
        database = await enter(clickhouse.modern(tmp_path / "clickhouse"))
        cluster = await enter(Cluster(carbon_ingestion(), usage=HalfBusy()))
        prometheus = await enter(
            monitoring.prometheus({"scrape_configs": []}, tmp_path / "prometheus")
        )
        await kafka.create_topic(broker.bootstrap, "logs", 3)
        await kafka.produce(broker.bootstrap, "logs", {0: 5})
        await kafka.commit(broker.bootstrap, "normalization", {("logs", 0): 1})
        at = KubernetesSettings(kubeconfig=cluster.kubeconfig(tmp_path / "kubeconfig"))
        yield Sources(
            kubernetes=await enter(KubernetesReader(at)),
            kafka=await enter(KafkaClient(KafkaSettings(bootstrap=broker.bootstrap))),
            clickhouse=await enter(
                ClickHouseClient(ClickHouseSettings(host="127.0.0.1", port=database.port))
            ),
            prometheus=await enter(PrometheusClient(PrometheusSettings(url=prometheus.url))),
        )


async def diagnose(sources: Sources, sample_s: float) -> tuple[HighLatencyEvidence, float]:
    started = time.monotonic()
    look = Look(sources, TARGET, Deadline.after(10.0), SystemClock(), lambda *_: None)
    params = HighLatencyParameters("normalization", sample_s=sample_s, series={"two": "1 + 1"})
    evidence = await high_latency(look, params)
    return evidence, time.monotonic() - started


async def test_everything_is_known_and_the_whole_takes_as_long_as_its_slowest_probe(
    sources: Sources,
) -> None:
    await diagnose(sources, 0.0)  # opens the connections
    evidence, took_s = await diagnose(sources, 0.3)
    readings = evidence.readings()
    assert all(isinstance(reading, Known) for reading in readings.values()), readings
    seen = facts(evidence)
    assert (seen["kafka"]["lag_total"], seen["kafka"]["partition_count"]) == (4, 3)
    assert seen["kafka"]["partitions"][0]["lag"] == 4
    assert seen["pods"]["rollout_complete"]
    assert seen["usage"]["cpu_cores"] > 0
    assert seen["series"] == {"two": 2.0}
    assert took_s / max(reading.took_s for reading in readings.values()) < 1.15
