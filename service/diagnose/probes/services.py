"""How many ready endpoints the Services have: what a client behind the Service's name would reach.

Never here: whether a connection succeeds.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from service.clients.kubernetes import KubernetesReader, Object
from service.diagnose.probes.snapshot import name, pages
from service.kit.deadline import Deadline

MOST = 200
_OF = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One Service."""

    name: str
    ready: int  # endpoints that take traffic
    not_ready: int
    ports: tuple[int, ...]  # of the Service
    selects: bool  # it has a selector; without one its endpoints are made by somebody else


@dataclass(frozen=True, slots=True)
class Services:
    """The Services of a namespace."""

    services: tuple[ServiceState, ...]  # at most MOST
    without_ready: tuple[str, ...]  # names of those that select pods and reach none
    missing: tuple[str, ...]  # names that were asked for and do not exist


async def services(
    kubernetes: KubernetesReader, namespace: str, names: Sequence[str] = (), *, deadline: Deadline
) -> Services:
    """The Services now; with `names` those only. Raises what the reader raises."""
    core = f"/api/v1/namespaces/{namespace}/services"
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    async with asyncio.TaskGroup() as tasks:
        listed = tasks.create_task(_all(kubernetes, core, deadline))
        pieces = tasks.create_task(_all(kubernetes, slices, deadline))
    return joined(listed.result(), pieces.result(), names)


async def _all(kubernetes: KubernetesReader, path: str, deadline: Deadline) -> Sequence[Object]:
    return [one async for one in pages(kubernetes, path, deadline=deadline, most=5 * MOST)]


def joined(listed: Sequence[Object], slices: Sequence[Object], names: Sequence[str]) -> Services:
    """Services with the endpoints of their slices."""
    counts: dict[str, list[int]] = {}
    for piece in slices:
        labels = (piece.get("metadata") or {}).get("labels") or {}
        count = counts.setdefault(str(labels.get(_OF, "")), [0, 0])
        for endpoint in piece.get("endpoints") or ():
            # Absent means ready: so the API says.
            ready = (endpoint.get("conditions") or {}).get("ready", True)
            count[0 if ready or ready is None else 1] += 1
    wanted = [s for s in listed if not names or name(s) in names][:MOST]
    states = tuple(_state(s, counts.get(name(s), [0, 0])) for s in wanted)
    return Services(
        services=states,
        without_ready=tuple(s.name for s in states if s.selects and s.ready == 0),
        missing=tuple(n for n in names if n not in {s.name for s in states}),
    )


def _state(service: Object, count: Sequence[int]) -> ServiceState:
    spec = service.get("spec") or {}
    ports = tuple(int(p.get("port") or 0) for p in spec.get("ports") or ())
    return ServiceState(name(service), count[0], count[1], ports, bool(spec.get("selector")))
