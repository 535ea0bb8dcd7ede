"""Chapter 3.2, low throughput: the backlog, the service's headroom,
and how parallel and in what batches it works.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.config import Config, config
from service.diagnose.probes.kafka_lag import KafkaLag, kafka_lag
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.pods import PodDetails, pods
from service.diagnose.probes.series import Series, series
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.probes.usage import Usage, usage
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class LowThroughputParameters:
    """A playbook's `with:` for this chapter."""

    consumer_group: str
    config_map: str  # that holds PARALLELISM and BATCH_SIZE
    sample_s: float = 5.0  # seconds between the two readings of Kafka offsets
    series: Mapping[str, str] = field(default_factory=dict)  # name -> PromQL that gives one sample


@dataclass(frozen=True, slots=True)
class LowThroughputEvidence(Evidence):
    """What chapter 3.2 sees."""

    group: Reading[KafkaLag]
    config: Reading[Config]
    pods: Reading[PodDetails]
    usage: Reading[Usage]
    logs: Reading[Logs]
    series: Reading[Series]


async def low_throughput(look: Look, params: LowThroughputParameters) -> LowThroughputEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline
    cluster = sources.name_of("kubernetes")

    async def ask_group() -> KafkaLag:
        client = configured(sources.kafka, "Kafka")
        return await kafka_lag(
            client, params.consumer_group, (), params.sample_s, deadline=deadline, clock=look.clock
        )

    async def ask_config() -> Config:
        client, maps = configured(sources.kubernetes, "Kubernetes"), (params.config_map,)
        return await config(client, target.namespace, maps, deadline=deadline)

    async def ask_usage() -> Usage:
        return await usage(configured(sources.kubernetes, "Kubernetes"), target, deadline=deadline)

    async def ask_series() -> Series:
        client = configured(sources.prometheus, "Prometheus")
        return await series(client, params.series, deadline=deadline)

    async with Snapshot(sources, target, deadline) as snapshot:
        readings = await look.gather(
            {
                "group": Probe(sources.name_of("kafka"), ask_group),
                "config": Probe(cluster, ask_config),
                "pods": Probe(cluster, lambda: pods(snapshot)),
                "usage": Probe("metrics.k8s.io", ask_usage),
                "logs": Probe(cluster, lambda: logs(snapshot, look.clock.now())),
                "series": Probe(sources.name_of("prometheus"), ask_series),
            }
        )
    return LowThroughputEvidence(**readings)


CHAPTER = Chapter("low_throughput", LowThroughputParameters, LowThroughputEvidence, low_throughput)
