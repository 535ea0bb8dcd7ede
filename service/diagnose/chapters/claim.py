"""Chapter 7.2 of one volume claim that no workload mounts: the claim, its volume,
and the backups of the database.
"""

from dataclasses import dataclass

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.backups import Backups, backups
from service.diagnose.probes.claim import OneClaim, one_claim
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class ClaimParameters:
    """A playbook's `with:` for this chapter."""

    claim: str  # the name of the claim, in the target's namespace
    disk: str = "backups"  # ClickHouse's name of the disk that backups go to


@dataclass(frozen=True, slots=True)
class ClaimEvidence(Evidence):
    """What chapter 7.2 sees of one claim."""

    claim: Reading[OneClaim]  # Unknown while the API server does not answer
    backups: Reading[Backups]  # Unknown while ClickHouse does not answer: for a person to see


async def claim(look: Look, params: ClaimParameters) -> ClaimEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, namespace, deadline = look.sources, look.target.namespace, look.deadline

    async def ask_claim() -> OneClaim:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        return await one_claim(kubernetes, namespace, params.claim, deadline=deadline)

    async def ask_backups() -> Backups:
        clickhouse = configured(sources.clickhouse, "ClickHouse")
        return await backups(clickhouse, params.disk, look.clock.now(), deadline=deadline)

    readings = await look.gather(
        {
            "claim": Probe(sources.name_of("kubernetes"), ask_claim),
            "backups": Probe(sources.name_of("clickhouse"), ask_backups),
        }
    )
    return ClaimEvidence(**readings)


CHAPTER = Chapter("claim", ClaimParameters, ClaimEvidence, claim)
