"""Chapter 7.1, service outage: what the services depend on,
then all of chapter 1.1 for each of them, at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.dependencies import Dependencies, dependencies
from service.diagnose.probes.endpoints import Endpoints, endpoints
from service.diagnose.probes.outage import Outage, outage
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class OutageParameters:
    """A playbook's `with:` for this chapter."""

    services: tuple[str, ...]  # Deployments, in the order in which they are to be restarted
    dependencies: tuple[str, ...] = ()  # what all of them need, each as Kind/name
    endpoints: Mapping[str, str] = field(default_factory=dict)  # name -> URL; "" is not asked


@dataclass(frozen=True, slots=True)
class OutageEvidence(Evidence):
    """What chapter 7.1 sees."""

    dependencies: Reading[Dependencies]
    services: Reading[Outage]
    health: Reading[Endpoints]


async def diagnose(look: Look, params: OutageParameters) -> OutageEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline
    cluster, namespace = sources.name_of("kubernetes"), target.namespace

    async def ask_dependencies() -> Dependencies:
        kubernetes, needs = (
            configured(sources.kubernetes, "Kubernetes"),
            {"*": params.dependencies},
        )
        return await dependencies(kubernetes, namespace, "*", needs, deadline=deadline)

    async def ask_services() -> Outage:
        services = params.services
        return await outage(sources, namespace, services, deadline=deadline, clock=look.clock)

    readings = await look.gather(
        {
            "dependencies": Probe(cluster, ask_dependencies),
            "services": Probe(cluster, ask_services),
            "health": Probe("endpoints", lambda: endpoints(params.endpoints, deadline=deadline)),
        }
    )
    return OutageEvidence(**readings)


CHAPTER = Chapter("outage", OutageParameters, OutageEvidence, diagnose)
