"""Chapter 5.1, authentication failures: Secrets that are missing,
roles that drifted, rights, certificates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.access import Access, access
from service.diagnose.probes.certificates import EXPIRY, Certificates, certificates
from service.diagnose.probes.known_good import Drift, known_good
from service.diagnose.probes.references import References, references
from service.diagnose.probes.series import Series, series
from service.diagnose.probes.snapshot import Snapshot
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class AuthenticationParameters:
    """A playbook's `with:` for this chapter. Rights are written as in probes/access.py."""

    account: str  # the service account of the platform's pods
    known_good: str  # folder of the known-good manifests, from the working directory
    needs: tuple[str, ...] = ()  # rights that the account needs
    own_needs: tuple[str, ...] = ()  # rights that Paramedic needs here
    expiry: str = EXPIRY  # PromQL: seconds left of each certificate
    series: Mapping[str, str] = field(default_factory=dict)  # name -> PromQL that gives one sample


@dataclass(frozen=True, slots=True)
class AuthenticationEvidence(Evidence):
    """What chapter 5.1 sees."""

    references: Reading[References]
    drift: Reading[Drift]
    access: Reading[Access]
    certificates: Reading[Certificates]
    series: Reading[Series]


async def authentication(look: Look, params: AuthenticationParameters) -> AuthenticationEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline
    cluster, metrics = sources.name_of("kubernetes"), sources.name_of("prometheus")

    async def ask_drift() -> Drift:
        kubernetes, folder = (
            configured(sources.kubernetes, "Kubernetes"),
            Path(params.known_good),
        )
        kinds = ("Role", "RoleBinding")
        return await known_good(kubernetes, target.namespace, folder, kinds, deadline=deadline)

    async def ask_access() -> Access:
        return await access(
            configured(sources.kubernetes, "Kubernetes"),
            target.namespace,
            params.account,
            params.needs,
            params.own_needs,
            deadline=deadline,
        )

    async def ask_certificates() -> Certificates:
        prometheus = configured(sources.prometheus, "Prometheus")
        return await certificates(prometheus, params.expiry, deadline=deadline)

    async def ask_series() -> Series:
        prometheus = configured(sources.prometheus, "Prometheus")
        return await series(prometheus, params.series, deadline=deadline)

    async with Snapshot(sources, target, deadline) as snapshot:
        readings = await look.gather(
            {
                "references": Probe(cluster, lambda: references(snapshot)),
                "drift": Probe(cluster, ask_drift),
                "access": Probe(cluster, ask_access),
                "certificates": Probe(metrics, ask_certificates),
                "series": Probe(metrics, ask_series),
            }
        )
    return AuthenticationEvidence(**readings)


CHAPTER = Chapter(
    "authentication", AuthenticationParameters, AuthenticationEvidence, authentication
)
