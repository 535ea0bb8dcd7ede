"""Every step as a CloudEvent on a Kafka topic: key = the incident's id, event id = the step's."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from service.clients.kafka_write import KafkaPublisher, Record
from service.kit.deadline import Deadline
from service.model.journal import JournalEntry
from service.publish.sink import Outlets, Sink, SinkKind


@dataclass(frozen=True, slots=True)
class KafkaSink:
    """One record for each step, in their order; `record_of` makes it."""

    publisher: KafkaPublisher
    record_of: Callable[[JournalEntry, str], Record]
    outlets: Outlets
    name: str = field(default="kafka", init=False)

    async def deliver(self, steps: Sequence[JournalEntry], deadline: Deadline) -> None:
        await self.publisher.stream(self._records(steps), deadline=deadline)

    async def _records(self, steps: Sequence[JournalEntry]) -> AsyncIterator[Record]:
        async for step in self.outlets.spread(steps, steps):
            yield self.record_of(step, self.publisher.source)


def _bind(outlets: Outlets) -> Sink | None:
    if outlets.kafka is None:
        return None
    # Late: the library takes 80 ms to load, and a service without a topic does not need it.
    from service.publish.cloud_events import record_of

    return KafkaSink(outlets.kafka, record_of, outlets)


SINK = SinkKind("kafka", _bind)
