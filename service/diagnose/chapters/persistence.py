"""Chapter 7.2, data-loss prevention: claims and volumes, and the backups of the database."""

from dataclasses import dataclass

from service.diagnose.chapter import Chapter, Look
from service.diagnose.gather import Probe
from service.diagnose.probes.backups import Backups, backups
from service.diagnose.probes.volumes import Volumes, volumes
from service.diagnose.sources import configured
from service.model.evidence import Evidence, Reading


@dataclass(frozen=True)
class PersistenceParameters:
    """A playbook's `with:` for this chapter."""

    disk: str = "backups"  # ClickHouse's name of the disk that backups go to


@dataclass(frozen=True, slots=True)
class PersistenceEvidence(Evidence):
    """What chapter 7.2 sees."""

    volumes: Reading[Volumes]
    backups: Reading[Backups]


async def persistence(look: Look, params: PersistenceParameters) -> PersistenceEvidence:
    """The evidence by the deadline; whatever could not be read is Unknown in it. Raises nothing."""
    sources, target, deadline = look.sources, look.target, look.deadline

    async def ask_volumes() -> Volumes:
        kubernetes = configured(sources.kubernetes, "Kubernetes")
        return await volumes(kubernetes, sources.prometheus, target.namespace, deadline=deadline)

    async def ask_backups() -> Backups:
        clickhouse = configured(sources.clickhouse, "ClickHouse")
        return await backups(clickhouse, params.disk, look.clock.now(), deadline=deadline)

    readings = await look.gather(
        {
            "volumes": Probe(sources.name_of("kubernetes"), ask_volumes),
            "backups": Probe(sources.name_of("clickhouse"), ask_backups),
        }
    )
    return PersistenceEvidence(**readings)


CHAPTER = Chapter(
    "persistence", PersistenceParameters, PersistenceEvidence, persistence, stateful=True
)
