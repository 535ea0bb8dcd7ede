"""Chapter 5.2, network security: policies against the known-good ones,
declared paths tried, endpoints ready.
"""

from dataclasses import dataclass
from pathlib import Path

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.known_good import Drift, known_good
from service.diagnose.probes.paths import NetworkPaths, paths
from service.diagnose.probes.services import Services, services
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class NetworkParameters:
    """A playbook's `with:` for this chapter."""

    destinations: tuple[str, ...]  # host:port of every declared path
    known_good: str  # folder of the known-good manifests, from the working directory
    domain: str = ""  # put behind names without a dot: carbon-ingestion.svc
    services: tuple[str, ...] = ()  # Services behind the paths; without any all of the namespace


@dataclass(frozen=True, slots=True)
class NetworkEvidence(Evidence):
    """What chapter 5.2 sees."""

    drift: Reading[Drift]
    paths: Reading[NetworkPaths]
    services: Reading[Services]


async def network(look: Look, params: NetworkParameters) -> NetworkEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline
    cluster = sources.name_of("kubernetes")

    async def ask_drift() -> Drift:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        folder, kinds = Path(params.known_good), ("NetworkPolicy",)
        return await known_good(kubernetes, target.namespace, folder, kinds, deadline=deadline)

    async def ask_services() -> Services:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        return await services(kubernetes, target.namespace, params.services, deadline=deadline)

    readings = await look.gather(
        {
            "drift": Probe(cluster, ask_drift),
            "paths": Probe(
                "network", lambda: paths(params.destinations, params.domain, deadline=deadline)
            ),
            "services": Probe(cluster, ask_services),
        }
    )
    return NetworkEvidence(**readings)


CHAPTER = Chapter("network", NetworkParameters, NetworkEvidence, network)
