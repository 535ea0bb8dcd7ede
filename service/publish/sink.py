"""The contract of a sink: one file in this room per sink, and its line in `SINKS`.

Delivery is at least once: after a crash, a lost reply or a takeover by another replica a batch
comes again. A sink therefore names each thing that it makes by the step's id (an annotation's tag,
a message's key, a CloudEvent's id), so that delivering twice is delivering once. An entry of kind
`again` is delivered when it is made; looks that are folded into it later are not told again.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from service.clients.alertmanager import AlertmanagerClient
from service.clients.grafana import GrafanaAnnotations
from service.clients.kafka_write import KafkaPublisher
from service.clients.kubernetes_events import KubernetesEvents
from service.kit.clock import Clock
from service.kit.deadline import Deadline
from service.kit.pace import evenly, never
from service.model.action import Permission
from service.model.journal import JournalEntry
from service.store.escalations import Escalations
from service.store.tallies import Tallies

T = TypeVar("T")

STEP_S = 0.005  # as fast as a sink goes that is behind: 10,000 steps in fifty seconds
_SPREAD = 0.8  # the rest of its time is for reading a batch, what goes first, and the answer


class Sink(Protocol):
    """One receiver outside. `name` is the key of its cursor: renamed, it begins anew."""

    @property
    def name(self) -> str: ...

    async def deliver(self, steps: Sequence[JournalEntry], deadline: Deadline) -> None:
        """Delivers steps in their order; one that does not concern this sink is passed over.
        What is done for each of many goes through `Outlets.spread`: no webhook waits for it.

        Raises Unavailable or Indeterminate (all come again later), or Refused: where the
        receiver calls a step itself invalid or too large, that step is left out for good,
        anything else comes again later.
        """
        ...


@runtime_checkable
class Tended(Protocol):
    """A sink that has something to do by itself, such as to renew what ends without it."""

    async def tend(self, deadline: Deadline) -> None:
        """Called by its one follower about once a second, between deliveries.
        Raises as `deliver` does.
        """
        ...


@dataclass(frozen=True, slots=True)
class Outlets:
    """The clients that sinks deliver through. One that is not configured is None."""

    clock: Clock
    grafana: GrafanaAnnotations | None = None
    events: KubernetesEvents | None = None
    kafka: KafkaPublisher | None = None
    tallies: Tallies | None = None
    incident_url: str | None = None  # with `{incident}` in it
    alertmanagers: Sequence[AlertmanagerClient] = ()
    escalations: Escalations | None = None
    keep_firing_s: float = 900.0  # of a call for help that is not renewed
    busy: Callable[[], bool] = never  # with what goes first

    def spread(self, things: Sequence[T], steps: Sequence[JournalEntry]) -> AsyncIterator[T]:
        """What is to be done for a batch of steps, over their time and behind webhooks, which are
        answered on the same event loop.
        """
        return evenly(things, len(steps) * STEP_S * _SPREAD, self.clock, self.busy)

    def link(self, incident_id: str) -> str | None:
        """Where a person reads about the incident."""
        return self.incident_url.replace("{incident}", incident_id) if self.incident_url else None


@dataclass(frozen=True, slots=True)
class SinkKind:
    """A sink as the registry has it; `bind` gives None where its receiver is not configured.

    A sink that was never seen begins with what is told from now on;
    `from_the_first`: with all that is kept.
    """

    name: str
    bind: Callable[[Outlets], Sink | None]
    from_the_first: bool = False
    needs: Sequence[Permission] = ()  # rights on the Kubernetes API, for the acting account
