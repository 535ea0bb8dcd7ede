"""Chapter 6.2, logging: the level, what the last lines look like and how old
they are, the room for logs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.config import HARMLESS, Config, config
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.pods import PodDetails, pods
from service.diagnose.probes.series import Series, series
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.probes.volumes import Volumes, volumes
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class LoggingParameters:
    """A playbook's `with:` for this chapter."""

    config_maps: tuple[str, ...]  # that hold LOG_LEVEL; the first that has it counts
    keys: tuple[str, ...] = HARMLESS  # whose values may be shown
    series: Mapping[str, str] = field(default_factory=dict)  # name -> PromQL that gives one sample


@dataclass(frozen=True, slots=True)
class LoggingEvidence(Evidence):
    """What chapter 6.2 sees."""

    config: Reading[Config]
    logs: Reading[Logs]
    pods: Reading[PodDetails]
    volumes: Reading[Volumes]
    series: Reading[Series]


async def logging(look: Look, params: LoggingParameters) -> LoggingEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline
    cluster, prometheus = sources.name_of("kubernetes"), sources.name_of("prometheus")

    async def ask_config() -> Config:
        kubernetes, maps = configured(sources.kubernetes, "Kubernetes"), params.config_maps
        return await config(kubernetes, target.namespace, maps, params.keys, deadline=deadline)

    async def ask_volumes() -> Volumes:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        return await volumes(kubernetes, sources.prometheus, target.namespace, deadline=deadline)

    async def ask_series() -> Series:
        client = configured(sources.prometheus, "Prometheus")
        return await series(client, params.series, deadline=deadline)

    async with Snapshot(sources, target, deadline) as snapshot:
        readings = await look.gather(
            {
                "config": Probe(cluster, ask_config),
                "logs": Probe(cluster, lambda: logs(snapshot, look.clock.now())),
                "pods": Probe(cluster, lambda: pods(snapshot)),
                "volumes": Probe(cluster, ask_volumes),
                "series": Probe(prometheus, ask_series),
            }
        )
    return LoggingEvidence(**readings)


CHAPTER = Chapter("logging", LoggingParameters, LoggingEvidence, logging)
