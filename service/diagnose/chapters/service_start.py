"""Chapter 1.1, a service does not start: its pods, their words, their room,
their references, their rollout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.capacity import Capacity, capacity
from service.diagnose.probes.dependencies import Dependencies, dependencies
from service.diagnose.probes.endpoints import Endpoints, endpoints
from service.diagnose.probes.events import Events, events
from service.diagnose.probes.logs import Logs, logs
from service.diagnose.probes.pods import PodDetails, pods
from service.diagnose.probes.references import References, references
from service.diagnose.probes.rollout import Rollout, rollout
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class ServiceStartParameters:
    """A playbook's `with:` for this chapter."""

    # Workload -> what it needs, each as Kind/name; "*" for the workloads that are not listed.
    dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    endpoints: Mapping[str, str] = field(default_factory=dict)  # name -> URL; "" is not asked


@dataclass(frozen=True, slots=True)
class ServiceStartEvidence(Evidence):
    """What chapter 1.1 sees."""

    pods: Reading[PodDetails]
    events: Reading[Events]
    logs: Reading[Logs]
    capacity: Reading[Capacity]
    references: Reading[References]
    rollout: Reading[Rollout]
    dependencies: Reading[Dependencies]
    health: Reading[Endpoints]


async def service_start(look: Look, params: ServiceStartParameters) -> ServiceStartEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline
    cluster = sources.name_of("kubernetes")
    async with Snapshot(sources, target, deadline) as snapshot:

        async def ask_dependencies() -> Dependencies:
            kubernetes = configured(sources.kubernetes, "Kubernetes")
            needs = params.dependencies
            return await dependencies(
                kubernetes, target.namespace, target.name, needs, deadline=deadline
            )

        readings = await look.gather(
            {
                "pods": Probe(cluster, lambda: pods(snapshot)),
                "events": Probe(cluster, lambda: events(snapshot)),
                "logs": Probe(cluster, lambda: logs(snapshot, look.clock.now())),
                "capacity": Probe(cluster, lambda: capacity(snapshot)),
                "references": Probe(cluster, lambda: references(snapshot)),
                "rollout": Probe(cluster, lambda: rollout(snapshot)),
                "dependencies": Probe(cluster, ask_dependencies),
                "health": Probe(
                    "endpoints", lambda: endpoints(params.endpoints, deadline=deadline)
                ),
            }
        )
    return ServiceStartEvidence(**readings)


CHAPTER = Chapter("service_start", ServiceStartParameters, ServiceStartEvidence, service_start)
