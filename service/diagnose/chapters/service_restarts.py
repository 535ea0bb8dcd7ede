"""Chapter 1.2, a service restarts frequently: how its containers end,
what kills them, and how memory moves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.events import Events, events
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.pods import PodDetails, pods
from service.diagnose.probes.rollout import Rollout, rollout
from service.diagnose.probes.series import Series, series
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.probes.usage import Usage, usage
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class ServiceRestartsParameters:
    """A playbook's `with:` for this chapter."""

    series: Mapping[str, str] = field(default_factory=dict)  # name -> PromQL that gives one sample


@dataclass(frozen=True, slots=True)
class ServiceRestartsEvidence(Evidence):
    """What chapter 1.2 sees."""

    pods: Reading[PodDetails]
    events: Reading[Events]
    logs: Reading[Logs]
    rollout: Reading[Rollout]
    usage: Reading[Usage]
    series: Reading[Series]


async def service_restarts(
    look: Look, params: ServiceRestartsParameters
) -> ServiceRestartsEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline
    cluster = sources.name_of("kubernetes")

    async def ask_usage() -> Usage:
        return await usage(configured(sources.kubernetes, "Kubernetes"), target, deadline=deadline)

    async def ask_series() -> Series:
        client = configured(sources.prometheus, "Prometheus")
        return await series(client, params.series, deadline=deadline)

    async with Snapshot(sources, target, deadline) as snapshot:
        readings = await look.gather(
            {
                "pods": Probe(cluster, lambda: pods(snapshot)),
                "events": Probe(cluster, lambda: events(snapshot)),
                "logs": Probe(cluster, lambda: logs(snapshot, look.clock.now())),
                "rollout": Probe(cluster, lambda: rollout(snapshot)),
                "usage": Probe("metrics.k8s.io", ask_usage),
                "series": Probe(sources.name_of("prometheus"), ask_series),
            }
        )
    return ServiceRestartsEvidence(**readings)


CHAPTER = Chapter(
    "service_restarts", ServiceRestartsParameters, ServiceRestartsEvidence, service_restarts
)
