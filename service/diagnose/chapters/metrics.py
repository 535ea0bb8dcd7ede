"""Chapter 6.1, metrics not available: Prometheus, its targets, the annotations of pods,
the endpoints themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.annotations import Annotations, annotations
from service.diagnose.probes.endpoints import Endpoints, endpoints
from service.diagnose.probes.pods import PodDetails, pods
from service.diagnose.probes.prometheus_state import PrometheusState, prometheus_state
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.probes.targets import ScrapeTargets, targets
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class MetricsParameters:
    """A playbook's `with:` for this chapter."""

    up: str  # PromQL: `up` of the workload's targets
    # Workload -> the prometheus.io annotations that its pods need;
    # "*" for the workloads that are not listed.
    annotations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    endpoints: Mapping[str, str] = field(
        default_factory=dict
    )  # name -> URL of /metrics; "" is not asked
    targets_page: str = (
        ""  # URL of Prometheus' /api/v1/targets, for the text of the last scrape error
    )


@dataclass(frozen=True, slots=True)
class MetricsEvidence(Evidence):
    """What chapter 6.1 sees."""

    prometheus: Reading[PrometheusState]
    targets: Reading[ScrapeTargets]
    annotations: Reading[Annotations]
    endpoints: Reading[Endpoints]
    pods: Reading[PodDetails]


async def metrics(look: Look, params: MetricsParameters) -> MetricsEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, deadline = look.sources, look.deadline
    cluster, prometheus = sources.name_of("kubernetes"), sources.name_of("prometheus")

    async def ask_state() -> PrometheusState:
        client = configured(sources.prometheus, "Prometheus")
        return await prometheus_state(client, deadline=deadline)

    async def ask_targets() -> ScrapeTargets:
        client = configured(sources.prometheus, "Prometheus")
        return await targets(client, params.up, params.targets_page, deadline=deadline)

    async with Snapshot(sources, look.target, deadline) as snapshot:
        readings = await look.gather(
            {
                "prometheus": Probe(prometheus, ask_state),
                "targets": Probe(prometheus, ask_targets),
                "annotations": Probe(cluster, lambda: annotations(snapshot, params.annotations)),
                "endpoints": Probe(
                    "endpoints", lambda: endpoints(params.endpoints, deadline=deadline)
                ),
                "pods": Probe(cluster, lambda: pods(snapshot)),
            }
        )
    return MetricsEvidence(**readings)


CHAPTER = Chapter("metrics", MetricsParameters, MetricsEvidence, metrics)
