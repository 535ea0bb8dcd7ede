"""The contract of a chapter: its parameters, its evidence, and the coroutine that gathers it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from service.diagnose.gather import Observe, Probe, gather
from service.diagnose.origin import origins
from service.diagnose.probes.seen import seen
from service.diagnose.sources import Sources, configured
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.model.evidence import Evidence, Reading
from service.model.objects import Seen
from service.model.target import Target

P = TypeVar("P")
E = TypeVar("E", bound=Evidence)


@dataclass(frozen=True, slots=True)
class Look:
    """One diagnosis under way: through which clients, at what, until when."""

    sources: Sources
    target: Target
    deadline: Deadline
    clock: Clock
    observe: Observe

    async def gather(self, probes: Mapping[str, Probe]) -> Mapping[str, Reading[Any]]:
        """A reading for every probe and for the target itself, all at once,
        by the deadline. Raises nothing.
        """
        target = Probe("kubernetes", self._seen)
        return await gather(
            {"target": target, **probes},
            deadline=self.deadline,
            clock=self.clock,
            observe=self.observe,
        )

    async def _seen(self) -> object:
        if self.target.ref is None:  # of another system: there is no object that could be missing
            return Seen(uid="", generation=0)
        kubernetes = configured(self.sources.kubernetes, "Kubernetes")
        return await seen(kubernetes, self.target, deadline=self.deadline)


@dataclass(frozen=True, slots=True)
class Chapter(Generic[P, E]):
    """One chapter. `diagnose` raises nothing: what could not be read is Unknown in the evidence.

    `parameters` is the dataclass that a playbook's `with:` fills. A parameter called `series`
    declares Prometheus queries by name; a reading of type `Series` then has these names.
    `stateful`: what it is about keeps data, so whatever interrupts it is disruptive.
    """

    name: str  # as a playbook names it under `diagnose:`
    parameters: type[P]
    evidence: type[E]
    diagnose: Callable[[Look, P], Awaitable[E]]
    stateful: bool = False

    @property
    def origins(self) -> Mapping[str, str]:
        """The system behind each reading, by the reading's name."""
        return origins(self.evidence)
