"""The volume claims whose names begin alike, as those of one StatefulSet do:
in trouble, the fullest, full when.

Never here: what may be deleted.
"""

from dataclasses import dataclass

from service.clients.kubernetes import KubernetesReader
from service.clients.prometheus import PrometheusClient
from service.diagnose.probes.volumes import Claim, volumes
from service.kit.deadline import Deadline


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims with this beginning. None at all is an answer too: the workload keeps nothing."""

    prefix: str
    count: int
    unbound: tuple[str, ...]  # names of those that are Pending or Lost, or whose volume failed
    fullest: str  # name of the one with the highest used_ratio; "" where nobody measures
    fullest_ratio: float | None  # 0.0 to 1.0; None where nobody measures
    fullest_free_bytes: int | None  # None as above
    full_in_hours: float | None  # at the growth of the last hour; None where it does not grow
    claims: tuple[Claim, ...]


async def claims(
    kubernetes: KubernetesReader,
    prometheus: PrometheusClient | None,
    namespace: str,
    prefix: str,
    *,
    deadline: Deadline,
) -> Claims:
    """The claims now. Raises what the reader raises."""
    seen = await volumes(kubernetes, prometheus, namespace, deadline=deadline)
    return summary(prefix, seen.claims)


def summary(prefix: str, found: tuple[Claim, ...]) -> Claims:
    """The same from all claims of a namespace. Pure."""
    ours = tuple(claim for claim in found if claim.name.startswith(prefix))
    measured = [c for c in ours if c.used_ratio is not None]
    fullest = max(measured, key=lambda c: c.used_ratio or 0.0, default=None)
    full_in_s = fullest.full_in_s if fullest else None
    return Claims(
        prefix=prefix,
        count=len(ours),
        unbound=tuple(
            c.name for c in ours if c.phase != "Bound" or c.volume_phase in ("Failed", "Missing")
        ),
        fullest=fullest.name if fullest else "",
        fullest_ratio=fullest.used_ratio if fullest else None,
        fullest_free_bytes=fullest.free_bytes if fullest else None,
        full_in_hours=None if full_in_s is None else full_in_s / 3600,
        claims=ours,
    )
